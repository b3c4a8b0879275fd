//! From the configuration to a service: the queue, the cache, the sets and the workers, each opened or refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::runtime::Handle;

use super::state::{Reconfigure, Service, ServiceParts};
use super::tokens::Tokens;
use super::warm_up::check_cron_lines;
use crate::cache::{CacheBounds, ResultCache};
use crate::config::{Config, ServeConfig};
use crate::engine::{Engine, executor};
use crate::error::{Error, Result};
use crate::host;
use crate::outside::files;
use crate::queue::{PgQueue, Queue, QueueBounds, QueueClock, QueueReads, SqliteQueue};
use crate::store::{RemoteFileCache, StoreRegistry};
use crate::worker::{
    BatchRange, Endpoints, GuardedQueue, LoadedSets, METRICS, MetricKind, SetViews, WorkerParts,
    Workers, describe_metrics, process_name,
};

/// The folder of everything that the service keeps unless it is told another place.
const HOME: &str = ".windrow";

/// The bounds of the buckets of durations in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Loads all sets. Those whose files are wrong are left out, and named in the log.
pub(super) fn load_sets(
    config: &Config,
    file_cache: Option<Arc<RemoteFileCache>>,
) -> Result<LoadedSets> {
    let mut engine = Engine::new(config.clone())?;
    if let Some(cache) = file_cache {
        engine.use_file_cache(cache)?;
    }
    engine.add_configured_sources();
    let mut sets = Vec::new();
    for (name, set) in engine.list_sets() {
        match set {
            Ok(set) => sets.push(set),
            Err(error) => tracing::warn!("the set {name} is left out: {error}"),
        }
    }
    Ok(LoadedSets::new(engine, config.serve.inputs_check, sets))
}

/// Returns the keys whose new values count only after a restart.
pub(super) fn list_changed_keys(before: &ServeConfig, now: &ServeConfig) -> Vec<String> {
    let changed = [
        ("listen", before.listen != now.listen),
        ("queue", before.queue != now.queue),
        ("workers", before.workers != now.workers),
        ("min_workers", before.min_workers != now.min_workers),
        ("max_workers", before.max_workers != now.max_workers),
        ("cache", before.cache != now.cache),
        ("cache_memory", before.cache_memory != now.cache_memory),
        ("cache_bytes", before.cache_bytes != now.cache_bytes),
        ("file_cache", before.file_cache != now.file_cache),
        ("file_cache_bytes", before.file_cache_bytes != now.file_cache_bytes),
        ("tokens", before.tokens != now.tokens),
        ("tls", before.tls != now.tls),
        ("max_queued", before.max_queued != now.max_queued),
        ("max_queued_per_client", before.max_queued_per_client != now.max_queued_per_client),
        ("history_rows", before.history_rows != now.history_rows),
        ("history_age", before.history_age != now.history_age),
        ("cors", before.cors != now.cors),
        ("endpoints", before.endpoints != now.endpoints),
        ("warm_up", before.warm_up != now.warm_up),
        ("traces", before.traces != now.traces),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(name, _)| name.to_string()).collect()
}

/// Returns the path of something that the service keeps, next to `windrow.yaml` or in the working directory.
fn home_path(config: &Config, name: &str) -> PathBuf {
    let folder = config.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    folder.join(HOME).join(name)
}

/// Returns the file of tokens.
pub fn token_path(config: &Config) -> PathBuf {
    config.serve.tokens.clone().unwrap_or_else(|| home_path(config, "tokens.json"))
}

/// The place of a queue.
pub enum QueuePlace {
    /// A SQLite file of one process.
    Sqlite(PathBuf),
    /// A PostgreSQL database that any number of processes share.
    Postgres(String),
}

/// Returns the place of the queue.
///
/// # Errors
/// If it is neither SQLite nor PostgreSQL.
pub fn queue_place(config: &Config) -> Result<QueuePlace> {
    let Some(text) = &config.serve.queue else {
        return Ok(QueuePlace::Sqlite(home_path(config, "queue.sqlite")));
    };
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(Error::usage("the queue has no path").hint("write sqlite:PATH"));
        }
        return Ok(QueuePlace::Sqlite(PathBuf::from(path)));
    }
    if crate::store::PgLocation::is(text) {
        return Ok(QueuePlace::Postgres(text.clone()));
    }
    Err(Error::usage(format!("the queue is {}", crate::store::redact_passwords(text)))
        .hint("write sqlite:PATH or postgres://USER@HOST/DATABASE"))
}

/// Opens the queue of a configuration for reading, while other processes may work with it.
///
/// # Errors
/// If there is no queue, or it cannot be read.
pub async fn open_queue_to_read(config: &Config) -> Result<Arc<dyn QueueReads>> {
    match queue_place(config)? {
        QueuePlace::Sqlite(path) => Ok(Arc::new(SqliteQueue::open_to_read(&path)?)),
        QueuePlace::Postgres(url) => {
            let bounds = QueueBounds::default();
            Ok(Arc::new(PgQueue::open(&url, bounds, QueueClock::System).await?))
        }
    }
}

