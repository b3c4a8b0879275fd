//! Reads the facts that the files of a source state before their rows are read: columns, rows, key ranges.

use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::kernels::cast::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::csv_text;
use super::file_errors::{catch_parser_panic, corrupt_file_error, unreadable_file_error};
use super::page_reader::stored_fields;
use super::schema::KeyColumns;
use crate::error::{Error, Result, downcast_own_error};
use crate::limits::FOOTER_READERS;
use crate::store::{COLUMN_ROLE_KEY, FileKind, FileReader, FileRef, LABEL_ROLE, display_path};

/// A file with the facts that it states about itself.
#[derive(Clone, Debug)]
pub(crate) struct FileInfo {
    /// The file.
    pub file: FileRef,
    /// Its own columns, without hive partitions.
    pub schema: SchemaRef,
    /// Columns that a run wrote as labels.
    pub labels: Vec<String>,
    /// The number of rows, if the format states it.
    pub rows: Option<u64>,
    /// Least and greatest entity, if the file proves them.
    pub entities: Option<(ScalarValue, ScalarValue)>,
    /// Least and greatest time, if the file proves them.
    pub times: Option<(ScalarValue, ScalarValue)>,
    /// The proof of order from all its keys, once it was attempted; None inside if the rows are out
    /// of order.
    pub(crate) proof: Arc<OnceLock<Option<SortProof>>>,
}

/// The rows where the entities of a sorted file begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SortProof {
    /// The first row of each entity, and the entity.
    pub(super) starts: Vec<(u64, String)>,
    /// The number of rows of the file.
    pub(super) rows: u64,
}

/// The largest file, in bytes, that is read whole for its footer.
const FOOTER_READ_WHOLE: u64 = 64 << 10;

