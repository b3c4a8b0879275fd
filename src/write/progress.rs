//! The progress of a run, for display.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::physical_plan::ExecutionPlan;

/// The value that stands for an unknown total.
const UNKNOWN: u64 = u64::MAX;

/// Rows read and written so far, the total if it is known, and the memory that the plan reserves.
#[derive(Debug)]
pub struct Progress {
    rows: AtomicU64,
    /// Bytes, now and at most.
    memory: [AtomicU64; 2],
    total: AtomicU64,
    plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
}

impl Default for Progress {
    fn default() -> Self {
        let memory = Default::default();
        Self {
            rows: AtomicU64::new(0),
            memory,
            total: AtomicU64::new(UNKNOWN),
            plan: Mutex::default(),
        }
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

    /// Sets the count back to zero for another attempt at the run.
    pub fn reset(&self) {
        self.rows.store(0, Ordering::Relaxed);
    }

    /// Counts bytes that the plan reserved.
    pub fn add_memory(&self, bytes: usize) {
        let bytes = bytes as u64;
        let now = self.memory[0].fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.memory[1].fetch_max(now, Ordering::Relaxed);
    }

    /// Counts bytes that the plan gave back.
    pub fn remove_memory(&self, bytes: usize) {
        self.memory[0].fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the most bytes that the plan held at a time: windows, sorts, exchanges, and rows that are written.
    pub fn peak_memory(&self) -> u64 {
        self.memory[1].load(Ordering::Relaxed)
    }

    /// Sets the number of rows to expect in total.
    pub fn set_total(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// The number of rows to expect in total; None if unknown.
    pub fn total_rows(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN)
    }

    /// Sets the plan whose scans are counted from now on.
    pub(super) fn watch_plan(&self, plan: &Arc<dyn ExecutionPlan>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(plan));
    }

    /// The rows that the scans have read so far. A sort reads all its input before the first row is
    /// written.
    pub fn rows_read(&self) -> u64 {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        plan.and_then(|plan| scanned_rows(&plan)).unwrap_or(0)
    }
}

/// Sums the output rows of the lowest operators that count them.
fn scanned_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let below = plan.children().into_iter().filter_map(scanned_rows).reduce(|a, b| a + b);
    below.or_else(|| Some(plan.metrics()?.output_rows()? as u64))
}
