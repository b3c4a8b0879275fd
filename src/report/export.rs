//! What became of many sets.

use serde::{Deserialize, Serialize};

use super::RunReport;
use crate::engine::{Export, ExportOutcome};

/// What an export of many feature sets did: `export --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ExportReport {
    /// Every set, in the order in which they were given.
    pub sets: Vec<ExportedSet>,
    /// Sets that were computed and committed.
    pub committed: u64,
    /// Sets whose target held just what a run would write.
    pub current: u64,
    /// Sets that failed.
    pub failed: u64,
    /// Sets that read one which failed.
    pub left_out: u64,
    /// Wall seconds of the export.
    pub seconds: f64,
}

/// What became of one set.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ExportedSet {
    /// The name of the set.
    pub set: String,
    /// Where the set goes, without a password.
    pub target: String,
    /// What became of the set.
    pub status: ExportStatus,
    /// The run; only of a set that was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunReport>,
    /// Why there was no run; only of a set that failed or was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The end that a set came to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExportStatus {
    /// It was computed and committed.
    Committed,
    /// Its target held just what a run would write.
    Current,
    /// It failed; its target is as it was.
    Failed,
    /// It reads a set that failed.
    LeftOut,
}

impl ExportReport {
    /// Of sets and what became of each, in the same order.
    pub fn from_results(sets: &[Export], results: &[ExportOutcome], seconds: f64) -> Self {
        let sets =
            sets.iter().zip(results).map(|(set, result)| ExportedSet::from_exported(set, result));
        let sets: Vec<ExportedSet> = sets.collect();
        let count =
            |status: ExportStatus| sets.iter().filter(|set| set.status == status).count() as u64;
        Self {
            committed: count(ExportStatus::Committed),
            current: count(ExportStatus::Current),
            failed: count(ExportStatus::Failed),
            left_out: count(ExportStatus::LeftOut),
            seconds,
            sets,
        }
    }
}

impl ExportedSet {
    fn from_exported(export: &Export, exported: &ExportOutcome) -> Self {
        let (status, run, error) = match exported {
            ExportOutcome::Committed(outcome) => {
                (ExportStatus::Committed, Some(RunReport::from_outcome(outcome)), None)
            }
            ExportOutcome::Current => (ExportStatus::Current, None, None),
            ExportOutcome::Failed(error) => (ExportStatus::Failed, None, Some(error.to_string())),
            ExportOutcome::LeftOut(read) => {
                (ExportStatus::LeftOut, None, Some(format!("it reads {read}, which failed")))
            }
        };
        let (set, target) = (export.set.name.clone(), export.target.to_string());
        Self { set, target, status, run, error }
    }
}
