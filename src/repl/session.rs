//! The state of a session, and how it runs statements and commands and prints results.

use super::commands;
use super::complete::{SessionNames, column_names};
use super::function_catalog::FunctionCatalog;
use super::query_runner::{Interrupt, QueryRunner};
use super::split::InputPiece;
use crate::engine::{Engine, Query};
use crate::error::{Error, Result};
use crate::render::{Format, Limit, Printer, Terminal, error_text, output_closed};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The decision to go on or to end the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Quit,
}

/// The origin of a result, from which `\plot` runs the query again.
#[derive(Clone, Debug)]
pub(super) enum ResultOrigin {
    Sql(String),
    File(PathBuf),
}

/// One session: the engine, its outputs and its settings.
pub(super) struct Session {
    pub(super) engine: Engine,
    /// The output of data.
    pub(super) out: Box<dyn Write>,
    /// The output of everything else.
    pub(super) err: Box<dyn Write>,
    /// The terminal that data goes to; None if data does not go to a terminal.
    pub(super) terminal: Option<Terminal>,
    /// The listener for Ctrl-C, if Ctrl-C cancels the query and not the program.
    pub(super) interrupt: Option<Interrupt>,
    /// The threads that queries run on.
    pub(super) runner: QueryRunner,
    /// The origin of the last result.
    pub(super) last: Option<ResultOrigin>,
    /// The parameters of feature sets.
    pub(super) parameters: BTreeMap<String, String>,
    /// The names that Tab offers.
    pub(super) names: SessionNames,
    pub(super) format: Format,
    pub(super) timing: bool,
    pub(super) rows: Option<usize>,
    pub(super) depth: usize,
    /// True if the current error was already printed.
    error_printed: bool,
}

/// The width of messages without a terminal.
pub(super) const DEFAULT_WIDTH: usize = 120;

impl Session {
    pub(super) fn new(engine: Engine, out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self {
            runner: QueryRunner::new(engine.config().parallel_workers, engine.config().timeout),
            engine,
            out,
            err,
            terminal: None,
            interrupt: None,
            last: None,
            parameters: BTreeMap::new(),
            names: SessionNames { functions: FunctionCatalog::new(), ..SessionNames::default() },
            format: Format::Table,
            timing: false,
            rows: None,
            depth: 0,
            error_printed: false,
        }
    }

