//! The files that one partition writes: their names, columns, encodings and folders.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, RecordBatch, make_comparator,
};
use datafusion::arrow::compute::kernels::cmp::lt;
use datafusion::arrow::compute::{SortOptions, partition};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::metadata::{KeyValue, SortingColumn};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use tokio::task::JoinSet;

use super::file::{Kept, ParquetFile};
use super::floats;
use super::groups::{Groups, ROW_GROUP};
use super::objects::{Upload, Uploads};
use super::{Job, fault, unwritable};
use crate::config;
use crate::error::{Error, Result};
use crate::store::RecordFile;

/// What every file of a run has in common.
pub(super) struct Shape {
    run: String,
    entity: usize,
    time: usize,
    partition_by: Vec<usize>,
    columns: Vec<usize>,
    schema: SchemaRef,
    properties: WriterProperties,
    compression: config::Compression,
    /// Rows of a row group, and the bytes that they take until they are written: once in pages, and
    /// once in those that are not full.
    group: (usize, usize),
    pool: Arc<dyn MemoryPool>,
}

impl Shape {
    pub(super) fn of(job: &Job, run: &str) -> Self {
        let all = job.plan.schema();
        let partition_by = job.partition_by.clone();
        let columns: Vec<usize> =
            (0..all.fields().len()).filter(|i| !partition_by.contains(i)).collect();
        let fields = columns.iter().map(|column| {
            let field = all.field(*column).clone();
            let notes = job.notes.iter().find(|(name, _)| name == field.name());
            let notes = notes.map(|(_, pairs)| pairs.iter().cloned().collect()).unwrap_or_default();
            let ty = match field.data_type() {
                DataType::Float64 if job.float32 => DataType::Float32,
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
        let group = group(&schema, pool.memory_limit(), job.side_by_side, workers);
        let properties = properties(&schema, job, &columns, group.0);
        let (entity, time) = (job.entity, job.time);
        Self {
            run: run.to_string(),
            entity,
            time,
            partition_by,
            columns,
            schema,
            properties,
            compression: job.compression,
            group,
            pool,
        }
    }
}

impl Shape {
    /// Reserves what the row groups that are open at a time take, before anything else asks.
    pub(super) fn reserve(&self, open: usize) -> Result<MemoryReservation> {
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

/// Rows of a row group and their bytes: fewer where more groups are open at a time than there are
/// workers, and where a memory limit leaves less room for them.
fn group(schema: &SchemaRef, limit: MemoryLimit, open: usize, workers: usize) -> (usize, usize) {
    let width = |field: &FieldRef| field.data_type().primitive_width().unwrap_or(16) + 1;
    let row: usize = schema.fields().iter().map(width).sum();
    let most = ROW_GROUP * workers.min(open).max(1) / open.max(1);
    let rows = match limit {
        MemoryLimit::Finite(limit) => most.min(limit / (16 * open.max(1) * row)),
        _ => most,
    };
    let rows = rows.max(1024);
    (rows, 2 * rows * row)
}

impl Shape {
    /// The columns of a file, 64-bit floats as 32-bit ones where that was asked for.
    fn narrowed(&self, batch: &RecordBatch) -> Result<RecordBatch> {
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
                Some(row) => Err(self.too_large(batch, field.name(), wide.value(row), row)),
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::internal(error.to_string()))
    }

    fn too_large(&self, batch: &RecordBatch, column: &str, value: f64, row: usize) -> Error {
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
        .in_symbol(symbol)
    }
}

/// Floats are split into bytes and not kept in dictionaries, unless a file begins with few values;
/// keys are sorted and delta coded. docs/performance.md has the figures.
fn properties(schema: &SchemaRef, job: &Job, columns: &[usize], group: usize) -> WriterProperties {
    let record = &job.record;
    let by = format!("{}, {}", record.entity, record.time);
    let facts = [
        ("windrow.set", &record.set),
        ("windrow.fingerprint", &record.fingerprint),
        ("windrow.sorted_by", &by),
    ];
    let facts = facts.map(|(key, value)| KeyValue::new(key.to_string(), value.clone()));
    let mut builder = WriterProperties::builder()
        .set_compression(codec(job.compression))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(group))
        .set_created_by(concat!("windrow ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(facts.to_vec()));
    // Pages are found by the keys, and by nothing else.
    for key in [job.entity, job.time] {
        let path = ColumnPath::from(job.plan.schema().field(key).name().as_str());
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
    let sorted = [job.entity, job.time].map(|key| columns.iter().position(|c| *c == key));
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

pub(super) fn codec(compression: config::Compression) -> Compression {
    match compression {
        config::Compression::None => Compression::UNCOMPRESSED,
        config::Compression::Snappy => Compression::SNAPPY,
        config::Compression::Lz4 => Compression::LZ4_RAW,
        // Columns of floats that LZ4 is better for say so themselves.
        config::Compression::Auto => Compression::ZSTD(ZstdLevel::default()),
        config::Compression::Zstd(level) => {
            Compression::ZSTD(ZstdLevel::try_new(level.into()).unwrap_or_default())
        }
    }
}

/// Where the files of a run are written: aside, wherever that is.
#[derive(Clone)]
pub(super) enum Destination {
    /// A directory beside the target.
    Folder(PathBuf),
    /// Uploads that the commit completes.
    Bucket(Arc<Uploads>),
}

impl Destination {
    /// The error for a file that cannot be written.
    fn unwritable(&self, below: &str, error: &dyn std::fmt::Display) -> Error {
        match self {
            Self::Folder(folder) => unwritable(&folder.join(below), error),
            Self::Bucket(_) => unwritable(Path::new(below), error),
        }
    }

    /// A new file: where its bytes go, and what becomes of it.
    fn start(&self, below: &str) -> Result<(Box<dyn Write + Send>, Out)> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(below);
                let folder = path.parent().unwrap_or(folder);
                let made = std::fs::create_dir_all(folder).and_then(|()| {
                    let file = File::create(&path)?;
                    Ok((file.try_clone()?, file))
                });
                let (writer, file) = made.map_err(|error| unwritable(&path, &error))?;
                Ok((Box::new(writer), Out::File(file)))
            }
            Self::Bucket(uploads) => {
                let (parts, upload) = uploads.start(below)?;
                Ok((Box::new(parts), Out::Upload(Box::new(upload))))
            }
        }
    }
}

/// A file on its way.
enum Out {
    File(File),
    Upload(Box<Upload>),
}

/// The one open file of a partition.
struct Open {
    groups: Groups,
    out: Out,
    /// The symbol of its last row.
    last: Option<ArrayRef>,
    /// Its path below the target.
    below: String,
    folder: String,
    rows: u64,
}

impl Open {
    /// The rows where another symbol begins than stood before.
    fn starts(&self, symbols: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
        let runs = partition(&[ArrayRef::clone(symbols)])?.ranges();
        let mut starts: Vec<usize> = runs.into_iter().map(|run| run.start).collect();
        let continued = match &self.last {
            Some(last) => make_comparator(last, symbols, SortOptions::default())?(0, 0).is_eq(),
            None => false,
        };
        if continued {
            starts.remove(0);
        }
        Ok(starts)
    }
}

/// The files of one partition, one after the other.
pub(super) struct PartWriter {
    destination: Destination,
    number: usize,
    shape: Arc<Shape>,
    open: Option<Open>,
    /// What the last file left.
    kept: Option<Kept>,
    /// The entity of the last row.
    last: Option<ArrayRef>,
    files: Vec<RecordFile>,
    /// Closed files on their way to where they belong, while the next ones are written.
    flushed: JoinSet<Result<()>>,
}

/// Closed files that may be on their way at a time.
const CLOSED: usize = 16;

/// The files that a partition wrote.
pub(super) struct Written {
    files: Vec<RecordFile>,
    flushed: JoinSet<Result<()>>,
}

impl Written {
    /// The files once they are where they belong.
    pub(super) async fn whole(mut self) -> Result<Vec<RecordFile>> {
        fewer(&mut self.flushed, 0).await?;
        Ok(self.files)
    }
}

/// Waits until no more files than that are on their way.
async fn fewer(flushed: &mut JoinSet<Result<()>>, most: usize) -> Result<()> {
    while flushed.len() > most {
        let Some(flushed) = flushed.join_next().await else { break };
        flushed.map_err(|error| Error::internal(format!("a flush panicked: {error}")))??;
    }
    Ok(())
}

impl PartWriter {
    pub(super) fn new(destination: &Destination, number: usize, shape: Arc<Shape>) -> Self {
        let (destination, files, flushed) = (destination.clone(), Vec::new(), JoinSet::new());
        Self { destination, number, shape, open: None, kept: None, last: None, files, flushed }
    }

    /// Lets what was written go on its way; it waits while too much of it is.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if let Some(Open { out: Out::Upload(upload), .. }) = &mut self.open {
            upload.settle().await?;
        }
        fewer(&mut self.flushed, CLOSED).await
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let wrong = |error: ArrowError| Error::internal(error.to_string());
        if self.shape.partition_by.is_empty() {
            for (i, rows) in self.rising(batch).map_err(wrong)?.into_iter().enumerate() {
                if i > 0 {
                    self.close()?;
                }
                self.write_rows(&batch.slice(rows.start, rows.len()), "")?;
            }
            return Ok(());
        }
        let keys: Vec<ArrayRef> =
            self.shape.partition_by.iter().map(|c| ArrayRef::clone(batch.column(*c))).collect();
        for run in partition(&keys).map_err(wrong)?.ranges() {
            let folder = folder(batch, &self.shape.partition_by, run.start).map_err(wrong)?;
            self.write_rows(&batch.slice(run.start, run.end - run.start), &folder)?;
        }
        Ok(())
    }

    /// The rows cut where an entity stands behind a later one: there another period begins, and
    /// with it another file, so that every file is sorted. The first stretch is empty if the batch
    /// itself begins so.
    fn rising(&mut self, batch: &RecordBatch) -> Result<Vec<Range<usize>>, ArrowError> {
        let (rows, entities) = (batch.num_rows(), batch.column(self.shape.entity));
        let falls = lt(&entities.slice(1, rows - 1), &entities.slice(0, rows - 1))?;
        let falls = falls.values().set_indices().map(|row| row + 1);
        let back = match self.last.replace(entities.slice(rows - 1, 1)) {
            Some(last) => lt(&entities.slice(0, 1), &last)?.value(0),
            None => false,
        };
        let mut stretches = Vec::new();
        let mut from = 0;
        for start in back.then_some(0).into_iter().chain(falls) {
            stretches.push(from..start);
            from = start;
        }
        stretches.push(from..rows);
        Ok(stretches)
    }

    fn write_rows(&mut self, batch: &RecordBatch, folder: &str) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|open| open.folder != folder) {
            self.close()?;
        }
        let internal = |error: ArrowError| Error::internal(error.to_string());
        let rows = self.shape.narrowed(batch)?;
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(start_file(
                &self.destination,
                self.number,
                self.files.len(),
                folder,
                &self.shape,
                &rows,
                self.kept.take(),
            )?),
        };
        let symbols = batch.column(self.shape.entity);
        let starts = open.starts(symbols).map_err(internal)?;
        open.groups
            .write(&rows, &starts)
            .map_err(|error| self.destination.unwritable(&open.below, &error))?;
        open.last = Some(symbols.slice(symbols.len() - 1, 1));
        open.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { groups, out, below, rows, .. } = open;
        let destination = self.destination.clone();
        let kept = groups.close().map_err(|error| destination.unwritable(&below, &error))?;
        self.kept = Some(kept);
        let path = below.clone();
        let bytes = match out {
            Out::File(file) => {
                let unwritable = move |error| destination.unwritable(&below, &error);
                let bytes = file.metadata().map_err(&unwritable)?.len();
                self.flushed.spawn_blocking(move || file.sync_all().map_err(unwritable));
                bytes
            }
            Out::Upload(upload) => {
                let bytes = upload.bytes();
                self.flushed.spawn(upload.finish());
                bytes
            }
        };
        self.files.push(RecordFile { path, rows, bytes });
        fault::point("file-closed");
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Written> {
        self.close()?;
        Ok(Written { files: self.files, flushed: self.flushed })
    }
}

