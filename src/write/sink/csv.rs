//! The sink of one CSV file.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::{Writer, WriterBuilder};
use datafusion::arrow::error::ArrowError;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::ExecutionPlanProperties;

use super::{FlushFuture, PartitionSink, SinkFactory, WrittenFile, WrittenPartition};
use crate::error::{Error, Result};
use crate::outside::files::{self, LocalFile};
use crate::write::{WriteJob, unwritable_error};

/// Bytes collected before a write to the file.
const BUFFER: usize = 1 << 20;

/// Creates the sink of the only partition that a CSV file has.
pub(super) struct CsvSinks {
    path: PathBuf,
    target: PathBuf,
}

impl CsvSinks {
    pub(super) fn new(path: &Path, target: &Path, job: &WriteJob) -> Result<Self> {
        match job.plan.output_partitioning().partition_count() {
            1 => Ok(Self { path: path.into(), target: target.into() }),
            n => Err(Error::internal(format!("{n} partitions on their way into one CSV file"))),
        }
    }
}

impl SinkFactory for CsvSinks {
    fn partition_sink(&self, _: usize) -> Result<Box<dyn PartitionSink>> {
        let file = files::create_or_truncate(&self.path)
            .map_err(|error| unwritable_error(&self.target, &error))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        let writer = WriterBuilder::new().with_header(true).build(file);
        Ok(Box::new(CsvSink { writer, target: self.target.clone(), rows: 0 }))
    }

    fn reserve_memory(&self, _: usize) -> Result<Option<MemoryReservation>> {
        Ok(None)
    }
}

struct CsvSink {
    writer: Writer<BufWriter<LocalFile>>,
    target: PathBuf,
    rows: u64,
}

#[async_trait]
impl PartitionSink for CsvSink {
    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|error| match &error {
            ArrowError::IoError(..) => unwritable_error(&self.target, &error),
            ArrowError::CsvError(text) if text.contains("Cast error") => {
                let why = text.split("Cast error: ").nth(1).unwrap_or(text);
                Error::data(format!("{}: {why}", self.target.display()))
                    .hint("correct the value, or leave its rows out; the target is as it was")
            }
            _ => unwritable_error(&self.target, &error),
        })
    }

    async fn finish(self: Box<Self>) -> Result<FlushFuture> {
        let Self { writer, target, rows } = *self;
        let mut file = writer.into_inner();
        let flushed = file.flush().and_then(|()| file.get_ref().metadata());
        let bytes = flushed.map_err(|error| unwritable_error(&target, &error))?.len();
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        let path = name.unwrap_or_default();
        let files = vec![WrittenFile { path, rows, bytes, upload: None }];
        Ok(Box::pin(async move { Ok(WrittenPartition { files, staged: None }) }))
    }
}
