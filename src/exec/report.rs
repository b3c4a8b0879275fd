//! What cleaning did to the rows of one source: counted while they are read, told afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::physical_plan::ExecutionPlan;

use super::shared::inputs;
use super::{CleanExec, DedupExec};

/// How many conflicting rows are told in words.
const TOLD: usize = 3;

/// Counts of one scan of one source.
#[derive(Debug, Default)]
pub struct Report {
    source: String,
    nan: AtomicU64,
    null_keys: AtomicU64,
    duplicates: AtomicU64,
    conflicts: AtomicU64,
    first: Mutex<Vec<String>>,
}

impl Report {
    /// An empty report on a source.
    pub fn new(source: &str) -> Arc<Self> {
        Arc::new(Self { source: source.to_string(), ..Default::default() })
    }

    /// The name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Counts NaN values that became NULL.
    pub(super) fn add_nan(&self, values: u64) {
        self.nan.fetch_add(values, Ordering::Relaxed);
    }

    /// Counts rows without entity or time.
    pub(super) fn add_null_keys(&self, rows: u64) {
        self.null_keys.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts rows equal to another in all columns.
    pub(super) fn add_duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a row whose key another row has with other values.
    pub(super) fn add_conflict(&self, key: impl FnOnce() -> String) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        // The first in key order, whichever partition meets its conflict first.
        let key = key();
        let at = first.partition_point(|k| *k <= key);
        if at < TOLD {
            first.insert(at, key);
            first.truncate(TOLD);
        }
    }

    /// What was done, one sentence each; empty for clean data.
    pub fn sentences(&self) -> Vec<String> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut told = Vec::new();
        let (nan, nulls) = (count(&self.nan), count(&self.null_keys));
        let (duplicates, conflicts) = (count(&self.duplicates), count(&self.conflicts));
        let source = &self.source;
        if nan > 0 {
            told.push(format!("{source}: {nan} NaN values read as NULL"));
        }
        if nulls > 0 {
            told.push(format!("{source}: {nulls} rows without symbol or ts left out"));
        }
        if duplicates > 0 {
            told.push(format!("{source}: {duplicates} duplicate rows counted once"));
        }
        if conflicts > 0 {
            let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
            told.push(format!(
                "{source}: {conflicts} rows left out because another row has the same key with other values: {first}"
            ));
        }
        told
    }
}

/// The reports of every scan in an executed plan, one per source: a source that the plan reads
/// twice is told once, with the larger counts.
pub fn reports(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut found: Vec<Arc<Report>> = Vec::new();
    collect(plan, &mut found);
    found.sort_by(|a, b| {
        let size = |r: &Report| r.conflicts.load(Ordering::Relaxed) + r.nan.load(Ordering::Relaxed);
        a.source.cmp(&b.source).then(size(b).cmp(&size(a)))
    });
    found.dedup_by(|a, b| a.source == b.source);
    found.iter().flat_map(|report| report.sentences()).collect()
}

fn collect(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<Report>>) {
    let report = plan
        .downcast_ref::<DedupExec>()
        .map(DedupExec::report)
        .or_else(|| plan.downcast_ref::<CleanExec>().map(CleanExec::report));
    if let Some(report) = report
        && !found.iter().any(|known| Arc::ptr_eq(known, report))
    {
        found.push(Arc::clone(report));
    }
    for child in inputs(plan) {
        collect(child, found);
    }
}
