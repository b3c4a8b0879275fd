//! Batches: which jobs a worker computes together, and why no more. Pure functions; nothing here reads the queue.

use std::fmt;

use super::model::{JobRow, JobState, queue_time};
use super::transitions::far_ahead;
use crate::error::pluralize_count;

/// The bounds of what a worker takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchBounds {
    /// The number of jobs at most.
    pub jobs: usize,
    /// The cost of all jobs at most: rows times outputs. The first job is taken whatever it costs.
    pub cost: u64,
}

/// The reason why a batch has no more jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// No other compatible job waits.
    NoMore,
    /// The batch has as many jobs as the worker takes.
    Jobs(usize),
    /// The next job would exceed the cost that the worker takes.
    Cost(u64),
    /// A job of the batch failed together with others before, and is tried with fewer now.
    Halved(u32),
    /// The next job failed together with others before, and may not join so many.
    NextHalved(u32),
}

/// Composes a batch: returns how many of the compatible jobs, sorted by rank, are computed together, and why no
/// more. There is at least one job.
pub fn compose_batch(jobs: &[JobRow], bounds: BatchBounds) -> (usize, BatchEnd) {
    let mut cost = 0_u64;
    let mut halved = u32::MAX;
    for (taken, job) in jobs.iter().enumerate() {
        let joined = u32::try_from(taken + 1).unwrap_or(u32::MAX);
        let limit = if job.batch_limit == 0 { u32::MAX } else { job.batch_limit };
        let end = if taken == 0 {
            None
        } else if taken >= bounds.jobs {
            Some(BatchEnd::Jobs(bounds.jobs))
        } else if joined > halved {
            Some(BatchEnd::Halved(halved))
        } else if joined > limit {
            Some(BatchEnd::NextHalved(limit))
        } else if cost.saturating_add(job.cost) > bounds.cost {
            Some(BatchEnd::Cost(bounds.cost))
        } else {
            None
        };
        if let Some(end) = end {
            return (taken, end);
        }
        cost = cost.saturating_add(job.cost);
        halved = halved.min(limit);
    }
    (jobs.len(), BatchEnd::NoMore)
}

/// The reason why a job waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The job is not tried again before this time, in microseconds since 1970.
    NotBefore(i64),
    /// So many jobs go first.
    Behind(u64),
    /// The job is the next one; no worker is free.
    NoWorker,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBefore(due) => {
                write!(f, "it failed, and is not tried again before {}", queue_time(*due))
            }
            Self::Behind(ahead) => write!(f, "{} go first", pluralize_count(*ahead, "job")),
            Self::NoWorker => f.write_str("it is the next one; no worker is free"),
        }
    }
}

/// Returns the reason why a job waits; None if it does not wait. `ahead` is the number of jobs of a smaller rank that
/// may be claimed.
pub fn wait_reason(job: &JobRow, now: i64, ahead: u64) -> Option<WaitReason> {
    match job.state {
        JobState::Queued if job.due > now && job.due <= far_ahead(now) => {
            Some(WaitReason::NotBefore(job.due))
        }
        JobState::Queued if ahead > 0 => Some(WaitReason::Behind(ahead)),
        JobState::Queued => Some(WaitReason::NoWorker),
        _ => None,
    }
}
