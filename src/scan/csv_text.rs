//! What a CSV file says of itself, and what is wrong with it: header, types, lines.

use std::io::BufReader;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Schema};

use super::footer::unreadable;
use super::schema::{Keys, is_measure};
use crate::error::{Error, Result};
use crate::store::{FileRef, Rest, file_name};

/// Words that stand for NULL in columns of numbers and times.
const NULL_WORDS: [&str; 9] = ["NA", "N/A", "n/a", "null", "NULL", "None", "NaT", "#N/A", ""];

/// The same for [`Format`], which looks at all columns.
const NULL_PATTERN: &str = r"^(|NA|N/A|n/a|null|NULL|None|NaT|#N/A)$";

/// Whether a text stands for NULL in a column of numbers or times.
pub(super) fn is_null(text: &str) -> bool {
    NULL_WORDS.contains(&text)
}

/// The columns of a file, with types that hold every value in it.
///
/// # Errors
/// A file that is no CSV with a header, or a value of a measure or time column that is none.
pub(super) fn schema(file: &FileRef, keys: &Keys) -> Result<Schema> {
    check_header(file)?;
    let null =
        regex::Regex::new(NULL_PATTERN).map_err(|error| Error::internal(error.to_string()))?;
    let format = Format::default().with_header(true).with_null_regex(null);
    let text = BufReader::new(open(file)?);
    let (schema, _) = format.infer_schema(text, None).map_err(|error| fault(file, &error))?;
    let wrong = schema.fields().iter().position(|field| {
        let timed = *field.name() == keys.time;
        *field.data_type() == DataType::Utf8 && (timed || is_measure(field.name()))
    });
    match wrong {
        None => Ok(schema),
        Some(column) => {
            let timed = *schema.field(column).name() == keys.time;
            let name = schema.field(column).name();
            let fits = |value: &str| {
                is_null(value) || if timed { is_time(value) } else { is_number(value) }
            };
            let found = first(file, |record| record.get(column).is_some_and(|value| !fits(value)));
            let Some((line, record)) = found else { return Ok(schema) };
            let value = record.get(column).unwrap_or_default();
            let ty = if timed { DataType::Date32 } else { DataType::Float64 };
            Err(wrong_value(file, line, name, value, &ty))
        }
    }
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

fn is_time(text: &str) -> bool {
    let utc = chrono::Utc;
    datafusion::arrow::compute::kernels::cast_utils::string_to_datetime(&utc, text.trim()).is_ok()
}

/// The error for a value that has another type than its column.
pub(super) fn wrong_value(
    file: &FileRef,
    line: Option<u64>,
    column: &str,
    value: &str,
    ty: &DataType,
) -> Error {
    let expected = match ty {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => "a date or a time",
        ty if ty.is_integer() => "a whole number of 64 bits",
        ty if ty.is_numeric() => "a number",
        DataType::Boolean => "true or false",
        _ => "text",
    };
    let name = file_name(&file.path);
    let line = line.map_or(String::new(), |line| format!(", line {line}"));
    let short: String = value.chars().take(40).collect();
    Error::data(format!("{name}{line}: {column} is {short:?}, expected {expected}"))
        .hint("correct the value, or leave it empty; or leave the file out with --keep-going")
        .in_file(name)
}

/// Refuses a file whose first line names no columns.
fn check_header(file: &FileRef) -> Result<()> {
    let name = file_name(&file.path);
    let wrong = |what: String, way_out: &str| {
        Err(Error::data(format!("{name}: {what}")).hint(way_out).in_file(name.clone()))
    };
    let mut reader = records(file)?;
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(named(file, &error)),
    };
    let first = header.iter().collect::<Vec<_>>().join(",");
    let shown: String = first.chars().take(60).collect();
    if header.get(0).is_some_and(|first| first.starts_with('#')) {
        return wrong(
            format!("its first line is a remark, {shown:?}"),
            "remove the lines above the header",
        );
    }
    if let [only] = header.iter().collect::<Vec<_>>().as_slice() {
        for (separator, word) in [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")] {
            if only.contains(separator) {
                return wrong(
                    format!("its columns are separated by {word}"),
                    "separate them by commas: this is what CSV files are read with",
                );
            }
        }
    }
    if header.iter().any(|name| is_number(name) || is_time(name)) {
        return wrong(
            format!("it has no header: its first line is {shown:?}"),
            "put the names of the columns into its first line",
        );
    }
    Ok(())
}

fn open(file: &FileRef) -> Result<Rest> {
    Ok(file.open(0).map_err(|error| unreadable(&file.path, &error))?.rest(0))
}

fn records(file: &FileRef) -> Result<Reader<BufReader<Rest>>> {
    Ok(ReaderBuilder::new().from_reader(BufReader::new(open(file)?)))
}

/// The first record below the header that is looked for, with the line where it begins.
fn first(
    file: &FileRef,
    mut wanted: impl FnMut(&StringRecord) -> bool,
) -> Option<(Option<u64>, StringRecord)> {
    let mut reader = records(file).ok()?;
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).ok()? {
        if wanted(&record) {
            return Some((record.position().map(csv::Position::line), record));
        }
    }
    None
}

/// The line where a row of a file begins, as an editor counts; rows begin at 0.
pub(super) fn line_of(file: &FileRef, row: usize) -> Option<u64> {
    let mut at = 0;
    let found = first(file, |_| {
        at += 1;
        at == row + 1
    });
    found?.0
}

/// What is wrong with a file that could not be read as records; `error` is what the reader said.
pub(super) fn fault(file: &FileRef, error: &(dyn std::error::Error + 'static)) -> Error {
    let Ok(mut reader) = records(file) else { return unreadable(&file.path, error) };
    // The reader places a fault where it stood before it read: below the header only if that was read.
    if let Err(wrong) = reader.headers() {
        return named(file, &wrong);
    }
    match reader.records().find_map(std::result::Result::err) {
        Some(wrong) => named(file, &wrong),
        None => unreadable(&file.path, error),
    }
}

/// An error of the reader of records, with its line.
fn named(file: &FileRef, error: &csv::Error) -> Error {
    let name = file_name(&file.path);
    let line = |at: &Option<csv::Position>| {
        at.as_ref().map_or(String::new(), |at| format!(", line {}", at.line()))
    };
    let (what, way_out) = match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => (
            format!("{name}{} has {len} fields, and the header {expected_len}", line(pos)),
            "correct the line, or put values with commas into double quotes",
        ),
        ErrorKind::Utf8 { pos, err } => (
            format!("{name}{}: field {} is not UTF-8 text", line(pos), err.field() + 1),
            "save the file as UTF-8",
        ),
        _ => return unreadable(&file.path, error),
    };
    Error::data(what).hint(way_out).in_file(name)
}
