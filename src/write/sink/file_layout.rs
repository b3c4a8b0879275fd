//! The common properties of the parquet files of a job: names, folders, columns and encodings.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::metadata::{KeyValue, SortingColumn};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;

use super::OutputShape;
use super::float_encoder;
use crate::config;
use crate::error::{Error, Result};
use crate::limits::ROW_GROUP_ROWS;
use crate::write::{Attempt, WriteJob};

/// The common properties of all files of a job.
pub(super) struct FileLayout {
    attempt: Attempt,
    pub(super) entity: usize,
    time: usize,
    pub(super) partition_by: Vec<usize>,
    columns: Vec<usize>,
    pub(super) schema: SchemaRef,
    properties: WriterProperties,
    pub(super) compression: config::Compression,
    /// The rows of a row group, and the bytes that they take until they are written: once in full pages
    /// and once in pages that are not full yet.
    pub(super) group: (usize, usize),
    pool: Arc<dyn MemoryPool>,
}

impl FileLayout {
    pub(super) fn from_write_job(job: &WriteJob) -> Self {
        let output = &job.output;
        let all = &output.schema;
        let partition_by = output.partition_by.clone();
        let columns: Vec<usize> =
            (0..all.fields().len()).filter(|i| !partition_by.contains(i)).collect();
        let fields = columns.iter().map(|column| {
            let field = all.field(*column).clone();
            let notes = output.notes.iter().find(|(name, _)| name == field.name());
            let notes = notes.map(|(_, pairs)| pairs.iter().cloned().collect()).unwrap_or_default();
            let ty = match field.data_type() {
                DataType::Float64 if output.float32 => DataType::Float32,
                // Parquet has no times in seconds.
                DataType::Timestamp(TimeUnit::Second, zone) => {
                    DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
                }
                other => other.clone(),
            };
            let field = field.with_data_type(ty);
            field.with_metadata(notes)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let pool = Arc::clone(job.context.memory_pool());
        let workers = job.context.session_config().target_partitions();
        let group = row_group_size(&schema, pool.memory_limit(), output.side_by_side, workers);
        let properties = writer_properties(&schema, output, &columns, group.0);
        Self {
            attempt: job.attempt.clone(),
            entity: output.entity,
            time: output.time,
            partition_by,
            columns,
            schema,
            properties,
            compression: output.compression,
            group,
            pool,
        }
    }
}

impl FileLayout {
    /// Reserves the memory of `open` row groups, before anything else requests memory.
    pub(super) fn reserve_row_groups(&self, open: usize) -> Result<MemoryReservation> {
        let memory = MemoryConsumer::new("row groups").register(&self.pool);
        memory.try_grow(open * self.group.1).map_err(|error| {
            let error = error.to_string();
            let why = error.lines().next().unwrap_or_default();
            Error::data(format!("the memory limit leaves no room for row groups: {why}"))
                .hint("raise --memory-limit, or lower --threads")
        })?;
        Ok(memory)
    }
}

/// Returns the rows of a row group and their bytes. Groups are smaller if more of them are open at a
/// time than there are workers, and if a memory limit leaves less room.
fn row_group_size(
    schema: &SchemaRef,
    limit: MemoryLimit,
    open: usize,
    workers: usize,
) -> (usize, usize) {
    let width = |field: &FieldRef| field.data_type().primitive_width().unwrap_or(16) + 1;
    let row: usize = schema.fields().iter().map(width).sum();
    let most = ROW_GROUP_ROWS * workers.min(open).max(1) / open.max(1);
    let rows = match limit {
        MemoryLimit::Finite(limit) => most.min(limit / (16 * open.max(1) * row)),
        _ => most,
    };
    let rows = rows.max(1024);
    (rows, 2 * rows * row)
}

impl FileLayout {
    /// Returns the columns of a file, with 64-bit floats narrowed to 32 bits if the set asks for it.
    pub(super) fn file_columns(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.columns.iter().zip(self.schema.fields()).map(|(column, field)| {
            let values = batch.column(*column);
            if values.data_type() == field.data_type() {
                return Ok(ArrayRef::clone(values));
            }
            let Some(wide) = values.as_primitive_opt::<Float64Type>() else {
                let cast = datafusion::arrow::compute::cast(values, field.data_type());
                return cast.map_err(|error| Error::data(error.to_string()));
            };
            let narrow: Float32Array = wide.unary(|value| value as f32);
            let lost =
                |row: &usize| wide.value(*row).is_finite() && !narrow.value(*row).is_finite();
            match (0..wide.len()).find(lost) {
                None => Ok(Arc::new(narrow) as ArrayRef),
                Some(row) => {
                    Err(self.float_overflow_error(batch, field.name(), wide.value(row), row))
                }
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::internal(error.to_string()))
    }

    fn float_overflow_error(
        &self,
        batch: &RecordBatch,
        column: &str,
        value: f64,
        row: usize,
    ) -> Error {
        let text = |column: usize| {
            ArrayFormatter::try_new(batch.column(column), &FormatOptions::default())
                .map(|text| text.value(row).to_string())
                .unwrap_or_default()
        };
        let symbol = text(self.entity);
        let time = text(self.time);
        Error::data(format!(
            "{column} of {symbol} at {time} is {value:e}, which no 32-bit float holds"
        ))
        .hint("write without float32, or scale the column")
        .with_bad_symbol(symbol)
    }
}

/// Returns the properties of a file. Floats are split into bytes, without a dictionary unless a file
/// begins with few distinct values. Integers and times, such as the time key, are delta coded.
/// docs/performance.md has the figures.
fn writer_properties(
    schema: &SchemaRef,
    output: &OutputShape,
    columns: &[usize],
    group: usize,
) -> WriterProperties {
    let name = |column: usize| output.schema.field(column).name();
    let by = format!("{}, {}", name(output.entity), name(output.time));
    let facts = [
        ("windrow.set", &output.set),
        ("windrow.fingerprint", &output.fingerprint),
        ("windrow.sorted_by", &by),
    ];
    let facts = facts.map(|(key, value)| KeyValue::new(key.to_string(), value.clone()));
    let mut builder = WriterProperties::builder()
        .set_compression(parquet_codec(output.compression))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(group))
        .set_created_by(concat!("windrow ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(facts.to_vec()));
    // Readers find pages only by the keys.
    for key in [output.entity, output.time] {
        let path = ColumnPath::from(output.schema.field(key).name().as_str());
        builder = builder.set_column_statistics_enabled(path, EnabledStatistics::Page);
    }
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        builder = match field.data_type() {
            DataType::Float64 | DataType::Float32 => builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
            DataType::Timestamp(..) | DataType::Date32 | DataType::Int64 | DataType::Int32 => {
                builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
            }
            _ => builder,
        };
    }
    let sorted = [output.entity, output.time].map(|key| columns.iter().position(|c| *c == key));
    if let [Some(entity), Some(time)] = sorted {
        let by = [entity, time].map(|column| SortingColumn {
            column_idx: i32::try_from(column).unwrap_or(0),
            descending: false,
            nulls_first: false,
        });
        builder = builder.set_sorting_columns(Some(by.to_vec()));
    }
    builder.build()
}

pub(super) fn parquet_codec(compression: config::Compression) -> Compression {
    match compression {
        config::Compression::None => Compression::UNCOMPRESSED,
        config::Compression::Snappy => Compression::SNAPPY,
        config::Compression::Lz4 => Compression::LZ4_RAW,
        // Columns of floats for which LZ4 is better override this in their own metadata.
        config::Compression::Auto => Compression::ZSTD(ZstdLevel::default()),
        config::Compression::Zstd(level) => {
            Compression::ZSTD(ZstdLevel::try_new(level.into()).unwrap_or_default())
        }
    }
}

impl FileLayout {
    /// Returns the path of a file below the target. The name carries run, unit and attempt, so no file
    /// of a new state has the name of an old one: a reader that listed the old state finds its files or
    /// none of them, and so does a commit.
    pub(super) fn file_path(&self, folder: &str, partition: usize, file: usize) -> String {
        let Attempt { run, unit, number } = &self.attempt;
        let name = format!("part-{run}-{unit:04}-{number}-{partition:04}-{file:04}.parquet");
        if folder.is_empty() { name } else { format!("{folder}/{name}") }
    }

    /// Returns the properties of a file whose first rows are given, and which of its columns are
    /// encoded by `float_encoder`.
    pub(super) fn properties_for(&self, first: &RecordBatch) -> (WriterProperties, Vec<bool>) {
        let mut properties = self.properties.clone().into_builder();
        let mut own = Vec::with_capacity(first.num_columns());
        for (field, column) in first.schema().fields().iter().zip(first.columns()) {
            let few = has_few_values(column);
            if few {
                let path = ColumnPath::from(field.name().as_str());
                properties = properties
                    .set_column_encoding(path.clone(), Encoding::PLAIN)
                    .set_column_dictionary_enabled(path, true);
            }
            own.push(float_encoder::supports_type(field.data_type()) && !few);
        }
        (properties.build(), own)
    }
}

/// The number of values sampled to choose the encoding of a column.
const SAMPLE: usize = 4096;

/// Returns whether few distinct values recur, such as ranks and counts. A dictionary then takes a
/// fraction of the space of split bytes.
fn has_few_values(column: &ArrayRef) -> bool {
    let Some(floats) = column.as_primitive_opt::<Float64Type>() else { return false };
    let floats = floats.slice(0, floats.len().min(SAMPLE));
    let values = floats.iter().flatten();
    let known = floats.len() - floats.null_count();
    let mut seen = BTreeSet::new();
    for value in values {
        seen.insert(value.to_bits());
        if seen.len() > known / 16 {
            return false;
        }
    }
    known >= SAMPLE / 8
}

/// Returns whether a path below a target has the name of a file that a run wrote.
pub fn is_windrow_file(below: &str) -> bool {
    let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
    // A folder that is not `key=value` belongs to another target.
    if !folders.is_empty() && !folders.split('/').all(|folder| folder.contains('=')) {
        return false;
    }
    let numbers = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("part-").and_then(|name| name.strip_suffix(".parquet"));
    let parts: Vec<&str> = parts.map(|parts| parts.split('-').collect()).unwrap_or_default();
    let [time, rest @ ..] = parts.as_slice() else { return false };
    let day = time.split_once('T').filter(|(day, time)| numbers(day) && numbers(time));
    // The rest is process, partition and file. Later versions add unit and attempt before the
    // partition.
    day.is_some() && [3, 5].contains(&rest.len()) && rest.iter().all(|part| numbers(part))
}

/// The folder value for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns `key=value/key=value` for one row, with hive's escaping.
pub(super) fn hive_folder(
    batch: &RecordBatch,
    columns: &[usize],
    row: usize,
) -> Result<String, datafusion::arrow::error::ArrowError> {
    let schema = batch.schema();
    let mut parts = Vec::new();
    for column in columns {
        let values = batch.column(*column);
        let text = if values.is_null(row) {
            NULL.to_string()
        } else {
            let options = FormatOptions::default().with_display_error(false);
            let text = ArrayFormatter::try_new(values, &options)?.value(row).try_to_string()?;
            match text == NULL {
                true => text.replacen('_', "%5F", 1), // A value that looks like the NULL folder.
                false => escape_hive(&text),
            }
        };
        // A column's name is free text, too: escaped, it cannot lead out of the folder.
        parts.push(format!("{}={text}", escape_hive(schema.field(*column).name())));
    }
    Ok(parts.join("/"))
}

fn escape_hive(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '/' | '\\' | ':' | '%' | '=' | '?' | '*' | '"' | '\'' | '#')
        {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out += &format!("%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}
