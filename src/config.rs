//! Reads and checks the settings of `windrow.yaml`, the environment and the flags.
//!
//! One table of keys drives the file, the names of environment variables, and every message. This module
//! opens no source and no target: it treats a location as text.

mod keys;
mod serve;
mod stores;
mod traces;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result, did_you_mean, nearest_name};
pub use keys::keys_markdown;
use keys::{ConfigKey, KEYS, Setting};
pub use serve::{EndpointLimits, ServeConfig, TlsFiles, WarmUp};
pub use stores::{STORE_SCHEMES, StoreConfig, StoreKey};
pub use traces::TraceConfig;
use yaml::{YamlKey, YamlNode, YamlValue};

/// The name of the configuration file, which is searched upwards from the working directory.
pub const FILE: &str = "windrow.yaml";

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that was read; None if there is none.
    pub file: Option<PathBuf>,
    /// The tables that queries read, by name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// The locations that runs write to, by name.
    pub targets: BTreeMap<String, String>,
    /// The settings of object stores, by URL prefix: `s3://bucket`, or `s3://` for every bucket.
    pub stores: BTreeMap<String, StoreConfig>,
    /// Rows per batch.
    pub batch_size: usize,
    /// Threads that compute.
    pub parallel_workers: usize,
    /// The time limit of a command; None if there is no limit.
    pub timeout: Option<Duration>,
    /// The memory limit of the process in bytes; None if it is not set.
    pub memory_limit: Option<u64>,
    /// The compression of parquet targets.
    pub compression: Compression,
    /// The life of an entry in the cache of the service; None for no end.
    pub cache_ttl: Option<Duration>,
    /// The settings of the service.
    pub serve: ServeConfig,
    /// True if runs write 64-bit floats as 32-bit floats into parquet targets.
    pub float32: bool,
    /// The names of optimizer rules that are switched off, to find the rule that a wrong value comes from.
    pub disabled_rules: String,
}

/// The compression of the pages of a parquet target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// LZ4 for columns of floats unless Zstandard is clearly smaller, Zstandard for all others.
    #[default]
    Auto,
    /// No compression.
    None,
    /// Snappy.
    Snappy,
    /// LZ4, the raw block format.
    Lz4,
    /// Zstandard, with its level.
    Zstd(u8),
}

impl Compression {
    /// The names of the compressions; a level of zstd follows a colon.
    const WORDS: [&str; 5] = ["auto", "zstd", "lz4", "snappy", "none"];

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "auto" => Self::Auto,
            "none" => Self::None,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd(1),
            _ => {
                let level = text.strip_prefix("zstd:")?.parse().ok()?;
                Self::Zstd(Some(level).filter(|level| (1..=22).contains(level))?)
            }
        })
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text} is no compression"))
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Snappy => f.write_str("snappy"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// A named source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceConfig {
    /// A directory, file, glob or URL.
    pub location: String,
    /// The column that identifies the symbol.
    pub entity: String,
    /// The column that orders the bars of a symbol.
    pub time: String,
    /// The treatment of conflicting rows with the same symbol and time.
    pub duplicates: Duplicates,
    /// The method that detects changes of files.
    pub inputs: ChangeDetection,
    /// A query whose answer changes whenever the rows of the table or query on a database server change.
    pub revision: Option<String>,
}

/// The method that detects changes of a source's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeDetection {
    /// Compares path, length and the times of modification and status change; for an object, its version,
    /// ETag or time of writing.
    #[default]
    State,
    /// Compares the bytes, all of which are read for it.
    Content,
}

/// The treatment of conflicting rows with the same symbol and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Fails.
    Error,
    /// Keeps the first row by file path and row number.
    First,
    /// Keeps the last row by file path and row number.
    #[default]
    Last,
    /// Keeps all rows: the source is a plain table.
    All,
}

