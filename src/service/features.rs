//! `GET /features/...`: rows of features, from memory, from the cache, from a committed target, or from a job that a
//! miss starts.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::counter;
use serde::Deserialize;
use tracing::Instrument;
use utoipa::IntoParams;

use super::access::Caller;
use super::compute::{enqueue, unknown_symbol_error};
use super::parts::{Choice, Segments};
use super::pending::{Pending, pending_answer};
use super::problem::{Problem, ProblemReport};
use super::rows::{Media, RowChoice, answer_with, encode_rows};
use super::state::Service;
use crate::cache::{CacheKey, CachedRows};
use crate::engine::Scope;
use crate::error::{Error, Result as OwnResult};
use crate::limits::{FAILURE_KEPT, WAIT_LONGEST};
use crate::queue::{JobName, JobRequest, JobRow, JobState, NewGroup, NewJob, Priority};
use crate::worker::{SetParams, SetView, name};

/// The pause between two looks at a computation that a caller waits for.
const LOOK: Duration = Duration::from_millis(250);

/// The choice of rows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeatureQuery {
    /// The first time, inclusive: `2024-01-31` or `2024-01-31T09:30:00Z`.
    pub(super) from: Option<String>,
    /// The end of the times, exclusive.
    pub(super) until: Option<String>,
    /// Outputs, separated by commas; the time is always among them. All if not given.
    pub(super) columns: Option<String>,
    /// The number of rows at most: the first ones.
    pub(super) limit: Option<usize>,
    /// The seconds to wait for a computation, up to 60.
    pub(super) wait: Option<f64>,
}

/// A choice of rows that was checked against the set.
pub(super) struct Asked {
    pub(super) view: Arc<SetView>,
    pub(super) choice: RowChoice,
    pub(super) scope: Scope,
    pub(super) wait: Duration,
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
        (status = "4XX", body = ProblemReport), (status = "5XX", body = ProblemReport)
    )
)]
pub(super) async fn get_features(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Segments((symbol, set)): Segments<(String, String)>,
    Choice(query): Choice<FeatureQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let media = Media::from_headers(&headers)?;
    let mut asked = Asked::check(&service, &set, query, &media).await?;
    let view = Arc::clone(&asked.view);
    let symbols = service.symbols(&view).await?;
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
    let mut pending = match service.find_started(&asked, &symbol).await? {
        Some(pending) => pending,
        None => service.start_jobs(&asked, &[&symbol], &caller).await?,
    };
    match service.wait_for_rows(&mut asked, &symbol, &mut pending, &caller).await? {
        Some(rows) => one_symbol_answer(&asked, &rows, &media),
        None => Ok(pending_answer(pending, "jobs")),
    }
}

/// Returns whether a request names an ETag.
pub(super) fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
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

impl Asked {
    pub(super) async fn check(
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
        self.find_committed_rows(asked, symbol).await
    }

    /// Takes the rows of a symbol from a committed target, and keeps them in the cache.
    async fn find_committed_rows(
        &self,
        asked: &Asked,
        symbol: &str,
    ) -> OwnResult<Option<Arc<CachedRows>>> {
        if self.settings().config.targets.is_empty() {
            return Ok(None);
        }
        let (view, name) = (Arc::clone(&asked.view), symbol.to_string());
        let read = async move { view.read_committed(&name).await };
        let read = self.compute.spawn(read.in_current_span());
        let panicked = |error| Error::internal(format!("reading a target panicked: {error}"));
        let Some(batch) = read.await.map_err(panicked)? else { return Ok(None) };
        let key = asked.key(symbol, false);
        let identity = asked.view.identity.clone();
        let rows = CachedRows { identity, symbol: symbol.to_string(), batch };
        self.cache.put(vec![(key.clone(), rows)]).await?;
        self.cache.get(&key).await
    }

    /// Returns the job that this process started for the same rows, if it has not ended. The error of one that failed a
    /// moment ago is the answer, too.
    pub(super) async fn find_started(
        &self,
        asked: &Asked,
        symbol: &str,
    ) -> Result<Option<Pending>, Problem> {
        let key = asked.key(symbol, asked.is_scoped());
        let Some(pending) = self.started.get(&key).await else { return Ok(None) };
        let Some(name) = JobName::parse(&pending.job_id) else { return Ok(None) };
        let Some(status) = self.queue.job(&name).await? else { return Ok(None) };
        let job = &status.job;
        let since = crate::outside::utc_now().timestamp_micros() - FAILURE_KEPT.as_micros() as i64;
        if job.finished.is_some_and(|finished| finished > since) {
            refuse_ended(job)?;
        }
        Ok(Some(pending).filter(|_| job.state.is_open()))
    }

    /// Queues the jobs of missing symbols. Equal jobs that have not ended are shared.
    pub(super) async fn start_jobs(
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
            trace: caller.trace.map(|trace| trace.to_string()),
            request_id: Some(caller.request_id.clone()),
            jobs: symbols.iter().map(job).collect(),
        };
        let accepted = enqueue(self, group).await?;
        let (group_id, job_ids, estimated_completion_time) = accepted.into_parts();
        for (symbol, job_id) in symbols.iter().zip(&job_ids) {
            let (job_id, group_id) = (job_id.clone(), group_id.clone());
            let pending = Pending { job_id, group_id, estimated_completion_time };
            self.started.insert(asked.key(symbol, asked.is_scoped()), pending).await;
        }
        let job_id = job_ids.into_iter().next().unwrap_or_default();
        Ok(Pending { job_id, group_id, estimated_completion_time })
    }

    /// Waits for the rows of a symbol; None if they did not come in time.
    pub(super) async fn wait_for_rows(
        &self,
        asked: &mut Asked,
        symbol: &str,
        pending: &mut Pending,
        caller: &Caller,
    ) -> Result<Option<Arc<CachedRows>>, Problem> {
        let until = tokio::time::Instant::now() + asked.wait;
        let mut started = JobName::parse(&pending.job_id);
        let mut key = asked.key(symbol, asked.is_scoped());
        let mut looked = tokio::time::Instant::now();
        let (mut writes, mut arrivals) = (self.cache.writes(), self.queue.arrivals());
        loop {
            writes.borrow_and_update();
            arrivals.borrow_and_update();
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
                if let Some(name) = &started
                    && let Some(status) = self.queue.job(name).await?
                {
                    refuse_ended(&status.job)?;
                    if status.job.state == JobState::Done {
                        // Its inputs changed meanwhile: the rows have the identity of now.
                        let set = asked.view.planned.set.name.clone();
                        asked.view = self.views.loaded().view(&set, &SetParams::new()).await?;
                        key = asked.key(symbol, asked.is_scoped());
                        if let Some(rows) = self.find_rows(asked, symbol).await? {
                            return Ok(Some(rows));
                        }
                        *pending = self.start_jobs(asked, &[symbol], caller).await?;
                        started = JobName::parse(&pending.job_id);
                    }
                }
            }
            if now >= until {
                return Ok(None);
            }
            let news = async {
                tokio::select! {
                    _ = writes.changed() => {}
                    _ = arrivals.changed() => {}
                }
            };
            let _ = tokio::time::timeout(LOOK.min(until - now), news).await;
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
    Err(Problem::of_job(status, &job.name, error))
}
