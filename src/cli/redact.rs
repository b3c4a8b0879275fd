//! Keeps passwords out of messages.

use crate::store::password;

/// Replaces the passwords of the URLs in a text.
pub(super) fn redact_passwords(text: &str) -> String {
    let mut text = text.to_string();
    while let Some(found) = password(&text) {
        text.replace_range(found, "xxx");
    }
    text
}
