//! Options of a commit: the scope of the run, and the treatment of the rows that the target already
//! holds.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::store::{Record, RecordFile, SymbolRange, TimePoint};

/// The scope that a run computes, in exact times. None means unbounded.
#[derive(Clone, Debug, Default)]
pub struct ScopeBounds {
    /// The symbols.
    pub symbols: Option<Vec<String>>,
    /// The start time, inclusive.
    pub from: Option<TimePoint>,
    /// The end time, exclusive.
    pub until: Option<TimePoint>,
}

impl ScopeBounds {
    /// Returns whether the scope covers all rows of a symbol whose times span `range`.
    fn covers_range(&self, symbol: &str, range: &SymbolRange) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.iter().any(|s| s == symbol))
            && self.from.is_none_or(|from| range.first >= from)
            && self.until.is_none_or(|until| range.last < until)
    }
}

/// The options of a commit.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// The treatment of the rows that the target holds.
    pub mode: PublishMode,
    /// The scope that the run computed.
    pub scope: ScopeBounds,
}

/// The treatment of the rows that a target holds.
#[derive(Clone, Debug, Default)]
pub enum PublishMode {
    /// Replaces all of them. Rows outside the scope of the run are a reason to refuse the run. A table
    /// is the exception: there exactly the rows of the scope are replaced.
    #[default]
    Whole,
    /// Keeps all of them.
    Append(RetainedFiles),
    /// Replaces the rows of the scope and keeps all others: those in the retained files, and those that
    /// were rewritten out of files with rows of both kinds.
    Scope(RetainedFiles),
}

/// The hint for targets where a scope can be merged.
pub(super) const MERGE_HINT: &str = "run without --symbols, --from and --until, or write to another target; \
    --merge replaces just the rows of this scope";

/// The part of a state that a commit keeps.
#[derive(Clone, Debug, Default)]
pub struct RetainedFiles {
    /// The files that stay unchanged.
    pub files: Vec<RecordFile>,
    /// First time, last time and number of rows per symbol in them.
    pub watermarks: BTreeMap<String, SymbolRange>,
}

impl PublishOptions {
    /// The files that stay unchanged; None if all rows are replaced.
    pub fn retained_files(&self) -> Option<&RetainedFiles> {
        match &self.mode {
            PublishMode::Whole => None,
            PublishMode::Append(kept) | PublishMode::Scope(kept) => Some(kept),
        }
    }

    /// Refuses to replace rows that the run does not compute. `held` is the record of the target;
    /// `way_out` is the hint that names the alternative.
    pub(super) fn check_scope(
        &self,
        place: &dyn std::fmt::Display,
        held: Option<&Record>,
        way_out: &str,
    ) -> Result<()> {
        if matches!(self.mode, PublishMode::Scope(_)) {
            return Ok(());
        }
        let mut held = held.into_iter().flat_map(|record| &record.watermarks);
        match held.find(|(symbol, range)| !self.scope.covers_range(symbol, range)) {
            Some((symbol, range)) => Err(Error::target(format!(
                "{place} holds rows outside the scope of this run, such as {symbol} from {} to {}",
                range.first, range.last
            ))
            .hint(way_out)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_what_lies_in_it() {
        let at = |text: &str| text.parse::<TimePoint>().unwrap();
        let within = |scope: &ScopeBounds, symbol: &str, first: &str, last: &str| {
            scope.covers_range(symbol, &SymbolRange { first: at(first), last: at(last), rows: 2 })
        };
        let scope = ScopeBounds {
            symbols: Some(vec!["A".into()]),
            from: Some(at("2024-01-01T00:00:00Z")),
            until: Some(at("2024-02-01T00:00:00Z")),
        };
        let cases = [
            ("A", "2024-01-01T00:00:00Z", "2024-01-31T23:59:59.999Z", true),
            ("A", "2024-01-01T00:00:00.500Z", "2024-01-31T00:00:00Z", true),
            ("A", "2023-12-31T23:59:59.500Z", "2024-01-31T00:00:00Z", false),
            ("A", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", false),
            // The same instants with other UTC offsets.
            ("A", "2023-12-31T19:00:00-05:00", "2024-02-01T08:59:59+09:00", true),
            ("A", "2024-01-01T08:00:00+09:00", "2024-01-31T00:00:00Z", false),
            ("A", "2024-01-01T00:00:00Z", "2024-01-31T19:00:00-05:00", false),
            ("B", "2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z", false),
        ];
        for (symbol, first, last, expected) in cases {
            assert_eq!(within(&scope, symbol, first, last), expected, "{symbol} {first} {last}");
        }
        assert!(within(&ScopeBounds::default(), "B", "1900-01-01", "2100-01-01"));
    }
}
