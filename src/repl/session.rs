//! What a session remembers, and the commands that look at it or change it.

use super::commands;
use super::complete::{SessionNames, column_names};
use super::function_catalog::FunctionCatalog;
use super::plot::ResultOrigin;
use super::query_runner::{Interrupt, QueryRunner};
use super::split::{InputPiece, is_blank_text, split_input};
use super::type_names::type_name;
use crate::engine::{Engine, Query};
use crate::error::{Error, Result, did_you_mean};
use crate::limits::FILES_IN_FILES;
use crate::render::{Format, Limit, Printer, Terminal, error_text, output_closed};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Quit,
}

/// One session: the engine, where its output goes, and what was set.
pub(super) struct Session {
    pub(super) engine: Engine,
    /// Data.
    pub(super) out: Box<dyn Write>,
    /// Everything else.
    pub(super) err: Box<dyn Write>,
    /// The terminal that data goes to, if it goes to one.
    pub(super) terminal: Option<Terminal>,
    /// Ctrl-C, where it cancels the query and not the program.
    pub(super) interrupt: Option<Interrupt>,
    /// Where queries run.
    pub(super) runner: QueryRunner,
    /// What the last result came from.
    pub(super) last: Option<ResultOrigin>,
    /// The parameters of feature sets.
    pub(super) parameters: BTreeMap<String, String>,
    /// The names that Tab offers.
    pub(super) names: SessionNames,
    format: Format,
    timing: bool,
    rows: Option<usize>,
    depth: usize,
    /// Whether the error at hand was written.
    error_printed: bool,
}

