//! Batches -> manifests. Every row of a plan passes through one trait, `PartitionSink`, into staged
//! files, uploads or a staging table. Audits, watermarks and cancellation are implemented here once for
//! all sinks. A `Manifest` names everything that was written, and the room `commit` publishes it. This
//! room knows neither feature sets nor how a target is committed.
//!
//! 1. `write_job` creates a sink for each partition of the plan and reserves the memory of those that
//!    are open at a time. A crash leaves a staging place without rows.
//! 2. Each partition waits for its turn, then executes its part of the plan. For each batch it checks
//!    for a stop, drops rows that the target already holds, runs the audits, tracks watermarks and
//!    passes the rest to its sink. A crash leaves staged files, open uploads or rows of a staging
//!    table.
//! 3. At its end the partition closes its sink. Its turn passes on while its last files reach the disk
//!    or the store. A crash leaves the same.
//! 4. `write_job` merges the manifests of the partitions. The first error or a stop ends all
//!    partitions. A crash leaves staged rows without a manifest, which no commit can publish.
//!
//! No step changes the target: the next run removes everything that was staged.

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
use crate::outside::{self, FailPoint};
use crate::stop::Stop;

pub use append_filter::AppendFilter;
use audit::Auditor;
pub use audit::{AuditCheck, AuditPredicate};
pub use manifest::{AuditCount, Manifest, UploadParts, WrittenFile};
pub use progress::Progress;
pub use sink::{
    Copier, CopyEncoding, FileScratch, FlushFuture, ParquetFile, PartitionSink, RowCollector,
    Staging, SymbolRows, TableLayout, TableStaging, UploadLog, Uploads, WrittenPartition,
    is_windrow_file,
};
pub use watermark::Watermarks;

/// Text for the metadata of columns: the name of the column, then key-value pairs.
pub type ColumnNotes = Vec<(String, Vec<(String, String)>)>;

/// Explains an error of a plan in words, with its position.
pub type ErrorExplainer = Arc<dyn Fn(&DataFusionError) -> Error + Send + Sync>;

/// The shape of a run's rows as every sink sees it, known before the first row.
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
    /// The purpose of the set.
    pub about: Option<String>,
    /// Text for the metadata of the columns.
    pub notes: ColumnNotes,
    /// The compression of the pages of parquet files.
    pub compression: Compression,
    /// True if parquet files store 64-bit floats as 32-bit ones. Audits see all bits.
    pub float32: bool,
    /// The number of partitions written at the same time: all, if rows change partitions in the plan.
    pub side_by_side: usize,
    /// True if memory is limited: buffers of unsent data are then smaller.
    pub memory_limited: bool,
}

impl OutputShape {
    /// Returns the shape of rows that belong to no set and are written without anything beside them.
    pub fn new(schema: SchemaRef, entity: usize, time: usize) -> Self {
        Self {
            schema,
            entity,
            time,
            partition_by: Vec::new(),
            set: String::new(),
            fingerprint: String::new(),
            about: None,
            notes: ColumnNotes::new(),
            compression: Compression::default(),
            float32: false,
            side_by_side: 1,
            memory_limited: false,
        }
    }
}

/// The identity of a writer. The names of files and staging tables carry all three parts, which
/// separates late writes of an abandoned attempt from those of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the run.
    pub run: String,
    /// The number of the unit: a range of symbols that is computed in one place.
    pub unit: u32,
    /// The number of earlier starts of this unit.
    pub number: u32,
}

/// The rows of a plan, to be written into a staging place.
pub struct WriteJob {
    /// The plan. Each partition is sorted by `partition_by`, entity and time, or by entity and time
    /// period after period. A symbol is in one partition only.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The context that the plan runs in.
    pub context: Arc<TaskContext>,
    /// The shape of the rows.
    pub output: Arc<OutputShape>,
    /// The identity of the writer.
    pub attempt: Attempt,
    /// Conditions on the rows, checked while they are written.
    pub checks: Vec<AuditCheck>,
    /// Filters out the rows that the target already holds; None writes all.
    pub after: Option<Arc<AppendFilter>>,
    /// Explains an error of the plan.
    pub explain: ErrorExplainer,
    /// The counters of rows.
    pub progress: Arc<Progress>,
    /// The signal to stop.
    pub stop: Stop,
}

/// Writes the rows of a job into a staging place. Nothing becomes part of the target before a commit
/// publishes the manifest.
///
/// # Errors
/// The plan or the staging place fails, or the run is stopped. A failed audit is no error here: the
/// manifest reports it.
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
    outside::reach_fail_point(FailPoint::RowsWritten);
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
    /// The entity and the time column.
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

/// Returns the error for a place that cannot be written, such as a full disk.
pub fn unwritable_error(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let hint = if text.contains("No space left") || text.contains("os error 28") {
        "free some space and run again; the target is as it was"
    } else {
        "check that the directory exists and may be written; the target is as it was"
    };
    Error::target(format!("cannot write {}: {text}", path.display())).hint(hint)
}
