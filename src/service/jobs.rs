//! Jobs and groups: what became of them, and cancelling.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::parts::{Choice, Segments};
use super::problem::{Problem, ProblemReport};
use super::state::Service;
use crate::error::Error;
use crate::limits::{JOBS_LISTED, JOBS_LISTED_MOST};
use crate::queue::{
    GroupRow, GroupState, JobError, JobFilter, JobName, JobRow, JobState, Priority, queue_time,
};

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct JobReport {
    job_id: String,
    group_id: String,
    symbol: String,
    set: String,
    #[schema(inline)]
    state: JobState,
    #[schema(inline)]
    priority: Priority,
    /// The number of transient errors so far.
    attempts: u32,
    /// RFC 3339, UTC.
    created: String,
    started: Option<String>,
    finished: Option<String>,
    /// The seconds from its last start to its end, or to now.
    seconds: Option<f64>,
    /// From 0 to 1.
    progress: f64,
    /// The last error, unless the job is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobErrorReport>,
}

/// An error of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct JobErrorReport {
    /// RFC 3339, UTC.
    at: String,
    /// The one who must act.
    kind: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// The number of jobs that failed together.
    jobs: u32,
}

/// A job with its history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct JobDetail {
    #[serde(flatten)]
    job: JobReport,
    /// The reason why it waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<String>,
    /// All errors that are kept, the oldest first.
    errors: Vec<JobErrorReport>,
}

/// Jobs, the latest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct JobPage {
    jobs: Vec<JobReport>,
    /// The value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// A group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct GroupReport {
    group_id: String,
    #[schema(inline)]
    state: GroupState,
    total: u32,
    done: u32,
    /// Jobs that failed, are dead or were cancelled.
    failed: u32,
}

/// A group with its jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct GroupDetail {
    #[serde(flatten)]
    group: GroupReport,
    jobs: Vec<JobReport>,
}

fn show_time(micros: i64) -> String {
    queue_time(micros).to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl From<&JobError> for JobErrorReport {
    fn from(error: &JobError) -> Self {
        Self {
            at: show_time(error.at),
            kind: error.kind.clone(),
            message: error.message.clone(),
            hint: error.hint.clone(),
            place: error.place.clone(),
            jobs: error.jobs,
        }
    }
}

impl From<&JobRow> for JobReport {
    fn from(job: &JobRow) -> Self {
        let now = crate::outside::utc_now().timestamp_micros();
        let started = job.started.filter(|_| job.state != JobState::Queued);
        let end = job.finished.unwrap_or(now);
        let error = job.errors.last().filter(|_| job.state != JobState::Done);
        Self {
            job_id: job.name.to_string(),
            group_id: job.name.group.clone(),
            symbol: job.symbol.clone(),
            set: job.set.clone(),
            state: job.state,
            priority: job.priority,
            attempts: job.attempts,
            created: show_time(job.created),
            started: started.map(show_time),
            finished: job.finished.map(show_time),
            seconds: started.map(|started| (end - started).max(0) as f64 / 1e6),
            progress: job.progress,
            error: error.map(JobErrorReport::from),
        }
    }
}

impl From<&GroupRow> for GroupReport {
    fn from(group: &GroupRow) -> Self {
        Self {
            group_id: group.name.clone(),
            state: group.state(),
            total: group.total,
            done: group.done,
            failed: group.failed(),
        }
    }
}

/// The choice of jobs.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobQuery {
    /// Only jobs in this state.
    #[param(inline)]
    state: Option<JobState>,
    /// Only jobs of this set.
    set: Option<String>,
    /// Only jobs of this symbol.
    symbol: Option<String>,
    /// The number of jobs at most, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The jobs after those of an earlier page: its `next`.
    after: Option<i64>,
}

/// A choice as the page sends it: an empty value is none.
fn some_text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[utoipa::path(
    get, path = "/jobs", tag = "jobs", params(JobQuery),
    responses((status = 200, body = JobPage), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn list_jobs(
    State(service): State<Arc<Service>>,
    Choice(query): Choice<JobQuery>,
) -> Result<Json<JobPage>, Problem> {
    let limit = query.limit.unwrap_or(JOBS_LISTED);
    if limit == 0 || limit > JOBS_LISTED_MOST {
        return Err(Problem::bad_request(
            format!("limit is {limit}, expected 1 to {JOBS_LISTED_MOST}"),
            "ask for the next page with after=NEXT",
        ));
    }
    let filter = JobFilter {
        state: query.state,
        set: some_text(query.set),
        symbol: some_text(query.symbol),
        before: query.after,
        limit,
    };
    let jobs = service.queue.jobs(filter).await?;
    let next = jobs.last().filter(|_| jobs.len() == limit).map(|job| job.id);
    Ok(Json(JobPage { jobs: jobs.iter().map(JobReport::from).collect(), next }))
}

fn missing(what: &str, id: &str) -> Problem {
    let error = Error::usage(format!("there is no {what} {id}"));
    let hint = "ended jobs are kept for a while only; GET /jobs lists those that are there";
    Problem::new(StatusCode::NOT_FOUND, &error.hint(hint))
}

#[utoipa::path(
    get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobDetail), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn get_job(
    State(service): State<Arc<Service>>,
    Segments(id): Segments<String>,
) -> Result<Json<JobDetail>, Problem> {
    let name = JobName::parse(&id).ok_or_else(|| missing("job", &id))?;
    let status = service.queue.job(&name).await?.ok_or_else(|| missing("job", &id))?;
    Ok(Json(JobDetail {
        job: JobReport::from(&status.job),
        waits: status.waits.map(|reason| reason.to_string()),
        errors: status.job.errors.iter().map(JobErrorReport::from).collect(),
    }))
}

#[utoipa::path(
    delete, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses(
        (status = 200, description = "The job as it is now; a running one ends soon.", body = JobReport),
        (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport)
    )
)]
pub(super) async fn cancel_job(
    State(service): State<Arc<Service>>,
    Segments(id): Segments<String>,
) -> Result<Json<JobReport>, Problem> {
    let name = JobName::parse(&id).ok_or_else(|| missing("job", &id))?;
    let job = service.queue.cancel(&name).await?.ok_or_else(|| missing("job", &id))?;
    Ok(Json(JobReport::from(&job)))
}

#[utoipa::path(
    get, path = "/groups/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = GroupDetail), (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport))
)]
pub(super) async fn get_group(
    State(service): State<Arc<Service>>,
    Segments(id): Segments<String>,
) -> Result<Json<GroupDetail>, Problem> {
    let group = find_group(&service, &id).await?;
    let jobs = service.queue.group_jobs(&group).await?;
    let jobs = jobs.iter().map(JobReport::from).collect();
    Ok(Json(GroupDetail { group: GroupReport::from(&group), jobs }))
}

#[utoipa::path(
    delete, path = "/groups/{id}", tag = "jobs", params(("id" = String, Path)),
    responses(
        (status = 200, description = "The group as it is now; running jobs end soon.", body = GroupReport),
        (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport)
    )
)]
pub(super) async fn cancel_group(
    State(service): State<Arc<Service>>,
    Segments(id): Segments<String>,
) -> Result<Json<GroupReport>, Problem> {
    find_group(&service, &id).await?;
    service.queue.cancel_group(&id).await?;
    Ok(Json(GroupReport::from(&find_group(&service, &id).await?)))
}

/// Returns a group, or the problem that there is none.
pub(super) async fn find_group(service: &Service, id: &str) -> Result<GroupRow, Problem> {
    service.queue.group(id).await?.ok_or_else(|| missing("group", id))
}
