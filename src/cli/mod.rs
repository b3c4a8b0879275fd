//! The command line: one file per subcommand. Only this module and the REPL print: data to standard
//! output, everything else to standard error.
#![allow(clippy::print_stderr)]

/// Like the standard macro, but ignores write errors: a run goes on to its commit if standard error is
/// closed.
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// Like the standard macro, but ignores write errors.
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
mod run;
mod runs;
mod sample;
#[cfg(feature = "serve")]
mod serve;
mod shared_args;
mod sql;
mod stdout;
#[cfg(feature = "serve")]
mod token;

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
use crate::store::redact_passwords;

/// The time that tasks still running after a command have to end and to remove their temporary files.
const WIND_DOWN: Duration = Duration::from_millis(400);
/// The interval at which the memory of the process is checked.
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
    /// Compute a feature set and write it to a target atomically
    Run(run::RunArgs),
    /// Compute many feature sets and write them to the targets of windrow.yaml
    Export(export::ExportArgs),
    /// Write a source, whatever its layout, as files sorted by symbol and time
    Compact(compact::CompactArgs),
    /// List the committed runs of a target, and the leftovers of failed runs
    Runs(runs::TargetArgs),
    /// Remove the leftovers of failed runs from a target
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
    /// Answer requests over HTTP: durable jobs, cached features, metrics, and a page
    #[cfg(feature = "serve")]
    Serve(serve::ServeArgs),
    /// Compute the jobs of a queue, beside `windrow serve` on other machines
    #[cfg(feature = "serve")]
    Worker(serve::WorkerArgs),
    /// Make, list and revoke the tokens of the service
    #[cfg(feature = "serve")]
    Token(token::TokenArgs),
    /// List every bound: what it bounds, and what happens past it
    Limits(limits::LimitsArgs),
}

/// The sources of a command that reads.
#[derive(Clone, Debug, Default, Args)]
struct SourceArgs {
    /// Where a source is: bars=DIRECTORY, FILE, 'GLOB' or URL; several are allowed
    #[arg(long = "source", value_name = "NAME=LOCATION")]
    sources: Vec<String>,
}

/// Runs the program and returns its exit code.
pub fn run_command_line() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            print_usage(&error);
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    host::allow_open_files();
    exit_without_threads();
    executor::ignore_file_size_signal();
    match run_on_thread(cli.command, cli.log_format) {
        Ok(code) => code,
        Err(error) if output_closed(&error) => 0,
        Err(error) => {
            eprintln!("error: {}", redact_passwords(&error.to_string()));
            error.exit_code()
        }
    }
}

/// Ends the process with a one-sentence error if a runtime cannot start a thread. Tokio panics in that case
/// with only some of its workers running, and a task that waits for the others would wait forever. A run that
/// ends this way leaves behind what a killed run does.
fn exit_without_threads() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The start of tokio's message; a test checks that it has not changed.
        const OF_TOKIO: &str = "OS can't spawn worker thread: ";
        const OF_STD: &str = "failed to spawn thread: ";
        let text = panic.payload_as_str().unwrap_or_default();
        let reason = match text.strip_prefix(OF_TOKIO) {
            Some(reason) => reason.to_string(),
            // The rest of this text is the debug form of an error.
            None if text.starts_with(OF_STD) => "the system refused".to_string(),
            None => return tell(panic),
        };
        let error = executor::thread_start_error(std::io::Error::other(reason));
        eprintln!("error: {error}");
        std::process::exit(error.exit_code().into());
    }));
}

/// Runs a command on a thread of its own and returns how it ended. Abandons the thread if it does not react
/// to a stop: rendering templates and planning never check for one, and the end of the process ends its
/// threads.
fn run_on_thread(command: Command, format: logs::LogFormat) -> Result<u8> {
    let (ends, end) = mpsc::channel();
    let late = ends.clone();
    let work = move || {
        let done =
            std::panic::catch_unwind(AssertUnwindSafe(|| run_command(command, format, late)));
        let _ = ends.send(done.unwrap_or_else(|_| Err(Error::internal("the command panicked"))));
    };
    let work = std::thread::Builder::new().stack_size(crate::limits::PLAN_STACK).spawn(work);
    work.map_err(executor::thread_start_error)?;
    end.recv().unwrap_or_else(|_| Err(Error::internal("the command went missing")))
}

/// Prints the help, or the error of the command line, without passwords.
fn print_usage(error: &clap::Error) {
    let text = error.render().to_string();
    let hidden = redact_passwords(&text);
    if hidden == text {
        let _ = error.print(); // In colour.
    } else {
        eprint!("{hidden}");
    }
}

/// Runs a command. If it does not stop in time, or takes too much memory, the error to end with goes to
/// `late`.
fn run_command(
    command: Command,
    format: logs::LogFormat,
    late: mpsc::Sender<Result<u8>>,
) -> Result<u8> {
    // A service starts its log with its traces, which the configuration knows.
    if !command.stays() {
        logs::start_logging(format, false, None)?;
    }
    let config = load_config(&command)?;
    allocator::set_purge_delay(config.memory_limit.is_some());
    let runtime = executor::compute(config.parallel_workers)?;
    #[cfg(feature = "serve")]
    if command.stays() {
        let done = serve::serve_until_told(command, config, format, &runtime, late);
        runtime.shutdown_timeout(WIND_DOWN);
        return done;
    }
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
            biased; // A command that has ended wins over a stop: its commit stands, however late.
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

/// Resolves once the process uses more than `most` bytes. The memory limit of operators does not count
/// templates and plans.
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
    /// Returns whether the command is a service, whose log has a line for each request.
    fn stays(&self) -> bool {
        #[cfg(feature = "serve")]
        return matches!(self, Self::Serve(_) | Self::Worker(_));
        #[cfg(not(feature = "serve"))]
        false
    }

    /// Returns the time that a stopped command has to leave everything in order.
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

/// Loads `windrow.yaml` and the environment, and overrides them with the flags.
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
        #[cfg(feature = "serve")]
        Command::Serve(args) => args.apply_flags(&mut config)?,
        #[cfg(feature = "serve")]
        Command::Worker(args) => args.apply_flags(&mut config)?,
        #[cfg(feature = "serve")]
        Command::Token(_) => {}
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
        Command::Repl(_) => Ok(0), // `run_command` runs the REPL, which handles Ctrl-C itself.
        #[cfg(feature = "serve")]
        Command::Serve(_) | Command::Worker(_) => Ok(0), // So does the service.
        #[cfg(feature = "serve")]
        Command::Token(args) => token::manage_tokens(args, &config),
        Command::Check(args) => check::check_sets(args, config).await,
        Command::Explain(args) => explain::explain_set(args, config).await,
        Command::Functions(args) => functions::print_functions(&args),
        Command::Limits(args) => limits::print_limits(&args),
    }
}
