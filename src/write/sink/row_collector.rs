//! The sink that keeps rows in memory, symbol by symbol.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches, partition};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};

use super::{FlushFuture, PartitionSink, SinkFactory, WrittenPartition};
use crate::error::{Error, Result};
use crate::write::WriteJob;

/// All rows of one symbol, sorted by time.
#[derive(Clone, Debug)]
pub struct SymbolRows {
    /// The symbol.
    pub symbol: String,
    /// The rows.
    pub batch: RecordBatch,
}

/// The rows that the sinks of a job have collected.
#[derive(Debug, Default)]
pub struct RowCollector(Mutex<Vec<SymbolRows>>);

impl RowCollector {
    /// Returns the rows collected so far, sorted by symbol, and forgets them.
    pub fn take_rows(&self) -> Vec<SymbolRows> {
        let mut rows = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        rows.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        rows
    }

    fn push_rows(&self, rows: SymbolRows) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
    }
}

/// Creates the sinks of a job whose rows stay in memory.
pub(super) struct CollectorSinks {
    collector: Arc<RowCollector>,
    entity: usize,
    reservation: Arc<Mutex<MemoryReservation>>,
}

impl CollectorSinks {
    pub(super) fn new(collector: &Arc<RowCollector>, job: &WriteJob) -> Self {
        let consumer = MemoryConsumer::new("rows of symbols");
        let reservation = consumer.register(job.context.memory_pool());
        Self {
            collector: Arc::clone(collector),
            entity: job.output.entity,
            reservation: Arc::new(Mutex::new(reservation)),
        }
    }
}

impl SinkFactory for CollectorSinks {
    fn partition_sink(&self, _: usize) -> Result<Box<dyn PartitionSink>> {
        Ok(Box::new(CollectorSink {
            collector: Arc::clone(&self.collector),
            entity: self.entity,
            reservation: Arc::clone(&self.reservation),
            current: Vec::new(),
        }))
    }

    fn reserve_memory(&self, _: usize) -> Result<Option<MemoryReservation>> {
        Ok(None)
    }
}

/// The sink of one partition. It has no more than the rows of one symbol apart from the collector.
struct CollectorSink {
    collector: Arc<RowCollector>,
    entity: usize,
    /// The memory of all rows of the job.
    reservation: Arc<Mutex<MemoryReservation>>,
    /// The rows so far of the symbol that is being collected.
    current: Vec<RecordBatch>,
}

impl CollectorSink {
    fn collect_batch(&mut self, batch: &RecordBatch) -> std::result::Result<(), ArrowError> {
        let entities = batch.column(self.entity);
        for range in partition(std::slice::from_ref(entities))?.ranges() {
            let rows = batch.slice(range.start, range.len());
            if let Some(before) = self.current.last()
                && !holds_same_value(before.column(self.entity), rows.column(self.entity))?
            {
                self.close_symbol()?;
            }
            self.current.push(rows);
        }
        Ok(())
    }

    /// Hands the rows of the current symbol over. Rows without a symbol belong to nobody, and are left out.
    fn close_symbol(&mut self) -> std::result::Result<(), ArrowError> {
        let rows = std::mem::take(&mut self.current);
        let Some(first) = rows.first() else { return Ok(()) };
        let symbol = cast(&first.column(self.entity).slice(0, 1), &DataType::Utf8)?;
        if symbol.is_valid(0) {
            let symbol = symbol.as_string::<i32>().value(0).to_string();
            let batch = concat_batches(&first.schema(), &rows)?;
            let columns = batch.columns().iter().map(own_buffers).collect();
            let batch = RecordBatch::try_new(batch.schema(), columns)?;
            self.collector.push_rows(SymbolRows { symbol, batch });
        }
        Ok(())
    }
}

/// Returns whether the first values of two columns of one type are equal.
fn holds_same_value(one: &ArrayRef, other: &ArrayRef) -> std::result::Result<bool, ArrowError> {
    let both = datafusion::arrow::compute::concat(&[&one.slice(0, 1), &other.slice(0, 1)])?;
    Ok(partition(&[both])?.len() == 1)
}

/// Returns a column whose buffers hold its own values only. A column of views shares the buffers of the batch that it
/// was cut from.
fn own_buffers(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

#[async_trait]
impl PartitionSink for CollectorSink {
    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let grown = {
            let reservation = self.reservation.lock().unwrap_or_else(PoisonError::into_inner);
            reservation.try_grow(batch.get_array_memory_size())
        };
        grown.map_err(|error| {
            Error::data(format!("the rows of the batch do not fit into memory: {error}"))
                .hint("raise memory_limit, or ask for fewer symbols or a shorter time")
        })?;
        self.collect_batch(batch).map_err(|error| Error::from_arrow_error(&error))
    }

    async fn finish(mut self: Box<Self>) -> Result<FlushFuture> {
        self.close_symbol().map_err(|error| Error::from_arrow_error(&error))?;
        Ok(Box::pin(async { Ok(WrittenPartition::default()) }))
    }
}
