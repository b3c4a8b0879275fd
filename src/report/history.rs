//! The reports of the committed runs of a target, and of the leftovers removed from it.

use serde::{Deserialize, Serialize};

use super::run::AuditReport;
use crate::commit::{CommittedRun, RunHistory, Target};
use crate::store::TimePoint;

/// The committed runs of a target: `runs --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct HistoryReport {
    /// The target, without a password.
    pub target: String,
    /// The committed runs, oldest first.
    pub runs: Vec<PastRun>,
    /// The leftovers of failed runs next to the target; `vacuum` removes them.
    pub leftovers: Vec<String>,
}

/// One committed run, from its record.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct PastRun {
    /// The name of the run.
    pub run: String,
    /// The time of the commit, RFC 3339 in UTC.
    pub committed: String,
    /// The feature set, or `compact`.
    pub set: String,
    /// Rows that the run wrote.
    pub rows: u64,
    /// The first time in the target after the run, as its column shows it; null without rows.
    pub first: Option<TimePoint>,
    /// The last time in the target after the run; null without rows.
    pub last: Option<TimePoint>,
    /// Wall seconds of the run.
    pub seconds: f64,
    /// Symbols in the target after the run.
    pub symbols: u64,
    /// The audits of the run.
    pub audits: Vec<AuditReport>,
    /// The version of windrow that ran.
    pub version: String,
}

/// The leftovers that were removed from a target: `vacuum --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct VacuumReport {
    /// The target, without a password.
    pub target: String,
    /// The names of the leftovers of failed runs that were removed.
    pub removed: Vec<String>,
}

impl HistoryReport {
    /// Builds the report of a target from its history.
    pub fn from_history(target: &Target, history: &RunHistory) -> Self {
        Self {
            target: target.to_string(),
            runs: history.runs.iter().map(PastRun::from_committed).collect(),
            leftovers: history.leftovers.clone(),
        }
    }
}

impl PastRun {
    fn from_committed(run: &CommittedRun) -> Self {
        Self {
            run: run.run.clone(),
            committed: run.committed.clone(),
            set: run.set.clone(),
            rows: run.rows,
            first: run.first,
            last: run.last,
            seconds: run.seconds,
            symbols: run.symbols,
            audits: run.audits.iter().map(AuditReport::from_result).collect(),
            version: run.version.clone(),
        }
    }
}

impl VacuumReport {
    /// Builds the report of a target from the names of the removed leftovers.
    pub fn from_removed(target: &Target, removed: &[String]) -> Self {
        Self { target: target.to_string(), removed: removed.to_vec() }
    }
}
