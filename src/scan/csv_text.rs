//! Infers the schema of a CSV file and diagnoses what is wrong with it: header, types, lines.

use std::io::{BufReader, Read};

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord};
use datafusion::arrow::array::{Array, StringArray};
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::file_errors::unreadable_file_error;
use super::schema::{KeyColumns, is_measure};
use crate::error::{Error, Result};
use crate::store::{FileRef, OffsetReader, display_path};

/// Words that stand for NULL in columns of numbers and times.
const NULL_WORDS: [&str; 9] = ["NA", "N/A", "n/a", "null", "NULL", "None", "NaT", "#N/A", ""];

/// The same words as a pattern for [`Format`], which inspects all columns.
const NULL_PATTERN: &str = r"^(|NA|N/A|n/a|null|NULL|None|NaT|#N/A)$";

/// Returns whether a text stands for NULL in a column of numbers or times.
pub(super) fn is_null_word(text: &str) -> bool {
    NULL_WORDS.contains(&text)
}

/// Infers the columns of a file, with types that hold every value in it.
///
/// # Errors
/// The file is no CSV with a header, or a measure or time column has a value that is no number or time.
pub(super) fn infer_csv_schema(file: &FileRef, keys: &KeyColumns) -> Result<Schema> {
    check_csv_header(file)?;
    let null =
        regex::Regex::new(NULL_PATTERN).map_err(|error| Error::internal(error.to_string()))?;
    let format = Format::default().with_header(true).with_null_regex(null);
    let text = BufReader::new(open_csv_text(file)?);
    let (schema, _) =
        format.infer_schema(text, None).map_err(|error| diagnose_csv(file, &error))?;
    let looks = profile_columns(file, keys, &schema)?;
    let fields = schema.fields().iter().zip(looks).map(|(field, looks)| {
        let timed = *field.name() == keys.time;
        if let Some((at, value)) = &looks.other_clock {
            return Err(mixed_zones_error(
                file,
                line_at_position(file, at.as_ref()),
                field.name(),
                value,
            ));
        }
        let ty = match field.data_type() {
            _ if *field.name() == keys.entity => DataType::Utf8,
            DataType::Utf8 if timed && looks.fits => looks.time_type(),
            DataType::Timestamp(unit, _) if looks.zoned == Some(true) => {
                DataType::Timestamp(*unit, Some("UTC".into()))
            }
            DataType::Utf8 if is_measure(field.name()) && looks.fits => DataType::Float64,
            DataType::Utf8 if !timed && looks.whole && !looks.zeros => DataType::Int64,
            DataType::Int64 | DataType::Float64 if !is_measure(field.name()) && looks.zeros => {
                DataType::Utf8
            }
            other => other.clone(),
        };
        match looks.wrong {
            Some((at, value)) if ty != DataType::Utf8 || timed || is_measure(field.name()) => {
                let ty = if timed { &DataType::Date32 } else { &ty };
                let ty = if is_measure(field.name()) { &DataType::Float64 } else { ty };
                Err(value_type_error(
                    file,
                    line_at_position(file, at.as_ref()),
                    field.name(),
                    &value,
                    ty,
                ))
            }
            _ => Ok(Field::new(field.name(), ty, true)),
        }
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

/// The properties of the texts in a column.
struct ColumnProfile {
    /// True if every text that is not NULL is of the kind that the name of the column requires.
    fits: bool,
    /// True if there are values, and all are whole numbers.
    whole: bool,
    /// True if a value begins with a zero that a number would lose: `007`.
    zeros: bool,
    /// True if times have a zone; None before the first time.
    zoned: Option<bool>,
    /// The first time that has a zone where those before have none, or the other way round.
    other_clock: Option<(Option<Position>, String)>,
    /// The most digits in a fraction of a second; None if all times are days.
    digits: Option<usize>,
    /// The first value that is not of the expected kind: a number, a time, or a whole number of 64 bits.
    wrong: Option<(Option<Position>, String)>,
}

impl ColumnProfile {
    /// Returns the type of a column of times.
    fn time_type(&self) -> DataType {
        let unit = match self.digits {
            None => return DataType::Date32,
            Some(0) => TimeUnit::Second,
            Some(..=3) => TimeUnit::Millisecond,
            Some(..=6) => TimeUnit::Microsecond,
            Some(_) => TimeUnit::Nanosecond,
        };
        DataType::Timestamp(unit, (self.zoned == Some(true)).then(|| "UTC".into()))
    }

    /// Records whether a time has a zone, and how many digits its fraction of a second has.
    fn observe_clock(&mut self, text: &str, at: &Option<Position>) {
        let Some((_, clock)) = text.split_at_checked(10).filter(|(_, clock)| !clock.is_empty())
        else {
            self.zoned.get_or_insert(false);
            return;
        };
        let clock = clock.strip_prefix(['T', 't']).unwrap_or(clock);
        let zoned = clock.contains(|c: char| c.is_alphabetic() || matches!(c, '+' | '-'));
        if *self.zoned.get_or_insert(zoned) != zoned {
            self.other_clock.get_or_insert_with(|| (at.clone(), text.to_string()));
        }
        let fraction = clock.split_once('.').map_or("", |(_, rest)| rest);
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        self.digits = self.digits.max(Some(digits));
    }
}

/// Inspects all values of each column.
///
/// # Errors
/// A double quote is not closed, so that all rows behind it would be read as one value.
fn profile_columns(
    file: &FileRef,
    keys: &KeyColumns,
    schema: &Schema,
) -> Result<Vec<ColumnProfile>> {
    let start = || ColumnProfile {
        fits: true,
        whole: true,
        zeros: false,
        zoned: None,
        other_clock: None,
        digits: None,
        wrong: None,
    };
    let mut looks: Vec<ColumnProfile> = schema.fields().iter().map(|_| start()).collect();
    let asked: Vec<usize> = (0..looks.len())
        .filter(|i| {
            let asked = matches!(
                schema.field(*i).data_type(),
                DataType::Utf8 | DataType::Int64 | DataType::Float64 | DataType::Timestamp(..)
            );
            asked && *schema.field(*i).name() != keys.entity
        })
        .collect();
    let mut any = vec![false; looks.len()];
    let mut reader =
        ReaderBuilder::new().from_reader(QuoteCounter { of: open_csv_text(file)?, odd: false });
    let (mut record, mut lines) = (StringRecord::new(), (None, false));
    while reader.read_record(&mut record).map_err(|error| locate_csv_error(file, &error))? {
        let at = record.position().cloned();
        lines = (at.clone(), record.iter().any(|value| value.contains('\n')));
        for column in &asked {
            let value = record.get(*column).unwrap_or_default();
            if is_null_word(value) {
                continue;
            }
            any[*column] = true;
            let (looks, field) = (&mut looks[*column], schema.field(*column));
            let name = field.name();
            let timed = *name == keys.time || matches!(field.data_type(), DataType::Timestamp(..));
            let whole = is_whole_number(value);
            looks.whole &= whole;
            let digits = value.strip_prefix('-').unwrap_or(value);
            looks.zeros |= whole && digits.len() > 1 && digits.starts_with('0');
            let fits = match () {
                () if timed => is_csv_time(value),
                () if is_measure(name) => is_csv_number(value),
                () if *field.data_type() == DataType::Float64 => true,
                () => !whole || value.parse::<i64>().is_ok(),
            };
            if timed && fits {
                looks.observe_clock(value.trim(), &at);
            }
            if !fits && looks.fits {
                (looks.fits, looks.wrong) = (false, Some((at.clone(), value.to_string())));
            }
        }
    }
    if reader.get_ref().odd && lines.1 {
        let name = display_path(&file.path);
        let line = line_at_position(file, lines.0.as_ref());
        let line = line.map_or(String::new(), |line| format!(", line {line}"));
        return Err(Error::data(format!("{name}{line}: a double quote is not closed"))
            .hint("close it, or write two for one within a value")
            .with_bad_file(name));
    }
    for (looks, any) in looks.iter_mut().zip(any) {
        looks.whole &= any;
    }
    Ok(looks)
}

/// A reader that counts double quotes: in a file that closes all of them their number is even.
struct QuoteCounter<R> {
    of: R,
    odd: bool,
}

impl<R: Read> Read for QuoteCounter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.of.read(buffer)?;
        self.odd ^= buffer[..read].iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        Ok(read)
    }
}

fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses a text as a number. A number too large for a float is rejected: only words give an infinity.
pub(super) fn parse_csv_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let value: f64 = text.parse().ok()?;
    let word = || text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (!value.is_infinite() || word()).then_some(value)
}

