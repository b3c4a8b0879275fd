//! The operations of the queue, each within one transaction of a driver.
//!
//! 1. `enqueue` writes a group and its jobs. A crash before the end of the transaction leaves nothing; the caller
//!    has no answer yet, and repeats the request with its idempotency key.
//! 2. `claim_batch` first returns the batches whose lease ended, then gives compatible jobs a new token and a lease.
//!    A crash of the worker leaves running jobs whose lease ends.
//! 3. `renew_lease` and `finish_batch` change only jobs that still carry the token of the batch. A worker that lost its
//!    lease therefore changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::QueueBounds;
use super::batch::{BatchBounds, BatchEnd, compose_batch};
use super::model::{
    Batch, Enqueued, GroupRow, JobName, JobOutcome, JobRequest, JobRow, JobState, NewGroup, NewJob,
    Renewed,
};
use super::transaction::{GroupInsert, QueueTransaction};
use super::transitions::{apply_death, apply_outcome, as_micros, cancel_job, start_job};
use crate::error::{Error, Result};
use crate::identity::digest_texts;
use crate::limits::{CLAIM_CANDIDATES, PRUNED_GROUPS};

type Transaction<'a> = dyn QueueTransaction + 'a;

/// Returns the digests of what makes jobs compatible, by set: jobs of one digest can be computed as one plan.
fn work_digests(new: &NewGroup) -> Result<BTreeMap<&str, String>> {
    let sets: BTreeSet<&str> = new.jobs.iter().map(|job| job.set.as_str()).collect();
    sets.into_iter().map(|set| Ok((set, work_digest(set, &new.request)?))).collect()
}

/// Returns the digest of a set and a request, which the jobs of both carry as [`JobRow::work`].
fn work_digest(set: &str, request: &JobRequest) -> Result<String> {
    let request = serde_json::to_string(request)
        .map_err(|error| Error::internal(format!("a request has no JSON: {error}")))?;
    Ok(digest_texts(&[set, &request]))
}

/// Queues a group of jobs, unless an earlier request did.
pub(super) async fn enqueue(
    tx: &mut Transaction<'_>,
    new: &NewGroup,
    name: &str,
    bounds: &QueueBounds,
) -> Result<Enqueued> {
    if let Some(earlier) = find_repeated(tx, new).await? {
        return Ok(earlier);
    }
    let now = tx.now().await?;
    let works = work_digests(new)?;
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    for job in &new.jobs {
        let work = works[job.set.as_str()].clone();
        if new.shares
            && let Some(open) = tx.find_open_job(&work, &job.symbol).await?
        {
            names.push(open.name);
            continue;
        }
        let number = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let row = new_row(new, job, JobName { group: name.to_string(), number }, work, now);
        names.push(row.name.clone());
        rows.push(row);
    }
    if let Some(refused) = check_room(tx, &new.client, rows.len() as u64, bounds).await? {
        return Ok(refused);
    }
    let own = rows.iter().map(|job| job.cost).sum::<u64>();
    let cost_ahead = tx.sum_cost_ahead(new.priority).await?.saturating_add(own);
    // If all jobs are shared, their group is the first of these.
    let group = match rows.is_empty() {
        true => names.first().map(|name| name.group.clone()).unwrap_or_default(),
        false => insert_rows(tx, new, name, rows, now).await?,
    };
    Ok(Enqueued::Accepted { group, jobs: names, cost_ahead, repeated: false })
}

/// Returns the answer to a request whose idempotency key is known.
async fn find_repeated(tx: &mut Transaction<'_>, new: &NewGroup) -> Result<Option<Enqueued>> {
    let Some((key, digest)) = &new.idempotency else { return Ok(None) };
    let Some(earlier) = tx.find_keyed_group(&new.client, key).await? else { return Ok(None) };
    if earlier.digest != *digest {
        return Ok(Some(Enqueued::KeyTaken));
    }
    let group = earlier.group.name;
    let numbers = 0..earlier.group.total;
    let jobs = numbers.map(|number| JobName { group: group.clone(), number }).collect();
    Ok(Some(Enqueued::Accepted { group, jobs, cost_ahead: 0, repeated: true }))
}

fn new_row(new: &NewGroup, job: &NewJob, name: JobName, work: String, now: i64) -> JobRow {
    JobRow {
        id: 0,
        group_id: 0,
        name,
        client: new.client.clone(),
        set: job.set.clone(),
        symbol: job.symbol.clone(),
        work,
        priority: new.priority,
        state: JobState::Queued,
        rank: now.saturating_add(as_micros(new.priority.head_start())),
        due: 0,
        attempts: 0,
        deaths: 0,
        batch_limit: 0,
        token: 0,
        lease_until: 0,
        worker: String::new(),
        progress: 0.0,
        cost: job.cost,
        created: now,
        started: None,
        finished: None,
        cancels: false,
        errors: Vec::new(),
        change: 0,
    }
}

