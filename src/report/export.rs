//! The report of an export of many feature sets.

use serde::{Deserialize, Serialize};

use super::RunReport;
use crate::engine::{Export, ExportOutcome};

/// The report of an export of many feature sets: `export --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ExportReport {
    /// Every set, in the order in which they were given.
    pub sets: Vec<ExportedSet>,
    /// Sets that were computed and committed.
    pub committed: u64,
    /// Sets whose target already held exactly what a run would write.
    pub current: u64,
    /// Sets that failed.
    pub failed: u64,
    /// Sets that read another set, which failed.
    pub left_out: u64,
    /// Wall seconds of the export.
    pub seconds: f64,
}

/// One set of an export and its outcome.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ExportedSet {
    /// The name of the set.
    pub set: String,
    /// The target of the set, without a password.
    pub target: String,
    /// The outcome of the set.
    pub status: ExportStatus,
    /// The run; only for a set that was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunReport>,
    /// The reason why there was no run; only for a set that failed or was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outcome of a set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExportStatus {
    /// The set was computed and committed.
    Committed,
    /// The target already held exactly what a run would write.
    Current,
    /// The set failed; its target is unchanged.
    Failed,
    /// The set reads another one, which failed.
    LeftOut,
}

impl ExportReport {
    /// Builds the report from the sets and their results, in the same order.
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
