//! Batches -> manifests. The rows of a plan go through one trait, `PartitionSink`, into files,
//! uploads or a staging table, all of them aside. Audits, watermarks and cancellation have one
//! place here, whatever the rows go into. What was written is told by a `Manifest`, which the
//! room `commit` publishes; this room knows neither feature sets nor how a target is committed.

mod append_filter;
mod audit;
mod manifest;
mod progress;
mod sink;
mod watermark;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::config::Compression;
use crate::error::{Error, Result};
use crate::outside;
use crate::stop::Stop;

pub use append_filter::AppendFilter;
use audit::Auditor;
pub use audit::{AuditCheck, AuditPredicate};
pub use manifest::{AuditCount, Manifest, UploadParts, WrittenFile};
pub use progress::Progress;
pub use sink::{
    Copier, CopyEncoding, FileScratch, FlushFuture, ParquetFile, PartitionSink, Staging,
    TableLayout, TableStaging, UploadLog, Uploads, WrittenPartition, is_windrow_file,
};
pub use watermark::Watermarks;

/// Text for the metadata of columns: name, then pairs.
pub type ColumnNotes = Vec<(String, Vec<(String, String)>)>;

/// Puts an error of a plan into words, with its place.
pub type ErrorExplainer = Arc<dyn Fn(&DataFusionError) -> Error + Send + Sync>;

/// The rows of a run as every sink sees them: known before the first of them is there.
#[derive(Clone, Debug)]
pub struct OutputShape {
    /// The columns.
    pub schema: SchemaRef,
    /// The entity column.
    pub entity: usize,
    /// The time column.
    pub time: usize,
    /// Columns whose values become directories, outermost first.
    pub partition_by: Vec<usize>,
    /// The feature set.
    pub set: String,
    /// The identity of its definition.
    pub fingerprint: String,
    /// What the set is for.
    pub about: Option<String>,
    /// Text for the metadata of the columns.
    pub notes: ColumnNotes,
    /// How the pages of parquet files are compressed.
    pub compression: Compression,
    /// Whether parquet files hold 64-bit floats as 32-bit ones. Audits see all bits.
    pub float32: bool,
    /// Partitions that are written at the same time: all, if rows change partitions in the plan.
    pub side_by_side: usize,
    /// Whether memory is limited: what is kept until it is sent is then smaller.
    pub memory_limited: bool,
}

/// Who writes: the names of files and staging tables carry all three, so that what an attempt
/// that was given up still writes is told from what the next one wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the run.
    pub run: String,
    /// The number of the unit: a range of symbols that is computed in one place.
    pub unit: u32,
    /// How often this unit was begun before.
    pub number: u32,
}

/// Rows on their way into a staging place.
pub struct WriteJob {
    /// Every partition is sorted by `partition_by`, entity and time, or by entity and time period
    /// after period; a symbol is in one partition.
    pub plan: Arc<dyn ExecutionPlan>,
    /// What the plan runs in.
    pub context: Arc<TaskContext>,
    /// What the rows look like.
    pub output: Arc<OutputShape>,
    /// Who writes.
    pub attempt: Attempt,
    /// Conditions on the rows, checked while they are written.
    pub checks: Vec<AuditCheck>,
    /// Leaves out the rows that the target holds already; None to write all.
    pub after: Option<Arc<AppendFilter>>,
    /// Puts an error of the plan into words.
    pub explain: ErrorExplainer,
    /// Where rows are counted.
    pub progress: Arc<Progress>,
    /// When to stop.
    pub stop: Stop,
}