/// Inserts a group with its jobs, and returns its name.
async fn insert_rows(
    tx: &mut Transaction<'_>,
    new: &NewGroup,
    name: &str,
    mut rows: Vec<JobRow>,
    now: i64,
) -> Result<String> {
    let total = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let group = GroupRow {
        id: 0,
        name: name.to_string(),
        created: now,
        client: new.client.clone(),
        request: new.request.clone(),
        trace: new.trace.clone(),
        total,
        open: total,
        done: 0,
        cancelled: 0,
        finished: None,
        request_id: new.request_id.clone(),
    };
    let id = tx.insert_group(&GroupInsert { group, key: new.idempotency.clone() }).await?;
    rows.iter_mut().for_each(|job| job.group_id = id);
    tx.insert_jobs(&rows).await?;
    Ok(name.to_string())
}

/// Refuses jobs for which the queue has no room.
async fn check_room(
    tx: &mut Transaction<'_>,
    client: &str,
    more: u64,
    bounds: &QueueBounds,
) -> Result<Option<Enqueued>> {
    let open = tx.count_open(client).await?;
    if open.all.saturating_add(more) > bounds.jobs {
        return Ok(Some(Enqueued::Full { most: bounds.jobs }));
    }
    if open.client.saturating_add(more) > bounds.jobs_per_client {
        return Ok(Some(Enqueued::ClientFull { most: bounds.jobs_per_client }));
    }
    Ok(None)
}

/// Claims a batch of compatible jobs for a worker; None if no job may be claimed.
pub(super) async fn claim_batch(
    tx: &mut Transaction<'_>,
    worker: &str,
    lease: Duration,
    bounds: BatchBounds,
) -> Result<Option<(Batch, BatchEnd)>> {
    let now = tx.now().await?;
    for token in tx.find_expired(now).await? {
        return_dead_batch(tx, token, now).await?;
    }
    let most = bounds.jobs.saturating_add(1).min(CLAIM_CANDIDATES);
    let mut jobs = tx.find_claimable(now, most).await?;
    let Some(first) = jobs.first() else { return Ok(None) };
    let no_group = || Error::internal(format!("the job {} has no group", first.name));
    let group = tx.load_group(first.group_id).await?.ok_or_else(no_group)?;
    let (taken, end) = compose_batch(&jobs, bounds);
    jobs.truncate(taken);
    let token = tx.next_token().await?;
    let retried = jobs.iter().any(|job| job.token != 0);
    jobs.iter_mut().for_each(|job| start_job(job, token, worker, now, lease));
    tx.save_jobs(&jobs).await?;
    let lease_until = jobs.first().map_or(now, |job| job.lease_until);
    let set = jobs.first().map(|job| job.set.clone()).unwrap_or_default();
    let bytes_per_cost = match jobs.first() {
        Some(job) => tx.load_measured(&job.work).await?,
        None => None,
    };
    let GroupRow { request, trace, request_id, .. } = group;
    let batch = Batch {
        token,
        lease_until,
        set,
        request,
        trace,
        request_id,
        bytes_per_cost,
        retried,
        jobs,
    };
    Ok(Some((batch, end)))
}

/// Returns the jobs of a batch whose worker died.
async fn return_dead_batch(tx: &mut Transaction<'_>, token: i64, now: i64) -> Result<()> {
    let mut jobs = tx.load_batch(token).await?;
    let size = jobs.len();
    jobs.iter_mut().for_each(|job| apply_death(job, size, now));
    save_changed(tx, &jobs).await
}

/// Returns the jobs of all batches: the worker that held them is known to have ended. Returns their number.
pub(super) async fn return_all_batches(tx: &mut Transaction<'_>) -> Result<u64> {
    let now = tx.now().await?;
    let tokens = tx.find_running().await?;
    for token in &tokens {
        return_dead_batch(tx, *token, now).await?;
    }
    Ok(tokens.len() as u64)
}