/// How wide messages are where there is no terminal.
const DEFAULT_WIDTH: usize = 120;

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

    /// Runs what was typed, up to the first error.
    pub(super) async fn run_typed(&mut self, pieces: &[InputPiece<'_>]) -> Result<Flow> {
        self.error_printed = false;
        if let Some(interrupt) = &mut self.interrupt {
            interrupt.discard_pending();
        }
        self.run_pieces(pieces).await
    }

    async fn run_pieces(&mut self, pieces: &[InputPiece<'_>]) -> Result<Flow> {
        for piece in pieces {
            if self.run_piece(*piece).await? == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        Ok(Flow::Continue)
    }

    /// Runs one statement or command. What fails is told at once; the error comes back so that
    /// the caller can stop.
    async fn run_piece(&mut self, piece: InputPiece<'_>) -> Result<Flow> {
        let done = match piece {
            InputPiece::Command(line) => match commands::parse_command(line) {
                Ok((command, args)) => (command.run)(self, args).await,
                Err(error) => Err(error),
            },
            InputPiece::Statement(text) => match text.to_lowercase().as_str() {
                "quit" | "exit" => Ok(Flow::Quit),
                "help" => self.print_help().map(|()| Flow::Continue),
                _ => self.run_statement(text).await.map(|()| Flow::Continue),
            },
        };
        // A file that stopped in the middle has told its error already.
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

    /// Writes the error, with the line that it is about where that is known.
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

    /// Asks whether a COPY may write, where somebody is there to answer.
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

    /// Writes the rows of a query, and then what its sources had to say.
    async fn print_query(&mut self, query: Query) -> Result<()> {
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

    /// The plan of EXPLAIN as lines: a box would cut them.
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

    /// What a result may take of the screen; everything where there is none.
    fn output_limit(&self) -> Limit {
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

    /// A line that is no data.
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

    /// Data that is text already.
    fn write_text(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(crate::render::from_io)
    }

    /// Rows of words as a small table.
    fn print_text_table(&mut self, names: &[&str], rows: &[Vec<String>]) -> Result<()> {
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

    /// Reads the names that Tab offers, as far as they are not known yet. Columns on servers are known
    /// once a statement has read them.
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

/// Whether a statement leaves the tables as they are.
fn is_read_only(text: &str) -> bool {
    let first = super::lexer::tokenize_sql(text).into_iter().find(|token| !token.is_blank());
    first.is_none_or(|first| {
        ["select", "with", "explain", "show", "describe", "values", "from"]
            .iter()
            .any(|word| first.matches_keyword(word))
    })
}

/// The commands.
impl Session {
    pub(super) fn print_help(&mut self) -> Result<()> {
        self.write_text(&commands::help_text())
    }

    pub(super) async fn describe_tables(&mut self, table: &str) -> Result<Flow> {
        let tables = self.engine.list_tables();
        if table.is_empty() {
            if tables.is_empty() {
                self.print_note("no tables; \\source bars=LOCATION names one");
                return Ok(Flow::Continue);
            }
            let place = |name: &String| self.engine.describe_table(name).unwrap_or_default();
            let rows: Vec<Vec<String>> =
                tables.iter().map(|name| vec![name.clone(), place(name)]).collect();
            self.print_text_table(&["table", "where"], &rows)?;
            return Ok(Flow::Continue);
        }
        let name = table.trim_matches('"');
        if !tables.iter().any(|known| known == name) {
            let hint = did_you_mean(name, "tables", tables.iter().map(String::as_str));
            return Err(Error::query(format!("unknown table {name}")).hint(hint));
        }
        let asked = self.engine.table_columns(name);
        let columns = match &mut self.interrupt {
            Some(interrupt) => interrupt.run_until_interrupted(asked).await?,
            None => asked.await?,
        };
        let rows: Vec<Vec<String>> = columns
            .iter()
            .map(|(column, kind, nullable)| {
                let null = if *nullable { "" } else { "not null" };
                vec![column.clone(), type_name(kind), null.to_string()]
            })
            .collect();
        if let Some(place) = self.engine.describe_table(name) {
            self.print_note(&format!("{name}: {place}"));
        }
        self.print_text_table(&["column", "type", "null"], &rows)?;
        Ok(Flow::Continue)
    }

    pub(super) fn describe_functions(&mut self, name: &str) -> Result<()> {
        let width = self.terminal.map_or(DEFAULT_WIDTH, |terminal| terminal.width);
        let text = match name {
            "" => self.names.functions.list_by_group(width),
            name => self.names.functions.describe_function(name, width)?,
        };
        self.write_text(&text)
    }

    pub(super) fn set_format(&mut self, word: &str) -> Result<()> {
        if !word.is_empty() {
            self.format = word.parse()?;
        }
        self.print_note(&format!("format is {}", self.format));
        Ok(())
    }

    pub(super) fn set_timing(&mut self, word: &str) -> Result<()> {
        self.timing = match word {
            "" => !self.timing,
            "on" | "true" => true,
            "off" | "false" => false,
            other => {
                return Err(Error::usage(format!("\\timing takes on or off, not {other}")));
            }
        };
        self.print_note(if self.timing { "timing is on" } else { "timing is off" });
        Ok(())
    }

    pub(super) fn set_rows(&mut self, word: &str) -> Result<()> {
        match (word, word.replace([',', '_'], "").parse::<usize>()) {
            ("", _) => {}
            ("auto", _) => self.rows = None,
            (_, Ok(number)) if number > 0 => self.rows = Some(number),
            _ => return Err(Error::usage(format!("\\rows takes a number or auto, not {word}"))),
        }
        let text = match self.output_limit() {
            Limit::All => "every row is shown".to_string(),
            Limit::Rows { max_rows, .. } if self.rows.is_some() => {
                format!("{max_rows} rows are shown")
            }
            Limit::Rows { max_rows, .. } => {
                format!("{max_rows} rows are shown, as the terminal takes")
            }
        };
        self.print_note(&text);
        Ok(())
    }

    /// `name=value` or, as psql has it, `name value`.
    pub(super) fn set_parameter(&mut self, args: &str) -> Result<()> {
        if args.is_empty() {
            if self.parameters.is_empty() {
                self.print_note(
                    "no parameters; \\set fast=12 sets one for the feature sets that \\i runs",
                );
                return Ok(());
            }
            let rows: Vec<Vec<String>> = self
                .parameters
                .iter()
                .map(|(name, value)| vec![name.clone(), value.clone()])
                .collect();
            return self.print_text_table(&["parameter", "value"], &rows);
        }
        let (name, value) = args
            .split_once('=')
            .or_else(|| args.split_once(char::is_whitespace))
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, _)| is_parameter_name(name))
            .ok_or_else(|| {
                Error::usage(format!("\\set {args}: expected NAME=VALUE, such as fast=12"))
            })?;
        self.parameters.insert(name.to_string(), value.to_string());
        Ok(())
    }

    pub(super) fn unset_parameter(&mut self, name: &str) -> Result<()> {
        match self.parameters.remove(name) {
            Some(_) => Ok(()),
            None => {
                let known = self.parameters.keys().map(String::as_str);
                let hint = did_you_mean(name, "parameters", known);
                Err(Error::usage(format!("parameter {name} is not set")).hint(hint))
            }
        }
    }

    pub(super) async fn set_source(&mut self, args: &str) -> Result<Flow> {
        let (name, location) = args
            .split_once('=')
            .map(|(name, location)| (name.trim(), location.trim()))
            .filter(|(name, location)| !name.is_empty() && !location.is_empty())
            .ok_or_else(|| {
                Error::usage(format!(
                    "\\source {args}: expected NAME=LOCATION, such as bars=./bars"
                ))
            })?;
        self.engine.add_source(name, location).await?;
        self.names.tables.remove(name);
        Ok(Flow::Continue)
    }

    /// Runs a file (one feature set, or statements and commands in order), or a feature set by its name.
    pub(super) async fn include_file(&mut self, file: &str) -> Result<Flow> {
        let file = file.trim_matches(['\'', '"']);
        if file.is_empty() {
            return Err(Error::usage("\\i takes a file, such as \\i momentum.sql"));
        }
        let path = Path::new(file);
        if !path.exists() && self.engine.find_set(file).is_ok() {
            return self.include_set(path).await;
        }
        let text = fs::read_to_string(path)
            .map_err(|error| Error::query(format!("cannot read {file}: {error}")))?;
        let (mut pieces, rest) = split_input(&text);
        if !is_blank_text(rest) {
            pieces.push(InputPiece::Statement(rest.trim()));
        }
        if let [] | [InputPiece::Statement(_)] = pieces.as_slice() {
            return self.include_set(path).await;
        }
        if self.depth >= FILES_IN_FILES {
            return Err(Error::query(format!(
                "{file}: files run each other {FILES_IN_FILES} deep"
            )));
        }
        self.depth += 1;
        let flow = self.run_pieces(&pieces).await;
        self.depth -= 1;
        flow
    }

    async fn include_set(&mut self, path: &Path) -> Result<Flow> {
        let start = Instant::now();
        let work = self.engine.query_file(path, &self.parameters);
        let query = match &mut self.interrupt {
            Some(interrupt) => interrupt.run_until_interrupted(work).await?,
            None => work.await?,
        };
        self.last = Some(ResultOrigin::File(path.to_path_buf()));
        let result = self.print_query(query).await;
        self.print_timing(start.elapsed());
        result.map(|()| Flow::Continue)
    }
}

fn is_parameter_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}
