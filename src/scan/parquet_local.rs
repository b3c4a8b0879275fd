//! Reads parquet files of the local disk: small ones whole, many of them per batch, and others page
//! by page.
//!
//! DataFusion's scan fetches whole row groups, one at a time. For a file of one day or one symbol,
//! its requests, tasks and batches of a few rows cost more than the rows do. It is better where a
//! filter skips row groups and pages, and is used there.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::execution::TaskContext;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection, RowSelector,
};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use super::file_errors::catch_parser_panic;
use super::file_slice::FileSlice;
use super::page_reader as pages;
use crate::error::Result;
use crate::limits::FILE_READ_WHOLE;

/// The files that one partition of a scan reads, one after the other.
#[derive(Debug)]
pub(crate) struct LocalParquetPartition {
    /// The files, in order.
    pub(crate) parts: Arc<[FileSlice]>,
    /// The columns to read; the last is the ordinal.
    pub(crate) schema: SchemaRef,
}

impl PartitionStream for LocalParquetPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = context.session_config().batch_size();
        let (schema, parts) = (Arc::clone(&self.schema), Arc::clone(&self.parts));
        let batches = LocalParquetBatches {
            schema,
            parts,
            next: 0,
            rows,
            open: None,
            decoded: Vec::new(),
            held: 0,
            ready: VecDeque::new(),
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches)))
    }
}

/// Batches of about `rows` rows, each from as many files as that takes.
struct LocalParquetBatches {
    schema: SchemaRef,
    parts: Arc<[FileSlice]>,
    next: usize,
    rows: usize,
    /// The file being read: its index in `parts`, and its reader.
    open: Option<(usize, ParquetRecordBatchReader)>,
    decoded: Vec<RecordBatch>,
    held: usize,
    ready: VecDeque<RecordBatch>,
}

impl Iterator for LocalParquetBatches {
    type Item = PlanResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.ready.pop_front() {
            return Some(Ok(batch));
        }
        while self.held < self.rows {
            match self.decode_some_rows() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    (self.next, self.open, self.held) = (self.parts.len(), None, 0);
                    self.decoded.clear();
                    return Some(Err(DataFusionError::External(Box::new(error))));
                }
            }
        }
        if self.held == 0 {
            return None;
        }
        self.held = 0;
        let decoded = std::mem::take(&mut self.decoded);
        let all = match decoded.as_slice() {
            [batch] => batch.clone(),
            batches => match concat_batches(&self.schema, batches) {
                Ok(all) => all,
                Err(error) => return Some(Err(error.into())),
            },
        };
        let piece = |from| all.slice(from, self.rows.min(all.num_rows() - from));
        self.ready = (0..all.num_rows()).step_by(self.rows).map(piece).collect();
        self.ready.pop_front().map(Ok)
    }
}

impl LocalParquetBatches {
    /// Decodes some more rows; returns false after the last.
    fn decode_some_rows(&mut self) -> Result<bool> {
        if let Some((number, reader)) = &mut self.open {
            let part = &self.parts[*number];
            let next = || reader.next().transpose().map_err(|error| part.decode_error(error));
            let Some(batch) = catch_parser_panic(&part.info.file.path, next)? else {
                self.open = None;
                return Ok(true);
            };
            self.held += batch.num_rows();
            self.decoded.push(part.adapt_batch(&batch, &self.schema)?);
            return Ok(true);
        }
        let Some(part) = self.parts.get(self.next) else { return Ok(false) };
        let reader = catch_parser_panic(&part.info.file.path, || self.open_slice_reader(part))?;
        self.open = Some((self.next, reader));
        self.next += 1;
        Ok(true)
    }

    fn open_slice_reader(&self, part: &FileSlice) -> Result<ParquetRecordBatchReader> {
        let file = part.info.file.open_reader(FILE_READ_WHOLE).map_err(|e| part.decode_error(e))?;
        let meta = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| part.decode_error(error))?;
        let fields = meta.schema().fields().iter().map(|field| field.name().as_str());
        let names = fields.filter(|name| part.reads_column(&self.schema, name));
        let mask = pages::column_mask(meta.parquet_schema(), names);
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let selection = part.slice.rows.as_ref().map(|rows| {
            RowSelection::from(vec![
                RowSelector::skip(count(rows.start)),
                RowSelector::select(count(rows.end - rows.start)),
            ])
        });
        let groups = 0..meta.metadata().num_row_groups();
        pages::read_row_groups(file, &meta, &self.schema, mask, groups, self.rows, selection)
            .map_err(|error| part.decode_error(error))
    }
}
