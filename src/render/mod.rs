//! Record batches -> text: tables, CSV, JSON, Markdown, charts, and errors with their source line.
//!
//! This module depends only on Arrow and [`crate::error`]. It writes into a given `Write` and must
//! not know where the output goes, what a query is, or who the caller is.

mod calendar;
mod cell;
mod chart;
mod error_message;
mod flatten;
mod layout;
mod table;
mod terminal;

pub use calendar::check_times;
pub use chart::{Axis, Chart, Series};
pub use error_message::error_text;
pub use layout::wrap_lines;
pub use terminal::Terminal;

use crate::error::{Error, Kind, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonFormat;
use arrow::json::writer::Writer as JsonWriter;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use table::ResultTable;

/// The output format of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A box with rounded numbers, for people.
    #[default]
    Table,
    /// A header line and values that read back to the same bits; structs become one column each.
    Csv,
    /// An array of objects, one per line.
    Json,
    /// A pipe table, for documents.
    Markdown,
}

impl Format {
    /// Every format, in the order of the help.
    pub const ALL: [Format; 4] = [Format::Table, Format::Csv, Format::Json, Format::Markdown];

    /// The word that users type.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Markdown => "markdown",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Format::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(word)).ok_or_else(
            || {
                let names = Format::ALL.map(Format::name);
                Error::usage(format!("unknown format {word}, expected {}", names.join(", ")))
            },
        )
    }
}

/// The part of a result that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Every row and every column. A table or Markdown holds them all in memory.
    All,
    /// As much as fits on a screen. Further rows are read and counted, but neither kept nor written.
    Rows {
        /// The rows written: the first and the last ones of a table, the first ones of a stream.
        max_rows: usize,
        /// The width of a table in terminal columns; other formats keep every column.
        max_width: usize,
    },
}

impl Limit {
    fn max_rows(self) -> Option<usize> {
        match self {
            Limit::All => None,
            Limit::Rows { max_rows, .. } => Some(max_rows),
        }
    }
}

/// The numbers of rows that a [`Printer`] received and wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintSummary {
    /// Rows received.
    pub rows: usize,
    /// Rows written.
    pub shown: usize,
}

/// A writer of the batches of one result. It writes CSV and JSON batch by batch; a table and Markdown wait
/// for [`Printer::finish`], since the last row may be the widest.
pub struct Printer<W: Write> {
    body: FormatWriter<W>,
    schema: SchemaRef,
    limit: Limit,
    rows: usize,
}

enum FormatWriter<W: Write> {
    Csv(W),
    Json(JsonWriter<W, JsonArrayFormat>),
    Buffered(W, ResultTable, Format),
}

impl<W: Write> Printer<W> {
    /// Creates a printer for rows of this schema.
    pub fn new(format: Format, schema: &SchemaRef, out: W, limit: Limit) -> Self {
        let body = match format {
            Format::Csv => FormatWriter::Csv(out),
            Format::Json => {
                FormatWriter::Json(WriterBuilder::new().with_explicit_nulls(true).build(out))
            }
            Format::Table | Format::Markdown => {
                FormatWriter::Buffered(out, ResultTable::new(schema, limit), format)
            }
        };
        Self { body, schema: SchemaRef::clone(schema), limit, rows: 0 }
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// If a time in the rows has no date ([`check_times`]), or if the rows cannot be written;
    /// [`output_closed`] tells whether the reader closed the output.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        check_times(batch)?;
        let first = self.rows == 0;
        let room = self.limit.max_rows().map_or(usize::MAX, |max| max.saturating_sub(self.rows));
        self.rows += batch.num_rows();
        if let FormatWriter::Buffered(_, table, _) = &mut self.body {
            table.push(batch);
            return Ok(());
        }
        let batch = batch.slice(0, batch.num_rows().min(room));
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match &mut self.body {
            FormatWriter::Csv(out) => write_csv(out, &batch, first),
            FormatWriter::Json(writer) => writer.write(&batch).map_err(from_arrow),
            FormatWriter::Buffered(..) => Ok(()),
        }
    }

    /// Writes the rest of the output.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(self) -> Result<PrintSummary> {
        let rows = self.rows;
        let shown = self.limit.max_rows().map_or(rows, |max| max.min(rows));
        match self.body {
            FormatWriter::Csv(mut out) => {
                if rows == 0 {
                    write_csv(&mut out, &RecordBatch::new_empty(self.schema), true)?;
                }
                out.flush().map_err(from_io)?;
            }
            FormatWriter::Json(mut writer) => {
                if shown == 0 {
                    writer.get_mut().write_all(b"[]\n").map_err(from_io)?;
                } else {
                    writer.finish().map_err(from_arrow)?;
                }
                writer.get_mut().flush().map_err(from_io)?;
            }
            FormatWriter::Buffered(mut out, table, format) => {
                match format {
                    Format::Markdown => table.write_markdown(&mut out)?,
                    _ => table.write_box(&mut out)?,
                }
                out.flush().map_err(from_io)?;
            }
        }
        Ok(PrintSummary { rows, shown })
    }
}

fn write_csv<W: Write>(out: &mut W, batch: &RecordBatch, header: bool) -> Result<()> {
    let flat = flatten::flatten_batch(batch)?;
    let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(out);
    writer.write(&flat).map_err(from_arrow)
}

/// A JSON array with one object per line.
#[derive(Debug, Default)]
struct JsonArrayFormat;

impl JsonFormat for JsonArrayFormat {
    fn start_stream<W: Write>(&self, out: &mut W) -> Result<(), arrow::error::ArrowError> {
        Ok(out.write_all(b"[")?)
    }

    fn start_row<W: Write>(
        &self,
        out: &mut W,
        first: bool,
    ) -> Result<(), arrow::error::ArrowError> {
        Ok(out.write_all(if first { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, out: &mut W) -> Result<(), arrow::error::ArrowError> {
        Ok(out.write_all(b"\n]\n")?)
    }
}

const CLOSED: &str = "the output was closed by its reader";

/// Returns whether writing stopped because the reader closed the output (`windrow sql ... | head`). The
/// program then ends without a message.
pub fn output_closed(error: &Error) -> bool {
    error.kind() == Kind::Interrupted && error.message() == CLOSED
}

pub(crate) fn from_io(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Kind::Interrupted, CLOSED),
        _ => Error::target(format!("cannot write the output: {error}")),
    }
}

fn from_arrow(error: arrow::error::ArrowError) -> Error {
    use arrow::error::ArrowError;
    match error {
        ArrowError::IoError(_, error) => from_io(error),
        // The csv crate hides the kind of its error in a string.
        other if other.to_string().contains("Broken pipe") => {
            from_io(io::ErrorKind::BrokenPipe.into())
        }
        other if other.to_string().contains("os error") => {
            Error::target(format!("cannot write the output: {other}"))
        }
        ArrowError::JsonError(_) | ArrowError::CsvError(_) => {
            Error::query("a column of the result has no form in this format")
                .hint("cast it to TEXT, or take --format table")
        }
        other => Error::internal(format!("cannot write the result: {other}")),
    }
}

#[cfg(test)]
mod tests;