/// Extends the lease of a batch. None if the worker lost it.
pub(super) async fn renew_lease(
    tx: &mut Transaction<'_>,
    token: i64,
    lease: Duration,
    progress: f64,
) -> Result<Option<Renewed>> {
    let now = tx.now().await?;
    let lease_until = now.saturating_add(as_micros(lease));
    let jobs = tx.extend_lease(token, lease_until, progress.clamp(0.0, 1.0)).await?;
    if jobs.is_empty() {
        return Ok(None);
    }
    let cancels = jobs.into_iter().filter(|job| job.cancels).map(|job| job.name).collect();
    Ok(Some(Renewed { lease_until, cancels }))
}

/// Writes what became of jobs of a batch. Returns the jobs as they are afterwards, without those that the worker lost.
pub(super) async fn finish_batch(
    tx: &mut Transaction<'_>,
    token: i64,
    outcomes: &BTreeMap<JobName, JobOutcome>,
    peak_memory: Option<u64>,
    bounds: &QueueBounds,
) -> Result<Vec<JobRow>> {
    let now = tx.now().await?;
    let chance = tx.chance().await?;
    let mut jobs = tx.load_batch(token).await?;
    jobs.retain(|job| outcomes.contains_key(&job.name));
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let started = jobs.iter().filter_map(|job| job.started).min();
    for job in &mut jobs {
        if let Some(outcome) = outcomes.get(&job.name) {
            apply_outcome(job, outcome, outcomes.len(), now, chance);
        }
    }
    save_changed(tx, &jobs).await?;
    let done = jobs.iter().filter(|job| job.state == JobState::Done);
    let cost = done.map(|job| job.cost).sum::<u64>();
    if let Some(started) = started.filter(|started| cost > 0 && *started < now) {
        let rate = cost as f64 / ((now - started) as f64 / 1e6);
        let known = tx.load_rate().await?;
        tx.save_rate(known.map_or(rate, |known| 0.9 * known + 0.1 * rate)).await?;
    }
    if let Some(peak) = peak_memory {
        note_memory(tx, &jobs, peak, now).await?;
    }
    let before = now.saturating_sub(as_micros(bounds.history_age));
    let most_groups = PRUNED_GROUPS + jobs.len() as u64;
    tx.prune_history(before, bounds.history_jobs, most_groups).await?;
    Ok(jobs)
}

/// Notes the memory that a batch took. More than before counts at once, less only by and by.
async fn note_memory(tx: &mut Transaction<'_>, jobs: &[JobRow], peak: u64, now: i64) -> Result<()> {
    let cost = jobs.iter().map(|job| job.cost).sum::<u64>();
    let Some(first) = jobs.first().filter(|_| cost > 0) else { return Ok(()) };
    let measured = peak as f64 / cost as f64;
    let known = tx.load_measured(&first.work).await?.unwrap_or(measured);
    let kept = if measured > known { measured } else { 0.9 * known + 0.1 * measured };
    tx.save_measured(&first.work, kept, now).await
}

/// Asks to cancel a job. Returns the job as it is afterwards; None if there is none.
pub(super) async fn cancel_one(tx: &mut Transaction<'_>, name: &JobName) -> Result<Option<JobRow>> {
    let now = tx.now().await?;
    let Some(mut job) = tx.load_job(name).await? else { return Ok(None) };
    if job.state.is_open() {
        cancel_job(&mut job, now);
        save_changed(tx, std::slice::from_ref(&job)).await?;
    }
    Ok(Some(job))
}

/// Asks to cancel all jobs of a group. Returns their number.
pub(super) async fn cancel_group(tx: &mut Transaction<'_>, group: &str) -> Result<u64> {
    let now = tx.now().await?;
    let mut jobs = tx.load_open_jobs(group).await?;
    jobs.iter_mut().for_each(|job| cancel_job(job, now));
    save_changed(tx, &jobs).await?;
    Ok(jobs.len() as u64)
}

/// Writes jobs, and what their groups count.
async fn save_changed(tx: &mut Transaction<'_>, jobs: &[JobRow]) -> Result<()> {
    tx.save_jobs(jobs).await?;
    let mut ended: BTreeMap<i64, Vec<&JobRow>> = BTreeMap::new();
    for job in jobs.iter().filter(|job| !job.state.is_open()) {
        ended.entry(job.group_id).or_default().push(job);
    }
    for (id, jobs) in ended {
        let Some(mut group) = tx.load_group(id).await? else { continue };
        let count = |state| jobs.iter().filter(|job| job.state == state).count() as u32;
        let number = jobs.len() as u32;
        group.open = group.open.saturating_sub(number);
        group.done += count(JobState::Done);
        group.cancelled += count(JobState::Cancelled);
        if group.open == 0 {
            group.finished = jobs.iter().filter_map(|job| job.finished).max();
        }
        tx.save_group(&group, number).await?;
    }
    Ok(())
}
