//! `windrow.yaml`, the environment and the flags: what is set, and that it makes sense.
//!
//! One table of keys drives the file, the environment's names and every message. This room opens
//! no source and no target; to it a location is text.

mod stores;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result, did_you_mean, nearest_name};
use crate::limits::MEMORY_LEAST;
pub use stores::{STORE_SCHEMES, StoreConfig, StoreKey};
use yaml::{YamlKey, YamlNode, YamlValue};

/// The name of the file that is looked for upwards from the working directory.
pub const FILE: &str = "windrow.yaml";

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// The tables that queries read, by name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// The locations that runs write to, by name.
    pub targets: BTreeMap<String, String>,
    /// How object stores are reached, by the beginning of their URLs: `s3://bucket`, or `s3://` for
    /// every bucket.
    pub stores: BTreeMap<String, StoreConfig>,
    /// Rows per batch.
    pub batch_size: usize,
    /// Threads that compute.
    pub parallel_workers: usize,
    /// The time that a whole command may take.
    pub timeout: Option<Duration>,
    /// The bytes that the engine may account for.
    pub memory_limit: Option<u64>,
    /// How parquet targets are compressed.
    pub compression: Compression,
    /// Whether runs write 64-bit floats as 32-bit ones.
    pub float32: bool,
}

/// How the pages of a parquet target are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Columns of floats by LZ4 unless Zstandard is clearly smaller, all others by Zstandard.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// LZ4, the raw block format.
    Lz4,
    /// Zstandard, with its level.
    Zstd(u8),
}

impl Compression {
    /// The words for it; a level of zstd stands behind a colon.
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
    /// The column that tells symbols apart.
    pub entity: String,
    /// The column that orders the bars of a symbol.
    pub time: String,
    /// What to do with conflicting rows of one symbol and time.
    pub duplicates: Duplicates,
    /// How it is told whether files are what they were.
    pub inputs: ChangeDetection,
    /// A query whose answer changes whenever the rows of a table or query of a server do.
    pub revision: Option<String>,
}

/// How it is told whether the files of a source are what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeDetection {
    /// By path, length and times of change; of an object by its tag.
    #[default]
    State,
    /// By their bytes, all of which are read for it.
    Content,
}

/// What to do with conflicting rows of one symbol and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Fail.
    Error,
    /// Keep the first by file path and row number.
    First,
    /// Keep the last by file path and row number.
    #[default]
    Last,
    /// Keep all rows as they are: the source is a plain table.
    All,
}

impl Duplicates {
    const NAMES: [(&'static str, Self); 4] =
        [("error", Self::Error), ("first", Self::First), ("last", Self::Last), ("all", Self::All)];
}

/// What text in the file may refer to.
struct ConfigContext<'a> {
    /// The directory of the file.
    directory: &'a Path,
    /// Looks up one environment variable.
    env: &'a dyn Fn(&str) -> Option<String>,
}

/// What stands behind a key.
enum Setting {
    /// A single value, which the environment and flags can set too. The text says what is expected.
    Single(fn(&mut Config, &str) -> Option<()>, &'static str),
    /// A mapping that only the file can hold: takes its file's directory.
    Mapping(fn(&mut Config, &YamlNode, &ConfigContext) -> Result<()>),
    /// A word that a later version will know.
    NotYet,
}

/// Every key there is.
const KEYS: [(&str, Setting); 10] = [
    ("sources", Setting::Mapping(take_sources)),
    ("targets", Setting::Mapping(take_targets)),
    ("stores", Setting::Mapping(stores::take_stores)),
    ("batch_size", Setting::Single(take_batch_size, "1024 to 1048576 rows")),
    ("parallel_workers", Setting::Single(take_parallel_workers, "1 to 1024 threads")),
    ("timeout_seconds", Setting::Single(take_timeout, "0.001 to 31536000 seconds")),
    (
        "memory_limit",
        Setting::Single(take_memory_limit, "a size from 128MB up, such as 2GB or 512MiB"),
    ),
    (
        "compression",
        Setting::Single(take_compression, "auto, zstd, zstd:1 to zstd:22, lz4, snappy or none"),
    ),
    ("float32", Setting::Single(take_float32, "true or false")),
    ("cache_ttl", Setting::NotYet),
];

/// Every key of a source. `bar_time` is refused by name.
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
            float32: false,
        }
    }
}

impl SourceConfig {
    /// A source with the usual column names.
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

    /// The settings that decide which values are computed of the rows that are there.
    pub fn row_policy(&self) -> Vec<(&'static str, String)> {
        // Taken apart, so that nobody forgets a field: where the rows are and how their state is found
        // belongs to the inputs.
        let Self { location: _, entity, time, duplicates, inputs: _, revision: _ } = self;
        let named = Duplicates::NAMES.iter().find(|(_, value)| value == duplicates);
        let duplicates = named.map_or("", |(name, _)| name).to_string();
        vec![("entity", entity.clone()), ("time", time.clone()), ("duplicates", duplicates)]
    }
}

