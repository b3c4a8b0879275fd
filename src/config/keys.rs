//! The keys of `windrow.yaml`: one table, which drives parsing, messages, the environment and
//! docs/configuration.md.

use std::time::Duration;

use super::serve::{serve_markdown, take_serve};
use super::stores::take_stores;
use super::yaml::YamlNode;
use super::{
    Compression, Config, ConfigContext, parse_duration, parse_size, take_sources, take_targets,
};
use crate::error::Result;
use crate::limits::MEMORY_LEAST;

/// The kind of value that a key takes.
pub(super) enum Setting {
    /// A single value, which the environment and flags can also set. The text describes the expected value.
    Single(fn(&mut Config, &str) -> Option<()>, &'static str),
    /// A mapping that only the file can contain. Its function also gets the directory of the file.
    Mapping(fn(&mut Config, &YamlNode, &ConfigContext) -> Result<()>),
}

/// A key of the file.
pub(super) struct ConfigKey {
    pub(super) name: &'static str,
    pub(super) setting: Setting,
    /// The flag that also sets the key; empty if there is none.
    pub(super) flag: &'static str,
    /// The description of the key, for docs/configuration.md.
    pub(super) about: &'static str,
}

/// Every key, in the order of docs/configuration.md, whose table is generated from these rows.
pub(super) const KEYS: [ConfigKey; 12] = [
    ConfigKey {
        name: "sources",
        setting: Setting::Mapping(take_sources),
        flag: "--source",
        about: "named sources: a location, or a mapping with the keys shown above",
    },
    ConfigKey {
        name: "targets",
        setting: Setting::Mapping(take_targets),
        flag: "",
        about: "named targets for `--to` and `export`; `{set}` in a location stands for the name of the set",
    },
    ConfigKey {
        name: "stores",
        setting: Setting::Mapping(take_stores),
        flag: "",
        about: "settings of object stores ([object-stores.md](object-stores.md))",
    },
    ConfigKey {
        name: "batch_size",
        setting: Setting::Single(take_batch_size, "1024 to 1048576 rows"),
        flag: "",
        about: "rows per batch, 1,024 to 1,048,576; default: 4,096",
    },
    ConfigKey {
        name: "parallel_workers",
        setting: Setting::Single(take_parallel_workers, "1 to 1024 threads"),
        flag: "--threads",
        about: "threads that compute, 1 to 1,024; default: all cores",
    },
    ConfigKey {
        name: "timeout_seconds",
        setting: Setting::Single(take_timeout, "0.001 to 31536000 seconds"),
        flag: "",
        about: "time limit of a command; in the REPL, of each statement. A run that passes it commits nothing. Default: none",
    },
    ConfigKey {
        name: "memory_limit",
        setting: Setting::Single(take_memory_limit, "a size from 128MB up, such as 2GB or 512MiB"),
        flag: "--memory-limit",
        about: "memory of the process, from 128MB up; sorts spill to disk. Default: see below",
    },
    ConfigKey {
        name: "compression",
        setting: Setting::Single(
            take_compression,
            "auto, zstd, zstd:1 to zstd:22, lz4, snappy or none",
        ),
        flag: "--compression",
        about: "compression of parquet targets: `auto`, `zstd`, `zstd:1` to `zstd:22`, `lz4`, `snappy`, `none`; default: `auto`",
    },
    ConfigKey {
        name: "float32",
        setting: Setting::Single(take_float32, "true or false"),
        flag: "--float32",
        about: "`true`: runs write 64-bit floats as 32-bit floats into parquet targets; default: `false`",
    },
    ConfigKey {
        name: "disabled_rules",
        setting: Setting::Single(take_disabled_rules, "names of rules, separated by commas"),
        flag: "",
        about: "rules of the optimizer that are switched off, to find the rule that a wrong value comes from (see below)",
    },
    ConfigKey {
        name: "cache_ttl",
        setting: Setting::Single(take_cache_ttl, "a duration, such as 30s, 10m or 1d"),
        flag: "",
        about: "life of an entry in the cache of the service; results are exact however long they live. Default: none",
    },
    ConfigKey {
        name: "serve",
        setting: Setting::Mapping(take_serve),
        flag: "",
        about: "settings of `windrow serve` and `windrow worker`, see below",
    },
];

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

fn take_cache_ttl(config: &mut Config, text: &str) -> Option<()> {
    config.cache_ttl = Some(parse_duration(text).filter(|ttl| !ttl.is_zero())?);
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

fn take_disabled_rules(config: &mut Config, text: &str) -> Option<()> {
    config.disabled_rules = text.to_string();
    Some(())
}

/// Returns the tables of docs/configuration.md, each with the start of its first line.
pub fn keys_markdown() -> [(&'static str, String); 2] {
    let mut out = String::from("| key | environment | flag | what it does |\n|---|---|---|---|\n");
    let quote = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}` ") };
    for key in &KEYS {
        let variable = match key.setting {
            Setting::Single(..) => format!("WINDROW_{}", key.name.to_uppercase()),
            _ => String::new(),
        };
        let (variable, flag) = (quote(&variable), quote(key.flag));
        out += &format!("| `{}` | {variable}| {flag}| {} |\n", key.name, key.about);
    }
    [("| key | environment |", out), ("| key of `serve` |", serve_markdown())]
}
