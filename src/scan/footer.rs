//! What the files of a source say about themselves before their rows are read.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::kernels::cast::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::csv_text;
use super::page_reader::stored_fields;
use super::parser_panic::catch_parser_panic;
use super::schema::KeyColumns;
use crate::error::{Error, Result, downcast_own_error};
use crate::limits::FOOTER_READERS;
use crate::store::{COLUMN_ROLE_KEY, FileKind, FileReader, FileRef, LABEL_ROLE, display_path};

/// A file with what it says about itself.
#[derive(Clone, Debug)]
pub(crate) struct FileInfo {
    /// The file.
    pub file: FileRef,
    /// Its own columns, without hive partitions.
    pub schema: SchemaRef,
    /// Columns that a run wrote as labels.
    pub labels: Vec<String>,
    /// Rows, where the format says so.
    pub rows: Option<u64>,
    /// Least and greatest entity, where the file proves it.
    pub entities: Option<(ScalarValue, ScalarValue)>,
    /// Least and greatest time, where the file proves it.
    pub times: Option<(ScalarValue, ScalarValue)>,
    /// What a look at all its keys showed, once somebody looked; None is out of order.
    pub(crate) proof: Arc<OnceLock<Option<SortProof>>>,
}

/// Where the entities of a sorted file begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SortProof {
    /// Row and entity.
    pub(super) starts: Vec<(u64, String)>,
    /// Rows of the file.
    pub(super) rows: u64,
}

/// Bytes of a file up to which it is read as a whole for its footer.
const FOOTER_READ_WHOLE: u64 = 64 << 10;

/// Reads what every file says about itself, on `threads` threads. The outer error is the first
/// file's, in path order; with `keep_going` bad files are returned instead.
///
/// # Errors
/// A file that cannot be read or is corrupt; it is named.
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
        // Thousands of files share one schema: keep one copy.
        Some(known) if *known == info.schema => info.schema = Arc::clone(known),
        _ => *last = Some(Arc::clone(&info.schema)),
    }
    Ok(info)
}

/// The error for a file that cannot be decoded.
pub(crate) fn corrupt_file_error(path: &Path, why: impl std::fmt::Display) -> Error {
    let why = why.to_string();
    let why = why.lines().next().unwrap_or_default();
    let why = why.split(" { ").next().unwrap_or_default(); // Values of Rust tell nobody anything.
    let why = ["Parquet argument error: ", "Parquet error: ", "External: ", "EOF: "]
        .iter()
        .fold(why, |why, prefix| why.trim_start_matches(prefix));
    Error::data(format!("{} is truncated or corrupt ({why})", display_path(path)))
        .hint("write it again, move it out of the source, or leave it out with --keep-going")
        .with_bad_file(display_path(path))
}

/// The error for a file that cannot be read or decoded.
pub(crate) fn unreadable_file_error(
    path: &Path,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    if let Some(too_many) = too_many_open(error) {
        let name = display_path(path);
        return Error::data(format!("cannot read {name}: {too_many}"))
            .hint("raise the limit on open files (ulimit -n), or compact the source")
            .with_bad_file(name);
    }
    downcast_own_error(error).cloned().unwrap_or_else(|| corrupt_file_error(path, error))
}

/// What the system said, where it has too many open files: nothing is wrong with the file.
fn too_many_open(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(io) = io.filter(|io| matches!(io.raw_os_error(), Some(23 | 24))) {
            return Some(io.to_string());
        }
        next = error.source();
    }
    None
}

/// Threads that look into files: those that wait for a server cost nothing.
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

/// Refuses a footer that speaks of bytes which the file has not, before anybody takes memory for them.
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

/// The columns that a file says of that they are labels.
fn label_columns(meta: &ArrowReaderMetadata) -> Vec<String> {
    let role = |field: &&FieldRef| {
        field.metadata().get(COLUMN_ROLE_KEY).is_some_and(|role| role == LABEL_ROLE)
    };
    let labels = meta.schema().fields().iter().filter(role);
    labels.map(|field| field.name().clone()).collect()
}

/// The least or greatest value of row group statistics; None if one is missing.
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
