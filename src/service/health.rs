//! `GET /health`, `/live`, `/ready`, `/metrics`: what the service says about itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::{counter, gauge};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Problem, ProblemReport};
use super::state::Service;
use crate::error::{Error, Result as OwnResult};
use crate::host;
use crate::queue::Priority;
use crate::store::redact_passwords;
use crate::worker::{BreakerState, name};

/// The time that one check may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PartState {
    /// It works.
    Up,
    /// It does not.
    Down,
    /// Nobody used it yet.
    Unknown,
}

/// The check of one part.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Check {
    state: PartState,
    /// The milliseconds that the check, or the last use, took; null if there was none.
    latency_ms: Option<f64>,
    detail: String,
}

/// The health of the service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy`, or `degraded` if a part is down.
    status: &'static str,
    version: &'static str,
    checks: BTreeMap<String, Check>,
    /// The jobs that wait; null if the queue does not answer.
    queue_depth: Option<u64>,
}

/// Runs a check, which is down if it fails or takes too long.
async fn check(work: impl Future<Output = OwnResult<String>>) -> Check {
    let started = Instant::now();
    let done = tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(Error::data(format!("no answer within {seconds} s")))
    });
    let (state, detail) = match done {
        Ok(detail) => (PartState::Up, detail),
        Err(error) => (PartState::Down, redact_passwords(&error.to_string())),
    };
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    Check { state, latency_ms: Some((milliseconds * 1e3).round() / 1e3), detail }
}

fn check_breaker(breaker: Option<&BreakerState>) -> Check {
    let Some(breaker) = breaker else {
        let detail = "not used yet".to_string();
        return Check { state: PartState::Unknown, latency_ms: None, detail };
    };
    let (state, detail) = match &breaker.failure {
        None => (PartState::Up, "the last call succeeded".to_string()),
        Some(error) if breaker.open => {
            (PartState::Down, format!("left alone after failures in a row: {error}"))
        }
        Some(error) => (PartState::Down, error.to_string()),
    };
    let latency_ms = breaker.seconds.map(|seconds| (seconds * 1e6).round() / 1e3);
    Check { state, latency_ms, detail: redact_passwords(&detail) }
}

#[utoipa::path(
    get, path = "/health", tag = "service",
    responses((status = 200, body = Health), (status = 503, description = "A part is down.", body = Health),
        (status = "4XX", body = ProblemReport))
)]
pub(super) async fn get_health(State(service): State<Arc<Service>>) -> Response {
    let mut checks = BTreeMap::new();
    let depth = tokio::time::timeout(PATIENCE, service.queue.depth()).await.ok();
    let queued = depth.and_then(Result::ok);
    let queue = check(async {
        let depth = service.queue.depth().await?;
        let waiting: u64 = depth.queued.values().map(|(jobs, _)| jobs).sum();
        Ok(format!("{waiting} waiting, {} running, {} dead", depth.running, depth.dead))
    });
    let cache = check(async {
        service.cache.check().await?;
        Ok(service.cache.place())
    });
    let (queue, cache) = tokio::join!(queue, cache);
    checks.insert("queue".to_string(), queue);
    checks.insert("cache".to_string(), cache);
    checks.insert("workers".to_string(), check_workers(&service));
    let loaded = service.views.loaded();
    let config = loaded.engine().config();
    let sources = loaded.watch().breakers();
    for name in config.sources.keys().chain(sources.keys()) {
        checks.insert(format!("source:{name}"), check_breaker(sources.get(name)));
    }
    let targets = service.endpoints.target_breakers();
    for name in config.targets.keys() {
        checks.insert(format!("target:{name}"), check_breaker(targets.get(name)));
    }
    let healthy = checks.values().all(|check| check.state != PartState::Down);
    let health = Health {
        status: if healthy { "healthy" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        checks,
        queue_depth: queued.map(|depth| depth.queued.values().map(|(jobs, _)| jobs).sum()),
    };
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response()
}

fn check_workers(service: &Service) -> Check {
    let (running, allowed) = service.workers.counts();
    match service.worker_count {
        0 => {
            let detail = "this process answers only; others work".to_string();
            Check { state: PartState::Unknown, latency_ms: None, detail }
        }
        count => {
            let detail = format!("{running} batches run, {} may", allowed.min(count));
            Check { state: PartState::Up, latency_ms: None, detail }
        }
    }
}

#[utoipa::path(get, path = "/live", tag = "service", responses((status = 200, description = "The process lives.")))]
pub(super) async fn is_live() -> &'static str {
    "live\n"
}

