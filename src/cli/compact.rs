//! `windrow compact`: rewrites a source of any layout as files sorted by symbol and time.

use std::sync::Arc;

use clap::Args;

use super::progress::ProgressArgs;
use super::run::print_outcome;
use super::shared_args::{CompressionArgs, LimitArgs};
use crate::commit::Target;
use crate::config::Config;
use crate::engine::{CompactOptions, Engine};
use crate::error::Result;
use crate::stop::Stop;
use crate::write::Progress;

#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    /// The source: a directory, file, 'glob' or URL, or a source of windrow.yaml
    #[arg(value_name = "SRC")]
    source: String,
    /// Where to write: a directory, s3://bucket/prefix/, or a target of windrow.yaml; SRC itself if
    /// windrow wrote it
    #[arg(value_name = "DST")]
    pub(super) to: String,
    /// Keep what DST holds and add the rows after the last of each symbol
    #[arg(long)]
    append: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    compression: CompressionArgs,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl CompactArgs {
    /// Overrides the configuration with the given flags.
    pub(super) fn apply_flags(&self, config: &mut Config) -> Result<()> {
        self.limits.apply_flags(config)?;
        self.compression.apply_flags(config, &self.to)
    }
}

pub(super) async fn compact_source(args: CompactArgs, config: Config, stop: Stop) -> Result<u8> {
    let target = Target::parse(&config.resolve_set_target(&args.to, None)?)?;
    let progress = Arc::new(Progress::default());
    let counter = Arc::clone(&progress);
    let (source, append) = (args.source, args.append);
    let options = CompactOptions { source, target, append, progress: counter, stop };
    let mut engine = Engine::new(config)?;
    let work = engine.compact(&options);
    let outcome = args.progress.run_with_progress("compact", &progress, work).await?;
    print_outcome(&outcome, args.json)?;
    Ok(0)
}