/// Returns whether a text is a whole number that no float represents exactly.
pub(super) fn loses_digits(text: &StringArray, row: usize) -> bool {
    let value = if text.is_valid(row) { text.value(row).trim() } else { return false };
    is_whole_number(value)
        && value.len() > 15
        && parse_csv_number(value).map(|float| float as i128) != value.parse().ok()
}

fn is_csv_number(text: &str) -> bool {
    parse_csv_number(text).is_some()
}

/// Returns whether a text is a time. A second 60 is rejected, since arrow would read it as the 59th.
fn is_csv_time(text: &str) -> bool {
    let (utc, text) = (chrono::Utc, text.trim());
    let second = text.get(16..19).unwrap_or_default();
    second != ":60" && string_to_datetime(&utc, text).is_ok()
}

/// Returns the error for a time with a zone among those without, or the other way round.
fn mixed_zones_error(file: &FileRef, line: Option<u64>, column: &str, value: &str) -> Error {
    let name = display_path(&file.path);
    let line = line.map_or(String::new(), |line| format!(", line {line}"));
    Error::data(format!(
        "{name}{line}: {column} is {value:?}; some of its times have a zone, and some have none"
    ))
    .hint("write all of them with a zone, such as 2024-01-31T15:30:00Z, or none")
    .with_bad_file(name)
}

