//! Reads parquet files of object stores and web servers.
//!
//! Reading from a server means waiting, so files are fetched ahead. Small files are fetched whole,
//! several at a time. Of other files only the needed columns are fetched, one row group while the
//! one before is decoded. Row groups that a filter on the keys excludes are not fetched.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{BatchCoalescer, cast};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result as PlanResult, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::file_errors::catch_parser_panic;
use super::file_errors::unreadable_file_error;
use super::file_slice::FileSlice;
use super::page_reader as pages;
use super::prune::{ContainerStatistics, are_types_comparable};
use crate::error::{Error, Result};
use crate::limits::{BYTES_AHEAD, FILE_READ_WHOLE, ROW_GROUPS_AHEAD};
use crate::store::{FileReader, RemoteObject};

const AHEAD_FILES: [u64; 2] = [4, 64];

/// A filter on the key columns, which excludes row groups.
#[derive(Debug)]
pub(crate) struct RowGroupPruner {
    /// The filter, on the columns of `schema`.
    pub(crate) filter: Arc<dyn PhysicalExpr>,
    /// The columns of the source.
    pub(crate) schema: SchemaRef,
    /// The key columns that the files store; footers hold no values of directories.
    pub(crate) keys: Vec<String>,
}

/// The files that one partition of a scan reads, one after the other.
#[derive(Debug)]
pub(crate) struct RemoteParquetPartition {
    /// The files, in order.
    pub(crate) parts: Arc<[FileSlice]>,
    /// The columns to read; the last is the ordinal.
    pub(crate) schema: SchemaRef,
    /// The filter that selects row groups; None selects all.
    pub(crate) prune: Option<Arc<RowGroupPruner>>,
}

/// The parts of a scan that all files of a partition share.
struct RemoteScan {
    parts: Arc<[FileSlice]>,
    schema: SchemaRef,
    prune: Option<Arc<RowGroupPruner>>,
    rows: usize,
    memory: MemoryReservation,
}

impl PartitionStream for RemoteParquetPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let memory = MemoryConsumer::new("files on their way").register(context.memory_pool());
        let reading = Arc::new(RemoteScan {
            parts: Arc::clone(&self.parts),
            schema: Arc::clone(&self.schema),
            prune: self.prune.clone(),
            rows: context.session_config().batch_size(),
            memory,
        });
        let rows = reading.rows;
        let batches = coalesce_batches(reading.stream_batches(), Arc::clone(&self.schema), rows);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// The unit of a fetch: row groups of one file.
struct RowGroupRequest {
    reading: Arc<RemoteScan>,
    part: usize,
    meta: ArrowReaderMetadata,
    groups: Range<usize>,
    selection: Option<RowSelection>,
    /// The whole file, if it is small.
    held: Option<Bytes>,
}

/// Row groups in memory.
struct FetchedRowGroups {
    unit: RowGroupRequest,
    file: FileReader,
    memory: MemoryReservation,
}

impl RemoteScan {
    fn stream_batches(self: Arc<Self>) -> impl Stream<Item = PlanResult<RecordBatch>> + Send {
        let ahead = |reading: &Arc<Self>, part| {
            let task = SpawnedTask::spawn(Arc::clone(reading).plan_requests(part));
            async move { join_read_task(task).await }
        };
        let bytes: u64 =
            self.parts.iter().map(|part| part.info.file.size.min(FILE_READ_WHOLE)).sum();
        let [least, most] = AHEAD_FILES;
        let files = BYTES_AHEAD * self.parts.len() as u64 / bytes.max(1);
        let files = usize::try_from(files.clamp(least, most)).unwrap_or(1);
        let opened = (0..self.parts.len()).map(move |part| ahead(&self, part));
        stream::iter(opened)
            .buffered(files)
            .map_ok(|units| stream::iter(units.into_iter().map(Ok)))
            .try_flatten()
            .map_ok(|unit| {
                let task = SpawnedTask::spawn(unit.fetch());
                async move { join_read_task(task).await }
            })
            .try_buffered(ROW_GROUPS_AHEAD)
            .and_then(|fetched| async move { fetched.decode_batches() })
            .map_ok(stream::iter)
            .try_flatten()
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }

