//! The settings of `windrow serve` and `windrow worker`: the section `serve` of the file, and every key that it may
//! contain.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::traces::TraceConfig;
use super::yaml::{YamlNode, YamlValue};
use super::{
    Config, ConfigContext, expand_variables, parse_duration, parse_size, require_identifier,
    unexpected_value_message,
};
use crate::error::{Result, did_you_mean};
use crate::limits::{
    CACHE_DURABLE, CACHE_MEMORY, FILE_CACHE_BYTES, HISTORY_AGE, HISTORY_JOBS, QUEUED_JOBS,
    QUEUED_JOBS_PER_CLIENT, SERVE_GRACE, SYMBOLS_PER_REQUEST,
};

/// The settings of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// The address that it listens on.
    pub listen: String,
    /// The queue: `sqlite:PATH` or `postgres://...`; None for a file next to `windrow.yaml`.
    pub queue: Option<String>,
    /// The batches that are computed at the same time; 0 to answer only.
    pub workers: usize,
    /// The batches that are computed even under pressure.
    pub min_workers: usize,
    /// The batches that are computed at most when nothing presses; None for `workers`.
    pub max_workers: Option<usize>,
    /// The time that running batches have to end at shutdown.
    pub grace: Duration,
    /// The place of the durable tier of the cache; None for a directory next to `windrow.yaml`.
    pub cache: Option<String>,
    /// The bytes of the cache in memory.
    pub cache_memory: u64,
    /// The bytes of the durable tier.
    pub cache_bytes: u64,
    /// The directory for bytes of remote files; None for one next to `windrow.yaml`.
    pub file_cache: Option<PathBuf>,
    /// The bytes of that directory; 0 to keep none.
    pub file_cache_bytes: u64,
    /// The age up to which the state of inputs counts as known; None for 1 s, and 10 s for remote sources.
    pub inputs_check: Option<Duration>,
    /// The file of tokens; None for one next to `windrow.yaml`.
    pub tokens: Option<PathBuf>,
    /// The files of the certificate and of its key.
    pub tls: Option<TlsFiles>,
    /// The symbols that one request may name.
    pub max_symbols: usize,
    /// The jobs in the queue that have not ended.
    pub max_queued: u64,
    /// The same of one client.
    pub max_queued_per_client: u64,
    /// The ended jobs that are kept.
    pub history_rows: u64,
    /// The age of ended jobs that are kept.
    pub history_age: Duration,
    /// The requests per second of all clients; None for no limit.
    pub max_requests: Option<u32>,
    /// The requests per second of one client; None for no limit.
    pub max_requests_per_client: Option<u32>,
    /// The origins of pages elsewhere that may call the service.
    pub cors: Vec<String>,
    /// The limits of sources and targets, by name.
    pub endpoints: BTreeMap<String, EndpointLimits>,
    /// The features that are computed before anybody asks.
    pub warm_up: Vec<WarmUp>,
    /// The traces.
    pub traces: TraceConfig,
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those above it, as PEM.
    pub cert: PathBuf,
    /// The private key, as PEM.
    pub key: PathBuf,
}

/// The limits of a source or a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointLimits {
    /// The batches per second that may begin to use it; None for no limit.
    pub per_second: Option<u32>,
    /// The batches that use it at the same time; None for no limit.
    pub at_once: Option<usize>,
}

/// Features that are computed at certain times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// The feature sets.
    pub sets: Vec<String>,
    /// The symbols; None for all.
    pub symbols: Option<Vec<String>>,
    /// The times in cron syntax, in UTC; None for the start of the service only.
    pub cron: Option<String>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8686".to_string(),
            queue: None,
            workers: 2,
            min_workers: 1,
            max_workers: None,
            grace: SERVE_GRACE,
            cache: None,
            cache_memory: CACHE_MEMORY,
            cache_bytes: CACHE_DURABLE,
            file_cache: None,
            file_cache_bytes: FILE_CACHE_BYTES,
            inputs_check: None,
            tokens: None,
            tls: None,
            max_symbols: SYMBOLS_PER_REQUEST,
            max_queued: QUEUED_JOBS,
            max_queued_per_client: QUEUED_JOBS_PER_CLIENT,
            history_rows: HISTORY_JOBS,
            history_age: HISTORY_AGE,
            max_requests: None,
            max_requests_per_client: None,
            cors: Vec::new(),
            endpoints: BTreeMap::new(),
            warm_up: Vec::new(),
            traces: TraceConfig::default(),
        }
    }
}

