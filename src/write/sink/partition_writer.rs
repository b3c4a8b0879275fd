//! Writes the parquet files of a partition one after the other, into a folder or as uploads.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, make_comparator};
use datafusion::arrow::compute::kernels::cmp::lt;
use datafusion::arrow::compute::{SortOptions, partition};
use datafusion::arrow::error::ArrowError;
use datafusion::execution::memory_pool::MemoryReservation;
use tokio::task::JoinSet;

use super::file_layout::{FileLayout, hive_folder};
use super::parquet_file::{FileScratch, ParquetFile};
use super::row_groups::SymbolGroupWriter;
use super::upload::{Upload, Uploads};
use super::{FlushFuture, PartitionSink, SinkFactory, WrittenFile, WrittenPartition};
use crate::error::{Error, Result};
use crate::limits::FILES_FLUSHED;
use crate::outside::{
    self, FailPoint,
    files::{self, LocalFile},
};
use crate::write::{WriteJob, unwritable_error};

/// Creates the parquet sinks of a job.
pub(super) struct ParquetSinks {
    destination: Destination,
    layout: Arc<FileLayout>,
}

impl ParquetSinks {
    pub(super) fn new(destination: Destination, job: &WriteJob) -> Self {
        Self { destination, layout: Arc::new(FileLayout::from_write_job(job)) }
    }
}

impl SinkFactory for ParquetSinks {
    fn partition_sink(&self, number: usize) -> Result<Box<dyn PartitionSink>> {
        Ok(Box::new(PartitionWriter::new(&self.destination, number, Arc::clone(&self.layout))))
    }

    fn reserve_memory(&self, open: usize) -> Result<Option<MemoryReservation>> {
        self.layout.reserve_row_groups(open).map(Some)
    }
}

/// The staging place of a run's files.
#[derive(Clone)]
pub(super) enum Destination {
    /// A directory next to the target.
    Folder(PathBuf),
    /// Uploads that the commit completes.
    Uploads(Arc<Uploads>),
}

impl Destination {
    /// Returns the error for a file that cannot be written.
    fn unwritable_file_error(&self, below: &str, error: &dyn std::fmt::Display) -> Error {
        match self {
            Self::Folder(folder) => unwritable_error(&folder.join(below), error),
            Self::Uploads(_) => unwritable_error(Path::new(below), error),
        }
    }

    /// Creates a new file; returns the writer of its bytes, and the handle that stores it.
    fn create_output_file(&self, below: &str) -> Result<(Box<dyn Write + Send>, OutputFile)> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(below);
                let folder = path.parent().unwrap_or(folder);
                let made = files::create_folder(folder).and_then(|()| {
                    let file = files::create_or_truncate(&path)?;
                    Ok((file.try_clone()?, file))
                });
                let (writer, file) = made.map_err(|error| unwritable_error(&path, &error))?;
                Ok((Box::new(writer), OutputFile::File(file)))
            }
            Self::Uploads(uploads) => {
                let (parts, upload) = uploads.start_upload(below)?;
                Ok((Box::new(parts), OutputFile::Upload(Box::new(upload))))
            }
        }
    }
}

/// A file that is not stored yet.
enum OutputFile {
    File(LocalFile),
    Upload(Box<Upload>),
}

/// The one open file of a partition.
struct OpenFile {
    groups: SymbolGroupWriter,
    out: OutputFile,
    /// The symbol of its last row.
    last: Option<ArrayRef>,
    /// Its path below the target.
    below: String,
    folder: String,
    rows: u64,
}

impl OpenFile {
    /// Returns the rows at which a symbol begins that differs from the one before.
    fn symbol_starts(&self, symbols: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
        let runs = partition(&[ArrayRef::clone(symbols)])?.ranges();
        let mut starts: Vec<usize> = runs.into_iter().map(|run| run.start).collect();
        let continued = match &self.last {
            Some(last) => make_comparator(last, symbols, SortOptions::default())?(0, 0).is_eq(),
            None => false,
        };
        if continued {
            starts.remove(0);
        }
        Ok(starts)
    }
}

/// The files of one partition, one after the other.
struct PartitionWriter {
    destination: Destination,
    number: usize,
    layout: Arc<FileLayout>,
    open: Option<OpenFile>,
    /// The scratch of the last file.
    kept: Option<FileScratch>,
    /// The entity of the last row.
    last: Option<ArrayRef>,
    /// The number of files begun.
    begun: usize,
    closed: ClosedFiles,
}

/// Files that are closed.
#[derive(Default)]
struct ClosedFiles {
    /// Those that are stored.
    files: Vec<WrittenFile>,
    /// Those being stored while the next ones are written.
    flushing: JoinSet<Result<WrittenFile>>,
}

impl ClosedFiles {
    /// Waits until at most `most` files are still being stored.
    async fn wait_for_flushes(&mut self, most: usize) -> Result<()> {
        while self.flushing.len() > most {
            let Some(flushed) = self.flushing.join_next().await else { break };
            let panicked = |error| Error::internal(format!("a flush panicked: {error}"));
            self.files.push(flushed.map_err(panicked)??);
        }
        Ok(())
    }
}

impl PartitionWriter {
    fn new(destination: &Destination, number: usize, layout: Arc<FileLayout>) -> Self {
        Self {
            destination: destination.clone(),
            number,
            layout,
            open: None,
            kept: None,
            last: None,
            begun: 0,
            closed: ClosedFiles::default(),
        }
    }

