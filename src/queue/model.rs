//! The things in a queue: groups, jobs, batches, and what became of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Kind};
use crate::limits::PRIORITY_HEAD_START;

/// The importance of a job. A job of a lower priority waits until it is older than those of a higher priority by
/// [`PRIORITY_HEAD_START`] for each step between them, and goes first from then on: none waits for ever.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// First.
    High,
    /// The default.
    #[default]
    Normal,
    /// Last.
    Low,
}

impl Priority {
    /// All priorities, the highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Returns the name that users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Returns the head start of jobs of the highest priority over jobs of this one.
    pub(super) fn head_start(self) -> Duration {
        PRIORITY_HEAD_START * self as u32
    }
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// The job waits.
    Queued,
    /// A worker holds a lease on the job.
    Running,
    /// The job was computed, and its rows are where it should put them.
    Done,
    /// The job cannot be computed: its set or its data is wrong.
    Failed,
    /// The job was tried as often as it may be.
    Dead,
    /// Somebody cancelled the job.
    Cancelled,
}

impl JobState {
    /// All states, in the order in which a job passes them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Dead, Self::Cancelled];

    /// Returns the name that users read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether the job has not ended.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }

    /// Returns the state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The name of a job: its group and its number in it, from 0. It reads `GROUP-NUMBER`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName {
    /// The name of the group.
    pub group: String,
    /// The number in the group.
    pub number: u32,
}

impl JobName {
    /// Reads a name as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, number) = text.rsplit_once('-')?;
        let number = number.parse().ok()?;
        (!group.is_empty()).then(|| Self { group: group.to_string(), number })
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.group, self.number)
    }
}

/// The part of a request that all jobs of a group share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Parameters of the set, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The first time of the rows, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The end of the times of the rows, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The name of the target that gets the rows; None if they go to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A job to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The name of the feature set.
    pub set: String,
    /// The symbol.
    pub symbol: String,
    /// The expected cost: rows times outputs.
    pub cost: u64,
}

/// A group of jobs to be queued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewGroup {
    /// The client: the name of its token, or its address.
    pub client: String,
    /// The key by which a repeated request is recognised, and a digest of the request.
    pub idempotency: Option<(String, String)>,
    /// True if a job equal to one that has not ended is not queued again.
    pub shares: bool,
    /// The importance of its jobs.
    pub priority: Priority,
    /// The part of the request that its jobs share.
    pub request: JobRequest,
    /// The trace that the request belongs to, as the header `traceparent` gives it.
    pub trace: Option<String>,
    /// The identifier of the HTTP request; None for jobs that the service asks for itself.
    pub request_id: Option<String>,
    /// The jobs.
    pub jobs: Vec<NewJob>,
}

/// The answer to a request to queue jobs.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueued {
    /// The jobs are durable, under these names and in the order of the request.
    Accepted {
        /// The name of the group.
        group: String,
        /// The names of the jobs. With [`NewGroup::shares`] they may belong to other groups.
        jobs: Vec<JobName>,
        /// The expected cost of the jobs that go first, and of these.
        cost_ahead: u64,
        /// True if an earlier request had the same idempotency key and the same content.
        repeated: bool,
    },
    /// An earlier request had the same idempotency key and another content.
    KeyTaken,
    /// The queue holds as many jobs as it may.
    Full {
        /// The bound.
        most: u64,
    },
    /// The client has as many jobs in the queue as it may.
    ClientFull {
        /// The bound.
        most: u64,
    },
}

/// An error of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// The time at which it was noticed, in microseconds since 1970.
    pub at: i64,
    /// The kind of error: who must act.
    pub kind: String,
    /// The message.
    pub message: String,
    /// The way out, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The position in the file of the set, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The number of jobs of the batch that failed.
    pub jobs: u32,
}

impl JobError {
    /// Creates the error of a batch of `jobs` jobs.
    pub fn of_batch(error: &Error, at: i64, jobs: usize) -> Self {
        Self {
            at,
            kind: error_kind_name(error.kind()).to_string(),
            message: error.message().to_string(),
            hint: error.hint_text().map(str::to_string),
            place: error.place().map(ToString::to_string),
            jobs: u32::try_from(jobs).unwrap_or(u32::MAX),
        }
    }
}

/// Returns the name of a kind of error in JSON.
pub const fn error_kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => "usage",
        Kind::Query => "query",
        Kind::Data => "data",
        Kind::Target => "target",
        Kind::Timeout => "timeout",
        Kind::Interrupted => "interrupted",
        Kind::Internal => "internal",
    }
}

