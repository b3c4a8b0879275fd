//! Manifests: plain data that names everything a writer staged. It may come from another process or
//! machine.

use std::collections::BTreeMap;

use datafusion::common::Result as PlanResult;
use serde::{Deserialize, Serialize};

use super::{Attempt, Watermarks};
use crate::error::pluralize_count;
use crate::store::SymbolRange;

/// Everything that one attempt at one unit staged. A commit publishes exactly what its manifests name,
/// and removes the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name of the run.
    pub run: String,
    /// The number of the unit.
    pub unit: u32,
    /// The number of earlier starts of the unit.
    pub attempt: u32,
    /// Files or uploads, sorted by path; none where rows were staged in a table.
    pub files: Vec<WrittenFile>,
    /// The rows staged in a table; None if files were written.
    pub staged: Option<StagedRows>,
    /// Rows of the output.
    pub rows: u64,
    /// Rows left out because the target already holds them.
    pub skipped: u64,
    /// First time, last time and number of rows per symbol.
    pub watermarks: BTreeMap<String, SymbolRange>,
    /// The result of each audit, in the order of the job's checks.
    pub audits: Vec<AuditCount>,
    /// Rows with the key of the row before.
    pub repeated: AuditCount,
    /// Rows without an entity or without a time.
    pub keyless: AuditCount,
    /// For each column whether it held a value; empty if there were no rows.
    pub filled: Vec<bool>,
}

/// One staged file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// The path below the target.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Its parts, if it is an upload that the commit completes.
    pub upload: Option<UploadParts>,
}

/// An upload whose parts have all been sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadParts {
    /// The server's id of the upload.
    pub id: String,
    /// The server's ids of its parts, in order.
    pub parts: Vec<String>,
}

/// Rows in a staging table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagedRows {
    /// The table; its name carries run, unit and attempt.
    pub table: String,
    /// Rows of that table. In the long layout they are more than the rows of the output.
    pub copied: u64,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCount {
    /// Rows that fail it.
    pub rows: u64,
    /// The key of the first of them.
    pub first: Option<String>,
}

impl AuditCount {
    /// Adds failing rows; `first` names the first of them if there are any.
    pub(super) fn add_failures(
        &mut self,
        rows: usize,
        first: impl FnOnce() -> PlanResult<String>,
    ) -> PlanResult<()> {
        if rows > 0 && self.first.is_none() {
            self.first = Some(first()?);
        }
        self.rows += rows as u64;
        Ok(())
    }

    fn merge_count(&mut self, other: Self) {
        self.rows += other.rows;
        self.first = [self.first.take(), other.first].into_iter().flatten().min();
    }
}

impl Manifest {
    /// Creates a manifest of nothing.
    pub fn empty(attempt: &Attempt, audits: usize) -> Self {
        Self {
            run: attempt.run.clone(),
            unit: attempt.unit,
            attempt: attempt.number,
            audits: vec![AuditCount::default(); audits],
            ..Self::default()
        }
    }

    /// Merges the manifest of another partition of the same job.
    pub fn merge_manifest(&mut self, other: Self) {
        self.files.extend(other.files);
        if let Some(staged) = other.staged {
            let own = self.staged.get_or_insert_default();
            own.table = staged.table;
            own.copied += staged.copied;
            own.bytes += staged.bytes;
        }
        self.rows += other.rows;
        self.skipped += other.skipped;
        let mut marks = Watermarks::from(std::mem::take(&mut self.watermarks));
        marks.merge_watermarks(other.watermarks);
        self.watermarks = marks.into_ranges();
        for (own, other) in self.audits.iter_mut().zip(other.audits) {
            own.merge_count(other);
        }
        self.repeated.merge_count(other.repeated);
        self.keyless.merge_count(other.keyless);
        self.filled.resize(self.filled.len().max(other.filled.len()), false);
        for (own, other) in self.filled.iter_mut().zip(other.filled) {
            *own |= other;
        }
    }

    /// Returns sentences about rows that readers cannot tell apart by their keys, which are called
    /// `entity` and `time`.
    pub fn doubtful_keys(&self, entity: &str, time: &str) -> Vec<String> {
        let first = |count: &AuditCount| count.first.clone().unwrap_or_default();
        let mut told = Vec::new();
        if self.repeated.rows > 0 {
            told.push(format!(
                "{} with the {entity} and {time} of another row, first at {}; `audits: [unique: [{entity}, {time}]]` refuses them",
                pluralize_count(self.repeated.rows, "row"),
                first(&self.repeated)
            ));
        }
        if self.keyless.rows > 0 {
            told.push(format!(
                "{} without {entity} or {time}, first at {}; `audits: [not_null: [{entity}, {time}]]` refuses them",
                pluralize_count(self.keyless.rows, "row"),
                first(&self.keyless)
            ));
        }
        told
    }

    /// Returns a sentence for each column that is NULL on every row; `about` has one for each column.
    pub fn empty_columns(&self, about: &[String]) -> Vec<String> {
        let filled = |i: usize| self.filled.get(i).copied().unwrap_or(false);
        (0..about.len()).filter(|i| !filled(*i)).map(|i| about[i].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(first: &str, last: &str, audit: (u64, Option<&str>), filled: &[bool]) -> Manifest {
        let attempt = Attempt { run: "r".into(), unit: 0, number: 1 };
        let at = |text: &str| text.parse().unwrap();
        let range = SymbolRange { first: at(first), last: at(last), rows: 2 };
        let file = WrittenFile {
            path: format!("{first}.parquet"),
            rows: 2,
            bytes: 10,
            upload: Some(UploadParts { id: "u".into(), parts: vec!["1".into(), "2".into()] }),
        };
        Manifest {
            files: vec![file],
            rows: 2,
            watermarks: BTreeMap::from([("A".to_string(), range)]),
            audits: vec![AuditCount { rows: audit.0, first: audit.1.map(str::to_string) }],
            filled: filled.to_vec(),
            ..Manifest::empty(&attempt, 1)
        }
    }

    #[test]
    fn partitions_join_into_one_manifest() {
        let mut whole = part("2024-01-03", "2024-01-04", (0, None), &[]);
        whole.merge_manifest(part("2024-01-01", "2024-01-02", (2, Some("B 2")), &[true, false]));
        whole.merge_manifest(part("2024-01-05", "2024-01-06", (1, Some("A 1")), &[false, false]));
        let range = &whole.watermarks["A"];
        let (first, last) = (range.first.to_string(), range.last.to_string());
        assert_eq!((first.as_str(), last.as_str(), range.rows), ("2024-01-01", "2024-01-06", 6));
        assert_eq!((whole.rows, whole.files.len()), (6, 3));
        assert_eq!(whole.audits, [AuditCount { rows: 3, first: Some("A 1".into()) }]);
        assert_eq!(whole.empty_columns(&["a".into(), "b".into()]), ["b"]);
    }

    #[test]
    fn a_manifest_goes_through_bytes() {
        let manifest = part("2024-01-03T00:00:00.5Z", "2024-01-04", (1, Some("A 1")), &[true]);
        let bytes = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&bytes).unwrap(), manifest);
    }
}