/// The way in which a key takes its value.
enum ServeSetting {
    /// A single value; the text describes the expected one.
    Single(fn(&mut ServeConfig, &str) -> Option<()>, &'static str),
    /// A single value in which `${NAME}` stands for an environment variable.
    Secret(fn(&mut ServeConfig, String)),
    /// A path; a relative one starts from the directory of the file.
    Path(fn(&mut ServeConfig, PathBuf)),
    /// A list or a mapping.
    Nested(fn(&mut ServeConfig, &YamlNode, &ConfigContext) -> Result<()>),
}

/// A key of the section.
struct ServeKey {
    name: &'static str,
    setting: ServeSetting,
    /// The description of the key, for docs/configuration.md.
    about: &'static str,
}

/// Shortens the rows of the table below.
const fn single(
    name: &'static str,
    take: fn(&mut ServeConfig, &str) -> Option<()>,
    expected: &'static str,
    about: &'static str,
) -> ServeKey {
    ServeKey { name, setting: ServeSetting::Single(take, expected), about }
}

const DURATION: &str = "a duration, such as 30s, 10m or 1d";
const COUNT: &str = "a whole number from 1 up";
const SIZE: &str = "a size, such as 256MB or 10GB";

/// Every key, in the order of docs/configuration.md, whose table is generated from these rows.
const SERVE_KEYS: [ServeKey; 25] = [
    single(
        "listen",
        |c, text| replace(&mut c.listen, Some(text.to_string())),
        "an address",
        "address that the service listens on; default: `127.0.0.1:8686` (`--listen`)",
    ),
    ServeKey {
        name: "queue",
        setting: ServeSetting::Secret(|c, text| c.queue = Some(text)),
        about: "`sqlite:PATH` or `postgres://...`, with `${NAME}` for environment variables; default: `.windrow/queue.sqlite` next to the file (`--queue`)",
    },
    single(
        "workers",
        |c, text| replace(&mut c.workers, in_range(text, 0, 1024)),
        "0 to 1024",
        "batches of jobs that are computed at the same time; 0 answers only; default: 2 (`--workers`)",
    ),
    single(
        "min_workers",
        |c, text| replace(&mut c.min_workers, in_range(text, 1, 1024)),
        "1 to 1024",
        "batches that are computed even under pressure; default: 1",
    ),
    single(
        "max_workers",
        |c, text| replace(&mut c.max_workers, in_range(text, 1, 1024).map(Some)),
        "1 to 1024",
        "batches that are computed at most when nothing presses; default: `workers`",
    ),
    single(
        "grace",
        |c, text| replace(&mut c.grace, parse_duration(text)),
        DURATION,
        "time that running batches have to end at shutdown; default: `30s` (`--grace`)",
    ),
    ServeKey {
        name: "cache",
        setting: ServeSetting::Secret(|c, text| c.cache = Some(text)),
        about: "durable tier of the cache: a directory, `s3://bucket/prefix/` or `postgres://...`; default: `.windrow/cache` next to the file",
    },
    single(
        "cache_memory",
        |c, text| replace(&mut c.cache_memory, parse_size(text).ok()),
        SIZE,
        "cached rows in memory; default: `256MB`",
    ),
    single(
        "cache_bytes",
        |c, text| replace(&mut c.cache_bytes, parse_size(text).ok()),
        SIZE,
        "size of the durable tier; the oldest entries go first; default: `10GB`",
    ),
    ServeKey {
        name: "file_cache",
        setting: ServeSetting::Path(|c, path| c.file_cache = Some(path)),
        about: "directory for bytes of remote sources, so that a file with the same ETag is fetched once; default: `.windrow/files` next to the file",
    },
    single(
        "file_cache_bytes",
        |c, text| replace(&mut c.file_cache_bytes, parse_size(text).ok()),
        SIZE,
        "size of that directory; the bytes that were used longest ago go first; `0` keeps none; default: `10GB`",
    ),
    single(
        "inputs_check",
        |c, text| replace(&mut c.inputs_check, parse_duration(text).map(Some)),
        DURATION,
        "age up to which the state of inputs counts as known; `0s` looks every time; default: `1s`, and `10s` for remote sources",
    ),
    ServeKey {
        name: "tokens",
        setting: ServeSetting::Path(|c, path| c.tokens = Some(path)),
        about: "file of `windrow token`; default: `.windrow/tokens.json` next to the file",
    },
    ServeKey {
        name: "tls",
        setting: ServeSetting::Nested(take_tls),
        about: "mapping with `cert` and `key`: files in PEM, which are read again when they change",
    },
    single(
        "max_symbols",
        |c, text| replace(&mut c.max_symbols, in_range(text, 1, usize::MAX)),
        COUNT,
        "symbols that one request may name; default: 100",
    ),
    single(
        "max_queued",
        |c, text| replace(&mut c.max_queued, in_range(text, 1, u64::MAX)),
        COUNT,
        "jobs in the queue that have not ended; default: 1,000,000",
    ),
    single(
        "max_queued_per_client",
        |c, text| replace(&mut c.max_queued_per_client, in_range(text, 1, u64::MAX)),
        COUNT,
        "the same of one client; default: 500,000",
    ),
    single(
        "history_rows",
        |c, text| replace(&mut c.history_rows, in_range(text, 0, u64::MAX)),
        "a whole number",
        "ended jobs that are kept; default: 100,000",
    ),
    single(
        "history_age",
        |c, text| replace(&mut c.history_age, parse_duration(text)),
        DURATION,
        "age of ended jobs that are kept; default: `7d`",
    ),
    single(
        "max_requests",
        |c, text| replace(&mut c.max_requests, in_range(text, 1, u32::MAX).map(Some)),
        COUNT,
        "requests per second of all clients; default: no limit",
    ),
    single(
        "max_requests_per_client",
        |c, text| replace(&mut c.max_requests_per_client, in_range(text, 1, u32::MAX).map(Some)),
        COUNT,
        "requests per second of one token; default: no limit",
    ),
    ServeKey {
        name: "cors",
        setting: ServeSetting::Nested(take_cors),
        about: "list of origins whose pages may call the service; default: none",
    },
    ServeKey {
        name: "endpoints",
        setting: ServeSetting::Nested(take_endpoints),
        about: "limits of sources and targets by name, each a mapping with `per_second` and `at_once`; default: none",
    },
    ServeKey {
        name: "warm_up",
        setting: ServeSetting::Nested(take_warm_up),
        about: "list of mappings with `sets`, `symbols` (default: all) and `cron` (default: at the start): features that are computed before anybody asks",
    },
    ServeKey {
        name: "traces",
        setting: ServeSetting::Nested(|c, node, _| {
            c.traces = TraceConfig::from_yaml(node)?;
            Ok(())
        }),
        about: "mapping with `endpoint` (URL of a collector of OpenTelemetry; spans go to `/v1/traces` below it), `sample_ratio` (part of the traces that begin here, 0 to 1; default: 1) and `service_name` (default: `windrow`); default: no traces",
    },
];

/// Sets a value; returns None if there is none.
fn replace<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn in_range<T: std::str::FromStr + PartialOrd>(text: &str, least: T, most: T) -> Option<T> {
    text.parse().ok().filter(|value| (least..=most).contains(value))
}

pub(super) fn take_serve(
    config: &mut Config,
    node: &YamlNode,
    around: &ConfigContext<'_>,
) -> Result<()> {
    let serve = &mut config.serve;
    for (key, value) in node.require_entries("serve")? {
        let name = &key.text;
        let what = format!("serve.{name}");
        let Some(known) = SERVE_KEYS.iter().find(|known| known.name == name) else {
            let names = SERVE_KEYS.iter().map(|known| known.name);
            return Err(key
                .error_here(format!("unknown key {name} of serve"))
                .hint(did_you_mean(name, "keys", names)));
        };
        match &known.setting {
            ServeSetting::Single(take, expected) => {
                let text = value.require_scalar(&what)?;
                take(serve, text.trim()).ok_or_else(|| {
                    value.error_here(unexpected_value_message(&what, &text, expected))
                })?;
            }
            ServeSetting::Secret(take) => take(serve, expand_variables(&what, value, around.env)?),
            ServeSetting::Path(take) => take(serve, path_beside(&what, value, around)?),
            ServeSetting::Nested(take) => take(serve, value, around)?,
        }
    }
    Ok(())
}

/// Returns a path; a relative one starts from the directory of the file.
fn path_beside(what: &str, node: &YamlNode, around: &ConfigContext<'_>) -> Result<PathBuf> {
    Ok(around.directory.join(expand_variables(what, node, around.env)?))
}

fn take_tls(serve: &mut ServeConfig, node: &YamlNode, around: &ConfigContext<'_>) -> Result<()> {
    let (mut cert, mut file) = (None, None);
    for (key, value) in node.require_entries("serve.tls")? {
        let path = path_beside(&format!("serve.tls.{}", key.text), value, around)?;
        match key.text.as_str() {
            "cert" => cert = Some(path),
            "key" => file = Some(path),
            other => {
                let hint = did_you_mean(other, "keys", ["cert", "key"]);
                return Err(key.error_here(format!("unknown key {other} of serve.tls")).hint(hint));
            }
        }
    }
    match (cert, file) {
        (Some(cert), Some(key)) => serve.tls = Some(TlsFiles { cert, key }),
        _ => {
            return Err(node
                .error_here("serve.tls has not both cert and key")
                .hint("name the files of the certificate and of its private key"));
        }
    }
    Ok(())
}

fn take_cors(serve: &mut ServeConfig, node: &YamlNode, _: &ConfigContext<'_>) -> Result<()> {
    let origins = node.require_text_list("serve.cors")?;
    let is_origin = |origin: &String| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
    };
    if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
        return Err(node
            .error_here(format!("serve.cors: {wrong} is no origin"))
            .hint("write https://HOST or http://HOST:PORT, without a path"));
    }
    serve.cors = origins;
    Ok(())
}

