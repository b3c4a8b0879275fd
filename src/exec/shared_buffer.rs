//! The rows of one partition of a shared plan, kept until every reader has passed them.
//!
//! A task reads the plan at the pace of its fastest reader: it fetches a batch when a reader waits
//! for one. Rows that slower or later readers still need are held in memory, and spill to temporary
//! files when the memory pool is exhausted. No reader waits for another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::TryStreamExt;
use tokio::sync::Notify;

/// The smallest size that is worth a file: less is held in memory even if the pool is exhausted.
const MIN_SPILL_BYTES: usize = 256 << 10;

/// A partition that is being read, owned by its readers.
pub(super) struct SharedPartition {
    log: Arc<BatchLog>,
    /// Reading stops when the last reader is dropped: the task holds the log, not its readers.
    _driver: SpawnedTask<()>,
}

impl SharedPartition {
    /// Starts to read a partition of a plan for `readers` readers.
    pub(super) fn start_reading(
        plan: &Arc<dyn ExecutionPlan>,
        number: usize,
        readers: usize,
        context: &Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Arc<Self>> {
        let input = plan.execute(number, Arc::clone(context))?;
        let memory = MemoryConsumer::new(format!("SharedExec[{number}]")).with_can_spill(true);
        let spills = SpillMetrics::new(metrics, number);
        let files = SpillManager::new(context.runtime_env(), spills, plan.schema())
            .with_compression_type(context.session_config().spill_compression());
        let state = BatchLogState {
            kept: VecDeque::new(),
            end: 0,
            ended: None,
            positions: vec![0; readers],
            wanted: false,
            held_bytes: 0,
            memory: memory.register(context.memory_pool()),
        };
        let log = Arc::new(BatchLog {
            state: Mutex::new(state),
            files,
            wanted: Notify::new(),
            arrived: Notify::new(),
        });
        let driver = SpawnedTask::spawn(fetch_on_demand(input, Arc::clone(&log)));
        Ok(Arc::new(Self { log, _driver: driver }))
    }
}

/// Fetches batches as long as readers need them.
async fn fetch_on_demand(mut input: SendableRecordBatchStream, log: Arc<BatchLog>) {
    let ending = EndGuard(log);
    let log = &ending.0;
    loop {
        log.wait_for_demand().await;
        let next = loop {
            match input.try_next().await {
                Ok(Some(batch)) if batch.num_rows() == 0 => {} // The reader that waits still does.
                next => break next,
            }
        };
        let kept = match next {
            Ok(Some(batch)) => log.buffer_batch(batch),
            Ok(None) => return log.set_end(StreamEnd::Complete),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            return log.set_end(StreamEnd::Failed(Arc::new(error)));
        }
    }
}

/// A guard that ends the log in every case: a panic of the plan must not leave readers waiting.
struct EndGuard(Arc<BatchLog>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        let error = internal_datafusion_err!("a shared plan stopped in the middle");
        self.0.set_end(StreamEnd::Failed(Arc::new(error)));
    }
}

/// The batches that are kept, and the notifications of readers and fetcher.
struct BatchLog {
    state: Mutex<BatchLogState>,
    files: SpillManager,
    /// Notifies the fetcher that a reader waits for the next batch.
    wanted: Notify,
    /// Notifies readers that a batch, or the end, has come.
    arrived: Notify,
}

struct BatchLogState {
    kept: VecDeque<BatchSpan>,
    /// The number of batches fetched so far.
    end: usize,
    ended: Option<StreamEnd>,
    /// The number of batches that each reader has passed.
    positions: Vec<usize>,
    wanted: bool,
    /// Bytes in memory.
    held_bytes: usize,
    memory: MemoryReservation,
}

/// Consecutive batches in one storage.
struct BatchSpan {
    first: usize,
    batches: usize,
    storage: BatchStorage,
}

enum BatchStorage {
    Memory(RecordBatch, usize),
    File(Arc<dyn SpillFile>),
}

#[derive(Clone)]
enum StreamEnd {
    Complete,
    Failed(Arc<DataFusionError>),
}

/// The result of looking up a reader's position.
enum BatchLookup {
    Batch(RecordBatch),
    /// A file, the number of its batches to skip, and the number of batches after those.
    File(Arc<dyn SpillFile>, usize, usize),
    End(StreamEnd),
    Nothing,
}

