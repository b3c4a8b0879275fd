//! The parts that all requests share.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use moka::future::Cache;
use tokio::runtime::Handle;

use super::pending::Pending;
use super::tokens::Tokens;
use crate::cache::{CacheKey, ResultCache};
use crate::config::Config;
use crate::error::Result as OwnResult;
use crate::limits::{STARTED_JOBS, STARTED_KNOWN};
use crate::queue::Queue;
use crate::store::RemoteFileCache;
use crate::worker::{Endpoints, GuardedQueue, LoadedSets, SetViews, Workers};

/// The parts of a service.
pub(super) struct Service {
    pub(super) queue: Arc<dyn Queue>,
    /// The same queue, for the state of its breaker.
    pub(super) guard: Arc<GuardedQueue>,
    pub(super) views: Arc<SetViews>,
    pub(super) cache: Arc<ResultCache>,
    /// The cache of remote files; None if it is switched off.
    pub(super) file_cache: Option<Arc<RemoteFileCache>>,
    /// The jobs that misses of this process started, for a while.
    pub(super) started: Cache<CacheKey, Pending>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) workers: Arc<Workers>,
    /// The number of workers of this process.
    pub(super) worker_count: usize,
    pub(super) tokens: Tokens,
    pub(super) metrics: PrometheusHandle,
    /// The runtime that executes plans.
    pub(super) compute: Handle,
    /// True while the service takes requests.
    pub(super) ready: AtomicBool,
    /// True if callers without a token are let in until there is one.
    anonymous: bool,
    /// Loads the configuration again.
    pub(super) reconfigure: Reconfigure,
    settings: RwLock<Arc<Settings>>,
}

/// The parts that a reload replaces.
pub(super) struct Settings {
    pub(super) config: Config,
    /// The rate of all requests.
    pub(super) all_requests: Option<DefaultDirectRateLimiter>,
    /// The rate of the requests of each client.
    pub(super) client_requests: Option<ClientLimiter>,
}

/// A rate for each client.
pub(super) type ClientLimiter = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock>;

/// The parts of a service that are made at its start.
pub(super) struct ServiceParts {
    pub(super) queue: Arc<GuardedQueue>,
    pub(super) views: Arc<SetViews>,
    pub(super) cache: Arc<ResultCache>,
    pub(super) file_cache: Option<Arc<RemoteFileCache>>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) workers: Arc<Workers>,
    pub(super) worker_count: usize,
    pub(super) tokens: Tokens,
    pub(super) metrics: PrometheusHandle,
    pub(super) compute: Handle,
    pub(super) anonymous: bool,
    pub(super) reconfigure: Reconfigure,
}

/// Loads the configuration again, with the flags of the command line.
pub type Reconfigure = Box<dyn Fn() -> OwnResult<Config> + Send + Sync>;

impl Service {
    pub(super) fn new(parts: ServiceParts, config: Config) -> Arc<Self> {
        let ServiceParts { queue, views, cache, endpoints, workers, worker_count, .. } = parts;
        Arc::new(Self {
            queue: Arc::clone(&queue) as Arc<dyn Queue>,
            guard: queue,
            views,
            cache,
            file_cache: parts.file_cache,
            started: Cache::builder()
                .max_capacity(STARTED_JOBS)
                .time_to_live(STARTED_KNOWN)
                .build(),
            endpoints,
            workers,
            worker_count,
            tokens: parts.tokens,
            metrics: parts.metrics,
            compute: parts.compute,
            ready: AtomicBool::new(true),
            anonymous: parts.anonymous,
            reconfigure: parts.reconfigure,
            settings: RwLock::new(Arc::new(Settings::new(config))),
        })
    }

    /// Returns whether callers without a token are let in: on loopback, until there is a token. Revoking the last one
    /// opens nothing again.
    pub(super) fn is_open(&self) -> bool {
        self.anonymous && !self.tokens.were_there()
    }

    /// Returns the settings that were loaded last.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the settings and the sets.
    pub(super) fn reload(&self, config: Config, sets: LoadedSets) {
        self.views.reload(sets);
        let settings = Arc::new(Settings::new(config));
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

impl Settings {
    fn new(config: Config) -> Self {
        let quota = |rate: Option<u32>| rate.and_then(NonZeroU32::new).map(Quota::per_second);
        let all_requests = quota(config.serve.max_requests).map(RateLimiter::direct);
        let client_requests = quota(config.serve.max_requests_per_client).map(RateLimiter::keyed);
        Self { config, all_requests, client_requests }
    }
}