fn take_endpoints(serve: &mut ServeConfig, node: &YamlNode, _: &ConfigContext<'_>) -> Result<()> {
    for (key, value) in node.require_entries("serve.endpoints")? {
        let name = require_identifier(key, "source or target")?;
        let mut limits = EndpointLimits::default();
        for (key, value) in value.require_entries(&format!("serve.endpoints.{name}"))? {
            let what = format!("serve.endpoints.{name}.{}", key.text);
            let names = ["per_second", "at_once"];
            if !names.contains(&key.text.as_str()) {
                return Err(key
                    .error_here(format!("unknown key {} of serve.endpoints.{name}", key.text))
                    .hint(did_you_mean(&key.text, "keys", names)));
            }
            let text = value.require_scalar(&what)?;
            let number = in_range(text.trim(), 1, u32::MAX);
            let number = number
                .ok_or_else(|| value.error_here(unexpected_value_message(&what, &text, COUNT)))?;
            match key.text.as_str() {
                "per_second" => limits.per_second = Some(number),
                _ => limits.at_once = Some(number as usize),
            }
        }
        serve.endpoints.insert(name.to_string(), limits);
    }
    Ok(())
}

fn take_warm_up(serve: &mut ServeConfig, node: &YamlNode, _: &ConfigContext<'_>) -> Result<()> {
    let YamlValue::List(items) = &node.value else {
        return Err(node
            .error_here(format!("serve.warm_up is {}, expected a list", node.describe_kind()))
            .hint("write `- {sets: [momentum], cron: \"0 6 * * 1-5\"}`"));
    };
    for item in items {
        let mut warm = WarmUp { sets: Vec::new(), symbols: None, cron: None };
        for (key, value) in item.require_entries("serve.warm_up")? {
            let what = format!("serve.warm_up.{}", key.text);
            match key.text.as_str() {
                "sets" => warm.sets = value.require_text_list(&what)?,
                "symbols" => warm.symbols = Some(value.require_text_list(&what)?),
                "cron" => warm.cron = Some(value.require_text(&what)?.to_string()),
                other => {
                    let hint = did_you_mean(other, "keys", ["sets", "symbols", "cron"]);
                    return Err(key
                        .error_here(format!("unknown key {other} of serve.warm_up"))
                        .hint(hint));
                }
            }
        }
        if warm.sets.is_empty() {
            return Err(item
                .error_here("serve.warm_up has no sets")
                .hint("name some: `sets: [momentum]`"));
        }
        serve.warm_up.push(warm);
    }
    Ok(())
}

/// Returns the table of the section for docs/configuration.md.
pub(super) fn serve_markdown() -> String {
    let mut out = String::from("| key of `serve` | what it does |\n|---|---|\n");
    for key in &SERVE_KEYS {
        out += &format!("| `{}` | {} |\n", key.name, key.about);
    }
    out
}
