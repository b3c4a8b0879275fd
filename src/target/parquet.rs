//! Parquet directories: one file per partition at a time, built aside and exchanged whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::metadata::{KeyValue, SortingColumn};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use futures::TryStreamExt;
use tokio::task::JoinSet;

use super::audit::{Auditor, Findings, empty_columns, judge};
use super::staging::{Lock, Stage};
use super::watermark::Watermarks;
use super::{Job, check_scope, complete, fault, unwritable};
use crate::error::{Error, Result};
use crate::store::{RECORD_DIR, Record, RecordFile, latest, records};

/// Refuses a directory with files that no run wrote: a commit would remove them.
pub(super) fn check_owner(target: &Path) -> Result<()> {
    if target.is_file() {
        return Err(Error::target(format!("{} is a file", target.display()))
            .hint("name a directory, or a file that ends in .csv"));
    }
    if !target.exists() {
        return Ok(());
    }
    let ours: BTreeSet<PathBuf> = match latest(target)? {
        Some(record) => record.files.iter().map(|file| target.join(&file.path)).collect(),
        None => BTreeSet::new(),
    };
    match foreign(target, target, &ours).map_err(|error| unwritable(target, &error))? {
        None => Ok(()),
        Some(path) => Err(Error::target(format!(
            "{} holds files that windrow did not write, such as {}",
            target.display(),
            path.display()
        ))
        .hint("move them away, or name a new or an empty directory")),
    }
}

