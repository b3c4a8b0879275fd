//! `windrow sql`: runs one statement and prints its result to standard output.

use std::io::{BufWriter, stdout};

use clap::Args;
use futures::TryStreamExt;

use super::shared_args::StatementArgs;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::render::{Format, Limit, Printer, Terminal, error_text};

#[derive(Debug, Args)]
pub(super) struct SqlArgs {
    /// The statement
    #[arg(value_name = "SQL")]
    statement: String,
    #[command(flatten)]
    pub(super) session: StatementArgs,
    /// Read the jobs of a queue as windrow.jobs and windrow.symbols: sqlite:PATH or postgres://user@host/db
    #[cfg(feature = "serve")]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// How to print the result: table, csv, json or markdown
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[allow(clippy::print_stderr)]
pub(super) async fn run_sql(args: SqlArgs, config: Config) -> Result<u8> {
    let terminal = Terminal::from_stdout();
    let told = |error: &Error| {
        let width = terminal.map_or(100, |t| t.width);
        eprint!("{}", error_text(error, Some(&args.statement), width));
    };
    #[cfg(feature = "serve")]
    let queue = match &args.queue {
        Some(queue) => {
            let mut config = config.clone();
            config.serve.queue = Some(queue.clone());
            Some(crate::service::open_queue_to_read(&config).await?)
        }
        None => None,
    };
    let engine = args.session.build_engine(config).await?;
    #[cfg(feature = "serve")]
    if let Some(queue) = queue {
        crate::worker::add_queue_tables(&engine, queue).await?;
    }
    let query = match engine.query(args.statement.trim().trim_end_matches(';')).await {
        Ok(query) => query,
        Err(error) => {
            told(&error);
            return Ok(error.exit_code());
        }
    };
    // A terminal gets the rows and columns that fit; a pipe gets everything.
    let limit = match terminal {
        Some(terminal) if matches!(args.format, Format::Table) => Limit::Rows {
            max_rows: terminal.height.saturating_sub(6).max(10),
            max_width: terminal.width,
        },
        _ => Limit::All,
    };
    let mut printer = Printer::new(args.format, &query.schema(), BufWriter::new(stdout()), limit);
    let mut stream = query.stream()?;
    loop {
        match stream.try_next().await {
            Ok(Some(batch)) => printer.batch(&batch)?,
            Ok(None) => break,
            Err(error) => {
                let error = query.explain_error(&error);
                told(&error);
                return Ok(error.exit_code());
            }
        }
    }
    printer.finish()?;
    for report in query.cleaning_reports() {
        eprintln!("note: {report}");
    }
    Ok(0)
}
