//! What a commit does with the state that a target holds.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::store::{Record, RecordFile, SymbolRange, TimePoint};

/// What a run computes, in exact times. None is all.
#[derive(Clone, Debug, Default)]
pub struct ScopeBounds {
    /// The symbols.
    pub symbols: Option<Vec<String>>,
    /// The first time, inclusive.
    pub from: Option<TimePoint>,
    /// The end, exclusive.
    pub until: Option<TimePoint>,
}

impl ScopeBounds {
    /// Whether all rows of a symbol, whose times lie in this range, are within.
    fn covers_range(&self, symbol: &str, range: &SymbolRange) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.iter().any(|s| s == symbol))
            && self.from.is_none_or(|from| range.first >= from)
            && self.until.is_none_or(|until| range.last < until)
    }
}

/// How a run is published.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// What becomes of the rows that the target holds.
    pub mode: PublishMode,
    /// What the run computed.
    pub scope: ScopeBounds,
}

/// What becomes of the rows that a target holds.
#[derive(Clone, Debug, Default)]
pub enum PublishMode {
    /// All of them go. Rows outside the scope of the run are a reason to refuse it, but of a table,
    /// where exactly the rows of the scope go.
    #[default]
    Whole,
    /// All of them stay.
    Append(RetainedFiles),
    /// Those of the scope go, all others stay: in the files that are kept, and in what was written
    /// anew of files that held rows of both kinds.
    Scope(RetainedFiles),
}

/// The way out where a scope can be merged.
pub(super) const MERGE_HINT: &str = "run without --symbols, --from and --until, or write to another target; \
    --merge replaces just the rows of this scope";

/// What stays of a state.
#[derive(Clone, Debug, Default)]
pub struct RetainedFiles {
    /// The files that stay as they are.
    pub files: Vec<RecordFile>,
    /// First and last time and rows per symbol in them.
    pub watermarks: BTreeMap<String, SymbolRange>,
}

impl PublishOptions {
    /// What stays as it is.
    pub fn retained_files(&self) -> Option<&RetainedFiles> {
        match &self.mode {
            PublishMode::Whole => None,
            PublishMode::Append(kept) | PublishMode::Scope(kept) => Some(kept),
        }
    }

    /// Refuses to replace rows that the run does not compute. `held` is the record of the target, and
    /// `way_out` what to do instead.
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
            // The same moments on other clocks.
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