/// The first file below a directory that neither is in `ours` nor is a record.
fn foreign(
    target: &Path,
    folder: &Path,
    ours: &BTreeSet<PathBuf>,
) -> std::io::Result<Option<PathBuf>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    let records = target.join(RECORD_DIR);
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = foreign(target, &path, ours)? {
                return Ok(Some(found));
            }
        } else {
            let record = folder == records && path.extension().is_some_and(|e| e == "json");
            if !record && !ours.contains(&path) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

pub(super) async fn write(target: &Path, lock: &Lock, mut job: Job) -> Result<Record> {
    check_scope(target, latest(target)?.as_ref(), &job)?;
    let stage = Stage::new(target, lock);
    std::fs::create_dir_all(stage.path()).map_err(|error| unwritable(target, &error))?;
    fault::point("stage-made");
    let written = write_partitions(stage.path(), lock, &mut job).await?;
    fault::point("rows-written");
    let (mut found, mut marks) = (Vec::new(), Watermarks::default());
    let mut record = std::mem::take(&mut job.record);
    for part in written {
        record.files.extend(part.files);
        marks.join(part.marks);
        found.push(part.found);
    }
    record.files.sort_by(|a, b| a.path.cmp(&b.path));
    record.audits.extend(judge(&job.checks, &found)?);
    record.notices.extend(empty_columns(&job.about_null, &found));
    record.watermarks = marks.into_ranges();
    complete(&mut record, lock, &job)?;
    write_record(stage.path(), target, &record).map_err(|error| unwritable(target, &error))?;
    fault::point("record-written");
    stage.commit(&job.stop).await?;
    Ok(record)
}

/// Writes the record behind those of earlier runs, which stay.
fn write_record(stage: &Path, target: &Path, record: &Record) -> std::io::Result<()> {
    let folder = stage.join(RECORD_DIR);
    std::fs::create_dir_all(&folder)?;
    let earlier = records(target);
    let mut last = 0;
    for path in &earlier {
        if let Some(name) = path.file_name() {
            std::fs::hard_link(path, folder.join(name))?;
        }
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        last = last.max(number.unwrap_or(0));
    }
    let text = record.to_json().map_err(std::io::Error::other)?;
    std::fs::write(folder.join(format!("{:06}.json", last + 1)), text)
}

/// What one partition wrote.
struct Part {
    files: Vec<RecordFile>,
    marks: Watermarks,
    found: Findings,
}

async fn write_partitions(stage: &Path, lock: &Lock, job: &mut Job) -> Result<Vec<Part>> {
    use datafusion::physical_plan::ExecutionPlanProperties;
    let partitions = job.plan.output_partitioning().partition_count();
    let mut tasks = JoinSet::new();
    let shape = Arc::new(Shape::of(job, lock));
    for number in 0..partitions {
        let stream = job
            .plan
            .execute(number, Arc::clone(&job.context))
            .map_err(|error| (job.explain)(&error))?;
        let mut auditor = Auditor::new(job.checks.clone(), job.entity, job.time);
        let mut writer = PartWriter::new(stage, number, Arc::clone(&shape));
        let progress = Arc::clone(&job.progress);
        let explain = Arc::clone(&job.explain);
        let stop = job.stop.clone();
        tasks.spawn(async move {
            let mut stream = stream;
            let mut marks = Watermarks::default();
            let run = async {
                while let Some(batch) = stream.try_next().await.map_err(|e| explain(&e))? {
                    stop.check()?;
                    auditor.check(&batch).map_err(|e| explain(&e))?;
                    marks
                        .add(&batch, writer.shape.entity, writer.shape.time)
                        .map_err(|e| Error::internal(e.to_string()))?;
                    writer.write(&batch)?;
                    progress.add(batch.num_rows());
                }
                writer.finish()
            };
            let files = run.await?;
            Ok::<Part, Error>(Part { files, marks, found: auditor.finish() })
        });
    }
    let mut parts = Vec::new();
    loop {
        let joined = tokio::select! {
            joined = tasks.join_next() => joined,
            error = job.stop.stopped() => {
                tasks.shutdown().await;
                return Err(error);
            }
        };
        match joined {
            None => return Ok(parts),
            Some(Ok(Ok(part))) => parts.push(part),
            Some(Ok(Err(error))) => {
                tasks.shutdown().await;
                return Err(error);
            }
            Some(Err(error)) => {
                tasks.shutdown().await;
                return Err(Error::internal(format!("a writer panicked: {error}")));
            }
        }
    }
}

/// What every file of a run has in common.
struct Shape {
    run: String,
    entity: usize,
    time: usize,
    partition_by: Vec<usize>,
    columns: Vec<usize>,
    schema: SchemaRef,
    properties: WriterProperties,
}

impl Shape {
    fn of(job: &Job, lock: &Lock) -> Self {
        let all = job.plan.schema();
        let partition_by = job.partition_by.clone();
        let columns: Vec<usize> =
            (0..all.fields().len()).filter(|i| !partition_by.contains(i)).collect();
        let fields = columns.iter().map(|column| {
            let field = all.field(*column).clone();
            let notes = job.notes.iter().find(|(name, _)| name == field.name());
            let notes = notes.map(|(_, pairs)| pairs.iter().cloned().collect()).unwrap_or_default();
            field.with_metadata(notes)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = properties(&schema, job, &columns);
        let (entity, time) = (job.entity, job.time);
        Self {
            run: lock.run().to_string(),
            entity,
            time,
            partition_by,
            columns,
            schema,
            properties,
        }
    }
}

/// Rows of a row group. Every worker holds one group until it is written.
const ROW_GROUP: usize = 128 * 1024;

/// Floats are split into bytes and not kept in dictionaries, keys are sorted and delta coded;
/// docs/performance.md has the figures.
fn properties(schema: &SchemaRef, job: &Job, columns: &[usize]) -> WriterProperties {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let record = &job.record;
    let facts = [("windrow.set", &record.set), ("windrow.fingerprint", &record.fingerprint)];
    let facts = facts.map(|(key, value)| KeyValue::new(key.to_string(), value.clone()));
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_created_by(concat!("windrow ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(facts.to_vec()));
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

/// The one open file of a partition.
struct Open {
    writer: ArrowWriter<File>,
    path: PathBuf,
    folder: String,
    rows: u64,
}

struct PartWriter {
    stage: PathBuf,
    number: usize,
    shape: Arc<Shape>,
    open: Option<Open>,
    files: Vec<RecordFile>,
}

impl PartWriter {
    fn new(stage: &Path, number: usize, shape: Arc<Shape>) -> Self {
        Self { stage: stage.to_path_buf(), number, shape, open: None, files: Vec::new() }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.shape.partition_by.is_empty() {
            return self.write_rows(batch, "");
        }
        let wrong =
            |error: datafusion::arrow::error::ArrowError| Error::internal(error.to_string());
        let keys: Vec<ArrayRef> =
            self.shape.partition_by.iter().map(|c| ArrayRef::clone(batch.column(*c))).collect();
        for run in partition(&keys).map_err(wrong)?.ranges() {
            let folder = folder(batch, &self.shape.partition_by, run.start).map_err(wrong)?;
            self.write_rows(&batch.slice(run.start, run.end - run.start), &folder)?;
        }
        Ok(())
    }

    fn write_rows(&mut self, batch: &RecordBatch, folder: &str) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.folder != folder) {
            self.close()?;
        }
        let internal =
            |error: datafusion::arrow::error::ArrowError| Error::internal(error.to_string());
        let batch = batch.project(&self.shape.columns).map_err(internal)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.shape.schema), batch.columns().to_vec())
            .map_err(internal)?;
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(start_file(
                &self.stage,
                self.number,
                self.files.len(),
                folder,
                &self.shape,
            )?),
        };
        open.writer.write(&batch).map_err(|error| unwritable(&open.path, &error))?;
        open.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { writer, path, rows, .. } = open;
        writer.close().map_err(|error| unwritable(&path, &error))?;
        let bytes = std::fs::metadata(&path).map_err(|error| unwritable(&path, &error))?.len();
        let below = path.strip_prefix(&self.stage).unwrap_or(&path);
        self.files.push(RecordFile { path: below.to_string_lossy().into_owned(), rows, bytes });
        fault::point("file-closed");
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RecordFile>> {
        self.close()?;
        Ok(self.files)
    }
}

fn start_file(stage: &Path, part: usize, file: usize, folder: &str, shape: &Shape) -> Result<Open> {
    let directory = stage.join(folder);
    if !folder.is_empty() {
        std::fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
    }
    // The run is in the name: a reader that listed the old state finds its files or none of them.
    let path = directory.join(format!("part-{}-{part:04}-{file:04}.parquet", shape.run));
    let handle = File::create(&path).map_err(|error| unwritable(&path, &error))?;
    let schema = Arc::clone(&shape.schema);
    let writer = ArrowWriter::try_new(handle, schema, Some(shape.properties.clone()))
        .map_err(|error| unwritable(&path, &error))?;
    Ok(Open { writer, path, folder: folder.to_string(), rows: 0 })
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