impl Duplicates {
    const NAMES: [(&'static str, Self); 4] =
        [("error", Self::Error), ("first", Self::First), ("last", Self::Last), ("all", Self::All)];
}

/// The context that text in the file may refer to: its directory and the environment.
struct ConfigContext<'a> {
    /// The directory of the file.
    directory: &'a Path,
    /// Looks up one environment variable.
    env: &'a dyn Fn(&str) -> Option<String>,
}

/// Every key of a source. The key `bar_time` is known but refused.
const SOURCE_KEYS: [&str; 7] =
    ["location", "entity", "time", "duplicates", "inputs", "revision", "bar_time"];

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            sources: BTreeMap::new(),
            targets: BTreeMap::new(),
            stores: BTreeMap::new(),
            batch_size: 4096,
            parallel_workers: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: None,
            memory_limit: None,
            compression: Compression::default(),
            cache_ttl: None,
            serve: ServeConfig::default(),
            float32: false,
            disabled_rules: String::new(),
        }
    }
}

impl SourceConfig {
    /// Returns a source with the default column names.
    pub fn new(location: impl Into<String>) -> Self {
        Self {
            location: location.into(),
            entity: "symbol".to_owned(),
            time: "ts".to_owned(),
            duplicates: Duplicates::default(),
            inputs: ChangeDetection::default(),
            revision: None,
        }
    }

    /// Returns the settings that decide which values are computed from the rows of the source.
    pub fn row_policy(&self) -> Vec<(&'static str, String)> {
        // Destructured in full, so that no new field is forgotten. The location of the rows and the detection
        // of changes belong to the inputs.
        let Self { location: _, entity, time, duplicates, inputs: _, revision: _ } = self;
        let named = Duplicates::NAMES.iter().find(|(_, value)| value == duplicates);
        let duplicates = named.map_or("", |(name, _)| name).to_string();
        vec![("entity", entity.clone()), ("time", time.clone()), ("duplicates", duplicates)]
    }
}

impl Config {
    /// Reads the file found upwards from `start`, then the environment, which takes precedence.
    ///
    /// `env` looks up one environment variable. Without a file, the defaults apply.
    pub fn load(start: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = Self::default();
        let start = std::path::absolute(start).map_err(|error| {
            Error::usage(format!("{}: not a directory: {error}", start.display()))
        })?;
        if let Some(file) = start.ancestors().map(|at| at.join(FILE)).find(|file| file.is_file()) {
            let nearby = file.parent() == Some(start.as_path());
            let shown = if nearby { FILE.to_owned() } else { file.display().to_string() };
            config.read_config_file(&file, &shown, env)?;
            config.file = Some(file);
        }
        for (key, name) in Self::environment_keys() {
            // An empty variable counts as unset, as in most programs.
            if let Some(text) = env(&name).filter(|text| !text.trim().is_empty()) {
                config.set_key(key, &text, &name)?;
            }
        }
        Ok(config)
    }

    /// Returns the location of a target for one set, whose name replaces `{set}` in it.
    ///
    /// # Errors
    /// A named target has `{set}` in its location, and no set is given.
    pub fn resolve_set_target(&self, name: &str, set: Option<&str>) -> Result<String> {
        match (self.targets.get(name), set) {
            (None, Some(set)) => Ok(name.replace("{set}", set)),
            (None, None) => Ok(name.to_owned()),
            (Some(location), Some(set)) => Ok(location.replace("{set}", set)),
            (Some(location), None) if location.contains("{set}") => {
                Err(Error::usage(format!("the target {name} is one for each set: {location}"))
                    .hint(format!(
                        "name one of them, such as {}",
                        location.replace("{set}", "momentum")
                    )))
            }
            (Some(location), None) => Ok(location.clone()),
        }
    }

    /// Returns the location of a target that is given by its name or as a location.
    pub fn target_location<'a>(&'a self, name: &'a str) -> &'a str {
        self.targets.get(name).map_or(name, String::as_str)
    }

    /// Sets one key from text, for the environment and for flags. Errors name `origin`: the variable or the
    /// flag.
    pub fn set_key(&mut self, key: &str, text: &str, origin: &str) -> Result<()> {
        match KEYS.iter().find(|known| known.name == key).map(|known| &known.setting) {
            Some(Setting::Single(take, expected)) => take(self, text.trim()).ok_or_else(|| {
                Error::usage(format!("{origin}: {}", unexpected_value_message(key, text, expected)))
            }),
            Some(Setting::Mapping(_)) => {
                Err(Error::usage(format!("{origin}: {key} can only be set in {FILE}")))
            }
            None => Err(Error::usage(format!("{origin}: unknown key {key}")).hint(did_you_mean(
                key,
                "keys",
                config_keys(),
            ))),
        }
    }

