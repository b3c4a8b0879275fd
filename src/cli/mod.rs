//! The command line: one file per subcommand. This room and the REPL are the only ones that
//! print: data to standard output, everything else to standard error.
#![allow(clippy::print_stderr)]

/// As the standard one, but nobody need be there to read: a run that commits goes on.
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// As the standard one, but nobody need be there to read.
macro_rules! eprint {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($text)*);
    }};
}

mod allocator;
mod check;
mod compact;
mod demo;
mod explain;
mod export;
mod functions;
mod limits;
mod logs;
mod progress;
mod redact;
mod run;
mod runs;
mod sample;
mod shared_args;
mod sql;
mod stdout;

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::engine::executor;
use crate::error::{Error, Kind, Result};
use crate::host;
use crate::limits::{MEMORY_SLACK, STOP_GRACE, STOP_GRACE_REMOTE};
use crate::render::output_closed;
use crate::stop::Stop;

/// How long what it left running may take to end and to remove its temporary files.
const WIND_DOWN: Duration = Duration::from_millis(400);
/// How often the memory of the process is looked at.
const MEMORY_CHECK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
#[command(
    name = "windrow",
    version,
    about = "A feature engine for market data: feature sets are SQL files, indicators are window functions",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How lines of the log are written to standard error; WINDROW_LOG says which ones
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: logs::LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make sample bars and run every shipped feature set on them
    Demo(demo::DemoArgs),
    /// Compute a feature set and write it to a target, whole or not at all
    Run(run::RunArgs),
    /// Compute many feature sets and write them to the targets of windrow.yaml
    Export(export::ExportArgs),
    /// Write a source, whatever its layout, as files sorted by symbol and time
    Compact(compact::CompactArgs),
    /// List the committed runs of a target, and what runs that died left there
    Runs(runs::TargetArgs),
    /// Remove what runs that died left in a target
    Vacuum(runs::TargetArgs),
    /// Run one statement and print its result
    Sql(sql::SqlArgs),
    /// Type statements and see their results
    Repl(shared_args::StatementArgs),
    /// Check feature sets without running them; exit code 1 on a finding
    Check(check::CheckArgs),
    /// Show what a feature set needs: outputs, lookback, warm-up, look-ahead, inputs, plan
    Explain(explain::ExplainArgs),
    /// List the indicators, or document one
    Functions(functions::FunctionsArgs),
    /// List every bound: what it bounds, and what happens past it
    Limits(limits::LimitsArgs),
}

/// Sources, for every command that reads.
#[derive(Clone, Debug, Default, Args)]
struct SourceArgs {
    /// Where a source is: bars=DIRECTORY, FILE, 'GLOB' or URL; several are allowed
    #[arg(long = "source", value_name = "NAME=LOCATION")]
    sources: Vec<String>,
}

/// Runs the program and gives its exit code.
pub fn run_command_line() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            print_usage(&error);
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    if let Err(error) = logs::start_logging(cli.log_format) {
        eprintln!("error: {error}");
        return error.exit_code();
    }
    host::allow_open_files();
    exit_without_threads();
    executor::ignore_file_size_signal();
    match run_on_thread(cli.command) {
        Ok(code) => code,
        Err(error) if output_closed(&error) => 0,
        Err(error) => {
            eprintln!("error: {}", redact::redact_passwords(&error.to_string()));
            error.exit_code()
        }
    }
}

/// Ends the process with one sentence where a runtime misses a thread: tokio panics then, some of its workers are there,
/// and whoever waits for the others would wait forever. A run that is ended so leaves what a killed one leaves.
fn exit_without_threads() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // How tokio words it; a test holds that this is still so.
        const WORDS: &str = "OS can't spawn worker thread: ";
        let text = panic.payload_as_str().unwrap_or_default();
        let Some(reason) = text.strip_prefix(WORDS) else { return tell(panic) };
        let error = executor::thread_start_error(std::io::Error::other(reason.to_string()));
        eprintln!("error: {error}");
        std::process::exit(error.exit_code().into());
    }));
}

/// How a command ended. Its thread is left where it is if it does not listen: templates and plans are made without
/// looking up, and a process that ends takes its threads along.
fn run_on_thread(command: Command) -> Result<u8> {
    let (ends, end) = mpsc::channel();
    let late = ends.clone();
    let work = move || {
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| run_command(command, late)));
        let _ = ends.send(done.unwrap_or_else(|_| Err(Error::internal("the command panicked"))));
    };
    let work = std::thread::Builder::new().stack_size(crate::limits::PLAN_STACK).spawn(work);
    work.map_err(executor::thread_start_error)?;
    end.recv().unwrap_or_else(|_| Err(Error::internal("the command went missing")))
}