/// A job as the queue holds it. Times are in microseconds since 1970, by the clock of the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRow {
    /// The row number.
    pub id: i64,
    /// The row number of the group.
    pub group_id: i64,
    /// The name of the job.
    pub name: JobName,
    /// The client that asked for it.
    pub client: String,
    /// The name of the feature set.
    pub set: String,
    /// The symbol.
    pub symbol: String,
    /// The digest of what makes jobs compatible: set, parameters, scope, target.
    pub work: String,
    /// The importance.
    pub priority: Priority,
    /// The state.
    pub state: JobState,
    /// The time of the request plus the head start of higher priorities: smaller goes first.
    pub rank: i64,
    /// The time before which the job is not claimed; 0 if it may be claimed at once.
    pub due: i64,
    /// The number of transient errors.
    pub attempts: u32,
    /// The number of workers that died while they computed the job alone.
    pub deaths: u32,
    /// The number of jobs that may be computed together with this one, itself included; 0 for no bound.
    pub batch_limit: u32,
    /// The fencing token of the last claim; 0 before the first.
    pub token: i64,
    /// The end of the lease.
    pub lease_until: i64,
    /// The worker that claimed it last.
    pub worker: String,
    /// The computed part, from 0 to 1.
    pub progress: f64,
    /// The expected cost: rows times outputs.
    pub cost: u64,
    /// The time of the request.
    pub created: i64,
    /// The time of the last claim.
    pub started: Option<i64>,
    /// The time at which it ended.
    pub finished: Option<i64>,
    /// True if somebody asked to cancel it while it ran.
    pub cancels: bool,
    /// Its errors so far, the latest last.
    pub errors: Vec<JobError>,
    /// The change that wrote this row last. Numbers rise.
    pub change: i64,
}

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupState {
    /// Some jobs have not ended.
    Running,
    /// All jobs are done.
    Done,
    /// All jobs ended, and some failed, are dead or were cancelled.
    Failed,
    /// All jobs ended, and all that are not done were cancelled.
    Cancelled,
}

/// A group as the queue holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRow {
    /// The row number.
    pub id: i64,
    /// The name.
    pub name: String,
    /// The time of the request, in microseconds since 1970.
    pub created: i64,
    /// The client that asked for it.
    pub client: String,
    /// The part of the request that its jobs share.
    pub request: JobRequest,
    /// The trace that the request belongs to.
    pub trace: Option<String>,
    /// The number of jobs.
    pub total: u32,
    /// The jobs that have not ended.
    pub open: u32,
    /// The jobs that are done.
    pub done: u32,
    /// The jobs that were cancelled.
    pub cancelled: u32,
    /// The time at which the last job ended.
    pub finished: Option<i64>,
    /// The identifier of the HTTP request that asked for it.
    pub request_id: Option<String>,
}

impl GroupRow {
    /// Returns the number of jobs that failed, are dead or were cancelled.
    pub const fn failed(&self) -> u32 {
        self.total.saturating_sub(self.open).saturating_sub(self.done)
    }

    /// Returns the state.
    pub const fn state(&self) -> GroupState {
        match (self.open, self.failed()) {
            (1.., _) => GroupState::Running,
            (0, 0) => GroupState::Done,
            (0, failed) if failed == self.cancelled => GroupState::Cancelled,
            _ => GroupState::Failed,
        }
    }
}

/// Compatible jobs that one worker computes as one plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The fencing token: every later statement about the batch carries it.
    pub token: i64,
    /// The end of the lease, in microseconds since 1970.
    pub lease_until: i64,
    /// The name of the feature set.
    pub set: String,
    /// The part of the request that the jobs share.
    pub request: JobRequest,
    /// The trace of the first job.
    pub trace: Option<String>,
    /// The identifier of the HTTP request that asked for the first job.
    pub request_id: Option<String>,
    /// The memory that earlier batches of this work took, in bytes per unit of cost. None if none was measured.
    pub bytes_per_cost: Option<f64>,
    /// True if an earlier worker may have committed some of the jobs.
    pub retried: bool,
    /// The jobs, by rank.
    pub jobs: Vec<JobRow>,
}

/// The end of a job of a batch.
#[derive(Clone, Debug)]
pub enum JobOutcome {
    /// The rows are where they should be.
    Done,
    /// The computation failed. A transient error is retried; any other halves the batch, and fails a job alone.
    Failed(Error),
    /// The worker gives the job back, such as at shutdown.
    Returned,
    /// The worker stopped since the job was cancelled.
    Cancelled,
}

/// A lease that is still held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The new end of the lease, in microseconds since 1970.
    pub lease_until: i64,
    /// The jobs that somebody asked to cancel.
    pub cancels: Vec<JobName>,
}

/// The jobs that wait and run, for metrics and health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// By priority: jobs that wait, and their cost.
    pub queued: BTreeMap<Priority, (u64, u64)>,
    /// Jobs that run.
    pub running: u64,
    /// Dead jobs in the history.
    pub dead: u64,
}

/// A choice of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Jobs in this state only.
    pub state: Option<JobState>,
    /// Jobs of this set only.
    pub set: Option<String>,
    /// Jobs of this symbol only.
    pub symbol: Option<String>,
    /// Jobs whose row number is smaller: the next page.
    pub before: Option<i64>,
    /// The number of jobs at most.
    pub limit: usize,
}

/// Returns a time of the queue.
pub fn queue_time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// Returns the errors of a job as JSON; empty if there are none.
pub(super) fn error_texts(job: &JobRow) -> String {
    if job.errors.is_empty() {
        return String::new();
    }
    serde_json::to_string(&job.errors).unwrap_or_default()
}
