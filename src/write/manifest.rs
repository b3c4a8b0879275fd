//! What a writer wrote aside: plain data, which may come from another process or machine.

use std::collections::BTreeMap;

use datafusion::common::Result as PlanResult;
use serde::{Deserialize, Serialize};

use super::audit::AuditCheck;
use super::{Attempt, Watermarks};
use crate::error::{Error, Result, pluralize_count};
use crate::store::SymbolRange;

/// What one attempt at one unit wrote aside. A commit publishes exactly what the manifests that it
/// is given name; what others wrote goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name of the run.
    pub run: String,
    /// The number of the unit.
    pub unit: u32,
    /// How often the unit was begun before.
    pub attempt: u32,
    /// Files or uploads, sorted by path; none where rows were staged in a table.
    pub files: Vec<WrittenFile>,
    /// What was staged in a table; None where files were written.
    pub staged: Option<StagedRows>,
    /// Rows of the output.
    pub rows: u64,
    /// Rows that were left out because the target holds them already.
    pub skipped: u64,
    /// First and last time and rows per symbol.
    pub watermarks: BTreeMap<String, SymbolRange>,
    /// What each audit found, in the order of the job's checks.
    pub audits: Vec<AuditCount>,
    /// Rows with the keys of the row before.
    pub repeated: AuditCount,
    /// Rows without an entity or without a time.
    pub keyless: AuditCount,
    /// For each column whether it held a value; empty if there was no row.
    pub filled: Vec<bool>,
}

/// One file that was written aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// The path below the target.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Its parts, if it is an upload that is yet to be completed.
    pub upload: Option<UploadParts>,
}

/// An upload of which all parts are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadParts {
    /// What the server calls it.
    pub id: String,
    /// What the server calls its parts, in order.
    pub parts: Vec<String>,
}

/// Rows in a staging table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagedRows {
    /// The table, which carries run, unit and attempt in its name.
    pub table: String,
    /// Rows of that table: of the long layout more than those of the output.
    pub copied: u64,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCount {
    /// Rows that fail it.
    pub rows: u64,
    /// The key of the first of them.
    pub first: Option<String>,
}

impl AuditCount {
    /// Counts more rows; `first` names the first of them if there are any.
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
    /// A manifest of nothing.
    pub fn empty(attempt: &Attempt, audits: usize) -> Self {
        Self {
            run: attempt.run.clone(),
            unit: attempt.unit,
            attempt: attempt.number,
            audits: vec![AuditCount::default(); audits],
            ..Self::default()
        }
    }

    /// Takes in what was written beside it for the same job.
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

    /// What the audits found: the lines of the record.
    ///
    /// # Errors
    /// The first audit that failed.
    pub fn check_audits(&self, checks: &[AuditCheck]) -> Result<Vec<(String, String)>> {
        let mut told = Vec::new();
        for (check, found) in checks.iter().zip(&self.audits) {
            if found.rows > 0 {
                return Err(Error::data(format!(
                    "audit failed on {}: {}, first at {}",
                    pluralize_count(found.rows, "row"),
                    check.text,
                    found.first.as_deref().unwrap_or("?")
                ))
                .hint("correct the data or the audit; the target is as it was")
                .at_place(check.place.clone()));
            }
            told.push((check.text.clone(), "passed".to_string()));
        }
        Ok(told)
    }

    /// Sentences on rows that no reader can tell apart by their keys, which are called `entity` and `time`.
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

    /// A sentence on each column that is NULL on every row; `about` has one for each column.
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
