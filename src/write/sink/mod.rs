//! The sinks of rows: one trait for parquet files, uploads, CSV files, tables of a server, and memory.

mod csv;
mod file_layout;
mod float_encoder;
mod page_compressor;
mod parquet_file;
mod partition_writer;
mod postgres;
mod row_collector;
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
pub use row_collector::{RowCollector, SymbolRows};
pub use upload::{UploadLog, Uploads};

/// The staging place of a run, created by the holder of the target.
#[derive(Clone)]
pub enum Staging {
    /// Parquet files in a directory next to the target.
    Folder(PathBuf),
    /// Parquet files that are uploaded but not completed.
    Uploads(Arc<Uploads>),
    /// One CSV file next to the target.
    CsvFile {
        /// The path to write to.
        path: PathBuf,
        /// The path that messages show.
        target: PathBuf,
    },
    /// A staging table next to the target.
    Table(Arc<TableStaging>),
    /// The memory of this process, for rows that go to no target.
    Memory(Arc<RowCollector>),
}

/// The sink of the rows of one partition.
#[async_trait]
pub trait PartitionSink: Send {
    /// Accepts rows, in order. Waits while too much of the accepted data is still in flight.
    ///
    /// # Errors
    /// The place cannot be written, or cannot hold a value.
    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Closes the sink. When this returns, no more rows are computed; the returned future resolves once
    /// all of them are stored.
    ///
    /// # Errors
    /// As [`PartitionSink::write_batch`].
    async fn finish(self: Box<Self>) -> Result<FlushFuture>;
}

/// Resolves when the rows of a partition are stored.
pub type FlushFuture = BoxFuture<'static, Result<WrittenPartition>>;

/// The result of the sink of one partition.
#[derive(Debug, Default)]
pub struct WrittenPartition {
    /// Files or uploads.
    pub(super) files: Vec<WrittenFile>,
    /// Rows in a staging table.
    pub(super) staged: Option<StagedRows>,
}

/// Creates the sinks of a job.
pub(super) trait SinkFactory: Send + Sync {
    /// Creates the sink of one partition.
    fn partition_sink(&self, number: usize) -> Result<Box<dyn PartitionSink>>;

    /// Reserves the memory of `open` open sinks, before anything else requests memory.
    fn reserve_memory(&self, open: usize) -> Result<Option<MemoryReservation>>;
}

/// Creates the sinks for a staging place. Only this function distinguishes the kinds of sinks.
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
        Staging::Memory(collector) => Box::new(row_collector::CollectorSinks::new(collector, job)),
        Staging::Table(table) => Box::new(postgres::TableSinks(Arc::clone(table))),
    })
}
