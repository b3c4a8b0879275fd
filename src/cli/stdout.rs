//! Writing to standard output; a closed pipe ends the command without an error.

use std::io::{Write, stdout};

use serde::Serialize;

use crate::error::{Error, Result};

/// Writes text to standard output.
pub(super) fn print_text(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(crate::render::from_io)
}

/// Writes a report as JSON to standard output.
pub(super) fn print_json(report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Error::internal(format!("JSON cannot be written: {error}")))?;
    print_text(&(text + "\n"))
}

/// Formats a number of bytes: `999 B`, `1.5 MB`.
pub(super) fn format_bytes(number: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        assert_eq!(format_bytes(999), "999 B");
        assert_eq!(format_bytes(1_500_000), "1.5 MB");
    }
}
