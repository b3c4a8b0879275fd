//! The name of a connection, which shows other runs who holds it.

use sha2::{Digest, Sha256};

use crate::identity::encode_hex;
use crate::outside;

/// Returns the name under which a run connects to the server.
pub(super) fn application_name(run: &str) -> String {
    format!("windrow {run} {}", machine_mark())
}

/// Returns a short mark of this machine for the name of a connection; empty if the machine has no id.
pub(super) fn machine_mark() -> String {
    match outside::machine_id() {
        machine if machine.is_empty() => machine,
        machine => encode_hex(&Sha256::digest(machine.as_bytes())[..4]),
    }
}