/// Writes the rows of a job into a staging place. Nothing of it is part of the target before a
/// commit publishes the manifest.
///
/// # Errors
/// Of the plan or of the place, or being stopped. Failed audits are told by the manifest.
pub async fn write_job(job: &WriteJob, staging: &Staging) -> Result<Manifest> {
    job.progress.watch_plan(&job.plan);
    let partitions = job.plan.output_partitioning().partition_count();
    let sinks = sink::build_sink_factory(staging, job)?;
    let side_by_side = job.output.side_by_side;
    let _room = sinks.reserve_memory(side_by_side.min(partitions))?;
    let turns = Arc::new(Semaphore::new(side_by_side.clamp(1, Semaphore::MAX_PERMITS)));
    let mut tasks = JoinSet::new();
    for number in 0..partitions {
        let partition = PartitionTask::new(job, number, sinks.partition_sink(number)?);
        tasks.spawn(partition.write_partition(Arc::clone(&turns)).in_current_span());
    }
    let mut manifest = Manifest::empty(&job.attempt, job.checks.len());
    let mut stop = job.stop.clone();
    loop {
        let joined = tokio::select! {
            joined = tasks.join_next() => joined,
            error = stop.wait_until_stopped() => {
                tasks.shutdown().await;
                return Err(error);
            }
        };
        let error = match joined {
            None => break,
            Some(Ok(Ok(part))) => {
                manifest.merge_manifest(part);
                continue;
            }
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => Error::internal(format!("a writer panicked: {error}")),
        };
        tasks.shutdown().await;
        return Err(error);
    }
    manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    outside::reach_failpoint("rows-written");
    Ok(manifest)
}

/// One partition of a job.
struct PartitionTask {
    number: usize,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    sink: Box<dyn PartitionSink>,
    auditor: Auditor,
    manifest: Manifest,
    after: Option<Arc<AppendFilter>>,
    /// Entity and time.
    keys: [usize; 2],
    explain: ErrorExplainer,
    progress: Arc<Progress>,
    stop: Stop,
}

impl PartitionTask {
    fn new(job: &WriteJob, number: usize, sink: Box<dyn PartitionSink>) -> Self {
        let keys = [job.output.entity, job.output.time];
        Self {
            number,
            plan: Arc::clone(&job.plan),
            context: Arc::clone(&job.context),
            sink,
            auditor: Auditor::new(job.checks.clone(), keys),
            manifest: Manifest::empty(&job.attempt, job.checks.len()),
            after: job.after.clone(),
            keys,
            explain: Arc::clone(&job.explain),
            progress: Arc::clone(&job.progress),
            stop: job.stop.clone(),
        }
    }

    async fn write_partition(mut self, turns: Arc<Semaphore>) -> Result<Manifest> {
        let turn = turns.acquire().await;
        let explain = Arc::clone(&self.explain);
        let plan = Arc::clone(&self.plan);
        let stream = plan.execute(self.number, Arc::clone(&self.context));
        let mut stream = stream.map_err(|error| explain(&error))?;
        let mut marks = Watermarks::default();
        let [entity, time] = self.keys;
        let internal = |error: ArrowError| Error::from_arrow_error(&error);
        while let Some(batch) = stream.try_next().await.map_err(|error| explain(&error))? {
            self.stop.check_stopped()?;
            self.progress.add_written(batch.num_rows());
            let batch = match &self.after {
                None => batch,
                Some(after) => {
                    let (rest, held) =
                        after.filter_new_rows(batch, entity, time).map_err(internal)?;
                    self.manifest.skipped += held;
                    rest
                }
            };
            self.auditor.check_batch(&batch).map_err(|error| explain(&error))?;
            marks.track_batch(&batch, entity, time).map_err(internal)?;
            self.manifest.rows += batch.num_rows() as u64;
            self.sink.write_batch(&batch).await?;
        }
        drop(stream);
        let flushing = self.sink.finish().await?;
        drop(turn); // The next partition is computed while the files of this one reach the disk.
        let written = flushing.await?;
        self.manifest.files = written.files;
        self.manifest.staged = written.staged;
        self.manifest.watermarks = marks.into_ranges();
        self.auditor.fill_manifest(&mut self.manifest);
        Ok(self.manifest)
    }
}

/// The error for a place that cannot be written, such as a full disk.
pub fn unwritable_error(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let hint = if text.contains("No space left") || text.contains("os error 28") {
        "free some space and run again; the target is as it was"
    } else {
        "check that the directory exists and may be written; the target is as it was"
    };
    Error::target(format!("cannot write {}: {text}", path.display())).hint(hint)
}