/// Reads the facts of every file on `threads` threads, and returns one result per file, in the
/// order of `files`.
///
/// # Errors
/// A file cannot be read or is corrupt; the error names it.
pub(crate) fn read_footers(
    files: Vec<FileRef>,
    kind: FileKind,
    keys: &KeyColumns,
    threads: usize,
) -> Vec<Result<FileInfo>> {
    let chunk = files.len().div_ceil(reader_threads(&files, threads)).max(1);
    std::thread::scope(|scope| {
        let handles: Vec<_> = files
            .chunks(chunk)
            .map(|chunk| {
                scope.spawn(move || {
                    let mut last: Option<SchemaRef> = None;
                    chunk
                        .iter()
                        .map(|file| read_footer(file, kind, keys, &mut last))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| {
                handle.join().unwrap_or_else(|_| {
                    vec![Err(Error::internal("a thread that read footers panicked"))]
                })
            })
            .collect()
    })
}

fn read_footer(
    file: &FileRef,
    kind: FileKind,
    keys: &KeyColumns,
    last: &mut Option<SchemaRef>,
) -> Result<FileInfo> {
    let mut info = catch_parser_panic(&file.path, || match kind {
        FileKind::Parquet => read_parquet_info(file, keys),
        FileKind::Csv => read_csv_info(file, keys),
    })?;
    match last {
        // Thousands of files may share one schema: keep one copy.
        Some(known) if *known == info.schema => info.schema = Arc::clone(known),
        _ => *last = Some(Arc::clone(&info.schema)),
    }
    Ok(info)
}

/// Returns the number of threads that read files: more for servers, since a thread that waits costs
/// nothing.
pub(crate) fn reader_threads<'a>(
    files: impl IntoIterator<Item = &'a FileRef>,
    threads: usize,
) -> usize {
    let remote = files.into_iter().any(|file| file.object.is_some());
    if remote { threads.max(FOOTER_READERS) } else { threads.max(1) }
}

fn open_source_file(file: &FileRef, small: u64) -> Result<FileReader> {
    let path = &file.path;
    file.open_reader(small).map_err(|error| {
        downcast_own_error(&error).cloned().unwrap_or_else(|| {
            Error::data(format!("cannot read {}: {error}", display_path(path)))
                .hint("check that the file exists and may be read")
                .with_bad_file(display_path(path))
        })
    })
}

fn read_parquet_info(file: &FileRef, keys: &KeyColumns) -> Result<FileInfo> {
    let path = &file.path;
    let meta = ArrowReaderMetadata::load(
        &open_source_file(file, FOOTER_READ_WHOLE)?,
        ArrowReaderOptions::new(),
    );
    let meta = meta.map_err(|error| unreadable_file_error(path, &error))?;
    check_chunk_bounds(&meta, file.size).map_err(|why| corrupt_file_error(path, why))?;
    let range = |column: &str| -> Option<(ScalarValue, ScalarValue)> {
        let groups = meta.metadata().row_groups();
        let converter =
            StatisticsConverter::try_new(column, meta.schema(), meta.parquet_schema()).ok()?;
        let mins = converter.row_group_mins(groups.iter()).ok()?;
        let maxs = converter.row_group_maxes(groups.iter()).ok()?;
        Some((extreme_value(&mins, true)?, extreme_value(&maxs, false)?))
    };
    let rows = meta.metadata().file_metadata().num_rows();
    Ok(FileInfo {
        rows: u64::try_from(rows).ok(),
        entities: range(&keys.entity),
        times: range(&keys.time),
        schema: Arc::new(Schema::new(stored_fields(&meta))),
        labels: label_columns(&meta),
        file: file.clone(),
        proof: Arc::default(),
    })
}

/// Refuses a footer that refers to bytes beyond the end of the file, before memory is allocated for them.
fn check_chunk_bounds(meta: &ArrowReaderMetadata, size: u64) -> std::result::Result<(), String> {
    for group in meta.metadata().row_groups() {
        if group.num_rows() < 0 {
            return Err(format!("a row group of {} rows", group.num_rows()));
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let (start, length) = (u64::try_from(start), u64::try_from(column.compressed_size()));
            let end =
                start.ok().zip(length.ok()).and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > size) {
                return Err(format!("{} lies past the end of the file", column.column_path()));
            }
        }
    }
    let rows: i64 = meta
        .metadata()
        .row_groups()
        .iter()
        .fold(0, |sum, group| group.num_rows().saturating_add(sum));
    match rows == meta.metadata().file_metadata().num_rows() {
        true => Ok(()),
        false => Err("its row groups have other rows than it says".to_string()),
    }
}

/// Returns the columns that a file marks as labels.
fn label_columns(meta: &ArrowReaderMetadata) -> Vec<String> {
    let role = |field: &&FieldRef| {
        field.metadata().get(COLUMN_ROLE_KEY).is_some_and(|role| role == LABEL_ROLE)
    };
    let labels = meta.schema().fields().iter().filter(role);
    labels.map(|field| field.name().clone()).collect()
}

/// Returns the least or greatest value of row group statistics; None if one is missing.
fn extreme_value(values: &ArrayRef, least: bool) -> Option<ScalarValue> {
    if values.is_empty() || values.null_count() > 0 {
        return None;
    }
    let values = match values.data_type() {
        t if t.is_string() => cast(values, &DataType::Utf8View).ok()?,
        _ => Arc::clone(values),
    };
    let mut best = ScalarValue::try_from_array(&values, 0).ok()?;
    for i in 1..values.len() {
        let value = ScalarValue::try_from_array(&values, i).ok()?;
        let better = if least { value < best } else { value > best };
        if better {
            best = value;
        }
    }
    Some(best)
}

fn read_csv_info(file: &FileRef, keys: &KeyColumns) -> Result<FileInfo> {
    Ok(FileInfo {
        file: file.clone(),
        schema: Arc::new(csv_text::infer_csv_schema(file, keys)?),
        labels: Vec::new(),
        rows: None,
        entities: None,
        times: None,
        proof: Arc::default(),
    })
}
