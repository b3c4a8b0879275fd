//! `GET /features/...`: rows of features, from memory, from the cache, from a committed target, or from a job that a
//! miss starts.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use metrics::counter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::compute::{enqueue, unknown_symbol_error};
use super::jobs::wrong_query;
use super::problem::Problem;
use super::rows::{Media, RowChoice, encode_rows};
use super::state::Service;
use crate::cache::{CacheKey, CachedRows};
use crate::engine::Scope;
use crate::error::{Error, Result as OwnResult};
use crate::limits::{FAILURE_KEPT, WAIT_LONGEST};
use crate::queue::{
    JobName, JobRequest, JobRow, JobState, NewGroup, NewJob, Priority, work_digest,
};
use crate::worker::{SetParams, SetView, name};

/// The pause between two looks at a computation that a caller waits for.
const LOOK: Duration = Duration::from_millis(250);

/// The choice of rows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeatureQuery {
    /// The first time, inclusive: `2024-01-31` or `2024-01-31T09:30:00Z`.
    from: Option<String>,
    /// The end of the times, exclusive.
    until: Option<String>,
    /// Outputs, separated by commas; the time is always among them. All if not given.
    columns: Option<String>,
    /// The number of rows at most: the first ones.
    limit: Option<usize>,
    /// The seconds to wait for a computation, up to 60.
    wait: Option<f64>,
}

/// The choice of rows of many symbols.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ManyQuery {
    /// Symbols, separated by commas; all if not given.
    symbols: Option<String>,
    /// The first time, inclusive.
    from: Option<String>,
    /// The end of the times, exclusive.
    until: Option<String>,
    /// Outputs, separated by commas.
    columns: Option<String>,
    /// The number of rows of each symbol at most: the first ones.
    limit: Option<usize>,
    /// The seconds to wait for a computation, up to 60.
    wait: Option<f64>,
}

/// The answer while the rows are computed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Pending {
    /// The job that computes the rows; of many symbols, the first one.
    job_id: String,
    /// The group of the job.
    group_id: String,
    /// The expected seconds until it has ended; null while nothing was measured.
    estimated_completion_time: Option<f64>,
}

/// A choice of rows that was checked against the set.
pub(super) struct Asked {
    pub(super) view: Arc<SetView>,
    pub(super) choice: RowChoice,
    scope: Scope,
    wait: Duration,
}

#[utoipa::path(
    get, path = "/features/{symbol}/{set}", tag = "features",
    params(
        ("symbol" = String, Path, description = "The symbol, percent-encoded."), ("set" = String, Path), FeatureQuery,
        ("Accept" = Option<String>, Header, description = "application/json, text/csv or application/vnd.apache.arrow.stream"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the rows that the caller has."),
    ),
    responses(
        (status = 200, description = "The rows, by time.", content(
            (super::rows::RowsAnswer = "application/json"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 202, description = "A job computes them.", body = Pending),
        (status = 304, description = "The caller has these rows."),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem)
    )
)]
pub(super) async fn get_features(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((symbol, set)): Path<(String, String)>,
    query: Result<Query<FeatureQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(wrong_query)?;
    let media = Media::from_headers(&headers)?;
    let asked = Asked::check(&service, &set, query, &media).await?;
    let view = &asked.view;
    let symbols = service.symbols(view).await?;
    if !symbols.contains_key(&symbol) {
        let error = unknown_symbol_error(&symbol, &set, symbols);
        return Err(Problem::new(StatusCode::NOT_FOUND, &error));
    }
    let tag = media.tag(&view.identity);
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    if let Some(rows) = service.find_rows(&asked, &symbol).await? {
        counter!(name::CACHE_HITS, "set" => set.clone()).increment(1);
        return one_symbol_answer(&asked, &rows, &media);
    }
    counter!(name::CACHE_MISSES, "set" => set.clone()).increment(1);
    service.refuse_failed(&asked, &symbol).await?;
    let pending = service.start_jobs(&asked, &[&symbol], &caller).await?;
    match service.wait_for_rows(&asked, &symbol, &pending).await? {
        Some(rows) => one_symbol_answer(&asked, &rows, &media),
        None => Ok(pending_answer(pending, "jobs")),
    }
}

