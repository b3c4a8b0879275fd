//! The need of one output of a plan: how many rows before its own, and whether any after.

use super::{RowDependency, RowHistory};

/// The use of rows later than the value's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAhead {
    /// No later row.
    None,
    /// This many rows.
    Rows(usize),
    /// All rows of its group.
    All,
    /// Possibly later rows: the expression or plan node is not understood.
    Unknown,
}

impl LookAhead {
    /// Returns the look-ahead of a value that uses both. `sum` combines two numbers of rows.
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

/// The need of one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Rows before the first value.
    pub lookback: usize,
    /// Rows after which the value practically no longer depends on where the data starts; `usize::MAX` if it
    /// always depends on it.
    pub warmup: usize,
    /// The exact history that the value depends on.
    pub history: RowHistory,
    /// The later rows that the value uses.
    pub ahead: LookAhead,
    /// True if the value may depend on rows of other entities.
    pub crosses: bool,
    /// The keys of all groups of rows that the value depends on.
    pub(super) groups: Vec<Vec<String>>,
    /// The calls that compute the value: indicators, windows, and everything else that reaches other rows.
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

    /// Returns the text of each call.
    pub fn describe_calls(&self) -> Vec<String> {
        self.calls.iter().map(RowDependency::to_string).collect()
    }

    /// Returns the need of a value computed from both, side by side.
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

    /// Returns the need of a window over values with this need.
    pub(super) fn compose_need(mut self, window: Need) -> Need {
        self.lookback = self.lookback.saturating_add(window.lookback);
        self.warmup = self.warmup.saturating_add(window.warmup);
        self.history = self.history.compose_history(window.history);
        self.ahead = self.ahead.combine_look_ahead(window.ahead, usize::saturating_add);
        self.add_groups(&window.groups);
        self.calls.extend(window.calls);
        self
    }

    /// Adds groups of rows that the value depends on.
    pub(super) fn add_groups(&mut self, groups: &[Vec<String>]) {
        for group in groups {
            if !self.groups.contains(group) {
                self.groups.push(group.clone());
            }
        }
    }
}

/// Returns the need of a value computed from all of them.
pub(super) fn union_of_needs(needs: &[Need]) -> Need {
    needs.iter().fold(Need::NONE, Need::union_need)
}
