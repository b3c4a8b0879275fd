//! The life of a job: pure functions from a job and an event to the job as it is afterwards.

use std::time::Duration;

use super::model::{JobError, JobOutcome, JobRow, JobState};
use crate::limits::{CLOCK_AHEAD, DEATHS_ALONE, JOB_ATTEMPTS, JOB_ERRORS, RETRY_LONGEST};

/// Converts a duration to the unit of the queue.
pub(super) fn as_micros(of: Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}

/// Returns the time from which on no clock writes due times and leases, unless it was wrong.
pub(super) fn far_ahead(now: i64) -> i64 {
    now.saturating_add(as_micros(CLOCK_AHEAD))
}

/// Lets a worker claim the job.
pub(super) fn start_job(job: &mut JobRow, token: i64, worker: &str, now: i64, lease: Duration) {
    job.state = JobState::Running;
    job.token = token;
    job.worker = worker.to_string();
    job.lease_until = now.saturating_add(as_micros(lease));
    job.started = Some(now);
    job.progress = 0.0;
}

/// Applies what a worker says about a job of a batch of `jobs` jobs. `chance` is from 0 to 1, and spreads retries.
pub(super) fn apply_outcome(
    job: &mut JobRow,
    outcome: &JobOutcome,
    jobs: usize,
    now: i64,
    chance: f64,
) {
    match outcome {
        JobOutcome::Done => end_job(job, JobState::Done, now),
        JobOutcome::Cancelled => end_job(job, JobState::Cancelled, now),
        JobOutcome::Returned => return_job(job, now, AT_ONCE),
        JobOutcome::Failed(error) => {
            push_error(job, JobError::of_batch(error, now, jobs));
            if error.is_transient() {
                job.attempts += 1;
                if job.attempts >= JOB_ATTEMPTS {
                    end_job(job, JobState::Dead, now);
                } else {
                    let delay = retry_delay(job.attempts, chance);
                    return_job(job, now, now.saturating_add(delay));
                }
            } else if jobs > 1 {
                job.batch_limit = halve_batch(jobs);
                return_job(job, now, AT_ONCE);
            } else {
                end_job(job, JobState::Failed, now);
            }
        }
    }
}

/// Applies the death of the worker of a batch of `jobs` jobs: the batch is halved, and only a job alone is charged.
pub(super) fn apply_death(job: &mut JobRow, jobs: usize, now: i64) {
    let message = format!("the worker {} ended without a word", job.worker);
    let kind = "worker".to_string();
    let lost = JobError { at: now, kind, message, hint: None, place: None, jobs: jobs as u32 };
    push_error(job, lost);
    if jobs > 1 {
        job.batch_limit = halve_batch(jobs);
        return return_job(job, now, AT_ONCE);
    }
    job.deaths += 1;
    if job.deaths >= DEATHS_ALONE {
        end_job(job, JobState::Dead, now);
    } else {
        return_job(job, now, AT_ONCE);
    }
}

/// Asks to cancel a job: one that waits ends at once, one that runs is told to its worker.
pub(super) fn cancel_job(job: &mut JobRow, now: i64) {
    match job.state {
        JobState::Queued => end_job(job, JobState::Cancelled, now),
        JobState::Running => job.cancels = true,
        _ => {}
    }
}

fn halve_batch(jobs: usize) -> u32 {
    u32::try_from(jobs / 2).unwrap_or(u32::MAX).max(1)
}

/// Returns the delay before the next attempt in microseconds: it doubles from 2 s on, and differs by half of itself.
fn retry_delay(attempts: u32, chance: f64) -> i64 {
    let base = Duration::from_secs(1 << attempts.min(16)).min(RETRY_LONGEST);
    as_micros(base.mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0)))
}

fn push_error(job: &mut JobRow, error: JobError) {
    job.errors.push(error);
    let more = job.errors.len().saturating_sub(JOB_ERRORS);
    job.errors.drain(..more);
}

fn end_job(job: &mut JobRow, state: JobState, now: i64) {
    job.state = state;
    job.finished = Some(now);
    job.lease_until = 0;
    if state == JobState::Done {
        job.progress = 1.0;
    }
}

/// The due time of a job that may be claimed at once, whatever the clock shows.
const AT_ONCE: i64 = 0;

/// Lets a job wait again until `due`.
fn return_job(job: &mut JobRow, now: i64, due: i64) {
    if job.cancels {
        return end_job(job, JobState::Cancelled, now);
    }
    job.state = JobState::Queued;
    job.due = due;
    job.lease_until = 0;
    job.progress = 0.0;
}
