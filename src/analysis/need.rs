//! What one output of a plan needs: how many rows before its own, and whether any after.

use super::{Call, History};

/// Whether a value uses rows later than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It does not.
    None,
    /// This many rows.
    Rows(usize),
    /// All rows of its group.
    All,
    /// It may: this is not understood.
    Unknown,
}

impl Ahead {
    /// What is used by something that uses both, where rows add up by `sum`.
    fn with(self, other: Ahead, sum: impl Fn(usize, usize) -> usize) -> Ahead {
        match (self, other) {
            (Ahead::Rows(a), Ahead::Rows(b)) => Ahead::Rows(sum(a, b)),
            (Ahead::None, other) => other,
            (own, Ahead::None) => own,
            (Ahead::Unknown, Ahead::Unknown) => Ahead::Unknown,
            _ => Ahead::All,
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
    pub history: History,
    /// What it uses of the future.
    pub ahead: Ahead,
    /// Whether it may depend on rows of other entities.
    pub crosses: bool,
    /// The keys of all groups of rows that it depends on.
    pub(super) groups: Vec<Vec<String>>,
    /// What it is made of: indicators, windows, and whatever else reaches other rows.
    pub calls: Vec<Call>,
}

impl Need {
    pub(super) const NONE: Need = Need {
        lookback: 0,
        warmup: 0,
        history: History::OWN_ROW,
        ahead: Ahead::None,
        crosses: false,
        groups: Vec::new(),
        calls: Vec::new(),
    };

    /// What it is made of, in words.
    pub fn made_of(&self) -> Vec<String> {
        self.calls.iter().map(Call::to_string).collect()
    }

    /// The need of something computed from both, side by side.
    pub(super) fn beside(mut self, other: &Need) -> Need {
        self.lookback = self.lookback.max(other.lookback);
        self.warmup = self.warmup.max(other.warmup);
        self.history = self.history.beside(&other.history);
        self.ahead = self.ahead.with(other.ahead, usize::max);
        self.reach(&other.groups);
        for call in &other.calls {
            if !self.calls.contains(call) {
                self.calls.push(call.clone());
            }
        }
        self
    }

    /// The need of a window over values that have this need.
    pub(super) fn under(mut self, window: Need) -> Need {
        self.lookback = self.lookback.saturating_add(window.lookback);
        self.warmup = self.warmup.saturating_add(window.warmup);
        self.history = self.history.under(window.history);
        self.ahead = self.ahead.with(window.ahead, usize::saturating_add);
        self.reach(&window.groups);
        self.calls.extend(window.calls);
        self
    }

    /// Adds groups of rows that it depends on.
    pub(super) fn reach(&mut self, groups: &[Vec<String>]) {
        for group in groups {
            if !self.groups.contains(group) {
                self.groups.push(group.clone());
            }
        }
    }
}

/// The need of something computed from all of them.
pub(super) fn merge(needs: &[Need]) -> Need {
    needs.iter().fold(Need::NONE, Need::beside)
}
