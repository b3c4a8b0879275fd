//! The report of a run.

use serde::{Deserialize, Serialize};

use crate::engine::RunOutcome;
use crate::store::TimePoint;

/// The report of one committed run: `run --json` and `compact --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct RunReport {
    /// The feature set, or `compact`.
    pub set: String,
    /// The location of the rows, without a password.
    pub target: String,
    /// The name of the run: time and process, unique on one machine.
    pub run: String,
    /// The time of the commit, RFC 3339 in UTC.
    pub committed: String,
    /// The identity of what was computed: the digest of its definition.
    pub fingerprint: String,
    /// Rows that the run wrote.
    pub rows: u64,
    /// The columns that it wrote, in order.
    pub columns: Vec<ColumnReport>,
    /// Symbols that the target holds.
    pub symbols: u64,
    /// The first time in the target, as its column shows it; null without rows.
    pub first: Option<TimePoint>,
    /// The last time in the target; null without rows.
    pub last: Option<TimePoint>,
    /// Data files that the target holds.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Wall seconds of the run.
    pub seconds: f64,
    /// Rows written per wall second.
    pub rows_per_second: f64,
    /// Calls to servers that were retried.
    pub retries: u64,
    /// The peak resident memory of the whole process.
    pub peak_memory_bytes: u64,
    /// The sources that were read, by name.
    pub inputs: Vec<InputReport>,
    /// The audits and what they found.
    pub audits: Vec<AuditReport>,
    /// The changes that cleaning made to the inputs, and the outputs that are NULL on every row.
    pub notices: Vec<String>,
    /// The files and symbols that `--keep-going` left out.
    pub left_out: Vec<LeftOutReport>,
}

/// One column of an output.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ColumnReport {
    /// The name of the column.
    pub name: String,
    /// The type of the column, as Arrow names it.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// One source that a run read.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct InputReport {
    /// The name of the source.
    pub name: String,
    /// The location of the source, without a password.
    pub location: String,
    /// The number of files that were listed.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Seconds spent on listing the files and reading their metadata.
    pub opening_seconds: f64,
}

/// One audit of an output.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct AuditReport {
    /// The condition, as written in the header.
    pub audit: String,
    /// The result of the audit.
    pub result: String,
}

/// One file or symbol that a run left out.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct LeftOutReport {
    /// The file or the symbol.
    pub what: String,
    /// The reason why it could not be read or computed.
    pub why: String,
}

impl AuditReport {
    /// Builds the report of an audit and its result.
    pub(super) fn from_result((audit, result): &(String, String)) -> Self {
        Self { audit: audit.clone(), result: result.clone() }
    }
}

impl RunReport {
    /// Builds the report of a committed run.
    pub fn from_outcome(outcome: &RunOutcome) -> Self {
        let record = &outcome.record;
        let columns = record.columns.iter().map(|(name, ty)| {
            let (name, data_type) = (name.clone(), ty.clone());
            ColumnReport { name, data_type }
        });
        let inputs = record.inputs.iter().map(|(name, input)| InputReport {
            name: name.clone(),
            location: input.location.clone(),
            files: input.files,
            bytes: input.bytes,
            opening_seconds: input.opening,
        });
        let audits = record.audits.iter().map(AuditReport::from_result);
        let left_out = record.left_out.iter().map(|(what, why)| {
            let (what, why) = (what.clone(), why.clone());
            LeftOutReport { what, why }
        });
        Self {
            set: record.set.clone(),
            target: outcome.target.to_string(),
            run: record.run.clone(),
            committed: record.committed.clone(),
            fingerprint: record.fingerprint.clone(),
            rows: record.rows,
            columns: columns.collect(),
            symbols: record.watermarks.len() as u64,
            first: record.first_time(),
            last: record.last_time(),
            files: record.files.len() as u64,
            bytes: record.files.iter().map(|file| file.bytes).sum(),
            seconds: record.seconds,
            rows_per_second: record.rows as f64 / record.seconds.max(1e-9),
            retries: record.retries,
            peak_memory_bytes: record.peak_memory,
            inputs: inputs.collect(),
            audits: audits.collect(),
            notices: record.notices.clone(),
            left_out: left_out.collect(),
        }
    }
}