    /// Returns the keys that the environment can set, each with the name of its variable.
    pub fn environment_keys() -> impl Iterator<Item = (&'static str, String)> {
        KEYS.iter()
            .filter(|key| matches!(key.setting, Setting::Single(..)))
            .map(|key| (key.name, format!("WINDROW_{}", key.name.to_uppercase())))
    }

    fn read_config_file(
        &mut self,
        file: &Path,
        shown: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<()> {
        let text = crate::outside::files::read_text(file)
            .map_err(|error| Error::usage(format!("{shown}: cannot be read: {error}")))?;
        let around = ConfigContext { directory: file.parent().unwrap_or(Path::new("")), env };
        let root = yaml::parse_document(Kind::Usage, shown, 1, &text)?;
        for (key, node) in root.require_entries(FILE)? {
            match KEYS.iter().find(|known| known.name == key.text) {
                Some(ConfigKey { name, setting: Setting::Single(take, expected), .. }) => {
                    let text = node.require_scalar(name)?;
                    take(self, text.trim()).ok_or_else(|| {
                        node.error_here(unexpected_value_message(name, &text, expected))
                    })?;
                }
                Some(ConfigKey { setting: Setting::Mapping(take), .. }) => {
                    take(self, node, &around)?
                }
                None => {
                    return Err(key
                        .error_here(format!("unknown key {}", key.text))
                        .hint(did_you_mean(&key.text, "keys", config_keys())));
                }
            }
        }
        Ok(())
    }
}

/// The hint for a key that is not supported yet.
const REMOVE: &str = "remove the key";

/// Returns the names of the keys.
fn config_keys() -> impl Iterator<Item = &'static str> + Clone {
    KEYS.iter().map(|key| key.name)
}

fn unexpected_value_message(key: &str, text: &str, expected: &str) -> String {
    let mut message = format!("{key} is {}, expected {expected}", text.trim());
    if key == "compression"
        && let Some(near) = nearest_name(text.trim(), Compression::WORDS)
    {
        message += &format!("; did you mean {near}?");
    }
    message
}

fn take_sources(config: &mut Config, node: &YamlNode, around: &ConfigContext<'_>) -> Result<()> {
    for (key, value) in node.require_entries("sources")? {
        let name = require_identifier(key, "source")?;
        let source = match &value.value {
            YamlValue::Map(entries) => parse_source_config(name, key, entries, around)?,
            _ => SourceConfig::new(resolve_location(&format!("source {name}"), value, around)?),
        };
        config.sources.insert(name.to_owned(), source);
    }
    Ok(())
}

fn parse_source_config(
    name: &str,
    at: &YamlKey,
    entries: &[(YamlKey, YamlNode)],
    around: &ConfigContext<'_>,
) -> Result<SourceConfig> {
    let mut source = SourceConfig::new("");
    for (key, value) in entries {
        let what = || format!("{} of source {name}", key.text);
        match key.text.as_str() {
            "location" => source.location = resolve_location(&what(), value, around)?,
            "entity" => source.entity = value.require_text(&what())?.to_owned(),
            "time" => source.time = value.require_text(&what())?.to_owned(),
            "duplicates" => source.duplicates = parse_duplicates(&what(), value)?,
            "inputs" => source.inputs = parse_change_detection(&what(), value)?,
            "revision" => source.revision = Some(value.require_text(&what())?.to_owned()),
            "bar_time" => {
                return Err(key.error_here("bar_time is not supported yet").hint(REMOVE));
            }
            other => {
                let hint = did_you_mean(other, "keys", SOURCE_KEYS);
                return Err(key
                    .error_here(format!("unknown key {other} of source {name}"))
                    .hint(hint));
            }
        }
    }
    if source.location.is_empty() {
        return Err(at
            .error_here(format!("source {name} has no location"))
            .hint("add `location:` with a directory, file, glob or URL"));
    }
    Ok(source)
}

