//! The lease of a batch while it is computed: renewed in time, asked for before a commit, and given up if it is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::metric_names::name;
use crate::engine::CommitPermit;
use crate::error::{Error, Kind, Result};
use crate::limits::{JOB_LEASE, PROGRESS_BEAT};
use crate::queue::{Batch, JobName, Queue};
use crate::stop::{Stop, Stopper};
use crate::write::Progress;

/// Keeps the lease of one batch.
pub(super) struct LeaseKeeper {
    shared: Arc<HeldBatch>,
    stop: Stop,
    task: JoinHandle<()>,
}

/// The batch, as the task that renews its lease sees it.
struct HeldBatch {
    queue: Arc<dyn Queue>,
    token: i64,
    progress: Arc<Progress>,
    stopper: Stopper,
    lost: AtomicBool,
    /// The jobs that somebody cancelled while they ran.
    cancelled: Mutex<Vec<JobName>>,
}

impl LeaseKeeper {
    /// Starts to renew the lease of a batch. `outer` stops the batch too.
    pub(super) fn start(
        queue: &Arc<dyn Queue>,
        batch: &Batch,
        progress: &Arc<Progress>,
        outer: &Stop,
        control: &Handle,
    ) -> Self {
        let (stopper, stop) = Stopper::new();
        let shared = Arc::new(HeldBatch {
            queue: Arc::clone(queue),
            token: batch.token,
            progress: Arc::clone(progress),
            stopper,
            lost: AtomicBool::new(false),
            cancelled: Mutex::default(),
        });
        let (lease, mut outer) = (Arc::clone(&shared), outer.clone());
        let renewal = async move {
            tokio::select! {
                () = lease.renew_again() => {}
                _ = outer.wait_until_stopped() => lease.stopper.stop(Kind::Interrupted),
            }
        };
        let task = control.spawn(renewal.in_current_span());
        Self { shared, stop, task }
    }

    /// Returns the signal that stops the batch: at shutdown, if its lease is lost, or if one of its jobs is cancelled.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Returns the question that a run asks right before it commits: whether the lease is still held, and nobody
    /// cancelled a job.
    pub(super) fn permit(&self) -> CommitPermit {
        let lease = Arc::clone(&self.shared);
        CommitPermit::new(move || {
            let lease = Arc::clone(&lease);
            Box::pin(async move { lease.confirm().await })
        })
    }

    /// Ends the renewal. Returns the jobs that were cancelled.
    pub(super) async fn end(&mut self) -> Vec<JobName> {
        self.task.abort();
        let _ = (&mut self.task).await;
        let mut cancelled = self.shared.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut cancelled)
    }

    /// Notes that the queue gave jobs of the batch to others.
    pub(super) fn note_loss(&self) {
        self.shared.lose();
    }
}

impl HeldBatch {
    async fn renew_again(&self) {
        let mut renewed = tokio::time::Instant::now();
        let mut told = 0.0;
        loop {
            tokio::time::sleep(PROGRESS_BEAT).await;
            let progress = self.share();
            if progress == told && renewed.elapsed() < JOB_LEASE / 5 {
                continue;
            }
            match self.renew(progress).await {
                Ok(true) => (renewed, told) = (tokio::time::Instant::now(), progress),
                Ok(false) => return,
                // The lease still runs: the next beat tries again, until it has ended.
                Err(error) if renewed.elapsed() < JOB_LEASE - Duration::from_secs(2) => {
                    tracing::warn!("{error}; the lease is renewed again in a second");
                }
                Err(error) => {
                    tracing::warn!("{error}; the lease is over, and its jobs are left to others");
                    self.lose();
                    return;
                }
            }
        }
    }

    /// Renews the lease. Returns false if the batch must stop.
    async fn renew(&self, progress: f64) -> Result<bool> {
        let Some(renewed) = self.queue.renew(self.token, progress).await? else {
            self.lose();
            return Ok(false);
        };
        if renewed.cancels.is_empty() {
            return Ok(true);
        }
        *self.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = renewed.cancels;
        self.stopper.stop(Kind::Interrupted);
        Ok(false)
    }

    fn lose(&self) {
        if self.lost.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::warn!("the lease of a batch was lost: its jobs are left to others");
        counter!(name::LEASES_LOST).increment(1);
        self.stopper.stop(Kind::Interrupted);
    }

    async fn confirm(&self) -> Result<()> {
        match self.renew(self.share()).await? {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Interrupted,
                "the batch lost its lease or was cancelled; the target is as it was",
            )),
        }
    }

    /// Returns the computed part, from 0 to 1: rows written, or rows read while none are.
    fn share(&self) -> f64 {
        let Some(total) = self.progress.total_rows().filter(|total| *total > 0) else { return 0.0 };
        let rows = self.progress.rows_written().max(self.progress.rows_read() / 2);
        let share = rows as f64 / total as f64;
        // A finished batch is one that the queue knows as finished.
        (share * 100.0).floor().min(99.0) / 100.0
    }
}
