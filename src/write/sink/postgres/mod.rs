//! The sink of a table of a PostgreSQL server: several connections copy rows into a staging table next
//! to the target.

mod cells;
mod chunks;
mod copy_encoding;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryReservation;

use super::{FlushFuture, PartitionSink, SinkFactory, StagedRows, WrittenPartition};
use crate::error::Result;
use chunks::TableSink;

pub use chunks::Copier;
pub use copy_encoding::{CopyEncoding, TableLayout};

/// A staging table next to a target, and the means to copy rows into it.
pub struct TableStaging {
    /// The connections and the staging table.
    pub copier: Copier,
    /// The encoding of a batch.
    pub encoding: CopyEncoding,
    /// The columns that are copied, as a list in SQL.
    pub columns: String,
}

/// The sinks of a table; each fills its own chunks.
pub(super) struct TableSinks(pub(super) Arc<TableStaging>);

impl SinkFactory for TableSinks {
    fn partition_sink(&self, _: usize) -> Result<Box<dyn PartitionSink>> {
        Ok(Box::new(TableSink::new(Arc::clone(&self.0))))
    }

    fn reserve_memory(&self, _: usize) -> Result<Option<MemoryReservation>> {
        Ok(None)
    }
}

#[async_trait]
impl PartitionSink for TableSink {
    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.fill_chunk(batch).await
    }

    async fn finish(mut self: Box<Self>) -> Result<FlushFuture> {
        self.send_rest().await?;
        let staged = self.staged_rows();
        Ok(Box::pin(
            async move { Ok(WrittenPartition { files: Vec::new(), staged: Some(staged) }) },
        ))
    }
}
