//! Every metric: its name, its kind, its labels and its meaning, once. The exporter, docs/metrics.md, and the tests of
//! the dashboard and of the alerts take them from here.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Seconds, sorted into buckets.
    Seconds,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricSpec {
    /// The name after the conventions of Prometheus.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The labels.
    pub labels: &'static [&'static str],
    /// The meaning, as a sentence.
    pub about: &'static str,
}

/// Declares each metric as a constant and as a row of [`METRICS`].
macro_rules! metric_list {
    ($($(#[doc = $about:literal])+ $name:ident = $text:literal, $kind:ident, [$($label:literal),*];)*) => {
        /// The names of the metrics.
        pub mod name {
            $($(#[doc = $about])+ pub const $name: &str = $text;)*
        }

        /// All metrics, in the order of docs/metrics.md.
        pub const METRICS: &[MetricSpec] = &[$(MetricSpec {
            name: $text,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            about: concat!($($about),+),
        },)*];
    };
}

metric_list! {
    /// Jobs that ended.
    JOBS = "windrow_feature_jobs_total", Counter, ["status", "priority"];
    /// Seconds that a batch took, from its first row to its commit.
    COMPUTE_SECONDS = "windrow_feature_compute_duration_seconds", Seconds, ["set"];
    /// Jobs that wait.
    QUEUE_SIZE = "windrow_feature_queue_size", Gauge, ["priority"];
    /// Expected cost of the jobs that wait: rows times outputs.
    QUEUE_COST = "windrow_feature_queue_cost", Gauge, ["priority"];
    /// Jobs that run.
    JOBS_RUNNING = "windrow_jobs_running", Gauge, [];
    /// Dead jobs in the history.
    JOBS_DEAD = "windrow_jobs_dead", Gauge, [];
    /// Requests for features that the cache or a target answered.
    CACHE_HITS = "windrow_feature_cache_hits_total", Counter, ["set"];
    /// Requests for features that started or joined a job.
    CACHE_MISSES = "windrow_feature_cache_misses_total", Counter, ["set"];
    /// Bytes of cached rows in memory.
    CACHE_BYTES = "windrow_cache_memory_bytes", Gauge, [];
    /// Ranges of remote files that the file cache had.
    FILE_CACHE_HITS = "windrow_file_cache_hits_total", Counter, [];
    /// Ranges of remote files of which the file cache lacked some bytes.
    FILE_CACHE_MISSES = "windrow_file_cache_misses_total", Counter, [];
    /// Bytes of remote files that were read from the file cache.
    FILE_CACHE_HIT_BYTES = "windrow_file_cache_hit_bytes_total", Counter, [];
    /// Bytes of remote files that were fetched because the file cache lacked them.
    FILE_CACHE_MISS_BYTES = "windrow_file_cache_miss_bytes_total", Counter, [];
    /// Calls of the file cache to its disk that failed, and damaged files that it removed.
    FILE_CACHE_ERRORS = "windrow_file_cache_errors_total", Counter, [];
    /// Bytes in the directory of the file cache.
    FILE_CACHE_BYTES = "windrow_file_cache_bytes", Gauge, [];
    /// Symbols that were computed, once for each set.
    SYMBOLS = "windrow_symbols_processed_total", Counter, [];
    /// Resident memory of the process.
    MEMORY = "windrow_memory_bytes", Gauge, [];
    /// Memory that the process may use.
    MEMORY_LIMIT = "windrow_memory_limit_bytes", Gauge, [];
    /// Batches that run (`busy`) and that may run (`allowed`).
    WORKERS = "windrow_workers", Gauge, ["status"];
    /// Leases that a worker lost.
    LEASES_LOST = "windrow_leases_lost_total", Counter, [];
    /// Endpoints that are left alone after failures in a row: 1 for one that is, 0 for one that is not.
    BREAKER = "windrow_breaker_open", Gauge, ["endpoint"];
    /// Calls to object stores and of runs beyond the first attempt.
    RETRIES = "windrow_retries_total", Counter, [];
    /// Seconds from a request to its answer.
    HTTP_SECONDS = "windrow_http_request_duration_seconds", Seconds, ["endpoint", "status"];
    /// Connections of the pool to a PostgreSQL queue that are in use (`busy`) and open (`open`).
    POOL = "windrow_pool_connections", Gauge, ["status"];
}

/// Describes all metrics to the recorder that is installed.
pub fn describe_metrics() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => describe_counter!(metric.name, metric.about.trim()),
            MetricKind::Gauge => describe_gauge!(metric.name, metric.about.trim()),
            MetricKind::Seconds => {
                describe_histogram!(metric.name, Unit::Seconds, metric.about.trim())
            }
        }
    }
}
