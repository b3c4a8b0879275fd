//! `windrow.yaml`, the environment and the flags: what is set, and that it makes sense.
//!
//! One table of keys drives the file, the environment's names and every message. This room opens
//! no source and no target; to it a location is text.

pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result, did_you_mean};
use yaml::{Key, Node, Value};

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
    /// Rows per batch.
    pub batch_size: usize,
    /// Threads that compute.
    pub parallel_workers: usize,
    /// The time that a whole command may take.
    pub timeout: Option<Duration>,
    /// The bytes that the engine may account for.
    pub memory_limit: Option<u64>,
}

/// A named source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// A directory, file, glob or URL.
    pub location: String,
    /// The column that tells symbols apart.
    pub entity: String,
    /// The column that orders the bars of a symbol.
    pub time: String,
    /// What to do with conflicting rows of one symbol and time.
    pub duplicates: Duplicates,
}

/// What to do with conflicting rows of one symbol and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// Fail.
    Error,
    /// Keep the first by file path and row number.
    First,
    /// Keep the last by file path and row number.
    #[default]
    Last,
}

impl Duplicates {
    const NAMES: [(&'static str, Self); 3] =
        [("error", Self::Error), ("first", Self::First), ("last", Self::Last)];
}

/// What stands behind a key.
enum Setting {
    /// A single value, which the environment and flags can set too. The text says what is expected.
    Single(fn(&mut Config, &str) -> Option<()>, &'static str),
    /// A mapping that only the file can hold: takes its file's directory.
    Mapping(fn(&mut Config, &Node, &Path) -> Result<()>),
    /// A word that a later version will know.
    NotYet,
}

/// Every key there is.
const KEYS: [(&str, Setting); 7] = [
    ("sources", Setting::Mapping(take_sources)),
    ("targets", Setting::Mapping(take_targets)),
    ("batch_size", Setting::Single(take_batch_size, "1024 to 1048576 rows")),
    ("parallel_workers", Setting::Single(take_parallel_workers, "1 to 1024 threads")),
    ("timeout_seconds", Setting::Single(take_timeout, "0.001 to 31536000 seconds")),
    (
        "memory_limit",
        Setting::Single(take_memory_limit, "a size from 1MB up, such as 2GB or 512MiB"),
    ),
    ("cache_ttl", Setting::NotYet),
];

/// Every key of a source. `bar_time` is refused by name.
const SOURCE_KEYS: [&str; 5] = ["location", "entity", "time", "duplicates", "bar_time"];

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            sources: BTreeMap::new(),
            targets: BTreeMap::new(),
            batch_size: 8192,
            parallel_workers: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: None,
            memory_limit: None,
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
        }
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
            config.read(&file, &shown)?;
            config.file = Some(file);
        }
        for (key, name) in Self::environment_keys() {
            // An empty variable counts as not set, as in most programs.
            if let Some(text) = env(&name).filter(|text| !text.trim().is_empty()) {
                config.apply(key, &text, &name)?;
            }
        }
        Ok(config)
    }

    /// Sets one key from text, for the environment and for flags; `origin` names either in errors.
    pub fn apply(&mut self, key: &str, text: &str, origin: &str) -> Result<()> {
        match KEYS.iter().find(|(name, _)| *name == key) {
            Some((_, Setting::Single(take, expected))) => take(self, text.trim())
                .ok_or_else(|| Error::usage(format!("{origin}: {}", wrong(key, text, expected)))),
            Some((_, Setting::NotYet)) => Err(not_yet(key, origin)),
            Some((_, Setting::Mapping(_))) => {
                Err(Error::usage(format!("{origin}: {key} can only be set in {FILE}")))
            }
            None => Err(Error::usage(format!("{origin}: unknown key {key}")).hint(did_you_mean(
                key,
                "keys",
                names(),
            ))),
        }
    }

    /// The keys that the environment can set, each with the name of its variable.
    pub fn environment_keys() -> impl Iterator<Item = (&'static str, String)> {
        KEYS.iter()
            .filter(|(_, setting)| matches!(setting, Setting::Single(..)))
            .map(|(key, _)| (*key, format!("WINDROW_{}", key.to_uppercase())))
    }

    fn read(&mut self, file: &Path, shown: &str) -> Result<()> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error::usage(format!("{shown}: cannot be read: {error}")))?;
        let directory = file.parent().unwrap_or(Path::new(""));
        let root = yaml::read(Kind::Usage, shown, 1, &text)?;
        for (key, node) in root.entries(FILE)? {
            match KEYS.iter().find(|(name, _)| *name == key.text) {
                Some((name, Setting::Single(take, expected))) => {
                    let text = node.scalar(name)?;
                    take(self, text.trim())
                        .ok_or_else(|| node.error(wrong(name, &text, expected)))?;
                }
                Some((_, Setting::Mapping(take))) => take(self, node, directory)?,
                Some((name, Setting::NotYet)) => {
                    return Err(key.error(format!("{name} is not supported yet")).hint(REMOVE));
                }
                None => {
                    return Err(key.error(format!("unknown key {}", key.text)).hint(did_you_mean(
                        &key.text,
                        "keys",
                        names(),
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The way out of a key that is not supported yet.
const REMOVE: &str = "remove the key";

/// The names of the keys.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    KEYS.iter().map(|(name, _)| *name)
}

fn wrong(key: &str, text: &str, expected: &str) -> String {
    format!("{key} is {}, expected {expected}", text.trim())
}

fn not_yet(key: &str, origin: &str) -> Error {
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
    config.memory_limit = Some(parse_size(text).ok().filter(|bytes| *bytes >= 1_000_000)?);
    Some(())
}

fn take_sources(config: &mut Config, node: &Node, directory: &Path) -> Result<()> {
    for (key, value) in node.entries("sources")? {
        let name = identifier(key, "source")?;
        let source = match &value.value {
            Value::Map(entries) => source(name, key, entries, directory)?,
            _ => SourceConfig::new(location(&format!("source {name}"), value, directory)?),
        };
        config.sources.insert(name.to_owned(), source);
    }
    Ok(())
}

fn source(name: &str, at: &Key, entries: &[(Key, Node)], directory: &Path) -> Result<SourceConfig> {
    let mut source = SourceConfig::new("");
    for (key, value) in entries {
        let what = || format!("{} of source {name}", key.text);
        match key.text.as_str() {
            "location" => source.location = location(&what(), value, directory)?,
            "entity" => source.entity = value.text(&what())?.to_owned(),
            "time" => source.time = value.text(&what())?.to_owned(),
            "duplicates" => source.duplicates = duplicates(&what(), value)?,
            "bar_time" => {
                return Err(key.error("bar_time is not supported yet").hint(REMOVE));
            }
            other => {
                let hint = did_you_mean(other, "keys", SOURCE_KEYS);
                return Err(key.error(format!("unknown key {other} of source {name}")).hint(hint));
            }
        }
    }
    if source.location.is_empty() {
        return Err(at
            .error(format!("source {name} has no location"))
            .hint("add `location:` with a directory, file, glob or URL"));
    }
    Ok(source)
}

fn duplicates(what: &str, node: &Node) -> Result<Duplicates> {
    let text = node.scalar(what)?;
    Duplicates::NAMES
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| node.error(wrong(what, &text, "error, first or last")))
}

fn take_targets(config: &mut Config, node: &Node, directory: &Path) -> Result<()> {
    for (key, value) in node.entries("targets")? {
        let name = identifier(key, "target")?;
        let location = location(&format!("target {name}"), value, directory)?;
        config.targets.insert(name.to_owned(), location);
    }
    Ok(())
}

/// A name that SQL can write without quotes.
fn identifier<'a>(key: &'a Key, what: &str) -> Result<&'a str> {
    let name = key.text.as_str();
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if fits {
        return Ok(name);
    }
    Err(key
        .error(format!("{what} {name} is not a name that SQL can read"))
        .hint("use lower-case letters, digits and _, and start with a letter"))
}

/// A location; a relative path starts from the directory of the file.
fn location(what: &str, node: &Node, directory: &Path) -> Result<String> {
    let text = node.text(what)?;
    if text.contains("://") || Path::new(text).is_absolute() {
        return Ok(text.to_owned());
    }
    Ok(directory.join(text.trim_start_matches("./")).to_string_lossy().into_owned())
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
