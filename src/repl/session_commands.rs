//! The implementation of the backslash commands; `commands.rs` has their table.

use super::commands::{self, CommandAction};
use super::session::{DEFAULT_WIDTH, Flow, Session};
use crate::error::did_you_mean;
use crate::error::{Error, Result};
use crate::limits::FILES_IN_FILES;
use crate::render::Limit;
use crate::repl::InputPiece;
use crate::repl::is_blank_text;
use crate::repl::session::ResultOrigin;
use crate::repl::split_input;
use crate::repl::type_names::type_name;
use std::fs;
use std::path::Path;
use std::time::Instant;

impl Session {
    /// Runs a command with the rest of its line as arguments.
    pub(super) async fn run_command(&mut self, action: CommandAction, args: &str) -> Result<Flow> {
        let done = match action {
            CommandAction::Quit => return Ok(Flow::Quit),
            CommandAction::DescribeTables => return self.describe_tables(args).await,
            CommandAction::IncludeFile => return Box::pin(self.include_file(args)).await,
            CommandAction::Plot => return self.plot_columns(args).await,
            CommandAction::SetSource => return self.set_source(args).await,
            CommandAction::Help => self.print_help(),
            CommandAction::DescribeFunctions => self.describe_functions(args),
            CommandAction::SetFormat => self.set_format(args),
            CommandAction::SetRows => self.set_rows(args),
            CommandAction::SetParameter => self.set_parameter(args),
            CommandAction::SetTiming => self.set_timing(args),
            CommandAction::UnsetParameter => self.unset_parameter(args),
        };
        done.map(|()| Flow::Continue)
    }

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

    /// Sets a parameter from `name=value` or, as in psql, `name value`; lists all parameters without
    /// arguments.
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
