//! The queue: jobs that are durable before they are acknowledged, claimed by lease and fencing token, and finished
//! once.
//!
//! `model.rs` has the words, `transitions.rs` and `batch.rs` the rules as pure functions, and `operations.rs` the
//! operations, which `driver.rs` runs over any driver. A driver (`sqlite/`, `postgres/`) stores rows, and knows no
//! rule.

mod batch;
mod driver;
mod listing;
mod model;
mod operations;
mod postgres;
mod sqlite;
mod transaction;
mod transitions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::Result;
use crate::limits::{HISTORY_AGE, HISTORY_JOBS, JOB_LEASE, QUEUED_JOBS, QUEUED_JOBS_PER_CLIENT};
use crate::outside::{self, SeededNumbers};

pub use batch::{BatchBounds, BatchEnd, WaitReason, compose_batch, wait_reason};
pub use listing::list_queue;
pub use model::{
    Batch, Enqueued, GroupRow, GroupState, JobError, JobFilter, JobName, JobOutcome, JobRequest,
    JobRow, JobState, NewGroup, NewJob, Priority, QueueDepth, Renewed, error_kind_name, queue_time,
};
pub use postgres::PgQueue;
pub use sqlite::SqliteQueue;

/// The bounds of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// The jobs that have not ended.
    pub jobs: u64,
    /// The jobs of one client that have not ended.
    pub jobs_per_client: u64,
    /// The ended jobs that are kept.
    pub history_jobs: u64,
    /// The age of ended jobs that are kept.
    pub history_age: Duration,
    /// The length of a lease.
    pub lease: Duration,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self {
            jobs: QUEUED_JOBS,
            jobs_per_client: QUEUED_JOBS_PER_CLIENT,
            history_jobs: HISTORY_JOBS,
            history_age: HISTORY_AGE,
            lease: JOB_LEASE,
        }
    }
}

/// A job with the reason why it waits.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// The job.
    pub job: JobRow,
    /// The reason why it waits; None if it does not.
    pub waits: Option<WaitReason>,
}

/// The readable side of a queue.
///
/// Every method fails if the store of the queue cannot be reached.
#[async_trait]
pub trait QueueReads: Send + Sync {
    /// Returns a job.
    async fn job(&self, name: &JobName) -> Result<Option<JobStatus>>;

    /// Returns chosen jobs, the latest first.
    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRow>>;

    /// Returns a group.
    async fn group(&self, name: &str) -> Result<Option<GroupRow>>;

    /// Returns all jobs of a group, by number.
    async fn group_jobs(&self, group: &GroupRow) -> Result<Vec<JobRow>>;

    /// Returns the jobs of a group that changed after a change, in the order of changes.
    async fn changes(&self, group: &GroupRow, after: i64) -> Result<Vec<JobRow>>;

    /// Counts the jobs that wait and run.
    async fn depth(&self) -> Result<QueueDepth>;

    /// Returns the measured rate: cost per second of one worker. None if nothing was measured.
    async fn rate(&self) -> Result<Option<f64>>;

    /// Returns how many connections to a server are in use, and how many are open. None without a server.
    fn connections(&self) -> Option<(usize, usize)> {
        None
    }
}

/// A durable queue. All processes that share it may use it at the same time.
///
/// Every method fails if the store of the queue cannot be reached or written; such an error is transient if the same
/// call may succeed later.
#[async_trait]
pub trait Queue: QueueReads {
    /// Queues a group of jobs. They are durable once this returns.
    async fn enqueue(&self, group: NewGroup) -> Result<Enqueued>;

    /// Claims compatible jobs for a worker, and tells why there are no more. None if no job may be claimed.
    async fn claim(&self, worker: &str, bounds: BatchBounds) -> Result<Option<(Batch, BatchEnd)>>;

    /// Extends the lease of a batch. None if it was lost: then the worker commits nothing.
    async fn renew(&self, token: i64, progress: f64) -> Result<Option<Renewed>>;

    /// Writes what became of jobs of a batch, and returns them as they are afterwards, without those that the worker
    /// lost. `peak_memory` is the number of bytes that the computation of all these jobs took; None if it was not
    /// measured.
    async fn finish(
        &self,
        token: i64,
        outcomes: BTreeMap<JobName, JobOutcome>,
        peak_memory: Option<u64>,
    ) -> Result<Vec<JobRow>>;

    /// Asks to cancel a job, and returns it as it is afterwards; None if there is none.
    async fn cancel(&self, name: &JobName) -> Result<Option<JobRow>>;

    /// Asks to cancel all jobs of a group; returns the number of those that had not ended.
    async fn cancel_group(&self, group: &str) -> Result<u64>;

    /// Returns a number that changes whenever this process queued jobs or ended some. Other processes change it not:
    /// their jobs are seen by looking again.
    fn arrivals(&self) -> watch::Receiver<u64>;
}

/// The clock and the chance of a queue: those of the system, or those of a test.
#[derive(Clone, Debug, Default)]
pub enum QueueClock {
    /// The clock of the system, and random numbers.
    #[default]
    System,
    /// A time that a test sets, and random numbers from its seed.
    Stepped(Arc<SteppedClock>),
}

/// A clock that stands still until somebody moves it.
#[derive(Debug)]
pub struct SteppedClock {
    now: AtomicI64,
    chance: SeededNumbers,
}

impl SteppedClock {
    /// Creates a clock at a time, with random numbers from a seed.
    pub fn new(now: i64, seed: u64) -> Self {
        Self { now: now.into(), chance: SeededNumbers::new(seed) }
    }

    /// Moves the clock; backwards too.
    pub fn advance(&self, micros: i64) {
        self.now.fetch_add(micros, Ordering::Relaxed);
    }
}

impl QueueClock {
    fn now(&self) -> i64 {
        match self {
            Self::System => outside::utc_now().timestamp_micros(),
            Self::Stepped(clock) => clock.now.load(Ordering::Relaxed),
        }
    }

    fn chance(&self) -> f64 {
        match self {
            Self::System => outside::random_fraction(),
            Self::Stepped(clock) => clock.chance.fraction(),
        }
    }

    /// Returns a name for a new group: the time and a random number.
    fn group_name(&self) -> String {
        let number = (self.chance() * f64::from(u32::MAX)) as u32;
        format!("{:014x}{number:08x}", self.now())
    }
}
