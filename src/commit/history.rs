//! The history of the runs of a target.

use crate::store::{Record, TimePoint};

/// One committed run, as described by its record.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedRun {
    /// Its name.
    pub run: String,
    /// The time of its commit, RFC 3339 in UTC.
    pub committed: String,
    /// The feature set.
    pub set: String,
    /// Rows written.
    pub rows: u64,
    /// The first time among the rows.
    pub first: Option<TimePoint>,
    /// The last time among the rows.
    pub last: Option<TimePoint>,
    /// Wall seconds.
    pub seconds: f64,
    /// The number of symbols in the target after the run.
    pub symbols: u64,
    /// The audits and their results.
    pub audits: Vec<(String, String)>,
    /// The version of windrow.
    pub version: String,
    /// The jobs of a queue that it computed.
    pub jobs: Vec<String>,
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
            symbols: record.watermarks.len() as u64,
            audits: record.audits,
            version: record.windrow,
            jobs: record.jobs,
        }
    }
}

/// The committed runs of a target, and the leftovers of failed runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunHistory {
    /// The runs, oldest first.
    pub runs: Vec<CommittedRun>,
    /// The names of the leftovers of failed runs.
    pub leftovers: Vec<String>,
}

impl RunHistory {
    /// True if there is no trace of any run.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.leftovers.is_empty()
    }
}