    /// Runs the typed pieces, up to the first error.
    pub(super) async fn run_typed(&mut self, pieces: &[InputPiece<'_>]) -> Result<Flow> {
        self.error_printed = false;
        if let Some(interrupt) = &mut self.interrupt {
            interrupt.discard_pending();
        }
        self.run_pieces(pieces).await
    }

    pub(super) async fn run_pieces(&mut self, pieces: &[InputPiece<'_>]) -> Result<Flow> {
        for piece in pieces {
            if self.run_piece(*piece).await? == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        Ok(Flow::Continue)
    }

    /// Runs one statement or command. Prints an error immediately, and returns it so that the caller can
    /// stop.
    async fn run_piece(&mut self, piece: InputPiece<'_>) -> Result<Flow> {
        let done = match piece {
            InputPiece::Command(line) => match commands::parse_command(line) {
                Ok((command, args)) => self.run_command(command.action, args).await,
                Err(error) => Err(error),
            },
            InputPiece::Statement(text) => match text.to_lowercase().as_str() {
                "quit" | "exit" => Ok(Flow::Quit),
                "help" => self.print_help().map(|()| Flow::Continue),
                _ => self.run_statement(text).await.map(|()| Flow::Continue),
            },
        };
        // A file that failed has printed its error already.
        if let (Err(error), InputPiece::Statement(text) | InputPiece::Command(text)) =
            (&done, piece)
            && !self.error_printed
        {
            self.print_error(error, text);
            self.error_printed = true;
        }
        let _ = self.out.flush();
        done
    }

    /// Prints the error, with the source line that it refers to if that is known.
    fn print_error(&mut self, error: &Error, text: &str) {
        if output_closed(error) {
            return;
        }
        let _ = self.out.flush();
        let width = self.terminal.map_or(DEFAULT_WIDTH, |terminal| terminal.width);
        let message = match error.kind() {
            crate::error::Kind::Interrupted => "cancelled\n".to_string(),
            _ => {
                let file = error.place().filter(|place| place.file != "SQL");
                let source = match file {
                    Some(place) => fs::read_to_string(&place.file).ok(),
                    None => Some(text.to_string()),
                };
                error_text(error, source.as_deref(), width)
            }
        };
        let _ = self.err.write_all(message.as_bytes());
        let _ = self.err.flush();
    }

    async fn run_statement(&mut self, text: &str) -> Result<()> {
        let asked = self.confirm_write(text)?;
        let start = Instant::now();
        self.engine.allow_writing(self.engine.allows_writing() || asked);
        let query = match &mut self.interrupt {
            Some(interrupt) => interrupt.run_until_interrupted(self.engine.query(text)).await,
            None => self.engine.query(text).await,
        };
        if asked {
            self.engine.allow_writing(false);
        }
        let query = query?;
        self.last = Some(ResultOrigin::Sql(text.to_string()));
        let result = self.print_query(query).await;
        self.print_timing(start.elapsed());
        if !is_read_only(text) {
            self.names.tables.clear();
        }
        result
    }

    /// Asks whether a COPY may write, if the session is interactive; false otherwise.
    fn confirm_write(&mut self, text: &str) -> Result<bool> {
        let Some(target) = self.engine.forbidden_copy_target(text) else { return Ok(false) };
        if self.interrupt.is_none() {
            return Ok(false);
        }
        let _ = write!(self.err, "COPY writes {target}. Go on? [y/N] ");
        let _ = self.err.flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.map_err(|error| Error::usage(format!("cannot read the answer: {error}")))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// Prints the rows of a query, and then the cleaning reports of its sources.
    pub(super) async fn print_query(&mut self, query: Query) -> Result<()> {
        let query = Arc::new(query);
        let schema = query.schema();
        self.names.result = schema.fields().iter().map(|field| field.name().clone()).collect();
        let limit = self.output_limit();
        let explains = self.format == Format::Table
            && self.names.result.iter().map(String::as_str).eq(["plan_type", "plan"]);
        if explains {
            return self.print_plan(&query).await;
        }
        let mut printer = Printer::new(self.format, &schema, &mut self.out, limit);
        let mut rows = self.runner.start_query(&query, self.interrupt.as_mut())?;
        while let Some(batch) = rows.next_batch().await? {
            printer.batch(&batch)?;
        }
        drop(rows);
        let printed = if schema.fields().is_empty() { None } else { Some(printer.finish()?) };
        if let Some(printed) = printed
            && printed.shown < printed.rows
            && matches!(self.format, Format::Csv | Format::Json)
        {
            let (rows, shown) = (printed.rows, printed.shown);
            self.print_note(&format!(
                "{rows} rows, the first {shown} shown; \\rows NUMBER shows more"
            ));
        }
        for report in query.cleaning_reports() {
            self.print_note(&format!("note: {report}"));
        }
        Ok(())
    }

    /// Prints the plan of EXPLAIN as plain lines, since a box would cut them.
    async fn print_plan(&mut self, query: &Arc<Query>) -> Result<()> {
        let mut rows = self.runner.start_query(query, self.interrupt.as_mut())?;
        let mut text = String::new();
        while let Some(batch) = rows.next_batch().await? {
            for row in 0..batch.num_rows() {
                for column in batch.columns() {
                    let value = array_value_to_string(column, row)
                        .map_err(|error| Error::internal(error.to_string()))?;
                    text.push_str(value.trim_end());
                    text.push('\n');
                }
            }
        }
        drop(rows);
        self.write_text(&text)
    }

    /// Returns the rows and the width that a result may take; no limit without a terminal and without
    /// `\rows`.
    pub(super) fn output_limit(&self) -> Limit {
        match (self.terminal, self.rows) {
            (None, None) => Limit::All,
            (terminal, rows) => {
                let height = terminal.map_or(usize::MAX, |terminal| terminal.height);
                let screen = height.saturating_sub(8).clamp(10, 40);
                let max_width = terminal.map_or(usize::MAX, |terminal| terminal.width);
                Limit::Rows { max_rows: rows.unwrap_or(screen), max_width }
            }
        }
    }

    /// Prints a line that is not data.
    pub(super) fn print_note(&mut self, text: &str) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{text}");
        let _ = self.err.flush();
    }

    pub(super) fn print_timing(&mut self, time: Duration) {
        if self.timing {
            let seconds = time.as_secs_f64();
            let text = match seconds {
                _ if seconds < 1.0 => format!("Time: {:.1} ms", seconds * 1e3),
                _ => format!("Time: {seconds:.3} s"),
            };
            self.print_note(&text);
        }
    }

    /// Prints data that is already text.
    pub(super) fn write_text(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(crate::render::from_io)
    }

    /// Prints rows of text as a small table.
    pub(super) fn print_text_table(&mut self, names: &[&str], rows: &[Vec<String>]) -> Result<()> {
        let columns = names.iter().enumerate().map(|(index, name)| {
            let values: StringArray = rows.iter().map(|row| row.get(index).cloned()).collect();
            (*name, Arc::new(values) as ArrayRef)
        });
        let batch = RecordBatch::try_from_iter(columns)
            .map_err(|error| Error::internal(error.to_string()))?;
        let max_width = self.terminal.map_or(usize::MAX, |terminal| terminal.width);
        let limit = Limit::Rows { max_rows: usize::MAX, max_width };
        let mut printer = Printer::new(Format::Table, &batch.schema(), &mut self.out, limit);
        printer.batch(&batch)?;
        printer.finish().map(|_| ())
    }

    /// Reads the names that Tab offers and that are not known yet. Columns of a table on a server become
    /// known once a statement has read them.
    pub(super) async fn refresh_names(&mut self) {
        let tables = self.engine.list_tables();
        self.names.tables.retain(|name, _| tables.contains(name));
        for table in tables {
            let known = self.names.tables.get(&table).is_some_and(|columns| !columns.is_empty());
            let columns = match known || !self.engine.has_local_columns(&table) {
                true => self.names.tables.remove(&table).unwrap_or_default(),
                false => column_names(self.engine.table_columns(&table).await),
            };
            self.names.tables.insert(table, columns);
        }
        self.names.parameters = self.parameters.keys().cloned().collect();
    }
}

/// Returns whether a statement leaves the tables unchanged.
fn is_read_only(text: &str) -> bool {
    let first = super::lexer::tokenize_sql(text).into_iter().find(|token| !token.is_blank());
    first.is_none_or(|first| {
        ["select", "with", "explain", "show", "describe", "values", "from"]
            .iter()
            .any(|word| first.matches_keyword(word))
    })
}
