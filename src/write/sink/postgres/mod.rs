//! A table of a PostgreSQL server: rows are copied into a table beside the target, by several
//! connections.

mod cells;
mod chunks;
mod encode;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryReservation;

use super::{Flushing, PartitionSink, Sinks, StagedRows, Written};
use crate::error::Result;
use chunks::Chunks;

pub use chunks::Copier;
pub use encode::{Encoding, Layout};

/// A table beside a target, and how rows get into it.
pub struct TableStaging {
    /// The connections, and the table.
    pub copier: Copier,
    /// What becomes of a batch.
    pub encoding: Encoding,
    /// The columns that are copied, as a list in SQL.
    pub columns: String,
}

/// The sinks of a table: each fills chunks of its own.
pub(super) struct TableSinks(pub(super) Arc<TableStaging>);

impl Sinks for TableSinks {
    fn partition(&self, _: usize) -> Result<Box<dyn PartitionSink>> {
        Ok(Box::new(Chunks::new(Arc::clone(&self.0))))
    }

    fn reserve(&self, _: usize) -> Result<Option<MemoryReservation>> {
        Ok(None)
    }
}

#[async_trait]
impl PartitionSink for Chunks {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.take(batch).await
    }

    async fn finish(mut self: Box<Self>) -> Result<Flushing> {
        self.send_rest().await?;
        let staged = self.staged();
        Ok(Box::pin(async move { Ok(Written { files: Vec::new(), staged: Some(staged) }) }))
    }
}