/// Help, or what is wrong with the command line.
fn print_usage(error: &clap::Error) {
    let text = error.render().to_string();
    let hidden = redact::redact_passwords(&text);
    if hidden == text {
        let _ = error.print(); // In colour.
    } else {
        eprint!("{hidden}");
    }
}

/// Runs a command. What it ends with where it does not stop when it is told to goes to `late`.
fn run_command(command: Command, late: mpsc::Sender<Result<u8>>) -> Result<u8> {
    let config = load_config(&command)?;
    allocator::set_purge_delay(config.memory_limit.is_some());
    let runtime = executor::compute(config.parallel_workers)?;
    let code = runtime.block_on(async {
        if let Command::Repl(args) = command {
            let engine = args.build_engine(config).await?;
            return crate::repl::run_session(engine).await;
        }
        let grace = command.grace_period(&config);
        let (stop, over) = executor::spawn_stop_watcher(config.timeout, grace)?;
        let mut told = stop.clone();
        let most = match config.memory_limit {
            Some(limit) => Some(limit.saturating_add(MEMORY_SLACK.max(limit / 4))),
            None => host::usable_memory().map(|memory| memory / 10 * 9),
        };
        executor::control_handle()?.spawn(async move {
            let deaf = async {
                let error = told.wait_until_stopped().await;
                tokio::time::sleep(grace + 2 * WIND_DOWN).await;
                error
            };
            let error = tokio::select! {
                error = deaf => error,
                error = watch_memory(most) => error,
            };
            let _ = late.send(Err(error));
        });
        tokio::select! {
            biased; // What was committed is committed, however late.
            done = dispatch_command(command, config, stop) => done,
            why = over => Err(match why {
                Ok(Kind::Timeout) => {
                    let error = Error::new(Kind::Timeout, "the time limit has passed");
                    error.hint("raise timeout_seconds")
                }
                _ => Error::new(Kind::Interrupted, "interrupted"),
            }),
        }
    });
    runtime.shutdown_timeout(WIND_DOWN);
    code
}

/// Resolves once the process has far more memory than its limit: what templates and plans take nobody counts.
async fn watch_memory(most: Option<u64>) -> Error {
    let Some(most) = most else { return std::future::pending().await };
    loop {
        tokio::time::sleep(MEMORY_CHECK_INTERVAL).await;
        if host::resident_memory() > most {
            return Error::data(format!(
                "the command takes more than {} MB of memory, its limit and what the program needs itself",
                most >> 20
            ))
            .hint("raise --memory-limit; if it is not much data, a template or a plan grew too large");
        }
    }
}

impl Command {
    /// How long it may take to leave everything in order when it is stopped.
    fn grace_period(&self, config: &Config) -> Duration {
        let far = |target: &str| config.target_location(target).contains("://");
        let far = match self {
            Self::Demo(_) => false,
            Self::Run(args) => far(&args.to),
            Self::Compact(args) => far(&args.to),
            Self::Export(_) => config.targets.values().any(|target| far(target)),
            _ => return Duration::ZERO,
        };
        if far { STOP_GRACE_REMOTE } else { STOP_GRACE }
    }
}

/// `windrow.yaml` and the environment, overridden by flags.
fn load_config(command: &Command) -> Result<Config> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let mut config = Config::load(&here, &|name| std::env::var(name).ok())?;
    match command {
        Command::Run(args) => args.apply_flags(&mut config)?,
        Command::Export(args) => args.session.limits.apply_flags(&mut config)?,
        Command::Compact(args) => args.apply_flags(&mut config)?,
        Command::Sql(args) => args.session.session.limits.apply_flags(&mut config)?,
        Command::Explain(args) => args.session.limits.apply_flags(&mut config)?,
        Command::Repl(args) => args.session.limits.apply_flags(&mut config)?,
        Command::Demo(_)
        | Command::Runs(_)
        | Command::Vacuum(_)
        | Command::Check(_)
        | Command::Functions(_)
        | Command::Limits(_) => {}
    }
    Ok(config)
}

async fn dispatch_command(command: Command, config: Config, stop: Stop) -> Result<u8> {
    match command {
        Command::Demo(args) => demo::run_demo(args, config, stop).await,
        Command::Run(args) => run::run_set(args, config, stop).await,
        Command::Export(args) => export::export_sets(args, config, stop).await,
        Command::Compact(args) => compact::compact_source(args, config, stop).await,
        Command::Runs(args) => runs::print_runs(args, config).await,
        Command::Vacuum(args) => runs::vacuum_target(args, config).await,
        Command::Sql(args) => sql::run_sql(args, config).await,
        Command::Repl(_) => Ok(0), // It has its own way with Ctrl-C; see `run_command`.
        Command::Check(args) => check::check_sets(args, config).await,
        Command::Explain(args) => explain::explain_set(args, config).await,
        Command::Functions(args) => functions::print_functions(&args),
        Command::Limits(args) => limits::print_limits(&args),
    }
}
