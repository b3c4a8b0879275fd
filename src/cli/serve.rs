//! `windrow serve` and `windrow worker`: the service as a process.

use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use super::Command;
use super::logs::{self, LogFormat};
use super::shared_args::LimitArgs;
use crate::config::{Config, parse_duration};
use crate::engine::executor;
use crate::error::{Error, Kind, Result};
use crate::limits::SPANS_FLUSH;
use crate::service::{Role, ServeOptions, ServeSignals, run_service};
use crate::traces::TraceExport;

/// The time that the last spans have if running batches took all of the grace time.
const LAST_SPANS: Duration = Duration::from_millis(200);

/// The flags of both commands.
#[derive(Debug, Args)]
struct QueueArgs {
    /// The queue: sqlite:PATH, or postgres://user@host/db for several processes
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// How many batches of jobs are computed at the same time
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How long running batches may take at shutdown, such as 30s
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The address to listen on [default: 127.0.0.1:8686]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    queue: QueueArgs,
    /// Serve other machines without tokens or TLS
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// An address for probes and metrics; none if not given
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    queue: QueueArgs,
}

impl QueueArgs {
    fn apply_flags(&self, config: &mut Config) -> Result<()> {
        self.limits.apply_flags(config)?;
        let serve = &mut config.serve;
        if let Some(queue) = &self.queue {
            serve.queue = Some(queue.clone());
        }
        if let Some(workers) = self.workers {
            if workers > 1024 {
                return Err(Error::usage(format!("--workers is {workers}, expected 0 to 1024")));
            }
            serve.workers = workers;
        }
        if let Some(grace) = &self.grace {
            serve.grace = parse_duration(grace).ok_or_else(|| {
                Error::usage(format!("--grace is {grace}, expected a duration, such as 30s"))
            })?;
        }
        Ok(())
    }
}

impl ServeArgs {
    /// Overrides the configuration with the given flags.
    pub(super) fn apply_flags(&self, config: &mut Config) -> Result<()> {
        if let Some(listen) = &self.listen {
            config.serve.listen.clone_from(listen);
        }
        self.queue.apply_flags(config)
    }
}

impl WorkerArgs {
    /// Overrides the configuration with the given flags.
    pub(super) fn apply_flags(&self, config: &mut Config) -> Result<()> {
        self.queue.apply_flags(config)?;
        match config.serve.workers {
            0 => Err(Error::usage("a worker without workers does nothing")
                .hint("give --workers 1 or more")),
            _ => Ok(()),
        }
    }
}

/// Returns the options of a command that is a service.
fn serve_options(command: Command, config: &Config) -> ServeOptions {
    let (role, listen, insecure) = match &command {
        Command::Serve(args) => (Role::Serve, Some(config.serve.listen.clone()), args.insecure),
        Command::Worker(args) => (Role::Work, args.listen.clone(), false),
        _ => (Role::Work, None, false),
    };
    let reconfigure = Box::new(move || super::load_config(&command));
    ServeOptions { role, listen, insecure, reconfigure }
}

/// Serves until a signal. The first one lets running batches end; the second one ends the process, by an error that
/// goes to `late`.
pub(super) fn serve_until_told(
    command: Command,
    config: Config,
    format: LogFormat,
    compute: &Runtime,
    late: Sender<Result<u8>>,
) -> Result<u8> {
    let traces = start_logging(&config, format)?;
    let options = serve_options(command, &config);
    let (grace, told) = (config.serve.grace, Arc::new(OnceLock::new()));
    let told_at = Arc::clone(&told);
    let mut ends = executor::listen_for_ends()?;
    let hangups = Arc::new(Mutex::new(executor::listen_for_hangups()?));
    let answers = executor::answer(config.parallel_workers)?;
    executor::carry_spans();
    let role = options.role;
    let end = async move {
        let _ = ends.recv().await;
        let _ = told_at.set(Instant::now());
        eprintln!("ending: running batches have their grace time; a second signal ends at once");
        tokio::spawn(async move {
            if ends.recv().await.is_some() {
                let told = "ended at once; jobs that ran go back to the queue";
                let _ = late.send(Err(Error::new(Kind::Interrupted, told)));
            }
        });
    };
    let reload = move || {
        let hangups = Arc::clone(&hangups);
        async move {
            if hangups.lock().await.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
    };
    let listening = move |address: std::net::SocketAddr, tls: bool| {
        let scheme = if tls { "https" } else { "http" };
        match role {
            Role::Serve => eprintln!("windrow serves {scheme}://{address}"),
            Role::Work => eprintln!("windrow works; probes and metrics at {scheme}://{address}"),
        }
    };
    let signals = ServeSignals { end, reload };
    let handle = compute.handle().clone();
    let done = answers.block_on(run_service(config, options, handle, listening, signals));
    answers.shutdown_timeout(super::WIND_DOWN);
    if let Some(traces) = traces {
        let spent = told.get().map_or(Duration::ZERO, Instant::elapsed);
        traces.end(grace.saturating_sub(spent).clamp(LAST_SPANS, SPANS_FLUSH));
    }
    done.map(|()| 0)
}

/// Starts the log and the traces of a service.
fn start_logging(config: &Config, format: LogFormat) -> Result<Option<TraceExport>> {
    let mut settings = config.serve.traces.clone();
    settings.apply_environment(&|name| std::env::var(name).ok())?;
    let started = TraceExport::start(&settings, executor::control_handle()?)?;
    let (traces, layer) = started.unzip();
    logs::start_logging(format, true, layer)?;
    if let Some(endpoint) = &settings.endpoint {
        match &traces {
            Some(_) => tracing::info!(endpoint, "traces are sent"),
            None => tracing::warn!(
                "no traces are sent: this windrow was built without the feature otlp"
            ),
        }
    }
    Ok(traces)
}
