//! The log on standard error; default: only warnings, and of a service a line for each request.

use clap::ValueEnum;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{Error, Result};
use crate::traces::{self, TraceLayer};

/// The environment variable that sets what is logged: `info`, or `windrow=debug,warn`.
const LOG_VARIABLE: &str = "WINDROW_LOG";

/// The format of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Starts the log, with the traces of a service that has some. A command that stays logs what it does, too.
pub(super) fn start_logging(
    format: LogFormat,
    stays: bool,
    traced: Option<TraceLayer>,
) -> Result<()> {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let default = if stays { "windrow=info" } else { "windrow=warn" };
    let wanted = wanted.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Error::usage(format!("{LOG_VARIABLE} is {wanted}: {error}"))
            .hint("write a level, error, warn, info, debug or trace, or windrow=debug,warn")
    })?;
    let others = filter_fn(|meta| meta.target() != traces::TARGET);
    // Without this hint, no level would count as off everywhere.
    let filter = filter.and(others.with_max_level_hint(LevelFilter::TRACE));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let mut layers = vec![lines.with_filter(filter).boxed()];
    layers.extend(traced);
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| Error::internal(format!("the log cannot be started: {error}")))
}
