//! The statements that a driver runs within one transaction. `operations.rs` has everything else, once for all
//! drivers.

use async_trait::async_trait;

use super::model::{GroupRow, JobName, JobRow, Priority};
use crate::error::Result;

/// A group that an earlier request with the same idempotency key made.
#[derive(Clone, Debug)]
pub(super) struct KeyedGroup {
    /// The digest of the request.
    pub(super) digest: String,
    /// The group.
    pub(super) group: GroupRow,
}

/// A group to be inserted.
#[derive(Clone, Debug)]
pub(super) struct GroupInsert {
    pub(super) group: GroupRow,
    /// The idempotency key and the digest of the request.
    pub(super) key: Option<(String, String)>,
}

/// The jobs that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenJobs {
    /// The jobs of all clients.
    pub(super) all: u64,
    /// The jobs of one client.
    pub(super) client: u64,
}

/// One transaction of a driver: all of it happens, or nothing. Rows that it reads to change them belong to it until
/// it ends.
#[async_trait]
pub(super) trait QueueTransaction: Send {
    /// Returns the time of the queue's clock, in microseconds since 1970.
    async fn now(&mut self) -> Result<i64>;
    /// Returns a number from 0 to 1.
    async fn chance(&mut self) -> Result<f64>;
    /// Returns a fencing token that no batch had before.
    async fn next_token(&mut self) -> Result<i64>;

    /// Returns the group of a client's idempotency key.
    async fn find_keyed_group(&mut self, client: &str, key: &str) -> Result<Option<KeyedGroup>>;
    /// Returns a job of this work and symbol that has not ended and that others may share.
    async fn find_open_job(&mut self, work: &str, symbol: &str) -> Result<Option<JobRow>>;
    /// Counts the jobs that have not ended.
    async fn count_open(&mut self, client: &str) -> Result<OpenJobs>;
    /// Sums the cost of the jobs that wait with this priority or a higher one.
    async fn sum_cost_ahead(&mut self, priority: Priority) -> Result<u64>;
    /// Inserts a group, and returns its row number.
    async fn insert_group(&mut self, group: &GroupInsert) -> Result<i64>;
    /// Inserts jobs. Their row numbers are set by the driver.
    async fn insert_jobs(&mut self, jobs: &[JobRow]) -> Result<()>;

    /// Returns the tokens of batches whose lease ended before `now`, or ends so far ahead that a wrong clock wrote it
    /// ([`CLOCK_AHEAD`](crate::limits::CLOCK_AHEAD)). Due times further ahead do not count either.
    async fn find_expired(&mut self, now: i64) -> Result<Vec<i64>>;
    /// Returns the tokens of all batches that run.
    async fn find_running(&mut self) -> Result<Vec<i64>>;
    /// Returns the jobs that may be claimed and are compatible with the one that goes first, sorted by rank.
    async fn find_claimable(&mut self, now: i64, most: usize) -> Result<Vec<JobRow>>;
    /// Returns the running jobs of a batch, sorted by rank.
    async fn load_batch(&mut self, token: i64) -> Result<Vec<JobRow>>;
    /// Returns a job.
    async fn load_job(&mut self, name: &JobName) -> Result<Option<JobRow>>;
    /// Returns the jobs of a group that have not ended.
    async fn load_open_jobs(&mut self, group: &str) -> Result<Vec<JobRow>>;
    /// Returns a group by its row number.
    async fn load_group(&mut self, id: i64) -> Result<Option<GroupRow>>;
    /// Extends the lease of a batch, and notes the computed part. Returns its jobs.
    async fn extend_lease(&mut self, token: i64, until: i64, progress: f64) -> Result<Vec<JobRow>>;
    /// Writes changed jobs.
    async fn save_jobs(&mut self, jobs: &[JobRow]) -> Result<()>;
    /// Adjusts what a group and its client count.
    async fn save_group(&mut self, group: &GroupRow, ended: u32) -> Result<()>;

    /// Returns the measured rate: cost per second of one worker.
    async fn load_rate(&mut self) -> Result<Option<f64>>;
    /// Writes the measured rate.
    async fn save_rate(&mut self, rate: f64) -> Result<()>;
    /// Returns the memory that batches of this work took: bytes per unit of cost.
    async fn load_measured(&mut self, work: &str) -> Result<Option<f64>>;
    /// Writes the memory that batches of this work took. The works that were not used for the longest time are
    /// forgotten beyond [`MEASURED_WORKS`](crate::limits::MEASURED_WORKS).
    async fn save_measured(&mut self, work: &str, bytes_per_cost: f64, now: i64) -> Result<()>;
    /// Deletes groups of ended jobs, the oldest first: those that ended before a time, and those past a number of jobs.
    /// Returns the number of deleted jobs.
    async fn prune_history(&mut self, before: i64, most_jobs: u64, most_groups: u64)
    -> Result<u64>;
}
