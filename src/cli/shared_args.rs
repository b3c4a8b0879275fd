//! Flags of every command with a session, and the engine built from them.

use clap::Args;

use super::SourceArgs;
use crate::commit::{Target, TargetContents};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The sources and limits of a session.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    pub(super) sources: SourceArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// A session for statements, and whether they may write.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct StatementArgs {
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// Let COPY write files that are not there yet
    #[arg(long)]
    write: bool,
}

impl StatementArgs {
    /// Builds the engine of the session, which may write if `--write` is given.
    pub(super) async fn build_engine(&self, config: Config) -> Result<Engine> {
        let mut engine = self.session.build_engine(config).await?;
        engine.allow_writing(self.write);
        if !engine.config().disabled_rules.is_empty() {
            let rules = &engine.config().disabled_rules;
            eprintln!("note: disabled_rules is {rules}: values and plans may differ");
        }
        Ok(engine)
    }
}

/// The threads and the memory that a command may use.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LimitArgs {
    /// How many threads compute; all cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// How much memory operators may take before they spill to disk, such as 2GB
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
}

impl LimitArgs {
    /// Overrides the configuration with the given flags.
    pub(super) fn apply_flags(&self, config: &mut Config) -> Result<()> {
        if let Some(threads) = &self.threads {
            config.set_key("parallel_workers", threads, "--threads")?;
        }
        if let Some(limit) = &self.memory_limit {
            config.set_key("memory_limit", limit, "--memory-limit")?;
        }
        Ok(())
    }
}

/// The compression of a parquet target.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct CompressionArgs {
    /// How pages are compressed: auto, zstd, zstd:1 to zstd:22, lz4, snappy or none
    #[arg(long, value_name = "C")]
    compression: Option<String>,
}

impl CompressionArgs {
    /// Overrides the configuration with the given flag. Refuses the flag for a target that is not parquet.
    pub(super) fn apply_flags(&self, config: &mut Config, to: &str) -> Result<()> {
        let Some(compression) = &self.compression else { return Ok(()) };
        config.set_key("compression", compression, "--compression")?;
        require_parquet("--compression", config, to)
    }
}

/// Refuses a flag about writing parquet for a target that is not parquet.
pub(super) fn require_parquet(flag: &str, config: &Config, to: &str) -> Result<()> {
    let target = Target::parse(config.target_location(to))?;
    match target.contents() {
        TargetContents::Parquet => Ok(()),
        other => Err(Error::usage(format!("{flag}: {target} is {other}"))
            .hint("leave the flag out, or name a directory for parquet")),
    }
}

impl SessionArgs {
    /// Builds an engine with the sources of the command line and of the configuration.
    pub(super) async fn build_engine(&self, config: Config) -> Result<Engine> {
        let mut engine = Engine::new(config)?;
        self.sources.open_sources(&mut engine).await?;
        Ok(engine)
    }
}

impl SourceArgs {
    /// Opens the given sources and adds those of the configuration, which are opened when they are first
    /// read.
    pub(super) async fn open_sources(&self, engine: &mut Engine) -> Result<()> {
        for (name, location) in self.parse_sources()? {
            engine.add_source(&name, &location).await?;
        }
        engine.add_configured_sources();
        Ok(())
    }

    /// Splits the given sources into names and locations.
    pub(super) fn parse_sources(&self) -> Result<Vec<(String, String)>> {
        let mut seen = std::collections::BTreeSet::new();
        let mut named = Vec::new();
        for given in &self.sources {
            let (name, location) = given.split_once('=').ok_or_else(|| {
                Error::usage(format!("--source {given} has no name"))
                    .hint(format!("write --source bars={given}"))
            })?;
            if !seen.insert(name.trim()) {
                return Err(Error::usage(format!("--source {} is given twice", name.trim()))
                    .hint("give each source a name of its own"));
            }
            named.push((name.trim().to_string(), location.to_string()));
        }
        Ok(named)
    }
}
