//! Workers: the jobs of a queue become batches, and batches become runs into targets or rows in the cache.
//!
//! A worker claims a batch (`queue`), waits for its turn (`admission.rs`, `endpoints.rs`), computes it
//! (`computation.rs`) over sets as they are now (`set_views.rs`, `source_watch.rs`), and tells the queue what became of
//! each job. While it computes, a task on the control runtime renews its lease, so that a busy processor never costs a
//! lease. A worker that lost its lease stops, and commits nothing.

mod admission;
mod batch_trace;
mod breaker;
mod computation;
mod endpoints;
mod guarded_queue;
mod lease;
mod metric_names;
mod queue_tables;
mod set_views;
mod source_watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use crate::cache::ResultCache;
use crate::error::{Kind, pluralize_count};
use crate::limits::{BATCH_COST, BATCH_JOBS, QUEUE_LOOK};
use crate::queue::{Batch, BatchBounds, JobOutcome, JobState, Queue};
use crate::stop::Stopper;
use crate::traces;
use crate::write::Progress;
use computation::{Computer, Outcomes, RunningBatch};
use lease::LeaseKeeper;

pub use admission::{Admission, BatchRange};
pub use breaker::{BreakerState, EndpointBreaker};
pub use computation::open_target;
pub use endpoints::Endpoints;
pub use guarded_queue::GuardedQueue;
pub use metric_names::{METRICS, MetricKind, MetricSpec, describe_metrics, name};
pub use queue_tables::add_queue_tables;
pub use set_views::{LoadedSets, SetParams, SetView, SetViews};
pub use source_watch::SourceWatch;

/// The workers of a process.
pub struct Workers {
    queue: Arc<dyn Queue>,
    computer: Computer,
    admission: Admission,
    /// The name of this process in the queue.
    process: String,
    /// The runtime that renews leases.
    control: Handle,
    draining: AtomicBool,
    /// Wakes workers that wait for jobs, so that they see the shutdown.
    wake: Notify,
    /// Stops the running batches.
    stopper: Stopper,
    stop: crate::stop::Stop,
    busy: AtomicUsize,
}

/// The parts that workers share with the rest of the process.
pub struct WorkerParts {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The sets.
    pub views: Arc<SetViews>,
    /// The cache.
    pub cache: Arc<ResultCache>,
    /// The limits of sources and targets.
    pub endpoints: Arc<Endpoints>,
    /// The numbers of batches at a time.
    pub batches: BatchRange,
    /// The memory of all batches in bytes.
    pub budget: u64,
    /// The name of this process in the queue.
    pub process: String,
    /// The runtime that renews leases: one without compute tasks.
    pub control: Handle,
}

impl Workers {
    /// Creates the workers of a process; [`Workers::serve`] lets them work.
    pub fn new(parts: WorkerParts) -> Arc<Self> {
        let WorkerParts { queue, views, cache, endpoints, batches, budget, process, control } =
            parts;
        let (stopper, stop) = Stopper::new();
        Arc::new(Self {
            queue,
            computer: Computer { views, cache, endpoints },
            admission: Admission::new(batches, budget),
            process,
            control,
            draining: AtomicBool::new(false),
            wake: Notify::new(),
            stopper,
            stop,
            busy: AtomicUsize::new(0),
        })
    }

