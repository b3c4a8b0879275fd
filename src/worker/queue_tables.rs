//! The jobs of a queue as tables for SQL: `windrow.jobs`, and what became of each symbol as `windrow.symbols`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::limits::JOBS_LISTED_MOST;
use crate::queue::{JobFilter, JobRow, QueueReads};

/// The schema of the tables in SQL.
const SCHEMA: &str = "windrow";

/// The statement of `windrow.symbols`.
const SYMBOLS: &str = "SELECT symbol, \"set\", count(*) AS jobs, \
    count(*) FILTER (WHERE state = 'done') AS done, \
    count(*) FILTER (WHERE state IN ('failed', 'dead')) AS failed, \
    avg(seconds) FILTER (WHERE state = 'done') AS mean_seconds, \
    max(seconds) FILTER (WHERE state = 'done') AS max_seconds, \
    max(finished) AS finished \
    FROM windrow.jobs GROUP BY symbol, \"set\"";

/// Registers the tables of a queue in an engine.
///
/// # Errors
/// If DataFusion refuses a table.
pub async fn add_queue_tables(engine: &Engine, queue: Arc<dyn QueueReads>) -> Result<()> {
    let wrong = |error: DataFusionError| Error::internal(error.to_string());
    let schema = Arc::new(MemorySchemaProvider::new());
    let jobs = QueueJobs { schema: jobs_schema(), queue };
    let table = StreamingTable::try_new(jobs_schema(), vec![Arc::new(jobs)]).map_err(wrong)?;
    schema.register_table("jobs".to_string(), Arc::new(table)).map_err(wrong)?;
    let context = engine.context();
    let catalog = context.catalog("datafusion");
    let catalog = catalog.ok_or_else(|| Error::internal("the session has no catalog"))?;
    catalog
        .register_schema(SCHEMA, Arc::clone(&schema) as Arc<dyn SchemaProvider>)
        .map_err(wrong)?;
    let plan = context.state().create_logical_plan(SYMBOLS).await.map_err(wrong)?;
    let view = ViewTable::new(plan, Some(SYMBOLS.to_string()));
    schema.register_table("symbols".to_string(), Arc::new(view)).map_err(wrong)?;
    Ok(())
}

fn jobs_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let count = |name: &str| Field::new(name, DataType::UInt32, true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
    };
    Arc::new(Schema::new(vec![
        text("job_id"),
        text("group_id"),
        text("client"),
        text("set"),
        text("symbol"),
        text("priority"),
        text("state"),
        count("attempts"),
        count("deaths"),
        time("created"),
        time("started"),
        time("finished"),
        number("seconds"),
        number("progress"),
        Field::new("cost", DataType::UInt64, true),
        text("worker"),
        text("error_kind"),
        text("error"),
    ]))
}

/// The jobs of a queue, read page by page.
struct QueueJobs {
    schema: SchemaRef,
    queue: Arc<dyn QueueReads>,
}

impl fmt::Debug for QueueJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the jobs of a queue")
    }
}

#[async_trait]
impl PartitionStream for QueueJobs {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (queue, schema) = (Arc::clone(&self.queue), Arc::clone(&self.schema));
        let pages = stream::try_unfold(Some(None), move |before: Option<Option<i64>>| {
            let (queue, schema) = (Arc::clone(&queue), Arc::clone(&schema));
            async move {
                let Some(before) = before else { return Ok(None) };
                let filter = JobFilter { before, limit: JOBS_LISTED_MOST, ..JobFilter::default() };
                let jobs = queue.jobs(filter).await;
                let jobs = jobs.map_err(|error| DataFusionError::External(Box::new(error)))?;
                let next = jobs.last().filter(|_| jobs.len() == JOBS_LISTED_MOST);
                let next = next.map(|job| Some(job.id));
                Ok(Some((jobs_batch(&schema, &jobs)?, next)))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), pages))
    }
}

fn jobs_batch(schema: &SchemaRef, jobs: &[JobRow]) -> datafusion::common::Result<RecordBatch> {
    let text = |of: &dyn Fn(&JobRow) -> Option<String>| -> ArrayRef {
        Arc::new(jobs.iter().map(of).collect::<StringArray>())
    };
    let count = |of: &dyn Fn(&JobRow) -> u32| -> ArrayRef {
        Arc::new(jobs.iter().map(|job| Some(of(job))).collect::<UInt32Array>())
    };
    let number = |of: &dyn Fn(&JobRow) -> Option<f64>| -> ArrayRef {
        Arc::new(jobs.iter().map(of).collect::<Float64Array>())
    };
    let time = |of: &dyn Fn(&JobRow) -> Option<i64>| -> ArrayRef {
        let times = jobs.iter().map(of).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC"))
    };
    let seconds = |job: &JobRow| Some((job.finished? - job.started?) as f64 / 1e6);
    let columns: Vec<ArrayRef> = vec![
        text(&|job| Some(job.name.to_string())),
        text(&|job| Some(job.name.group.clone())),
        text(&|job| Some(job.client.clone())),
        text(&|job| Some(job.set.clone())),
        text(&|job| Some(job.symbol.clone())),
        text(&|job| Some(job.priority.name().to_string())),
        text(&|job| Some(job.state.name().to_string())),
        count(&|job| job.attempts),
        count(&|job| job.deaths),
        time(&|job| Some(job.created)),
        time(&|job| job.started),
        time(&|job| job.finished),
        number(&seconds),
        number(&|job| Some(job.progress)),
        Arc::new(jobs.iter().map(|job| Some(job.cost)).collect::<UInt64Array>()),
        text(&|job| Some(job.worker.clone()).filter(|worker| !worker.is_empty())),
        text(&|job| job.errors.last().map(|error| error.kind.clone())),
        text(&|job| job.errors.last().map(|error| error.message.clone())),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
