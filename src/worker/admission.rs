//! How many batches run at a time: as many as fit into memory, and fewer while the machine is under pressure.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::host::{self, Pressure};
use crate::limits::{PRESSURE_CPU, PRESSURE_LOOK, PRESSURE_MEMORY, PRESSURE_RECOVERY};

/// The expected memory of a batch besides its values.
const BATCH_BASE: u64 = 16 << 20;
/// The expected memory of a value of a batch of which nothing was measured: its input, the row that is computed, and
/// its copy in the result.
const BYTES_PER_VALUE: f64 = 24.0;

/// The numbers of batches that may run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRange {
    /// The number under pressure.
    pub least: usize,
    /// The number while nothing presses.
    pub most: usize,
}

/// The admission of batches.
pub struct Admission {
    range: BatchRange,
    budget: u64,
    inner: Mutex<Admitted>,
    changed: Notify,
}

struct Admitted {
    allowed: usize,
    running: usize,
    bytes: u64,
    calm_since: Option<Instant>,
}

/// The permission of a batch to run, until it is dropped.
pub struct BatchTurn<'a> {
    admission: &'a Admission,
    bytes: u64,
}

impl Admission {
    /// Creates the admission. `budget` is the memory of all batches in bytes.
    pub fn new(range: BatchRange, budget: u64) -> Self {
        let most = range.most.max(range.least);
        let inner = Admitted { allowed: most, running: 0, bytes: 0, calm_since: None };
        let range = BatchRange { most, ..range };
        Self { range, budget, inner: Mutex::new(inner), changed: Notify::new() }
    }

    /// Waits until a batch of this cost may run: its expected memory fits into what the running ones leave, and fewer
    /// batches run than the pressure allows. A batch that fits nowhere runs alone. `bytes_per_cost` is what earlier
    /// batches of the same work took.
    pub async fn admit(&self, cost: u64, bytes_per_cost: Option<f64>) -> BatchTurn<'_> {
        let values = cost as f64 * bytes_per_cost.unwrap_or(BYTES_PER_VALUE);
        let bytes = BATCH_BASE.saturating_add(values as u64);
        loop {
            let changed = self.changed.notified();
            if self.try_admit(bytes) {
                return BatchTurn { admission: self, bytes };
            }
            changed.await;
        }
    }

    fn try_admit(&self, bytes: u64) -> bool {
        let mut inner = self.lock();
        let fits = inner.bytes.saturating_add(bytes) <= self.budget || inner.running == 0;
        if !fits || inner.running >= inner.allowed {
            return false;
        }
        inner.running += 1;
        inner.bytes = inner.bytes.saturating_add(bytes);
        true
    }

    /// Returns how many batches run, and how many may.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.running, inner.allowed)
    }

    /// Looks at the pressure again and again, and adjusts the allowed number.
    pub async fn watch_pressure(&self) {
        loop {
            tokio::time::sleep(PRESSURE_LOOK).await;
            if let Some(pressure) = host::read_pressure() {
                self.adjust(pressure, Instant::now());
            }
        }
    }

    /// Adjusts the allowed number: one less under pressure, one more after [`PRESSURE_RECOVERY`] without any.
    pub fn adjust(&self, pressure: Pressure, now: Instant) {
        let mut inner = self.lock();
        if pressure.memory > PRESSURE_MEMORY || pressure.cpu > PRESSURE_CPU {
            inner.allowed = inner.allowed.saturating_sub(1).max(self.range.least);
            inner.calm_since = None;
            return;
        }
        let calm_since = *inner.calm_since.get_or_insert(now);
        let calm = now.checked_duration_since(calm_since).unwrap_or(Duration::ZERO);
        if calm >= PRESSURE_RECOVERY && inner.allowed < self.range.most {
            inner.allowed += 1;
            inner.calm_since = Some(now);
            self.changed.notify_waiters();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Admitted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BatchTurn<'_> {
    fn drop(&mut self) {
        let mut inner = self.admission.lock();
        inner.running -= 1;
        inner.bytes = inner.bytes.saturating_sub(self.bytes);
        drop(inner);
        self.admission.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_wait_for_memory_and_for_calm() {
        let admission = Admission::new(BatchRange { least: 1, most: 3 }, 4 * BATCH_BASE);
        let large = 3 * BATCH_BASE / BYTES_PER_VALUE as u64;
        let first = admission.admit(large, None).await; // All of the budget.
        assert!(!admission.try_admit(BATCH_BASE));
        drop(first);
        // Earlier batches took half of that.
        let first = admission.admit(large, Some(BYTES_PER_VALUE / 2.0)).await;
        assert!(admission.try_admit(BATCH_BASE) && !admission.try_admit(2 * BATCH_BASE));
        admission.lock().running -= 1;
        admission.lock().bytes -= BATCH_BASE;
        drop(first);
        let _alone = admission.admit(u64::MAX, None).await; // More than the budget, but alone.
        assert!(!admission.try_admit(BATCH_BASE));
        drop(_alone);
        let (start, calm) = (Instant::now(), Pressure { memory: 0.0, cpu: 0.0 });
        for _ in 0..5 {
            admission.adjust(Pressure { memory: PRESSURE_MEMORY + 1.0, ..calm }, start);
        }
        assert_eq!(admission.counts(), (0, 1));
        let _one = admission.admit(0, None).await;
        assert!(!admission.try_admit(BATCH_BASE));
        admission.adjust(calm, start);
        admission.adjust(calm, start + PRESSURE_RECOVERY / 2);
        assert_eq!(admission.counts(), (1, 1));
        for turn in 1..9 {
            admission.adjust(calm, start + PRESSURE_RECOVERY * turn);
        }
        assert_eq!(admission.counts(), (1, 3));
        assert!(admission.try_admit(BATCH_BASE));
    }
}
