//! `windrow run`: computes one feature set and writes it to one target.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::progress::ProgressArgs;
use super::shared_args::{CompressionArgs, SessionArgs, require_parquet};
use super::stdout::{format_bytes, print_json};
use crate::commit::Target;
use crate::config::Config;
use crate::engine::{Engine, RunOptions, RunOutcome, Scope};
use crate::error::{Error, Result, group_digits, pluralize_count};
use crate::report::RunReport;
use crate::stop::Stop;
use crate::write::Progress;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The feature set: a name, or a .sql file
    #[arg(value_name = "SET|FILE")]
    set: String,
    #[command(flatten)]
    session: SessionArgs,
    /// Where to write: a directory or s3://bucket/prefix/ for parquet, a .csv file,
    /// postgres://user@host/db?table=T, or a target of windrow.yaml
    #[arg(long, value_name = "TARGET")]
    pub(super) to: String,
    /// Only these symbols, comma separated; given several times, each is one symbol with its commas
    #[arg(long, value_name = "A,B")]
    symbols: Option<Vec<String>>,
    /// Only rows from this time on, inclusive: 2024-01-31 or 2024-01-31T09:30:00
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Only rows before this time
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// A parameter of the feature set; several are allowed
    #[arg(long = "set", value_name = "K=V")]
    params: Vec<String>,
    /// Take the place of another set that the target holds
    #[arg(long)]
    replace: bool,
    /// Replace just the rows of --symbols, --from and --until, and keep all others of the target
    #[arg(long)]
    merge: bool,
    /// Leave out symbols and files that cannot be computed, name them, and exit with code 1
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    compression: CompressionArgs,
    /// Write 64-bit floats as 32-bit ones
    #[arg(long)]
    float32: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl RunArgs {
    /// Overrides the configuration with the given flags.
    pub(super) fn apply_flags(&self, config: &mut Config) -> Result<()> {
        self.session.limits.apply_flags(config)?;
        self.compression.apply_flags(config, &self.to)?;
        if self.float32 {
            config.set_key("float32", "true", "--float32")?;
            require_parquet("--float32", config, &self.to)?;
        }
        Ok(())
    }
}

pub(super) async fn run_set(args: RunArgs, config: Config, stop: Stop) -> Result<u8> {
    let params = parse_params(&args.params)?;
    let scope =
        Scope { symbols: args.symbols.map(parse_symbols), from: args.from, until: args.until };
    let mut engine = Engine::new(config)?;
    engine.set_keep_going(args.keep_going);
    let set = engine.find_set(&args.set)?;
    let target = Target::parse(&engine.config().resolve_set_target(&args.to, Some(&set.name))?)?;
    let progress = Arc::new(Progress::default());
    let options = RunOptions {
        scope,
        params,
        replace: args.replace,
        merge: args.merge,
        keep_going: args.keep_going,
        progress: Arc::clone(&progress),
        ..RunOptions::new(target, stop)
    };
    let name = set.name.clone();
    let work = async {
        options.stop.run_until_stopped(args.session.sources.open_sources(&mut engine)).await?;
        if options.scope.is_all() {
            // A source that cannot be opened is reported when the set is planned.
            let _ = options.stop.run_until_stopped(engine.open_set_sources(&set)).await;
        }
        progress.set_total(expected_rows(&engine, &options.scope));
        engine.run(set, &options).await
    };
    let outcome = args.progress.run_with_progress(&name, &progress, work).await?;
    for (source, _) in args.session.sources.parse_sources()? {
        if !outcome.record.inputs.contains_key(&source) {
            eprintln!("note: --source {source}: {name} does not read this source");
        }
    }
    print_outcome(&outcome, args.json)?;
    Ok(u8::from(!outcome.record.left_out.is_empty()))
}

/// Parses `--symbols`: a single flag is a list (`A,B`); of several flags each is one symbol, commas included.
fn parse_symbols(given: Vec<String>) -> Vec<String> {
    match given.as_slice() {
        [list] => list.split(',').map(|symbol| symbol.trim().to_string()).collect(),
        _ => given,
    }
}

/// Parses every `--set k=v`.
pub(super) fn parse_params(given: &[String]) -> Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_string(), value.to_string())),
            None => Err(Error::usage(format!("--set {pair} has no value"))
                .hint(format!("write --set {pair}=VALUE"))),
        })
        .collect()
}

/// Returns the rows that a run over everything is expected to write: those of the source `bars`, if it knows
/// their number.
fn expected_rows(engine: &Engine, scope: &Scope) -> Option<u64> {
    match engine.sources().get("bars") {
        Some(bars) if scope.is_all() => bars.row_count(),
        _ => None,
    }
}

/// Prints what was done: in words to standard error and, with `json`, as a report to standard output.
pub(super) fn print_outcome(outcome: &RunOutcome, json: bool) -> Result<()> {
    if json {
        print_json(&RunReport::from_outcome(outcome))?;
    }
    let record = &outcome.record;
    for notice in &record.notices {
        eprintln!("note: {notice}");
    }
    for (what, why) in &record.left_out {
        eprintln!("left out: {what}: {why}");
    }
    for (name, input) in record.inputs.iter().filter(|(_, input)| input.files >= MANY_FILES) {
        eprintln!("{}", format_file_timing(name, input.files, [input.opening, record.seconds]));
    }
    eprintln!("{}", format_outcome(outcome));
    Ok(())
}

/// The number of files from which on the time per file is printed.
const MANY_FILES: u64 = 1000;

/// Formats one line on the files of an input.
fn format_file_timing(name: &str, files: u64, seconds: [f64; 2]) -> String {
    let [opened, computed] = seconds
        .map(|seconds| format!("{seconds:.2} s ({:.3} ms a file)", 1e3 * seconds / files as f64));
    let files = group_digits(files);
    format!("{name}: {files} files, opened in {opened}, read and computed in {computed}")
}

/// Formats one line on a committed run.
pub(super) fn format_outcome(outcome: &RunOutcome) -> String {
    let record = &outcome.record;
    let rate = record.rows as f64 / record.seconds.max(1e-9);
    format!(
        "{}: {}, {}, {} in {:.2} s ({} rows/s) -> {} ({})",
        record.set,
        pluralize_count(record.rows, "row"),
        pluralize_count(record.columns.len() as u64, "column"),
        pluralize_count(record.watermarks.len() as u64, "symbol"),
        record.seconds,
        group_digits(rate as u64),
        outcome.target,
        format_bytes(record.files.iter().map(|f| f.bytes).sum()),
    )
}
