//! Removes secrets from locations.

use super::location::Location;
use super::postgres::{password, without_password};

/// The replacement for the query of a web address, which is a signature in most cases.
const LEFT_OUT: &str = "?left-out";

/// Returns a location without passwords; web addresses lose their query.
pub fn without_secrets(location: &str) -> String {
    let part = |part: &str| match part.split_once('?') {
        Some((before, query)) if is_web_location(part) && !query.is_empty() => {
            format!("{before}{LEFT_OUT}")
        }
        _ => without_password(part),
    };
    // Only web addresses come in lists.
    match is_web_location(location) {
        true => location.split(',').map(part).collect::<Vec<_>>().join(","),
        false => part(location),
    }
}

/// Replaces the passwords of the URLs in a text.
pub fn redact_passwords(text: &str) -> String {
    let mut text = text.to_string();
    while let Some(found) = password(&text) {
        text.replace_range(found, "xxx");
    }
    text
}

/// Returns whether a location lacks a part that is needed to read it.
pub fn withheld(location: &str) -> bool {
    is_web_location(location) && location.contains(LEFT_OUT)
}

/// Returns a location that has the same meaning in every working directory.
pub fn anywhere(location: &str) -> String {
    match Location::parse(location) {
        Ok(Location::Local(path)) => std::path::absolute(&path)
            .map_or_else(|_| location.to_string(), |path| path.to_string_lossy().into_owned()),
        _ => location.to_string(),
    }
}

fn is_web_location(location: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| location.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let cases = [
            ("postgres://u:secret@h/d?table=t", "postgres://u@h/d?table=t", false),
            ("s3://bucket/bars/", "s3://bucket/bars/", false),
            ("https://h/a.csv", "https://h/a.csv", false),
            ("https://h/a.csv?sig=secret", "https://h/a.csv?left-out", true),
            (
                "https://h/a.csv,https://h/b.csv?sig=secret",
                "https://h/a.csv,https://h/b.csv?left-out",
                true,
            ),
            ("data/what?.parquet", "data/what?.parquet", false),
        ];
        for (location, expected, lacking) in cases {
            let told = without_secrets(location);
            assert_eq!((told.as_str(), withheld(&told)), (expected, lacking));
        }
        assert!(anywhere("bars/*.parquet").starts_with('/'));
        assert_eq!(anywhere("s3://bucket/bars/"), "s3://bucket/bars/");
    }
}