    /// Plans the requests for one file.
    async fn plan_requests(self: Arc<Self>, number: usize) -> Result<Vec<RowGroupRequest>> {
        let part = &self.parts[number];
        let (path, size) = (&part.info.file.path, part.info.file.size);
        let object = remote_object(part)?;
        let held =
            if size <= FILE_READ_WHOLE { Some(object.read_range(0..size).await?) } else { None };
        let file = match &held {
            Some(bytes) => FileReader::InMemory(bytes.clone()),
            None => FileReader::fetch_tail(object, size).await?,
        };
        let meta = catch_parser_panic(path, || {
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
                .map_err(|error| unreadable_file_error(path, &error))
        })?;
        let groups = meta.metadata().row_groups();
        let wanted = match &self.prune {
            Some(prune) => prune.prune_row_groups(&meta),
            None => vec![true; groups.len()],
        };
        let unit = |groups: Range<usize>, selection, held: &Option<Bytes>| RowGroupRequest {
            reading: Arc::clone(&self),
            part: number,
            meta: meta.clone(),
            groups,
            selection,
            held: held.clone(),
        };
        let mut units = Vec::new();
        let mut before = 0;
        for (number, group) in groups.iter().enumerate() {
            let all = before..before + u64::try_from(group.num_rows()).unwrap_or(0);
            before = all.end;
            let rows = part.slice.rows.clone().unwrap_or_else(|| all.clone());
            let rows = rows.start.max(all.start)..rows.end.min(all.end);
            if rows.is_empty() || !wanted[number] {
                continue;
            }
            let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let selection = (rows != all).then(|| {
                RowSelection::from(vec![
                    RowSelector::skip(count(rows.start - all.start)),
                    RowSelector::select(count(rows.end - rows.start)),
                ])
            });
            units.push(unit(number..number + 1, selection, &held));
        }
        Ok(units)
    }
}

impl RowGroupRequest {
    fn file_slice(&self) -> &FileSlice {
        &self.reading.parts[self.part]
    }

    fn projection_mask(&self) -> ProjectionMask {
        let fields = self.meta.schema().fields().iter().map(|field| field.name().as_str());
        let names =
            fields.filter(|name| self.file_slice().reads_column(&self.reading.schema, name));
        pages::column_mask(self.meta.parquet_schema(), names)
    }

    async fn fetch(self) -> Result<FetchedRowGroups> {
        let memory = self.reading.memory.new_empty();
        if let Some(bytes) = &self.held {
            memory.grow(bytes.len());
            let file = FileReader::InMemory(bytes.clone());
            return Ok(FetchedRowGroups { unit: self, file, memory });
        }
        let (mask, groups) =
            (self.projection_mask(), &self.meta.metadata().row_groups()[self.groups.clone()]);
        let mut ranges: Vec<Range<u64>> = groups
            .iter()
            .flat_map(|group| group.columns().iter().enumerate())
            .filter(|(column, _)| mask.leaf_included(*column))
            .map(|(_, chunk)| {
                let (start, length) = chunk.byte_range();
                start..start.saturating_add(length)
            })
            .collect();
        ranges.sort_by_key(|range| range.start);
        let size = self.file_slice().info.file.size;
        if let Some(beyond) = ranges.iter().find(|range| range.end > size) {
            let text = format!("a column ends at {} of {size} bytes", beyond.end);
            return Err(self.file_slice().decode_error(ParquetError::EOF(text)));
        }
        memory.grow(ranges.iter().map(|r| usize::try_from(r.end - r.start).unwrap_or(0)).sum());
        let object = remote_object(self.file_slice())?;
        let bytes = object.read_ranges(&ranges).await?;
        let pieces = ranges.iter().map(|range| range.start).zip(bytes).collect();
        let file = FileReader::Pieces(Arc::new(pieces), self.file_slice().info.file.size);
        Ok(FetchedRowGroups { unit: self, file, memory })
    }
}

