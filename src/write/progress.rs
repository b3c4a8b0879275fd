//! What a run has done so far, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::physical_plan::ExecutionPlan;

/// Stands for a total that nobody knows.
const UNKNOWN: u64 = u64::MAX;

/// Rows read and written so far, and the rows to come where they are known.
#[derive(Debug)]
pub struct Progress {
    rows: AtomicU64,
    total: AtomicU64,
    plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { rows: AtomicU64::new(0), total: AtomicU64::new(UNKNOWN), plan: Mutex::default() }
    }
}

impl Progress {
    /// Counts rows that were written.
    pub fn add_written(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Rows written so far.
    pub fn rows_written(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Starts again at zero, when a run is tried again.
    pub fn reset(&self) {
        self.rows.store(0, Ordering::Relaxed);
    }

    /// Says how many rows are to come.
    pub fn set_total(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// The rows to come in all; None if nobody knows.
    pub fn total_rows(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN)
    }

    /// Takes the plan whose scans are counted from now on.
    pub(super) fn watch_plan(&self, plan: &Arc<dyn ExecutionPlan>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(plan));
    }

    /// Rows that the scans have read so far: a sort reads all of them before the first is written.
    pub fn rows_read(&self) -> u64 {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        plan.and_then(|plan| scanned_rows(&plan)).unwrap_or(0)
    }
}

/// What the lowest operators that count their rows have given.
fn scanned_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let below = plan.children().into_iter().filter_map(scanned_rows).reduce(|a, b| a + b);
    below.or_else(|| Some(plan.metrics()?.output_rows()? as u64))
}