/// Returns the error for a value that has another type than its column.
pub(super) fn value_type_error(
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
    let name = display_path(&file.path);
    let line = line.map_or(String::new(), |line| format!(", line {line}"));
    let short: String = value.chars().take(40).collect();
    Error::data(format!("{name}{line}: {column} is {short:?}, expected {expected}"))
        .hint("correct the value, or leave it empty; or leave the file out with --keep-going")
        .with_bad_file(name)
}

/// Refuses a file whose first line names no columns.
fn check_csv_header(file: &FileRef) -> Result<()> {
    let name = display_path(&file.path);
    let wrong = |what: String, way_out: &str| {
        Err(Error::data(format!("{name}: {what}")).hint(way_out).with_bad_file(name.clone()))
    };
    let mut reader = open_csv_reader(file)?;
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(locate_csv_error(file, &error)),
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
    if header.iter().any(|name| is_csv_number(name) || is_csv_time(name)) {
        return wrong(
            format!("it has no header: its first line is {shown:?}"),
            "put the names of the columns into its first line",
        );
    }
    Ok(())
}

fn open_csv_text(file: &FileRef) -> Result<OffsetReader> {
    Ok(file
        .open_reader(0)
        .map_err(|error| unreadable_file_error(&file.path, &error))?
        .reader_from(0))
}

fn open_csv_reader(file: &FileRef) -> Result<Reader<BufReader<OffsetReader>>> {
    Ok(ReaderBuilder::new().from_reader(BufReader::new(open_csv_text(file)?)))
}

/// Returns the position of the first record below the header that `wanted` accepts.
fn find_record_position(
    file: &FileRef,
    mut wanted: impl FnMut(&StringRecord) -> bool,
) -> Option<Position> {
    let mut reader = open_csv_reader(file).ok()?;
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).ok()? {
        if wanted(&record) {
            return record.position().cloned();
        }
    }
    None
}

/// Returns the line where a row of a file begins, as an editor counts lines; rows count from 0.
pub(super) fn line_of_row(file: &FileRef, row: usize) -> Option<u64> {
    let mut at = 0;
    let found = find_record_position(file, |_| {
        at += 1;
        at == row + 1
    });
    line_at_position(file, found.as_ref())
}

/// Returns the line of a record, as an editor counts lines: the record reader counts blank lines
/// before a record as part of it.
fn line_at_position(file: &FileRef, at: Option<&Position>) -> Option<u64> {
    let at = at?;
    let mut text = open_csv_text(file).ok()?;
    std::io::copy(&mut text.by_ref().take(at.byte()), &mut std::io::sink()).ok()?;
    let blank = BufReader::new(text).bytes().map_while(std::result::Result::ok);
    let blank = blank.take_while(|byte| matches!(byte, b'\n' | b'\r'));
    Some(at.line() + blank.filter(|byte| *byte == b'\n').count() as u64)
}

/// Diagnoses a file that could not be read as records; `error` is the reader's error.
pub(super) fn diagnose_csv(file: &FileRef, error: &(dyn std::error::Error + 'static)) -> Error {
    let Ok(mut reader) = open_csv_reader(file) else {
        return unreadable_file_error(&file.path, error);
    };
    // The reader reports the position where it stood before the failed read: below the header only
    // if the header was read.
    if let Err(wrong) = reader.headers() {
        return locate_csv_error(file, &wrong);
    }
    match reader.records().find_map(std::result::Result::err) {
        Some(wrong) => locate_csv_error(file, &wrong),
        None => unreadable_file_error(&file.path, error),
    }
}

/// Describes an error of the record reader, with its line.
fn locate_csv_error(file: &FileRef, error: &csv::Error) -> Error {
    let name = display_path(&file.path);
    let line = |at: &Option<Position>| {
        line_at_position(file, at.as_ref()).map_or(String::new(), |line| format!(", line {line}"))
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
        _ => return unreadable_file_error(&file.path, error),
    };
    Error::data(what).hint(way_out).with_bad_file(name)
}
