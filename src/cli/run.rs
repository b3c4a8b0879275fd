//! `windrow run`: one feature set into one target.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::out::{bytes, print_json};
use super::progress::ProgressArgs;
use super::session::{CompressionArgs, SessionArgs, only_parquet};
use crate::commit::Target;
use crate::config::Config;
use crate::engine::{Engine, Outcome, RunOptions, Scope};
use crate::error::{Error, Result, counted, grouped};
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
    /// Overrides the configuration by the flags that were given.
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        self.session.limits.apply(config)?;
        self.compression.apply(config, &self.to)?;
        if self.float32 {
            config.apply("float32", "true", "--float32")?;
            only_parquet("--float32", config, &self.to)?;
        }
        Ok(())
    }
}

pub(super) async fn run(args: RunArgs, config: Config, stop: Stop) -> Result<u8> {
    let params = parse_params(&args.params)?;
    let scope = Scope { symbols: args.symbols.map(symbols), from: args.from, until: args.until };
    let mut engine = Engine::new(config)?;
    engine.keep_going(args.keep_going);
    let set = engine.find_set(&args.set)?;
    let target = Target::parse(&engine.config().target_of(&args.to, Some(&set.name))?)?;
    let progress = Arc::new(Progress::default());
    let keep_going = args.keep_going;
    let counter = Arc::clone(&progress);
    let (replace, merge) = (args.replace, args.merge);
    let options =
        RunOptions { target, scope, params, replace, merge, keep_going, progress: counter, stop };
    let name = set.name.clone();
    let work = async {
        options.stop.or(args.session.sources.open(&mut engine)).await?;
        if options.scope.is_all() {
            // What cannot be opened is told when the set is planned.
            let _ = options.stop.or(engine.open_sources_of(&set)).await;
        }
        progress.expect(total(&engine, &options.scope));
        engine.run(set, &options).await
    };
    let outcome = args.progress.shown(&name, &progress, work).await?;
    report(&outcome, args.json)?;
    Ok(u8::from(!outcome.record.left_out.is_empty()))
}

/// `--symbols A,B`, or each symbol by a flag of its own, with its commas.
fn symbols(given: Vec<String>) -> Vec<String> {
    match given.as_slice() {
        [list] => list.split(',').map(|symbol| symbol.trim().to_string()).collect(),
        _ => given,
    }
}

/// `--set k=v`, as often as given.
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

/// The rows that a run over everything writes, where the only source says so.
fn total(engine: &Engine, scope: &Scope) -> Option<u64> {
    match engine.sources().get("bars") {
        Some(bars) if scope.is_all() => bars.rows(),
        _ => None,
    }
}

/// What was done, for people and with `json` for programs.
pub(super) fn report(outcome: &Outcome, json: bool) -> Result<()> {
    if json {
        print_json(&RunReport::of(outcome))?;
    }
    let record = &outcome.record;
    for notice in &record.notices {
        eprintln!("note: {notice}");
    }
    for (what, why) in &record.left_out {
        eprintln!("left out: {what}: {why}");
    }
    for (name, input) in record.inputs.iter().filter(|(_, input)| input.files >= MANY_FILES) {
        eprintln!("{}", per_file(name, input.files, [input.opening, record.seconds]));
    }
    eprintln!("{}", line(outcome));
    Ok(())
}

/// Files from which on it is told what each of them takes.
const MANY_FILES: u64 = 1000;

/// One line on the files of an input.
fn per_file(name: &str, files: u64, seconds: [f64; 2]) -> String {
    let [opened, computed] = seconds
        .map(|seconds| format!("{seconds:.2} s ({:.3} ms a file)", 1e3 * seconds / files as f64));
    let files = grouped(files);
    format!("{name}: {files} files, opened in {opened}, read and computed in {computed}")
}

/// One line on a committed run.
pub(super) fn line(outcome: &Outcome) -> String {
    let record = &outcome.record;
    let rate = record.rows as f64 / record.seconds.max(1e-9);
    format!(
        "{}: {}, {}, {} in {:.2} s ({} rows/s) -> {} ({})",
        record.set,
        counted(record.rows, "row"),
        counted(record.columns.len() as u64, "column"),
        counted(record.watermarks.len() as u64, "symbol"),
        record.seconds,
        grouped(rate as u64),
        outcome.target,
        bytes(record.files.iter().map(|f| f.bytes).sum()),
    )
}
