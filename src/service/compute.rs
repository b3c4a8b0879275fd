//! `POST /compute/batch`: a request becomes a group of durable jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing::field::Empty;
use utoipa::ToSchema;

use super::access::Caller;
use super::body::read_json;
use super::problem::{Problem, ProblemReport};
use super::state::Service;
use crate::engine::Scope;
use crate::error::{Error, Result as OwnResult, did_you_mean};
use crate::identity::digest_texts;
use crate::limits::{IDEMPOTENCY_KEY, SETS_PER_REQUEST};
use crate::queue::{Enqueued, JobRequest, NewGroup, NewJob, Priority};
use crate::traces;
use crate::worker::{SetParams, SetView, open_target};

/// A request to compute features.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComputeRequest {
    /// The symbols, up to `serve.max_symbols` (default: 100); null for all.
    #[schema(min_items = 1)]
    symbols: Option<Vec<String>>,
    /// The feature sets.
    #[schema(min_items = 1, max_items = 100)]
    feature_types: Vec<String>,
    /// The importance of the jobs.
    #[serde(default)]
    #[schema(inline)]
    priority: Priority,
    /// The first time of the rows, inclusive: `2024-01-31` or `2024-01-31T09:30:00Z`.
    #[serde(default)]
    from: Option<String>,
    /// The end of the times, exclusive.
    #[serde(default)]
    until: Option<String>,
    /// Parameters of the sets, by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    params: BTreeMap<String, serde_json::Value>,
    /// The name of a target in `windrow.yaml`; without one the rows go to the cache.
    #[serde(default)]
    target: Option<String>,
}

/// The answer: the jobs are durable.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// The group of the jobs.
    group_id: String,
    /// The jobs, in the order of the sets and of the symbols.
    job_ids: Vec<String>,
    /// The expected seconds until the last of them has ended; null while nothing was measured.
    estimated_completion_time: Option<f64>,
}

impl Accepted {
    /// Returns the group, its jobs and the expected seconds.
    pub(super) fn into_parts(self) -> (String, Vec<String>, Option<f64>) {
        (self.group_id, self.job_ids, self.estimated_completion_time)
    }
}

#[utoipa::path(
    post, path = "/compute/batch", tag = "jobs", request_body = ComputeRequest,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]([ -~]*[!-~])?$", description = "A repeated request with this key starts nothing new.")),
    responses(
        (status = 202, description = "The jobs are queued and durable.", body = Accepted),
        (status = "4XX", description = "The request is wrong, or there is no room.", body = ProblemReport),
        (status = "5XX", description = "The service cannot take it now.", body = ProblemReport),
    )
)]
pub(super) async fn compute_batch(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (request, bytes): (ComputeRequest, _) = read_json(&headers, body).await?;
    let key = idempotency_key(&headers)?;
    check_request(&service, &request)?;
    let params = parse_params(&request.params)?;
    let mut jobs = Vec::new();
    let mut seen = BTreeSet::new();
    for set in request.feature_types.iter().filter(|set| seen.insert(*set)) {
        add_jobs(&service, set, &request, &params, &mut jobs).await?;
    }
    let body = String::from_utf8_lossy(&bytes);
    let group = NewGroup {
        client: caller.client,
        idempotency: key.map(|key| (key, digest_texts(&[&body]))),
        shares: false,
        priority: request.priority,
        request: JobRequest {
            params,
            from: request.from,
            until: request.until,
            target: request.target,
        },
        trace: caller.trace.map(|trace| trace.to_string()),
        request_id: Some(caller.request_id),
        jobs,
    };
    let accepted = enqueue(&service, group).await?;
    let location = format!("/groups/{}", accepted.group_id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(accepted)).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= IDEMPOTENCY_KEY);
    match key {
        Some(key) => Ok(Some(key.to_string())),
        None => Err(Problem::bad_request(
            format!("Idempotency-Key must have 1 to {IDEMPOTENCY_KEY} printable characters"),
            "use a UUID",
        )),
    }
}

fn check_request(service: &Service, request: &ComputeRequest) -> Result<(), Problem> {
    let settings = service.settings();
    let most = settings.config.serve.max_symbols;
    let symbols = request.symbols.as_ref().map_or(1, Vec::len);
    if symbols == 0 {
        return Err(Problem::bad_request("symbols is empty", "name some, or write null for all"));
    }
    if symbols > most {
        return Err(Problem::bad_request(
            format!("the request names {symbols} symbols, and {most} are allowed"),
            "send several requests, or write null for all symbols",
        ));
    }
    let sets = request.feature_types.len();
    if sets == 0 || sets > SETS_PER_REQUEST {
        return Err(Problem::bad_request(
            format!("the request names {sets} feature types, expected 1 to {SETS_PER_REQUEST}"),
            "GET /sets lists them",
        ));
    }
    Ok(())
}

/// Returns parameters as the command line would give them.
fn parse_params(params: &BTreeMap<String, serde_json::Value>) -> Result<SetParams, Problem> {
    let text = |(name, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((name.clone(), text.clone())),
        serde_json::Value::Null | serde_json::Value::Object(_) => Err(Problem::bad_request(
            format!("the parameter {name} is null or an object"),
            "give a number, a text, a boolean or a list",
        )),
        value => Ok((name.clone(), value.to_string())),
    };
    params.iter().map(text).collect()
}

