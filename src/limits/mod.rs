//! Every limit that a user may meet: its name, what it bounds, and what happens past it. All other modules take the
//! values from here; `windrow limits` and docs/limits.md show them.

mod table;

pub use table::*;

use crate::error::{Error, Result, group_digits, pluralize_count};

/// One limit.
#[derive(Clone, Debug)]
pub struct LimitEntry {
    /// The chapter of docs/limits.md that it belongs to.
    pub group: &'static str,
    /// The name of its constant.
    pub name: &'static str,
    /// The value with its unit.
    pub value: String,
    /// The quantity that it bounds, as a sentence.
    pub bounds: String,
    /// The consequence of exceeding it, as a sentence.
    pub past: &'static str,
}

/// Formats a number of things.
fn show_count(number: u64, noun: &str) -> String {
    pluralize_count(number, noun)
}

/// Formats a number of bytes, in the largest unit that keeps it a whole number.
fn show_bytes(number: u64) -> String {
    if number > 0 && number.is_multiple_of(1_000_000) {
        return format!("{} MB", group_digits(number / 1_000_000));
    }
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", group_digits(number / unit)),
        None => pluralize_count(number, "byte"),
    }
}

/// Formats a duration.
fn show_duration(of: std::time::Duration) -> String {
    match (of.as_secs(), of.subsec_millis()) {
        (0, milliseconds) => format!("{milliseconds} ms"),
        (seconds, 0) if seconds % 3600 == 0 => pluralize_count(seconds / 3600, "hour"),
        (seconds, 0) if seconds % 60 == 0 => pluralize_count(seconds / 60, "minute"),
        (seconds, 0) => format!("{seconds} s"),
        _ => format!("{} s", of.as_secs_f64()),
    }
}

/// Returns the text of docs/limits.md.
pub fn markdown_page() -> String {
    let mut out = "# Limits\n\nEvery buffer, queue, cache, retry and input has a bound. These are the ones that somebody may \
        meet; `windrow limits` prints them, with `--json` for programs. Periods of indicators have theirs in \
        [functions.md](functions.md).\n"
        .to_string();
    let mut group = "";
    for limit in all_limits() {
        if limit.group != group {
            group = limit.group;
            out += &format!(
                "\n## {group}\n| limit | value | what it bounds | past it |\n|---|---|---|---|\n"
            );
        }
        let LimitEntry { name, value, bounds, past, .. } = limit;
        out += &format!("| `{}` | {value} | {bounds} | {past} |\n", name.to_lowercase());
    }
    out
}

/// Refuses a statement that is too long.
///
/// # Errors
/// If the statement is longer than [`STATEMENT_BYTES`]; the message gives both lengths.
pub fn check_statement_length(text: &str) -> Result<()> {
    if text.len() <= STATEMENT_BYTES {
        return Ok(());
    }
    let (length, most) = (group_digits(text.len() as u64), group_digits(STATEMENT_BYTES as u64));
    Err(Error::query(format!("the statement has {length} bytes, past the limit of {most}"))
        .hint("put values into a source, and read it"))
}

/// Returns at most [`NOTICES_TOLD`] notices of one kind, and one more that counts the rest.
pub fn cap_notices(mut notices: Vec<String>) -> Vec<String> {
    let more = notices.len().saturating_sub(NOTICES_TOLD);
    if more > 0 {
        notices.truncate(NOTICES_TOLD);
        notices.push(format!("and {} more of this kind", group_digits(more as u64)));
    }
    notices
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_file_is_what_the_table_says() {
        let path = "docs/limits.md";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown_page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == markdown_page(), "{path} is old: run the tests with UPDATE_DOCS=1");
    }

    #[test]
    fn values_have_units() {
        assert_eq!(
            [show_bytes(16 << 20), show_bytes(1 << 40), show_bytes(1500)],
            ["16 MiB", "1 TiB", "1,500 bytes"]
        );
        let times =
            [250, 20_000, 600_000, 3_600_000, 1_500].map(Duration::from_millis).map(show_duration);
        assert_eq!(times, ["250 ms", "20 s", "10 minutes", "1 hour", "1.5 s"]);
    }

    #[test]
    fn sentences_end() {
        let names: Vec<String> = (0..22).map(|n| format!("n{n}")).collect();
        assert_eq!(cap_notices(names.clone())[NOTICES_TOLD], "and 2 more of this kind");
        assert_eq!(cap_notices(names[..20].to_vec()).len(), 20);
    }

    #[test]
    fn names_are_there_once() {
        let all = all_limits();
        let names: std::collections::BTreeSet<_> = all.iter().map(|limit| limit.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