impl BatchLog {
    fn lock_state(&self) -> MutexGuard<'_, BatchLogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for_demand(&self) {
        while !std::mem::take(&mut self.lock_state().wanted) {
            self.wanted.notified().await;
        }
    }

    fn buffer_batch(&self, batch: RecordBatch) -> Result<()> {
        let size = batch_bytes(&batch)?;
        let mut state = self.lock_state();
        if state.memory.try_grow(size).is_err() {
            if state.held_bytes > MIN_SPILL_BYTES {
                state.spill_batches(&self.files)?;
            }
            state.memory.grow(size);
        }
        state.held_bytes += size;
        let first = state.end;
        state.kept.push_back(BatchSpan {
            first,
            batches: 1,
            storage: BatchStorage::Memory(batch, size),
        });
        state.end += 1;
        state.release_read_batches(); // Its readers may all be dropped.
        drop(state);
        self.arrived.notify_waiters();
        Ok(())
    }

    /// Sets how the log ended; only the first call counts.
    fn set_end(&self, ended: StreamEnd) {
        self.lock_state().ended.get_or_insert(ended);
        self.arrived.notify_waiters();
    }

    fn try_next_batch(&self, reader: usize) -> BatchLookup {
        let mut state = self.lock_state();
        let place = state.positions[reader];
        let at = state.kept.partition_point(|run| run.first + run.batches <= place);
        let found = match state.kept.get(at) {
            Some(BatchSpan { storage: BatchStorage::Memory(batch, _), .. }) => {
                BatchLookup::Batch(batch.clone())
            }
            Some(BatchSpan { storage: BatchStorage::File(file), first, batches }) => {
                return BatchLookup::File(Arc::clone(file), place - first, first + batches - place);
            }
            None => {
                if let Some(ended) = &state.ended {
                    return BatchLookup::End(ended.clone());
                }
                state.wanted = true;
                self.wanted.notify_one();
                return BatchLookup::Nothing;
            }
        };
        state.advance_reader(reader, place + 1);
        found
    }
}

impl BatchLogState {
    fn advance_reader(&mut self, reader: usize, place: usize) {
        self.positions[reader] = place;
        self.release_read_batches();
    }

    /// Releases batches that every reader has passed.
    fn release_read_batches(&mut self) {
        let passed = self.positions.iter().copied().min().unwrap_or(usize::MAX);
        while self.kept.front().is_some_and(|run| run.first + run.batches <= passed) {
            if let Some(BatchSpan { storage: BatchStorage::Memory(_, size), .. }) =
                self.kept.pop_front()
            {
                self.held_bytes -= size;
                self.memory.shrink(size);
            }
        }
    }

    /// Moves the batches in memory, which are the last of those kept, to one file.
    fn spill_batches(&mut self, files: &SpillManager) -> Result<()> {
        let from = self.kept.partition_point(|run| matches!(run.storage, BatchStorage::File(_)));
        let batches: Vec<RecordBatch> = self
            .kept
            .range(from..)
            .filter_map(|run| match &run.storage {
                BatchStorage::Memory(batch, _) => Some(batch.clone()),
                BatchStorage::File(_) => None,
            })
            .collect();
        let Some(file) = files.spill_record_batch_and_finish(&batches, "SharedExec")? else {
            return Ok(());
        };
        let first = self.end - batches.len();
        self.kept.truncate(from);
        self.kept.push_back(BatchSpan {
            first,
            batches: batches.len(),
            storage: BatchStorage::File(file),
        });
        self.held_bytes = 0;
        self.memory.free();
        Ok(())
    }
}

/// Returns the bytes that the rows of a batch take up; several batches may be slices of the same memory.
fn batch_bytes(batch: &RecordBatch) -> Result<usize> {
    let column = |array: &Arc<dyn Array>| {
        let long = match array.data_type() {
            DataType::Utf8View => array.as_string_view().total_buffer_bytes_used(),
            DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used(),
            _ => 0,
        };
        Ok(array.to_data().get_slice_memory_size()? + long)
    };
    batch.columns().iter().map(column).sum()
}

/// A reader of one partition.
pub(super) struct SharedReader {
    partition: Arc<SharedPartition>,
    number: usize,
    baseline: BaselineMetrics,
    /// The file that is being read, and the number of its batches still to come.
    file: Option<(SendableRecordBatchStream, usize)>,
}

impl SharedReader {
    pub(super) fn new(
        partition: Arc<SharedPartition>,
        number: usize,
        baseline: BaselineMetrics,
    ) -> Self {
        Self { partition, number, baseline, file: None }
    }

    /// Returns the next batch; None after the last.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((stream, left)) = &mut self.file {
                let next = if *left == 0 { None } else { stream.try_next().await? };
                if let Some(batch) = next {
                    *left -= 1;
                    let mut state = self.partition.log.lock_state();
                    let place = state.positions[self.number] + 1;
                    state.advance_reader(self.number, place);
                    self.baseline.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                if *left > 0 {
                    return internal_err!("a temporary file of SharedExec ended early");
                }
                self.file = None;
            }
            let log = &self.partition.log;
            let arrived = log.arrived.notified(); // Before the lookup, to miss no notice.
            match log.try_next_batch(self.number) {
                BatchLookup::Batch(batch) => {
                    self.baseline.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                BatchLookup::File(file, skip, left) => {
                    let mut stream = log.files.read_spill_as_stream(file, None)?;
                    for _ in 0..skip {
                        stream.try_next().await?;
                    }
                    self.file = Some((stream, left));
                }
                BatchLookup::End(StreamEnd::Complete) => return Ok(None),
                BatchLookup::End(StreamEnd::Failed(error)) => {
                    return Err(DataFusionError::Shared(error));
                }
                BatchLookup::Nothing => arrived.await,
            }
        }
    }
}

impl Drop for SharedReader {
    fn drop(&mut self) {
        self.partition.log.lock_state().advance_reader(self.number, usize::MAX);
    }
}
