//! Tables of a PostgreSQL server: rows are copied into an unlogged table beside the target, by
//! several connections, and moved into it in one transaction.
//!
//! Whoever reads the table sees the old rows or the new ones. A run that dies leaves the table
//! beside, which the next one drops; a lock of the server keeps runs of one table apart.

mod cells;
mod chunks;
mod commit;
mod encode;
mod server;
mod table;

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::error::ArrowError;
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::audit::{Auditor, Findings, empty_columns, judge};
use super::watermark::Watermarks;
use super::{Job, Run, complete, fault};
use crate::error::{Error, Result};
use crate::store::{PgLocation, Record, RecordFile, TableName};
use chunks::Chunks;
use encode::Layout;
pub(super) use server::Server;
use table::Shape;

/// A table that a run writes to.
#[derive(Clone, PartialEq, Eq)]
pub struct PgTarget {
    /// Where it is.
    pub location: PgLocation,
    table: TableName,
    layout: Layout,
    partition: Option<Unit>,
    connections: Option<usize>,
}

impl std::fmt::Debug for PgTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PgTarget({})", self.location)
    }
}

/// The time that one partition of a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A year.
    Year,
    /// A month.
    Month,
    /// A day.
    Day,
}

impl PgTarget {
    /// Reads the URL of a table.
    ///
    /// # Errors
    /// As [`PgLocation::parse`], or options that mean nothing.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let location = PgLocation::parse(text)?;
        let Some(table) = location.table().cloned() else {
            return Err(Error::usage(format!("{location} is a query, which cannot be written to"))
                .hint("name a table with table=NAME"));
        };
        if table.table == server::RUNS || table.table.starts_with("_windrow_") {
            return Err(Error::usage(format!(
                "{location}: the table {} is windrow's own",
                table.table
            ))
            .hint("name another table"));
        }
        let wrong = |name: &str, value: &str, expected: &str| {
            Error::usage(format!("{location}: {name} is {value}, expected {expected}"))
        };
        let layout = match location.option("layout") {
            None | Some("wide") => Layout::Wide,
            Some("long") => Layout::Long,
            Some(other) => return Err(wrong("layout", other, "wide or long")),
        };
        let partition = match location.option("partition") {
            None => None,
            Some("year") => Some(Unit::Year),
            Some("month") => Some(Unit::Month),
            Some("day") => Some(Unit::Day),
            Some(other) => return Err(wrong("partition", other, "year, month or day")),
        };
        let connections = match location.option("connections") {
            None => None,
            Some(text) => match text.parse().ok().filter(|n| (1..=64).contains(n)) {
                Some(number) => Some(number),
                None => return Err(wrong("connections", text, "1 to 64")),
            },
        };
        Ok(Self { location, table, layout, partition, connections })
    }
}

impl PgTarget {
    /// Whether each row has one feature.
    pub(super) fn is_long(&self) -> bool {
        self.layout == Layout::Long
    }
}

/// Connections that copy at a time, where the URL does not say. The server has one process for each.
fn connections(target: &PgTarget, workers: usize) -> usize {
    target.connections.unwrap_or(workers.clamp(2, 8))
}

/// The runs of a table, oldest first, and what those that died left beside it.
pub(super) async fn runs(
    target: &PgTarget,
    limit: Option<Duration>,
) -> Result<(Vec<Run>, Vec<String>)> {
    Server::runs(target, limit).await
}

/// The record of the last run of a table.
pub(super) async fn latest(target: &PgTarget, limit: Option<Duration>) -> Result<Option<Record>> {
    Server::latest(target, limit).await
}

/// The rows of a table.
pub(super) async fn rows(target: &PgTarget, limit: Option<Duration>) -> Result<u64> {
    Server::rows(target, limit).await
}

/// Writes a job into the table and commits it.
pub(super) async fn write(
    target: &PgTarget,
    server: &Server,
    run: &str,
    mut job: Job,
) -> Result<Record> {
    if !job.partition_by.is_empty() {
        return Err(Error::target("partition_by makes directories, and a table has none")
            .hint("take it out of the header, or partition the table by time: &partition=month"));
    }
    let shape = Arc::new(Shape::of(target, &job)?);
    let stop = job.stop.clone();
    let plan = stop.or(server.prepare(&shape)).await?;
    fault::point("stage-made");
    let done = stop.or(write_into(server, &shape, &plan, run, &mut job)).await;
    if done.is_err() {
        server.drop_stage().await;
    }
    server.release().await;
    done
}

async fn write_into(
    server: &Server,
    shape: &Arc<Shape>,
    plan: &table::Changes,
    run: &str,
    job: &mut Job,
) -> Result<Record> {
    let parts = copy_partitions(server, shape, job).await?;
    fault::point("rows-written");
    let (mut found, mut marks) = (Vec::new(), Watermarks::default());
    let mut record = std::mem::take(&mut job.record);
    let (mut rows, mut copied, mut bytes) = (0, 0, 0);
    for part in parts {
        marks.join(part.marks);
        found.push(part.found);
        rows += part.rows;
        copied += part.copied;
        bytes += part.bytes;
    }
    record.audits.extend(judge(&job.checks, &found)?);
    record.notices.extend(empty_columns(&job.about_null, &found));
    record.notices.extend(plan.notices());
    record.watermarks = marks.into_ranges();
    record.files = vec![RecordFile { path: shape.table.to_string(), rows, bytes }];
    complete(&mut record, run, job)?;
    server.commit(shape, plan, &job.scope, copied, &mut record).await?;
    Ok(record)
}

/// What one partition copied.
struct Part {
    marks: Watermarks,
    found: Findings,
    /// Rows of the run, and of the table beside.
    rows: u64,
    copied: u64,
    bytes: u64,
}

async fn copy_partitions(server: &Server, shape: &Arc<Shape>, job: &Job) -> Result<Vec<Part>> {
    let partitions = job.plan.output_partitioning().partition_count();
    let turns = Arc::new(Semaphore::new(job.side_by_side.clamp(1, Semaphore::MAX_PERMITS)));
    let mut tasks = JoinSet::new();
    for number in 0..partitions {
        let (plan, context) = (Arc::clone(&job.plan), Arc::clone(&job.context));
        let turns = Arc::clone(&turns);
        let mut auditor = Auditor::new(job.checks.clone(), job.entity, job.time);
        let mut chunks = Chunks::new(server.copier(), Arc::clone(shape));
        let progress = Arc::clone(&job.progress);
        let explain = Arc::clone(&job.explain);
        let (entity, time) = (job.entity, job.time);
        let work = async move {
            let _turn = turns.acquire().await;
            let mut stream = plan.execute(number, context).map_err(|error| explain(&error))?;
            let internal = |error: ArrowError| Error::internal(error.to_string());
            let mut marks = Watermarks::default();
            let mut rows = 0;
            while let Some(batch) = stream.try_next().await.map_err(|e| explain(&e))? {
                auditor.check(&batch).map_err(|e| explain(&e))?;
                marks.add(&batch, entity, time).map_err(internal)?;
                chunks.write(&batch).await?;
                rows += batch.num_rows() as u64;
                progress.add(batch.num_rows());
            }
            let (copied, bytes) = chunks.finish().await?;
            Ok::<Part, Error>(Part { marks, found: auditor.finish(), rows, copied, bytes })
        };
        tasks.spawn(work.in_current_span());
    }
    let mut parts = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        parts.push(
            joined.map_err(|error| Error::internal(format!("a writer panicked: {error}")))??,
        );
    }
    Ok(parts)
}