#[utoipa::path(
    get, path = "/features/{set}", tag = "features",
    params(
        ("set" = String, Path), ManyQuery,
        ("Accept" = Option<String>, Header, description = "application/json, text/csv or application/vnd.apache.arrow.stream"),
    ),
    responses(
        (status = 200, description = "The rows of all symbols, one symbol after the other.", content(
            (super::rows::RowsAnswer = "application/json"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 202, description = "Jobs compute what is missing.", body = Pending),
        (status = 304, description = "The caller has these rows."),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem)
    )
)]
pub(super) async fn get_many_features(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(set): Path<String>,
    query: Result<Query<ManyQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(wrong_query)?;
    let media = Media::from_headers(&headers)?;
    let ManyQuery { symbols, from, until, columns, limit, wait } = query;
    let one = FeatureQuery { from, until, columns, limit, wait };
    let mut asked = Asked::check(&service, &set, one, &media).await?;
    asked.choice.with_symbol = true;
    let known = service.symbols(&asked.view).await?;
    let chosen: Vec<String> = match symbols.filter(|symbols| !symbols.is_empty()) {
        None => known.keys().cloned().collect(),
        Some(list) => list.split(',').map(|symbol| symbol.trim().to_string()).collect(),
    };
    if let Some(unknown) = chosen.iter().find(|symbol| !known.contains_key(*symbol)) {
        let error = unknown_symbol_error(unknown, &set, known);
        return Err(Problem::new(StatusCode::NOT_FOUND, &error));
    }
    let tag = media.tag(&asked.view.identity);
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut missing = Vec::new();
    for symbol in &chosen {
        if service.find_rows(&asked, symbol).await?.is_none() {
            missing.push(symbol.as_str());
        }
    }
    let (hits, misses) = (chosen.len() - missing.len(), missing.len());
    counter!(name::CACHE_HITS, "set" => set.clone()).increment(hits as u64);
    counter!(name::CACHE_MISSES, "set" => set.clone()).increment(misses as u64);
    if let Some(first) = missing.first() {
        service.refuse_failed(&asked, first).await?;
        let pending = service.start_jobs(&asked, &missing, &caller).await?;
        let until = tokio::time::Instant::now() + asked.wait;
        for symbol in &missing {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let asked = Asked {
                wait: left,
                choice: asked.choice.clone(),
                scope: asked.scope.clone(),
                view: Arc::clone(&asked.view),
            };
            if service.wait_for_rows(&asked, symbol, &pending).await?.is_none() {
                return Ok(pending_answer(pending, "groups"));
            }
        }
    }
    super::rows::stream_rows(service, asked, chosen, media)
}

/// Returns whether a request names an ETag.
fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    given.flat_map(|tags| tags.split(',')).any(|given| {
        let given = given.trim();
        given == "*" || given.trim_start_matches("W/") == tag
    })
}

fn one_symbol_answer(asked: &Asked, rows: &CachedRows, media: &Media) -> Result<Response, Problem> {
    let body = encode_rows(&asked.view.planned, rows, &asked.choice, media)?;
    Ok(answer_with(body.into_response(), &rows.identity, media))
}

/// Adds the headers of an answer with rows.
pub(super) fn answer_with(mut response: Response, identity: &str, media: &Media) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.name()));
    if let Ok(tag) = HeaderValue::from_str(&media.tag(identity)) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization"));
    response
}

fn pending_answer(pending: Pending, kind: &str) -> Response {
    let id = if kind == "jobs" { &pending.job_id } else { &pending.group_id };
    let location = format!("/{kind}/{id}");
    let seconds = pending.estimated_completion_time.unwrap_or(1.0).ceil().clamp(1.0, 60.0) as u64;
    let headers = [
        (header::LOCATION, location),
        (header::RETRY_AFTER, seconds.to_string()),
        (header::CACHE_CONTROL, "no-store".to_string()),
    ];
    (StatusCode::ACCEPTED, headers, Json(pending)).into_response()
}

impl Asked {
    async fn check(
        service: &Service,
        set: &str,
        query: FeatureQuery,
        media: &Media,
    ) -> Result<Self, Problem> {
        let loaded = service.views.loaded();
        loaded.set(set).map_err(|error| Problem::new(StatusCode::NOT_FOUND, &error))?;
        let view = loaded.view(set, &SetParams::new()).await?;
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let scope = Scope { symbols: None, from: text(query.from), until: text(query.until) };
        let choice =
            RowChoice::check(&view.planned, &scope, text(query.columns), query.limit, media)?;
        let wait = query.wait.unwrap_or(0.0);
        let most = WAIT_LONGEST.as_secs_f64();
        if !(0.0..=most).contains(&wait) {
            let message = format!("wait is {wait}, expected 0 to {most} seconds");
            return Err(Problem::bad_request(message, "ask again after a 202"));
        }
        Ok(Self { view, choice, scope, wait: Duration::from_secs_f64(wait) })
    }

    /// Returns the key of the rows of a symbol in the scope, or of all its rows.
    fn key(&self, symbol: &str, scoped: bool) -> CacheKey {
        let (from, until) = match scoped {
            true => (self.scope.from.as_deref(), self.scope.until.as_deref()),
            false => (None, None),
        };
        CacheKey::new(&self.view.identity, symbol, from, until)
    }