    /// Sends what was written; waits while too much is in flight.
    async fn apply_backpressure(&mut self) -> Result<()> {
        if let Some(OpenFile { out: OutputFile::Upload(upload), .. }) = &mut self.open {
            upload.send_full_parts().await?;
        }
        self.closed.wait_for_flushes(FILES_FLUSHED).await
    }

    /// Appends rows; closes files that end within the batch.
    fn append_to_files(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let wrong = |error: ArrowError| Error::from_arrow_error(&error);
        if self.layout.partition_by.is_empty() {
            for (i, rows) in self.sorted_stretches(batch).map_err(wrong)?.into_iter().enumerate() {
                if i > 0 {
                    self.close_file()?;
                }
                self.write_rows(&batch.slice(rows.start, rows.len()), "")?;
            }
            return Ok(());
        }
        let keys: Vec<ArrayRef> =
            self.layout.partition_by.iter().map(|c| ArrayRef::clone(batch.column(*c))).collect();
        for run in partition(&keys).map_err(wrong)?.ranges() {
            let folder = hive_folder(batch, &self.layout.partition_by, run.start).map_err(wrong)?;
            self.write_rows(&batch.slice(run.start, run.end - run.start), &folder)?;
        }
        Ok(())
    }

    /// Cuts the rows where an entity sorts before the one above it. There the next period begins, and
    /// with it another file, so that every file is sorted. The first stretch is empty if the cut is at
    /// the start of the batch.
    fn sorted_stretches(&mut self, batch: &RecordBatch) -> Result<Vec<Range<usize>>, ArrowError> {
        let (rows, entities) = (batch.num_rows(), batch.column(self.layout.entity));
        let falls = lt(&entities.slice(1, rows - 1), &entities.slice(0, rows - 1))?;
        let falls = falls.values().set_indices().map(|row| row + 1);
        let back = match self.last.replace(entities.slice(rows - 1, 1)) {
            Some(last) => lt(&entities.slice(0, 1), &last)?.value(0),
            None => false,
        };
        let mut stretches = Vec::new();
        let mut from = 0;
        for start in back.then_some(0).into_iter().chain(falls) {
            stretches.push(from..start);
            from = start;
        }
        stretches.push(from..rows);
        Ok(stretches)
    }

    fn write_rows(&mut self, batch: &RecordBatch, folder: &str) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|open| open.folder != folder) {
            self.close_file()?;
        }
        let internal = |error: ArrowError| Error::from_arrow_error(&error);
        let rows = self.layout.file_columns(batch)?;
        if self.open.is_none() {
            self.open = Some(self.start_file(folder, &rows)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let symbols = batch.column(self.layout.entity);
        let starts = open.symbol_starts(symbols).map_err(internal)?;
        open.groups
            .write_symbols(&rows, &starts)
            .map_err(|error| self.destination.unwritable_file_error(&open.below, &error))?;
        open.last = Some(symbols.slice(symbols.len() - 1, 1));
        open.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn close_file(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let OpenFile { groups, out, below: path, rows, .. } = open;
        let destination = self.destination.clone();
        let kept =
            groups.close().map_err(|error| destination.unwritable_file_error(&path, &error))?;
        self.kept = Some(kept);
        match out {
            OutputFile::File(file) => {
                self.closed.flushing.spawn_blocking(move || {
                    let flushed = file.sync_all().and_then(|()| file.metadata());
                    let flushed =
                        flushed.map_err(|error| destination.unwritable_file_error(&path, &error));
                    flushed.map(|meta| WrittenFile { path, rows, bytes: meta.len(), upload: None })
                });
            }
            OutputFile::Upload(upload) => {
                self.closed.flushing.spawn(upload.finish(rows));
            }
        }
        outside::reach_fail_point(FailPoint::FileClosed);
        Ok(())
    }

    /// Starts the next file, whose first rows are given.
    fn start_file(&mut self, folder: &str, first: &RecordBatch) -> Result<OpenFile> {
        let below = self.layout.file_path(folder, self.number, self.begun);
        self.begun += 1;
        let (writer, out) = self.destination.create_output_file(&below)?;
        let (properties, own) = self.layout.properties_for(first);
        let schema = Arc::clone(&self.layout.schema);
        let file = self
            .kept
            .take()
            .map_or_else(|| FileScratch::new(self.layout.compression), Ok)
            .and_then(|kept| ParquetFile::new(writer, schema, properties, own, kept))
            .map_err(|error| self.destination.unwritable_file_error(&below, &error))?;
        let groups = SymbolGroupWriter::new(file, self.layout.group.0);
        Ok(OpenFile { groups, out, last: None, below, folder: folder.to_string(), rows: 0 })
    }
}

#[async_trait]
impl PartitionSink for PartitionWriter {
    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.append_to_files(batch)?;
        self.apply_backpressure().await
    }

    async fn finish(mut self: Box<Self>) -> Result<FlushFuture> {
        self.close_file()?;
        // Frees the writer's buffers now, since the next partition begins.
        let Self { mut closed, .. } = *self;
        Ok(Box::pin(async move {
            closed.wait_for_flushes(0).await?;
            Ok(WrittenPartition { files: closed.files, staged: None })
        }))
    }
}