async fn open_queue(config: &Config) -> Result<(Arc<dyn Queue>, bool)> {
    let serve = &config.serve;
    let bounds = QueueBounds {
        jobs: serve.max_queued,
        jobs_per_client: serve.max_queued_per_client,
        history_jobs: serve.history_rows,
        history_age: serve.history_age,
        ..QueueBounds::default()
    };
    match queue_place(config)? {
        QueuePlace::Sqlite(path) => {
            make_folder(&path)?;
            let (queue, returned) = SqliteQueue::open(&path, bounds, QueueClock::System).await?;
            if returned > 0 {
                tracing::warn!("{returned} batches of a process that ended go back to the queue");
            }
            Ok((Arc::new(queue), false))
        }
        QueuePlace::Postgres(url) => {
            Ok((Arc::new(PgQueue::open(&url, bounds, QueueClock::System).await?), true))
        }
    }
}

/// Creates the folder of a file.
fn make_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    if files::path_exists(folder).unwrap_or(false) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::data(format!("{}: the folder cannot be made: {error}", folder.display()))
    })
}

async fn open_cache(config: &Config, shared: bool) -> Result<ResultCache> {
    let serve = &config.serve;
    let place = match &serve.cache {
        Some(place) => place.clone(),
        None if shared => {
            return Err(Error::usage(
                "a queue in PostgreSQL needs a cache that all processes share",
            )
            .hint("set serve.cache to s3://BUCKET/PREFIX/ or to the URL of the database"));
        }
        None => home_path(config, "cache").to_string_lossy().into_owned(),
    };
    let bounds = CacheBounds {
        memory: serve.cache_memory,
        durable: serve.cache_bytes,
        ttl: config.cache_ttl,
    };
    let access =
        StoreRegistry::from_config(config).with_control_runtime(executor::control_handle()?);
    let cache = ResultCache::open(&place, bounds, &Arc::new(access)).await?;
    if shared && !cache.is_shared() {
        return Err(Error::usage(format!(
            "the cache {} is on this machine, and a queue in PostgreSQL needs one that all processes share",
            cache.place()
        ))
        .hint("set serve.cache to s3://BUCKET/PREFIX/ or to the URL of the database"));
    }
    Ok(cache)
}

/// Opens the cache of remote files; None if it is switched off.
fn open_file_cache(config: &Config) -> Option<Arc<RemoteFileCache>> {
    let serve = &config.serve;
    if serve.file_cache_bytes == 0 {
        return None;
    }
    let place = serve.file_cache.clone().unwrap_or_else(|| home_path(config, "files"));
    let cache = RemoteFileCache::new(&place, serve.file_cache_bytes);
    let counting = Arc::clone(&cache);
    tokio::task::spawn_blocking(move || counting.recount());
    Some(cache)
}

/// Installs the recorder of metrics, once for a process.
fn install_metrics() -> Result<PrometheusHandle> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::internal(format!("the metrics cannot be started: {error}"))
    };
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Seconds) {
        let full = metrics_exporter_prometheus::Matcher::Full(metric.name.to_string());
        builder = builder.set_buckets_for_metric(full, &SECONDS).map_err(|error| wrong(&error))?;
    }
    let handle = builder.install_recorder().map_err(|error| wrong(&error))?;
    describe_metrics();
    metrics_process::Collector::default().describe();
    Ok(handle)
}

/// Opens everything that a service consists of. `compute` is the runtime that executes plans.
pub(super) async fn open_service(
    config: Config,
    compute: Handle,
    anonymous: bool,
    reconfigure: Reconfigure,
) -> Result<Arc<Service>> {
    let serve = config.serve.clone();
    check_cron_lines(&serve.warm_up)?;
    let file_cache = open_file_cache(&config);
    let views = Arc::new(SetViews::new(load_sets(&config, file_cache.clone())?));
    let (queue, shared) = open_queue(&config).await?;
    let queue = Arc::new(GuardedQueue::new(queue));
    let cache = Arc::new(open_cache(&config, shared).await?);
    let endpoints = Arc::new(Endpoints::new(&serve.endpoints));
    let worker_count = serve.max_workers.unwrap_or(serve.workers).max(serve.workers);
    let worker_count = if serve.workers == 0 { 0 } else { worker_count };
    let memory = config.memory_limit.or_else(host::usable_memory).unwrap_or(4 << 30);
    let budget = (memory / 4 * 3).saturating_sub(serve.cache_memory).max(memory / 4);
    let workers = Workers::new(WorkerParts {
        queue: Arc::clone(&queue) as Arc<dyn Queue>,
        views: Arc::clone(&views),
        cache: Arc::clone(&cache),
        endpoints: Arc::clone(&endpoints),
        batches: BatchRange { least: serve.min_workers, most: worker_count.max(1) },
        budget,
        process: process_name(),
        control: executor::control_handle()?,
    });
    let parts = ServiceParts {
        queue,
        views,
        cache,
        file_cache,
        endpoints,
        workers,
        worker_count,
        tokens: Tokens::open(&token_path(&config))?,
        metrics: install_metrics()?,
        compute,
        anonymous,
        reconfigure,
    };
    Ok(Service::new(parts, config))
}