/// Values of a column that are looked at to choose its encoding.
const SAMPLE: usize = 4096;

/// Whether few values come again and again, such as ranks and counts: a dictionary then takes a
/// fraction of what split bytes take.
fn few_values(column: &ArrayRef) -> bool {
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

fn start_file(
    destination: &Destination,
    part: usize,
    file: usize,
    folder: &str,
    shape: &Shape,
    first: &RecordBatch,
    kept: Option<Kept>,
) -> Result<Open> {
    // The run is in the name: a reader that listed the old state finds its files or none of them.
    let name = format!("part-{}-{part:04}-{file:04}.parquet", shape.run);
    let below = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    let (writer, out) = destination.start(&below)?;
    let schema = Arc::clone(&shape.schema);
    let mut properties = shape.properties.clone().into_builder();
    let mut own = Vec::with_capacity(first.num_columns());
    for (field, column) in first.schema().fields().iter().zip(first.columns()) {
        let few = few_values(column);
        if few {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_encoding(path.clone(), Encoding::PLAIN)
                .set_column_dictionary_enabled(path, true);
        }
        own.push(floats::served(field.data_type()) && !few);
    }
    let file = kept
        .map_or_else(|| Kept::new(shape.compression), Ok)
        .and_then(|kept| ParquetFile::new(writer, schema, properties.build(), own, kept))
        .map_err(|error| destination.unwritable(&below, &error))?;
    let groups = Groups::new(file, shape.group.0);
    Ok(Open { groups, out, last: None, below, folder: folder.to_string(), rows: 0 })
}

/// Whether a path below a target has the name of a file that a run wrote.
pub(super) fn is_ours(below: &str) -> bool {
    let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
    // Below a folder that names no value lies another target.
    if !folders.is_empty() && !folders.split('/').all(|folder| folder.contains('=')) {
        return false;
    }
    let numbers = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("part-").and_then(|name| name.strip_suffix(".parquet"));
    let parts: Vec<&str> = parts.map(|parts| parts.split('-').collect()).unwrap_or_default();
    let [time, rest @ ..] = parts.as_slice() else { return false };
    let day = time.split_once('T').filter(|(day, time)| numbers(day) && numbers(time));
    day.is_some() && rest.len() == 3 && rest.iter().all(|part| numbers(part))
}

/// `key=value/key=value` of one row, with hive's escaping.
fn folder(
    batch: &RecordBatch,
    columns: &[usize],
    row: usize,
) -> Result<String, datafusion::arrow::error::ArrowError> {
    let schema = batch.schema();
    let mut parts = Vec::new();
    for column in columns {
        let values = batch.column(*column);
        let text = if values.is_null(row) {
            "__HIVE_DEFAULT_PARTITION__".to_string()
        } else {
            let options = FormatOptions::default();
            escape(&ArrayFormatter::try_new(values, &options)?.value(row).to_string())
        };
        parts.push(format!("{}={text}", schema.field(*column).name()));
    }
    Ok(parts.join("/"))
}

fn escape(text: &str) -> String {
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