fn parse_duplicates(what: &str, node: &YamlNode) -> Result<Duplicates> {
    let text = node.require_scalar(what)?;
    Duplicates::NAMES.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(
        || node.error_here(unexpected_value_message(what, &text, "error, first, last or all")),
    )
}

fn parse_change_detection(what: &str, node: &YamlNode) -> Result<ChangeDetection> {
    match node.require_scalar(what)?.as_str() {
        "state" => Ok(ChangeDetection::State),
        "content" => Ok(ChangeDetection::Content),
        other => Err(node.error_here(unexpected_value_message(what, other, "state or content"))),
    }
}

fn take_targets(config: &mut Config, node: &YamlNode, around: &ConfigContext<'_>) -> Result<()> {
    for (key, value) in node.require_entries("targets")? {
        let name = require_identifier(key, "target")?;
        let location = resolve_location(&format!("target {name}"), value, around)?;
        config.targets.insert(name.to_owned(), location);
    }
    Ok(())
}

/// Returns a name that SQL can write without quotes, or an error at the key.
fn require_identifier<'a>(key: &'a YamlKey, what: &str) -> Result<&'a str> {
    let name = key.text.as_str();
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if fits {
        return Ok(name);
    }
    Err(key
        .error_here(format!("{what} {name} is not a name that SQL can read"))
        .hint("use lower-case letters, digits and _, and start with a letter"))
}

/// Returns a location. A relative path starts from the directory of the file, and `${NAME}` is replaced by
/// the value of the environment variable.
fn resolve_location(what: &str, node: &YamlNode, around: &ConfigContext<'_>) -> Result<String> {
    if let YamlValue::List(items) = &node.value {
        let urls = items.iter().map(|item| resolve_location(what, item, around));
        let urls = urls.collect::<Result<Vec<_>>>()?;
        if let Some((_, at)) = urls.iter().zip(items).find(|(url, _)| !url.starts_with("http")) {
            return Err(at
                .error_here(format!("{what} is a list of something else than web addresses"))
                .hint("name a directory or a glob: only http has no listing"));
        }
        return Ok(urls.join(","));
    }
    let text = &expand_variables(what, node, around.env)?;
    if text.contains("://") || Path::new(text).is_absolute() {
        return Ok(text.to_owned());
    }
    Ok(around.directory.join(text.trim_start_matches("./")).to_string_lossy().into_owned())
}

/// Returns text with the values of the variables that it names. No message contains such a value.
fn expand_variables(
    what: &str,
    node: &YamlNode,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String> {
    let mut rest = node.require_text(what)?;
    let mut text = String::new();
    while let Some((before, reference)) = rest.split_once("${") {
        let Some((name, after)) = reference.split_once('}') else {
            return Err(node
                .error_here(format!("{what}: ${{ has no end"))
                .hint("write ${NAME} for the value of an environment variable"));
        };
        text += before;
        rest = after;
        // A missing variable is reported only when its location is used, so that other commands work without
        // it.
        let Some(value) = env(name) else {
            text += &format!("${{{name}}}");
            continue;
        };
        // A password may contain characters with a meaning in a URL.
        if text.contains("://") && after.starts_with('@') {
            text.extend(percent_encoding::utf8_percent_encode(
                &value,
                percent_encoding::NON_ALPHANUMERIC,
            ));
        } else {
            text += &value;
        }
    }
    Ok(text + rest)
}

/// The units of a size. `K` alone is `KB`.
const UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Parses a size in bytes: `2GB`, `512MiB`, `1.5 GB`, `1048576`.
pub fn parse_size(text: &str) -> Result<u64> {
    let error = || {
        Error::usage(format!("{} is not a size", text.trim()))
            .hint("write a number and a unit, such as 2GB or 512MiB")
    };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim().to_lowercase();
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*bytes).ok_or_else(error);
    }
    let size = number.parse::<f64>().map_err(|_| error())? * *bytes as f64;
    if size < u64::MAX as f64 { Ok(size as u64) } else { Err(error()) }
}

/// Parses a duration: `500ms`, `30s`, `10m`, `2h`, `7d`; a number alone is in seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * seconds;
    Duration::try_from_secs_f64(seconds).ok().filter(|of| *of <= LONGEST_DURATION)
}

/// The longest duration that a setting may have: 100 years.
const LONGEST_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests;
