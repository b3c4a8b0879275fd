//! What rows go into: one trait for parquet files, uploads, CSV files and tables of a server.

mod csv;
mod file_layout;
mod float_encoder;
mod page_compressor;
mod parquet_file;
mod partition_writer;
mod postgres;
mod row_groups;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::future::BoxFuture;

use super::manifest::{StagedRows, UploadParts, WrittenFile};
use super::{OutputShape, WriteJob};
use crate::error::Result;

pub use file_layout::is_windrow_file;
pub use parquet_file::{FileScratch, ParquetFile};
pub use postgres::{Copier, CopyEncoding, TableLayout, TableStaging};
pub use upload::{UploadLog, Uploads};

/// Where a run writes aside: made by whoever took the target.
#[derive(Clone)]
pub enum Staging {
    /// Parquet files in a directory beside the target.
    Folder(PathBuf),
    /// Parquet files that are uploaded and not completed.
    Uploads(Arc<Uploads>),
    /// One CSV file beside the target.
    CsvFile {
        /// Where to write.
        path: PathBuf,
        /// What messages call it.
        target: PathBuf,
    },
    /// A table beside the target.
    Table(Arc<TableStaging>),
}

/// What the rows of one partition go into.
#[async_trait]
pub trait PartitionSink: Send {
    /// Takes rows, in order. It waits while too much of what it took is on its way.
    ///
    /// # Errors
    /// A place that cannot be written, or values that it does not hold.
    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Ends what is open. The rows are computed then; what is given resolves when all of them are
    /// where they belong.
    ///
    /// # Errors
    /// As [`PartitionSink::write_batch`].
    async fn finish(self: Box<Self>) -> Result<FlushFuture>;
}

/// Resolves when the rows of a partition are where they belong.
pub type FlushFuture = BoxFuture<'static, Result<WrittenPartition>>;

/// What the sink of one partition wrote.
#[derive(Debug, Default)]
pub struct WrittenPartition {
    /// Files or uploads.
    pub(super) files: Vec<WrittenFile>,
    /// Rows in a staging table.
    pub(super) staged: Option<StagedRows>,
}

/// Makes the sinks of a job.
pub(super) trait SinkFactory: Send + Sync {
    /// The sink of one partition.
    fn partition_sink(&self, number: usize) -> Result<Box<dyn PartitionSink>>;

    /// Reserves what so many open sinks take, before anything else asks for memory.
    fn reserve_memory(&self, open: usize) -> Result<Option<MemoryReservation>>;
}

/// The sinks for a staging place: the one place that tells kinds of sinks apart.
pub(super) fn build_sink_factory(
    staging: &Staging,
    job: &WriteJob,
) -> Result<Box<dyn SinkFactory>> {
    use partition_writer::{Destination, ParquetSinks};
    Ok(match staging {
        Staging::Folder(folder) => {
            Box::new(ParquetSinks::new(Destination::Folder(folder.clone()), job))
        }
        Staging::Uploads(uploads) => {
            Box::new(ParquetSinks::new(Destination::Uploads(Arc::clone(uploads)), job))
        }
        Staging::CsvFile { path, target } => Box::new(csv::CsvSinks::new(path, target, job)?),
        Staging::Table(table) => Box::new(postgres::TableSinks(Arc::clone(table))),
    })
}
