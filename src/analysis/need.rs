//! What one output of a plan needs: how many rows before its own, and whether any after.

use super::{RowDependency, RowHistory};

/// Whether a value uses rows later than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAhead {
    /// It does not.
    None,
    /// This many rows.
    Rows(usize),
    /// All rows of its group.
    All,
    /// It may: this is not understood.
    Unknown,
}

impl LookAhead {
    /// What is used by something that uses both, where rows add up by `sum`.
    fn combine_look_ahead(
        self,
        other: LookAhead,
        sum: impl Fn(usize, usize) -> usize,
    ) -> LookAhead {
        match (self, other) {
            (LookAhead::Rows(a), LookAhead::Rows(b)) => LookAhead::Rows(sum(a, b)),
            (LookAhead::None, other) => other,
            (own, LookAhead::None) => own,
            (LookAhead::Unknown, LookAhead::Unknown) => LookAhead::Unknown,
            _ => LookAhead::All,
        }
    }
}

/// What one output needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Rows before the first value.
    pub lookback: usize,
    /// Rows after which the value practically no longer depends on where the data starts;
    /// `usize::MAX` for what never forgets.
    pub warmup: usize,
    /// What it depends on exactly.
    pub history: RowHistory,
    /// What it uses of the future.
    pub ahead: LookAhead,
    /// Whether it may depend on rows of other entities.
    pub crosses: bool,
    /// The keys of all groups of rows that it depends on.
    pub(super) groups: Vec<Vec<String>>,
    /// What it is made of: indicators, windows, and whatever else reaches other rows.
    pub calls: Vec<RowDependency>,
}

impl Need {
    pub(super) const NONE: Need = Need {
        lookback: 0,
        warmup: 0,
        history: RowHistory::OWN_ROW,
        ahead: LookAhead::None,
        crosses: false,
        groups: Vec::new(),
        calls: Vec::new(),
    };

    /// What it is made of, in words.
    pub fn describe_calls(&self) -> Vec<String> {
        self.calls.iter().map(RowDependency::to_string).collect()
    }

    /// The need of something computed from both, side by side.
    pub(super) fn union_need(mut self, other: &Need) -> Need {
        self.lookback = self.lookback.max(other.lookback);
        self.warmup = self.warmup.max(other.warmup);
        self.history = self.history.union_history(&other.history);
        self.ahead = self.ahead.combine_look_ahead(other.ahead, usize::max);
        self.add_groups(&other.groups);
        for call in &other.calls {
            if !self.calls.contains(call) {
                self.calls.push(call.clone());
            }
        }
        self
    }

    /// The need of a window over values that have this need.
    pub(super) fn compose_need(mut self, window: Need) -> Need {
        self.lookback = self.lookback.saturating_add(window.lookback);
        self.warmup = self.warmup.saturating_add(window.warmup);
        self.history = self.history.compose_history(window.history);
        self.ahead = self.ahead.combine_look_ahead(window.ahead, usize::saturating_add);
        self.add_groups(&window.groups);
        self.calls.extend(window.calls);
        self
    }

    /// Adds groups of rows that it depends on.
    pub(super) fn add_groups(&mut self, groups: &[Vec<String>]) {
        for group in groups {
            if !self.groups.contains(group) {
                self.groups.push(group.clone());
            }
        }
    }
}

/// The need of something computed from all of them.
pub(super) fn union_of_needs(needs: &[Need]) -> Need {
    needs.iter().fold(Need::NONE, Need::union_need)
}
