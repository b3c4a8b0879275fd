//! What runs a target has seen.

use crate::store::{Record, TimePoint};

/// One committed run, as its record tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedRun {
    /// Its name.
    pub run: String,
    /// When it was committed, RFC 3339 in UTC.
    pub committed: String,
    /// The feature set.
    pub set: String,
    /// Rows written.
    pub rows: u64,
    /// The first time among them.
    pub first: Option<TimePoint>,
    /// The last.
    pub last: Option<TimePoint>,
    /// Wall seconds.
    pub seconds: f64,
    /// The version of windrow.
    pub version: String,
}

impl From<Record> for CommittedRun {
    fn from(record: Record) -> Self {
        let (first, last) = (record.first_time(), record.last_time());
        Self {
            run: record.run,
            committed: record.committed,
            set: record.set,
            rows: record.rows,
            first,
            last,
            seconds: record.seconds,
            version: record.windrow,
        }
    }
}

/// The committed runs of a target, and what others left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunHistory {
    /// The runs, oldest first.
    pub runs: Vec<CommittedRun>,
    /// The names of what runs that died left behind.
    pub leftovers: Vec<String>,
}

impl RunHistory {
    /// Whether no run was ever here.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.leftovers.is_empty()
    }
}
