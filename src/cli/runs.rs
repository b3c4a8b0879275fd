//! `windrow runs` and `windrow vacuum`: the committed runs of a target, and the leftovers of failed runs.

use std::io::{BufWriter, stdout};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use clap::Args;

use super::stdout::print_json;
use crate::commit::{CommittedRun, Target, never_written_error};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::render::{Format, Limit, Printer};
use crate::report::{HistoryReport, VacuumReport};
use crate::store::TimePoint;

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// A directory, a .csv file, s3://bucket/prefix/, postgres://user@host/db?table=T, or a target of
    /// windrow.yaml
    #[arg(value_name = "TARGET")]
    target: String,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

fn resolve_target(target: &str, config: &Config) -> Result<Target> {
    Target::parse(&config.resolve_set_target(target, None)?)?.resolved()
}

pub(super) async fn print_runs(args: TargetArgs, config: Config) -> Result<u8> {
    let target = resolve_target(&args.target, &config)?;
    let history = Engine::new(config)?.commit(&target).history().await?;
    if history.is_empty() {
        return Err(never_written_error(&target));
    }
    if args.json {
        print_json(&HistoryReport::from_history(&target, &history))?;
        return Ok(0);
    }
    let batch = runs_to_batch(&history.runs).map_err(|error| Error::internal(error.to_string()))?;
    let out = BufWriter::new(stdout());
    let mut printer = Printer::new(Format::Table, &batch.schema(), out, Limit::All);
    printer.batch(&batch)?;
    printer.finish()?;
    for name in history.leftovers {
        eprintln!("left by a run that died: {name}; `windrow vacuum` removes it");
    }
    Ok(0)
}

/// Converts the runs to a batch with one row each.
fn runs_to_batch(runs: &[CommittedRun]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |of: fn(&CommittedRun) -> &str| -> ArrayRef {
        Arc::new(runs.iter().map(|run| Some(of(run))).collect::<StringArray>())
    };
    let time = |of: fn(&CommittedRun) -> Option<TimePoint>| -> ArrayRef {
        let times = runs.iter().map(|run| of(run).map(|time| time.to_string()));
        Arc::new(times.collect::<StringArray>())
    };
    let rows: UInt64Array = runs.iter().map(|run| Some(run.rows)).collect();
    let seconds: Float64Array =
        runs.iter().map(|run| Some((run.seconds * 100.0).round() / 100.0)).collect();
    RecordBatch::try_from_iter([
        ("committed", text(|run| &run.committed)),
        ("set", text(|run| &run.set)),
        ("rows", Arc::new(rows) as ArrayRef),
        ("first", time(|run| run.first)),
        ("last", time(|run| run.last)),
        ("seconds", Arc::new(seconds)),
        ("version", text(|run| &run.version)),
        ("run", text(|run| &run.run)),
    ])
}

pub(super) async fn vacuum_target(args: TargetArgs, config: Config) -> Result<u8> {
    let target = resolve_target(&args.target, &config)?;
    let removed = Engine::new(config)?.commit(&target).vacuum().await?;
    if args.json {
        print_json(&VacuumReport::from_removed(&target, &removed))?;
        return Ok(0);
    }
    for name in &removed {
        eprintln!("removed {name}");
    }
    if removed.is_empty() {
        eprintln!("nothing to remove: no run that died left anything in {target}");
    }
    Ok(0)
}
