//! The whole queue as one text, for tests and for people who look into one.

use std::fmt::Write;

use super::QueueReads;
use super::model::{JobFilter, JobRow, JobState};
use crate::error::Result;

/// Returns all jobs of a queue as text, one on a line, in the order in which they came. Times are seconds after
/// `since`, in microseconds since 1970.
///
/// # Errors
/// If the queue cannot be read.
pub async fn list_queue(queue: &dyn QueueReads, since: i64) -> Result<String> {
    let mut jobs = queue.jobs(JobFilter { limit: usize::MAX, ..JobFilter::default() }).await?;
    jobs.sort_by_key(|job| job.id);
    let mut out = String::new();
    for job in &jobs {
        write_job(&mut out, job, since);
    }
    Ok(out)
}

fn write_job(out: &mut String, job: &JobRow, since: i64) {
    let seconds = |time: i64| format!("{:+.1}", (time - since) as f64 / 1e6);
    // Writing to a String never fails.
    let _ = write!(
        out,
        "{}/{} {} {} {}",
        job.set,
        job.symbol,
        job.client,
        job.priority.name(),
        job.state.name()
    );
    if job.state == JobState::Queued && job.due > job.created {
        let _ = write!(out, " due {}", seconds(job.due));
    }
    if job.lease_until > 0 {
        let _ =
            write!(out, " token {} {} until {}", job.token, job.worker, seconds(job.lease_until));
    }
    let counts = [
        ("progress", (job.progress * 100.0) as u64),
        ("attempts", u64::from(job.attempts)),
        ("deaths", u64::from(job.deaths)),
        ("batch", u64::from(job.batch_limit)),
    ];
    for (what, count) in counts {
        if count > 0 {
            let _ = write!(out, " {what} {count}");
        }
    }
    if job.cancels {
        out.push_str(" cancels");
    }
    if let Some(finished) = job.finished {
        let _ = write!(out, " ended {}", seconds(finished));
    }
    for error in &job.errors {
        let _ = write!(out, " [{}: {} ({})]", error.kind, error.message, error.jobs);
    }
    out.push('\n');
}