/// Adds the jobs of one set.
async fn add_jobs(
    service: &Service,
    set: &str,
    request: &ComputeRequest,
    params: &SetParams,
    jobs: &mut Vec<NewJob>,
) -> Result<(), Problem> {
    let unprocessable = |error: Error| unprocessable(error);
    let loaded = service.views.loaded();
    let view = loaded.view(set, params).await.map_err(unprocessable)?;
    let scope = Scope { symbols: None, from: request.from.clone(), until: request.until.clone() };
    view.planned.time_range(&scope)?;
    if let Some(target) = &request.target {
        open_target(loaded.engine(), target, set).map_err(unprocessable)?;
        if let Some(output) = view.planned.outputs.iter().find(|output| output.need.crosses) {
            let error = Error::query(format!(
                "{set}: {} depends on the rows of other symbols, and a job replaces those of one",
                output.name
            ));
            let hint = "leave target out, or run the whole set with `windrow run`";
            return Err(unprocessable(error.hint(hint)));
        }
    }
    let outputs = view.planned.outputs.len() as u64;
    let known = service.symbols(&view).await?;
    let mut add = |symbol: &str, rows: u64| {
        let cost = rows.max(1).saturating_mul(outputs);
        jobs.push(NewJob { set: set.to_string(), symbol: symbol.to_string(), cost });
    };
    let Some(symbols) = &request.symbols else {
        known.iter().for_each(|(symbol, rows)| add(symbol, *rows));
        return match known.is_empty() {
            true => Err(unprocessable(Error::data(format!("{set} has no symbols")))),
            false => Ok(()),
        };
    };
    let mut seen = BTreeSet::new();
    for symbol in symbols.iter().filter(|symbol| seen.insert(*symbol)) {
        match known.get(symbol) {
            Some(rows) => add(symbol, *rows),
            None => return Err(unprocessable(unknown_symbol_error(symbol, set, known))),
        }
    }
    Ok(())
}

/// Returns the problem of a request that is well formed and cannot be done.
fn unprocessable(error: Error) -> Problem {
    let passing = error.is_transient() || error.is_disk_full();
    match error.kind() {
        _ if passing => error.into(),
        crate::error::Kind::Internal => error.into(),
        _ => Problem::from(error).with_status(StatusCode::UNPROCESSABLE_ENTITY),
    }
}

/// Returns the error for a symbol that a set does not have.
pub(super) fn unknown_symbol_error(
    symbol: &str,
    set: &str,
    known: &BTreeMap<String, u64>,
) -> Error {
    let hint = did_you_mean(symbol, "symbols", known.keys().map(String::as_str));
    Error::data(format!("{set} has no symbol {symbol}")).hint(hint)
}

/// Puts a group into the queue. The workers that take it go on with the trace of the request.
pub(super) async fn enqueue(service: &Service, mut group: NewGroup) -> Result<Accepted, Problem> {
    let jobs = group.jobs.len();
    let span = tracing::info_span!(
        target: traces::TARGET, "enqueue", otel.kind = "producer",
        windrow.jobs = jobs, windrow.priority = group.priority.name(), windrow.group = Empty,
    );
    if let Some(own) = traces::parent_of(&span) {
        group.trace = Some(own.to_string());
    }
    let queued = traces::trace_work(span.clone(), put_into_queue(service, group));
    let accepted = queued.await?;
    span.record("windrow.group", &accepted.group_id);
    // With the id of the request, whose batch may have those of others.
    tracing::info!(group = accepted.group_id, jobs, "queued");
    Ok(accepted)
}

async fn put_into_queue(service: &Service, group: NewGroup) -> Result<Accepted, Problem> {
    let refused = |status, error: Error, wait| Problem::new(status, &error).retry_after(wait);
    match service.queue.enqueue(group).await? {
        Enqueued::Accepted { group, jobs, cost_ahead, .. } => {
            let rate = service.queue.rate().await?;
            let workers = service.worker_count.max(1) as f64;
            let seconds = rate.filter(|rate| *rate > 0.0).map(|rate| {
                let seconds = cost_ahead as f64 / (rate * workers);
                (seconds * 1e3).round() / 1e3
            });
            Ok(Accepted {
                group_id: group,
                job_ids: jobs.iter().map(ToString::to_string).collect(),
                estimated_completion_time: seconds,
            })
        }
        Enqueued::KeyTaken => {
            let error = Error::usage("another request had the same Idempotency-Key");
            let hint = "send that request again, or use another key";
            Err(Problem::new(StatusCode::CONFLICT, &error.hint(hint)))
        }
        Enqueued::Full { most } => {
            let error = Error::usage(format!("the queue holds {most} jobs, its bound"));
            Err(refused(StatusCode::TOO_MANY_REQUESTS, error.hint("come again later"), 10))
        }
        Enqueued::ClientFull { most } => {
            let error = Error::usage(format!("a client may have {most} jobs in the queue"));
            Err(refused(StatusCode::TOO_MANY_REQUESTS, error.hint("wait for some to end"), 10))
        }
    }
}

impl Service {
    /// Returns the symbols of a set with their numbers of rows, which the compute threads count once.
    pub(super) async fn symbols<'v>(
        &self,
        view: &'v Arc<SetView>,
    ) -> OwnResult<&'v BTreeMap<String, u64>> {
        if !view.knows_symbols() {
            let counted = Arc::clone(view);
            let count = async move { counted.symbols().await.map(|_| ()) };
            let task = self.compute.spawn(count.in_current_span());
            let panicked = |error| Error::internal(format!("counting symbols panicked: {error}"));
            task.await.map_err(panicked)??;
        }
        view.symbols().await
    }
}