    /// Claims and computes batches with `count` workers until [`Workers::drain`] is called.
    pub async fn serve(self: Arc<Self>, count: usize) {
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let workers = Arc::clone(&self);
            tasks.spawn(async move { workers.work(number).await });
        }
        let pressure = async {
            self.admission.watch_pressure().await;
        };
        tokio::select! {
            () = async { while tasks.join_next().await.is_some() {} } => {}
            () = pressure => {}
        }
    }

    /// Lets running batches end within `grace`, and claims no more. Jobs that have not ended then go back to the queue.
    pub async fn drain(&self, grace: Duration) {
        self.draining.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
        let until = Instant::now() + grace;
        while self.busy.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stopper.stop(Kind::Interrupted);
        // A stopped batch tells the queue, which takes milliseconds.
        let until = Instant::now() + Duration::from_secs(5);
        while self.busy.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns how many batches run, and how many may.
    pub fn counts(&self) -> (usize, usize) {
        self.admission.counts()
    }

    async fn work(&self, number: usize) {
        let worker = format!("{} {number}", self.process);
        let bounds = BatchBounds { jobs: BATCH_JOBS, cost: BATCH_COST };
        let mut arrivals = self.queue.arrivals();
        while !self.draining.load(Ordering::SeqCst) {
            arrivals.borrow_and_update(); // Jobs that come after this are seen below.
            let claimed = {
                // Counted before the claim, so that a shutdown waits for it.
                self.busy.fetch_add(1, Ordering::SeqCst);
                self.queue.claim(&worker, bounds).await
            };
            match claimed {
                Ok(Some((batch, _))) => {
                    let logged = batch_trace::log_span(&batch);
                    self.take_batch(&batch, &worker).instrument(logged).await;
                    self.busy.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                Ok(None) => {}
                // A newer windrow upgraded the queue: this process may not write it any more.
                Err(error) if error.kind() == Kind::Usage => {
                    if !self.draining.swap(true, Ordering::SeqCst) {
                        tracing::error!("{error}; this process claims no more jobs");
                    }
                }
                Err(error) => tracing::warn!("{error}; looking at the queue again in a while"),
            }
            self.busy.fetch_sub(1, Ordering::SeqCst);
            tokio::select! {
                _ = tokio::time::timeout(QUEUE_LOOK, arrivals.changed()) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn take_batch(&self, batch: &Batch, worker: &str) {
        let jobs = pluralize_count(batch.jobs.len() as u64, "job");
        tracing::debug!(worker, "claimed {jobs}");
        let span = batch_trace::trace_span(&self.queue, batch).await;
        traces::trace_work(span.clone(), self.run_batch(batch, &span)).await;
    }

    async fn run_batch(&self, batch: &Batch, span: &Span) {
        let progress = Arc::new(Progress::default());
        let mut keeper =
            LeaseKeeper::start(&self.queue, batch, &progress, &self.stop, &self.control);
        let cost = batch.jobs.iter().map(|job| job.cost).sum();
        let waiting = async { Ok(self.admission.admit(cost, batch.bytes_per_cost).await) };
        let mut peak = None;
        let outcomes = match keeper.stop().run_until_stopped(waiting).await {
            Ok(_turn) => {
                let running = RunningBatch {
                    batch,
                    progress: Arc::clone(&progress),
                    permit: keeper.permit(),
                    stop: keeper.stop().clone(),
                };
                let started = Instant::now();
                let outcomes = self.computer.compute(&running).await;
                let seconds = started.elapsed().as_secs_f64();
                histogram!(name::COMPUTE_SECONDS, "set" => batch.set.clone()).record(seconds);
                // Only a batch whose jobs were all computed tells what the next one needs.
                let whole = outcomes.values().all(|outcome| matches!(outcome, JobOutcome::Done));
                peak = whole.then(|| progress.peak_memory()).filter(|bytes| *bytes > 0);
                outcomes
            }
            Err(_) => all_returned(batch),
        };
        let cancelled = keeper.end().await;
        if let Some(JobOutcome::Failed(error)) = outcomes.values().next() {
            let jobs = pluralize_count(batch.jobs.len() as u64, "job");
            tracing::warn!(kind = ?error.kind(), "{jobs} failed: {error}");
            batch_trace::record_failure(span, error);
        }
        if self.finish(batch, outcomes, peak, &cancelled).await < batch.jobs.len() {
            keeper.note_loss();
        }
    }

    /// Tells the queue what became of the jobs. If it cannot be reached, the jobs come again when their lease ends, and
    /// their rows are found then. Returns the number of jobs that the queue took from this worker.
    async fn finish(
        &self,
        batch: &Batch,
        mut outcomes: Outcomes,
        peak_memory: Option<u64>,
        cancelled: &[crate::queue::JobName],
    ) -> usize {
        for name in cancelled {
            if let Some(outcome) = outcomes.get_mut(name)
                && matches!(outcome, JobOutcome::Returned)
            {
                *outcome = JobOutcome::Cancelled;
            }
        }
        let until = Instant::now() + crate::limits::JOB_LEASE;
        loop {
            match self.queue.finish(batch.token, outcomes.clone(), peak_memory).await {
                Ok(jobs) => {
                    count_ended(&jobs);
                    return jobs.len();
                }
                Err(error) if Instant::now() < until => {
                    tracing::warn!("{error}; telling the queue again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => {
                    tracing::warn!("{error}; the jobs come again when their lease ends");
                    return batch.jobs.len();
                }
            }
        }
    }
}

fn all_returned(batch: &Batch) -> Outcomes {
    batch.jobs.iter().map(|job| (job.name.clone(), JobOutcome::Returned)).collect()
}

/// Counts jobs that a finish has ended, for metrics.
fn count_ended(jobs: &[crate::queue::JobRow]) {
    for job in jobs.iter().filter(|job| !job.state.is_open()) {
        let (status, priority) = (job.state.name(), job.priority.name());
        counter!(name::JOBS, "status" => status, "priority" => priority).increment(1);
        if job.state == JobState::Done {
            counter!(name::SYMBOLS).increment(1);
        }
    }
}

/// Returns the name of this process for queues: machine and process id.
pub fn process_name() -> String {
    format!("{}:{}", crate::outside::machine_name(), crate::outside::process_id())
}
