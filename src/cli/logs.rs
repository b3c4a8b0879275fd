//! The log on standard error; default: only warnings, and of a service a line for each request.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

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

/// Starts the log; a command that stays logs what it does, too.
pub(super) fn start_logging(format: LogFormat, stays: bool) -> Result<()> {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let default = if stays { "windrow=info" } else { "windrow=warn" };
    let wanted = wanted.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Error::usage(format!("{LOG_VARIABLE} is {wanted}: {error}"))
            .hint("write a level, error, warn, info, debug or trace, or windrow=debug,warn")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| Error::internal(format!("the log cannot be started: {error}")))
}