impl Config {
    /// Reads the file found upwards from `start`, and then the environment, which wins.
    ///
    /// `env` looks up one environment variable. Without a file the defaults hold.
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
            // An empty variable counts as not set, as in most programs.
            if let Some(text) = env(&name).filter(|text| !text.trim().is_empty()) {
                config.set_key(key, &text, &name)?;
            }
        }
        Ok(config)
    }

    /// The location of a target for one set, whose name stands for `{set}` in it.
    ///
    /// # Errors
    /// A named target with `{set}` in its location, where no set is known.
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

    /// The location of a target that is given by its name, or as itself.
    pub fn target_location<'a>(&'a self, name: &'a str) -> &'a str {
        self.targets.get(name).map_or(name, String::as_str)
    }

    /// Sets one key from text, for the environment and for flags; `origin` names either in errors.
    pub fn set_key(&mut self, key: &str, text: &str, origin: &str) -> Result<()> {
        match KEYS.iter().find(|(name, _)| *name == key) {
            Some((_, Setting::Single(take, expected))) => {
                take(self, text.trim()).ok_or_else(|| {
                    Error::usage(format!(
                        "{origin}: {}",
                        unexpected_value_message(key, text, expected)
                    ))
                })
            }
            Some((_, Setting::NotYet)) => Err(unsupported_key_error(key, origin)),
            Some((_, Setting::Mapping(_))) => {
                Err(Error::usage(format!("{origin}: {key} can only be set in {FILE}")))
            }
            None => Err(Error::usage(format!("{origin}: unknown key {key}")).hint(did_you_mean(
                key,
                "keys",
                config_keys(),
            ))),
        }
    }

    /// The keys that the environment can set, each with the name of its variable.
    pub fn environment_keys() -> impl Iterator<Item = (&'static str, String)> {
        KEYS.iter()
            .filter(|(_, setting)| matches!(setting, Setting::Single(..)))
            .map(|(key, _)| (*key, format!("WINDROW_{}", key.to_uppercase())))
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
            match KEYS.iter().find(|(name, _)| *name == key.text) {
                Some((name, Setting::Single(take, expected))) => {
                    let text = node.require_scalar(name)?;
                    take(self, text.trim()).ok_or_else(|| {
                        node.error_here(unexpected_value_message(name, &text, expected))
                    })?;
                }
                Some((_, Setting::Mapping(take))) => take(self, node, &around)?,
                Some((name, Setting::NotYet)) => {
                    return Err(key
                        .error_here(format!("{name} is not supported yet"))
                        .hint(REMOVE));
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

/// The way out of a key that is not supported yet.
const REMOVE: &str = "remove the key";

/// The names of the keys.
fn config_keys() -> impl Iterator<Item = &'static str> + Clone {
    KEYS.iter().map(|(name, _)| *name)
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

fn unsupported_key_error(key: &str, origin: &str) -> Error {
    Error::usage(format!("{origin}: {key} is not supported yet"))
}

fn take_batch_size(config: &mut Config, text: &str) -> Option<()> {
    config.batch_size = text.parse().ok().filter(|rows| (1024..=1_048_576).contains(rows))?;
    Some(())
}

fn take_parallel_workers(config: &mut Config, text: &str) -> Option<()> {
    config.parallel_workers = text.parse().ok().filter(|threads| (1..=1024).contains(threads))?;
    Some(())
}

fn take_timeout(config: &mut Config, text: &str) -> Option<()> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=31_536_000.0).contains(seconds))?;
    config.timeout = Some(Duration::try_from_secs_f64(seconds).ok()?);
    Some(())
}

fn take_memory_limit(config: &mut Config, text: &str) -> Option<()> {
    config.memory_limit = Some(parse_size(text).ok().filter(|bytes| *bytes >= MEMORY_LEAST)?);
    Some(())
}

fn take_compression(config: &mut Config, text: &str) -> Option<()> {
    config.compression = Compression::parse(text)?;
    Some(())
}

fn take_float32(config: &mut Config, text: &str) -> Option<()> {
    config.float32 = text.parse().ok()?;
    Some(())
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

/// A name that SQL can write without quotes.
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

/// A location; a relative path starts from the directory of the file, and `${NAME}` is what the
/// environment has under that name.
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

/// Text with the values of the variables that it names. No message has a value.
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
        // Who uses the location says that it is missing; others go without it.
        let Some(value) = env(name) else {
            text += &format!("${{{name}}}");
            continue;
        };
        // A password may hold what has a meaning in a URL.
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

/// Reads a size in bytes: `2GB`, `512MiB`, `1.5 GB`, `1048576`.
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

#[cfg(test)]
mod tests;