#[utoipa::path(
    get, path = "/ready", tag = "service",
    responses((status = 200, description = "It takes requests."), (status = 503, description = "It does not.", body = ProblemReport))
)]
pub(super) async fn is_ready(State(service): State<Arc<Service>>) -> Result<&'static str, Problem> {
    let unready = |why: String| {
        let error = Error::data(why).as_transient();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, &error).retry_after(2)
    };
    if !service.ready.load(Ordering::SeqCst) {
        return Err(unready("the service is shutting down".to_string()));
    }
    match tokio::time::timeout(PATIENCE, service.queue.depth()).await {
        Ok(Ok(_)) => Ok("ready\n"),
        Ok(Err(error)) => Err(unready(error.to_string())),
        Err(_) => Err(unready("the queue does not answer".to_string())),
    }
}

#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses((status = 200, description = "The metrics as Prometheus reads them.", content_type = "text/plain"))
)]
pub(super) async fn get_metrics(State(service): State<Arc<Service>>) -> Response {
    service.update_gauges().await;
    let text = service.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

impl Service {
    /// Sets the metrics that are read and not counted.
    async fn update_gauges(&self) {
        if let Ok(Ok(depth)) = tokio::time::timeout(PATIENCE, self.queue.depth()).await {
            for priority in Priority::ALL {
                let (jobs, cost) = depth.queued.get(&priority).copied().unwrap_or_default();
                gauge!(name::QUEUE_SIZE, "priority" => priority.name()).set(jobs as f64);
                gauge!(name::QUEUE_COST, "priority" => priority.name()).set(cost as f64);
            }
            gauge!(name::JOBS_RUNNING).set(depth.running as f64);
            gauge!(name::JOBS_DEAD).set(depth.dead as f64);
        }
        let (busy, allowed) = self.workers.counts();
        gauge!(name::WORKERS, "status" => "busy").set(busy as f64);
        gauge!(name::WORKERS, "status" => "allowed").set(allowed.min(self.worker_count) as f64);
        if let Some((busy, open)) = self.queue.connections() {
            gauge!(name::POOL, "status" => "busy").set(busy as f64);
            gauge!(name::POOL, "status" => "open").set(open as f64);
        }
        if let Some(cache) = &self.file_cache {
            let counts = cache.counts();
            counter!(name::FILE_CACHE_HITS).absolute(counts.hits);
            counter!(name::FILE_CACHE_MISSES).absolute(counts.misses);
            counter!(name::FILE_CACHE_HIT_BYTES).absolute(counts.hit_bytes);
            counter!(name::FILE_CACHE_MISS_BYTES).absolute(counts.miss_bytes);
            counter!(name::FILE_CACHE_ERRORS).absolute(counts.errors);
            gauge!(name::FILE_CACHE_BYTES).set(counts.bytes as f64);
        }
        gauge!(name::CACHE_BYTES).set(self.cache.usage().memory_bytes as f64);
        gauge!(name::MEMORY).set(host::resident_memory() as f64);
        gauge!(name::MEMORY_LIMIT).set(host::usable_memory().unwrap_or_default() as f64);
        let loaded = self.views.loaded();
        let sources = loaded.watch().breakers().into_iter();
        let sources = sources.map(|(name, state)| (format!("source:{name}"), state));
        let targets = self.endpoints.target_breakers().into_iter();
        let targets = targets.map(|(name, state)| (format!("target:{name}"), state));
        let queue = std::iter::once(("queue".to_string(), self.guard.breaker()));
        for (endpoint, state) in sources.chain(targets).chain(queue) {
            gauge!(name::BREAKER, "endpoint" => endpoint).set(f64::from(u8::from(state.open)));
        }
        metrics_process::Collector::default().collect();
    }
}