impl FetchedRowGroups {
    fn decode_batches(self) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let Self { unit, file, memory } = self;
        let (mask, part) = (unit.projection_mask(), unit.file_slice().clone());
        let RowGroupRequest { reading, meta, groups, selection, .. } = unit;
        let (schema, rows) = (&reading.schema, reading.rows);
        let path = part.info.file.path.clone();
        let reader = || {
            pages::read_row_groups(file, &meta, schema, mask, groups, rows, selection)
                .map_err(|error| part.decode_error(error))
        };
        let mut reader = catch_parser_panic(&path, reader)?;
        Ok(std::iter::from_fn(move || {
            let _held = &memory;
            let mut next = || reader.next().transpose().map_err(|error| part.decode_error(error));
            let batch = catch_parser_panic(&path, &mut next).transpose()?;
            Some(batch.and_then(|batch| part.adapt_batch(&batch, &reading.schema)))
        }))
    }
}

impl RowGroupPruner {
    /// Returns for each row group whether it can hold rows that the filter keeps.
    fn prune_row_groups(&self, meta: &ArrowReaderMetadata) -> Vec<bool> {
        let groups = meta.metadata().row_groups();
        let range = |name: &String| {
            let ty = self.schema.field_with_name(name).ok()?.data_type();
            let own = meta.schema().field_with_name(name).ok()?.data_type();
            if !are_types_comparable(own, ty) {
                return None;
            }
            let converter =
                StatisticsConverter::try_new(name, meta.schema(), meta.parquet_schema()).ok()?;
            let typed = |values: ArrayRef| cast(&values, ty).ok();
            let mins = typed(converter.row_group_mins(groups).ok()?)?;
            let maxs = typed(converter.row_group_maxes(groups).ok()?)?;
            let value = |values: &ArrayRef, group| {
                ScalarValue::try_from_array(values, group).ok().filter(|value| !value.is_null())
            };
            let ranges = (0..groups.len()).map(|g| Some((value(&mins, g)?, value(&maxs, g)?)));
            Some((name.clone(), ranges.collect()))
        };
        let columns = self.keys.iter().filter_map(range).collect();
        ContainerStatistics { columns, containers: groups.len() }
            .keep_mask(&self.filter, &self.schema)
    }
}

fn remote_object(part: &FileSlice) -> Result<&RemoteObject> {
    let none = || Error::internal("a local file among those of a server");
    part.info.file.object.as_ref().ok_or_else(none)
}

async fn join_read_task<T: 'static>(task: SpawnedTask<Result<T>>) -> Result<T> {
    let panicked = |error| Error::internal(format!("reading a file panicked: {error}"));
    task.join().await.map_err(panicked)?
}

/// Coalesces batches into batches of `rows` rows, each from as many files as that takes.
fn coalesce_batches(
    batches: impl Stream<Item = PlanResult<RecordBatch>> + Send + 'static,
    schema: SchemaRef,
    rows: usize,
) -> impl Stream<Item = PlanResult<RecordBatch>> + Send {
    let held = BatchCoalescer::new(schema, rows).with_biggest_coalesce_batch_size(Some(rows / 2));
    let state = (Box::pin(batches.fuse()), held, false);
    stream::try_unfold(state, |(mut batches, mut held, mut ended)| async move {
        loop {
            if let Some(batch) = held.next_completed_batch() {
                return Ok(Some((batch, (batches, held, ended))));
            }
            if ended {
                return Ok(None);
            }
            match batches.try_next().await? {
                Some(batch) => held.push_batch(batch)?,
                None => {
                    held.finish_buffered_batch()?;
                    ended = true;
                }
            }
        }
    })
}