    fn is_scoped(&self) -> bool {
        self.scope.from.is_some() || self.scope.until.is_some()
    }

    fn request(&self) -> JobRequest {
        JobRequest {
            from: self.scope.from.clone(),
            until: self.scope.until.clone(),
            ..JobRequest::default()
        }
    }
}

impl Service {
    /// Returns the rows of a symbol, if they are there: all of them, or those of the scope.
    pub(super) async fn find_rows(
        &self,
        asked: &Asked,
        symbol: &str,
    ) -> OwnResult<Option<Arc<CachedRows>>> {
        if let Some(rows) = self.cache.get(&asked.key(symbol, false)).await? {
            return Ok(Some(rows));
        }
        if asked.is_scoped()
            && let Some(rows) = self.cache.get(&asked.key(symbol, true)).await?
        {
            return Ok(Some(rows));
        }
        Ok(None)
    }

    /// Returns the error of a job that failed for this request a moment ago.
    async fn refuse_failed(&self, asked: &Asked, symbol: &str) -> Result<(), Problem> {
        let set = asked.view.planned.set.name.clone();
        let filter = crate::queue::JobFilter {
            set: Some(set.clone()),
            symbol: Some(symbol.to_string()),
            limit: 1,
            ..Default::default()
        };
        let jobs = self.queue.jobs(filter).await?;
        let Some(job) = jobs.first() else { return Ok(()) };
        let since = crate::outside::utc_now().timestamp_micros() - FAILURE_KEPT.as_micros() as i64;
        let recent = job.finished.is_some_and(|finished| finished > since);
        if recent && job.work == work_digest(&set, &asked.request())? {
            return refuse_ended(job);
        }
        Ok(())
    }

    /// Queues the jobs of missing symbols. Equal jobs that have not ended are shared.
    async fn start_jobs(
        &self,
        asked: &Asked,
        symbols: &[&str],
        caller: &Caller,
    ) -> Result<Pending, Problem> {
        let planned = &asked.view.planned;
        let counts = self.symbols(&asked.view).await?;
        let outputs = planned.outputs.len() as u64;
        let job = |symbol: &&str| NewJob {
            set: planned.set.name.clone(),
            symbol: symbol.to_string(),
            cost: counts.get(*symbol).copied().unwrap_or(1).max(1).saturating_mul(outputs),
        };
        let group = NewGroup {
            client: caller.client.clone(),
            idempotency: None,
            shares: true,
            priority: Priority::High,
            request: asked.request(),
            trace: caller.trace.clone(),
            jobs: symbols.iter().map(job).collect(),
        };
        let accepted = enqueue(self, group).await?;
        let (group_id, job_ids, estimated_completion_time) = accepted.into_parts();
        let job_id = job_ids.into_iter().next().unwrap_or_default();
        Ok(Pending { job_id, group_id, estimated_completion_time })
    }

    /// Waits for the rows of a symbol; None if they did not come in time.
    async fn wait_for_rows(
        &self,
        asked: &Asked,
        symbol: &str,
        pending: &Pending,
    ) -> Result<Option<Arc<CachedRows>>, Problem> {
        let until = tokio::time::Instant::now() + asked.wait;
        let job = JobName::parse(&pending.job_id);
        let key = asked.key(symbol, asked.is_scoped());
        let mut looked = tokio::time::Instant::now();
        loop {
            if let Some(rows) = self.cache.peek_memory(&key).await {
                return Ok(Some(rows));
            }
            let now = tokio::time::Instant::now();
            // Another process may have computed them, or the job may have failed.
            if now.duration_since(looked) >= LOOK || now >= until {
                looked = now;
                if let Some(rows) = self.cache.get(&key).await? {
                    return Ok(Some(rows));
                }
                if let Some(job) = &job
                    && let Some(status) = self.queue.job(job).await?
                {
                    refuse_ended(&status.job)?;
                }
            }
            if now >= until {
                return Ok(None);
            }
            self.queue.wait_for_jobs(LOOK.min(until - now)).await;
        }
    }
}

/// Returns the error of a job that ended without rows.
fn refuse_ended(job: &JobRow) -> Result<(), Problem> {
    if !matches!(job.state, JobState::Failed | JobState::Dead) {
        return Ok(());
    }
    let Some(error) = job.errors.last() else { return Ok(()) };
    let status = match error.kind.as_str() {
        "internal" => StatusCode::INTERNAL_SERVER_ERROR,
        "target" => StatusCode::BAD_GATEWAY,
        "timeout" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let told = Error::data(format!("the job {} failed: {}", job.name, error.message));
    let told = match &error.hint {
        Some(hint) => told.hint(hint.clone()),
        None => told,
    };
    Err(Problem::new(status, &told))
}
