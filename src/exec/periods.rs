//! Sorts rows that come in the order of their time, period by period.
//!
//! Files that hold one date each need no global sort. A period is a stretch of time that no other
//! overlaps. It is read whole: each of its rows goes to the partition of its entity's range, and is
//! sorted there by entity and time. Operators above that keep a state per entity see the rows of
//! each entity in order. Memory holds a few periods, however long the history is.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{
    SortColumn, cast, interleave_record_batch, lexsort_to_indices, take_record_batch,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Notify, mpsc};

use super::ascending_sort;
use super::clean::{FileNamer, file_and_row, range_partitioning};
use super::cleaning_stats::CleaningStats;
use crate::error::Error;

/// The operator that sorts period by period; see the module.
pub struct PeriodsExec {
    input: Arc<dyn ExecutionPlan>,
    entity: usize,
    time: usize,
    /// The partitions of the input that hold each period.
    periods: Vec<Range<usize>>,
    splits: Vec<String>,
    report: Arc<CleaningStats>,
    name_file: FileNamer,
    /// The receivers of the output partitions, created when the first of them is executed.
    receivers: Mutex<Vec<Option<ExchangeReceiver>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PeriodsExec {
    /// Creates the operator. Each range of `periods` names partitions of `input` that hold all rows
    /// of one stretch of time; the stretches follow each other. The last column is the sequence.
    /// Output partition `i` begins with the entity at split `i - 1`.
    ///
    /// # Errors
    /// The splits do not rise.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        (entity, time): (usize, usize),
        periods: Vec<Range<usize>>,
        splits: Vec<String>,
        report: Arc<CleaningStats>,
        name_file: FileNamer,
    ) -> Result<Self> {
        let schema = input.schema();
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        if periods.len() < 2 {
            let sequence = schema.fields().len() - 1;
            let order = [entity, time, sequence].map(|column| ascending_sort(&schema, column));
            equivalence.add_ordering(order);
        }
        let properties = PlanProperties::new(
            equivalence,
            range_partitioning(&schema, entity, &splits)?,
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            input,
            entity,
            time,
            periods,
            splits,
            report,
            name_file,
            receivers: Mutex::new(Vec::new()),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Returns the columns of entity and time if an entity may come again after others: with more
    /// than one period.
    pub(super) fn period_keys(&self) -> Option<(usize, usize)> {
        (self.periods.len() > 1).then_some((self.entity, self.time))
    }
}

impl fmt::Debug for PeriodsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeriodsExec").field("periods", &self.periods.len()).finish_non_exhaustive()
    }
}

impl DisplayAs for PeriodsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let [entity, time] = [self.entity, self.time].map(|key| schema.field(key).name().clone());
        let (periods, parts) = (self.periods.len(), self.splits.len() + 1);
        write!(f, "PeriodsExec: by=[{entity}, {time}], periods={periods}, ranges={parts}")
    }
}

impl ExecutionPlan for PeriodsExec {
    fn name(&self) -> &'static str {
        "PeriodsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false] // The partitions of the input are parts of its periods.
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::try_new(
            children.swap_remove(0),
            (self.entity, self.time),
            self.periods.clone(),
            self.splits.clone(),
            Arc::clone(&self.report),
            Arc::clone(&self.name_file),
        )?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        number: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut ends = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        // The first partition that is executed starts the reading. A partition that is executed
        // again starts it for another execution of the plan.
        if !ends.get(number).is_some_and(Option::is_some) {
            *ends = start_exchange(self, &context)?;
        }
        let Some(end) = ends.get_mut(number).and_then(Option::take) else {
            return internal_err!("PeriodsExec has no partition {number}");
        };
        let memory = MemoryConsumer::new(format!("PeriodsExec[{number}]"));
        let sorter = PeriodSorter {
            number,
            end,
            keys: [self.entity, self.time],
            rows: context.session_config().batch_size(),
            memory: memory.register(context.memory_pool()),
            baseline: BaselineMetrics::new(&self.metrics, number),
            sorted: None,
        };
        let batches = stream::try_unfold(sorter, |mut sorter| async {
            Ok(sorter.next().await?.map(|batch| (batch, sorter)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows of one period that belong to one output partition.
#[derive(Clone, Default)]
struct PeriodPart {
    /// Batches, which other partitions share, and the rows of each that belong to this one.
    rows: Vec<(RecordBatch, Vec<u32>)>,
    /// This partition's share of their bytes.
    bytes: usize,
}

/// The end of the exchange at one output partition.
struct ExchangeReceiver {
    receiver: mpsc::UnboundedReceiver<Result<PeriodPart>>,
    gate: Arc<PeriodGate>,
    /// The memory of rows that were read and not yet received.
    unread: Arc<MemoryReservation>,
    /// Reading stops when the last partition that needs rows is dropped.
    _driver: Arc<SpawnedTask<()>>,
}

/// Lets the next period be read when every output partition has received the last one, so that none
/// falls behind. If the plan above reads one partition only after it has read another, the gate
/// would never open: it opens after a while if a partition waits for rows.
struct PeriodGate {
    waiting: Mutex<Vec<usize>>,
    taken: Notify,
}

/// The time that a partition may wait for rows while the others receive none.
const GATE_TIMEOUT: Duration = Duration::from_millis(200);

impl PeriodGate {
    fn update_waiting(&self, change: impl FnOnce(&mut [usize])) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.taken.notify_one();
    }

    fn any_count(&self, is: impl Fn(usize) -> bool) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().any(|count| is(*count))
    }

    async fn wait_until_open(&self) {
        loop {
            let taken = self.taken.notified();
            if !self.any_count(|count| count > 0 && count < NO_READER) {
                return;
            }
            let still = tokio::time::timeout(GATE_TIMEOUT, taken).await.is_err();
            if still && self.any_count(|count| count == 0) {
                return;
            }
        }
    }
}

/// Replaces the count of a partition that has no reader any more.
const NO_READER: usize = usize::MAX / 2;

/// Starts to read, and returns a receiver for each output partition.
fn start_exchange(
    plan: &PeriodsExec,
    context: &Arc<TaskContext>,
) -> Result<Vec<Option<ExchangeReceiver>>> {
    let parts = plan.splits.len() + 1;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..parts).map(|_| mpsc::unbounded_channel()).unzip();
    let gate = Arc::new(PeriodGate { waiting: Mutex::new(vec![0; parts]), taken: Notify::new() });
    let reader = PeriodReader {
        input: Arc::clone(&plan.input),
        context: Arc::clone(context),
        entity: plan.entity,
        time: plan.time,
        splits: Arc::new(plan.splits.clone()),
        source: plan.report.source_name().to_string(),
        name_file: Arc::clone(&plan.name_file),
    };
    let (periods, opened) = (plan.periods.clone(), Arc::clone(&gate));
    let unread = Arc::new(MemoryConsumer::new("PeriodsExec").register(context.memory_pool()));
    let memory = Arc::clone(&unread);
    let driver = SpawnedTask::spawn(async move {
        let mut until = None;
        for period in periods {
            opened.wait_until_open().await;
            let read = reader.read_period(period, &mut until).await.and_then(|parts| {
                memory.try_grow(parts.iter().map(|part| part.bytes).sum())?;
                Ok(parts)
            });
            match read {
                Ok(parts) => {
                    opened
                        .update_waiting(|waiting| waiting.iter_mut().for_each(|count| *count += 1));
                    for (sender, part) in senders.iter().zip(parts) {
                        let _ = sender.send(Ok(part)); // Its receiver may have been dropped.
                    }
                }
                Err(error) => {
                    let error = Arc::new(error);
                    for sender in &senders {
                        let _ = sender.send(Err(DataFusionError::Shared(Arc::clone(&error))));
                    }
                    return;
                }
            }
        }
    });
    let driver = Arc::new(driver);
    let end = |receiver| {
        let (gate, unread) = (Arc::clone(&gate), Arc::clone(&unread));
        Some(ExchangeReceiver { receiver, gate, unread, _driver: Arc::clone(&driver) })
    };
    Ok(receivers.into_iter().map(end).collect())
}

/// The reader of periods, which distributes their rows.
struct PeriodReader {
    input: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    entity: usize,
    time: usize,
    splits: Arc<Vec<String>>,
    source: String,
    name_file: FileNamer,
}

impl PeriodReader {
    /// Returns the rows of one period by output partition. `until` is the last time of the periods before.
    async fn read_period(
        &self,
        period: Range<usize>,
        until: &mut Option<TimeBound>,
    ) -> Result<Vec<PeriodPart>> {
        let tasks = period.map(|number| {
            let stream = self.input.execute(number, Arc::clone(&self.context))?;
            let (entity, splits) = (self.entity, Arc::clone(&self.splits));
            Ok(SpawnedTask::spawn(async move {
                let dealt = stream.map(|batch| {
                    let batch = batch?;
                    let rows = rows_by_partition(&batch, entity, &splits);
                    Ok::<_, DataFusionError>((batch, rows))
                });
                dealt.try_collect::<Vec<_>>().await
            }))
        });
        let mut parts = vec![PeriodPart::default(); self.splits.len() + 1];
        let mut bytes = 0;
        let mut last = until.clone();
        for task in tasks.collect::<Result<Vec<_>>>()? {
            let batches =
                task.join().await.map_err(|e| DataFusionError::External(Box::new(e)))??;
            for (batch, rows) in batches {
                if batch.num_rows() > 0 {
                    self.check_period_order(&batch, until.as_ref(), &mut last)?;
                }
                bytes += batch.get_array_memory_size();
                for (part, rows) in parts.iter_mut().zip(rows) {
                    if !rows.is_empty() {
                        part.rows.push((batch.clone(), rows));
                    }
                }
            }
        }
        *until = last;
        let share = bytes / parts.len();
        parts.iter_mut().for_each(|part| part.bytes = share);
        Ok(parts)
    }

    /// Checks that the rows of a period are later than those of the periods before, as the files'
    /// statistics state.
    fn check_period_order(
        &self,
        batch: &RecordBatch,
        until: Option<&TimeBound>,
        last: &mut Option<TimeBound>,
    ) -> Result<()> {
        let times = batch.column(self.time);
        let ticks = cast(times, &DataType::Int64)?;
        let ticks = ticks.as_primitive::<Int64Type>().values();
        let Some((latest, greatest)) = ticks.iter().enumerate().max_by_key(|(_, t)| **t) else {
            return Ok(());
        };
        if last.as_ref().is_none_or(|last| *greatest > last.ticks) {
            let shown = ScalarValue::try_from_array(times, latest)?.to_string();
            *last = Some(TimeBound { ticks: *greatest, shown });
        }
        let Some(until) = until else { return Ok(()) };
        let Some(row) = ticks.iter().position(|time| *time <= until.ticks) else { return Ok(()) };
        let places = batch.column(batch.num_columns() - 1).as_primitive::<UInt64Type>();
        let time = ScalarValue::try_from_array(times, row)?;
        let (file, row) = file_and_row(places.value(row));
        let file = (self.name_file)(file);
        let error = Error::data(format!(
            "{}: row {row} of {file} is of {time}, behind rows up to {}: the statistics of its files say that they do not overlap",
            self.source, until.shown
        ))
        .hint("if a file changed after the source was opened, run again; else its statistics are wrong, and it has to be written anew")
        .with_bad_file(file);
        Err(DataFusionError::External(Box::new(error)))
    }
}

/// A time as a number, and as text for messages.
#[derive(Clone)]
struct TimeBound {
    ticks: i64,
    shown: String,
}

/// Returns the rows of a batch by output partition.
fn rows_by_partition(batch: &RecordBatch, entity: usize, splits: &[String]) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); splits.len() + 1];
    let entities = batch.column(entity).as_string_view();
    for (row, entity) in (0u32..).zip(entities.iter()) {
        let entity = entity.unwrap_or_default();
        rows[splits.partition_point(|split| split.as_str() <= entity)].push(row);
    }
    rows
}

/// The sorter of one output partition.
struct PeriodSorter {
    number: usize,
    end: ExchangeReceiver,
    keys: [usize; 2],
    rows: usize,
    memory: MemoryReservation,
    baseline: BaselineMetrics,
    /// The sorted rows of the period, and how many of them were emitted.
    sorted: Option<(RecordBatch, usize)>,
}

impl Drop for PeriodSorter {
    fn drop(&mut self) {
        let number = self.number;
        // The gate no longer waits for this partition.
        self.end.gate.update_waiting(|waiting| waiting[number] = NO_READER);
    }
}

impl PeriodSorter {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((sorted, out)) = &mut self.sorted {
                let rows = self.rows.min(sorted.num_rows() - *out);
                if rows > 0 {
                    let batch = sorted.slice(*out, rows);
                    *out += rows;
                    self.baseline.record_output(rows);
                    return Ok(Some(batch));
                }
                self.sorted = None;
                self.memory.free();
            }
            let Some(part) = self.end.receiver.recv().await else { return Ok(None) };
            let part = part?;
            let number = self.number;
            self.end.gate.update_waiting(|waiting| waiting[number] -= 1);
            let timer = self.baseline.elapsed_compute().timer();
            let sorted = sort_period(&part.rows, self.keys)?;
            timer.done();
            self.end.unread.shrink(part.bytes);
            drop(part);
            if let Some(sorted) = sorted {
                self.memory.try_resize(sorted.get_array_memory_size())?;
                self.sorted = Some((sorted, 0));
            }
        }
    }
}

/// Sorts the rows of a part by entity, time and sequence.
fn sort_period(
    part: &[(RecordBatch, Vec<u32>)],
    [entity, time]: [usize; 2],
) -> Result<Option<RecordBatch>> {
    let Some((first, _)) = part.first() else { return Ok(None) };
    let sequence = first.num_columns() - 1;
    // Rows come in the order of their time, so appending each to the rows of its entity sorts them.
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut rows: Vec<Vec<(usize, usize)>> = Vec::new();
    for (at, (batch, chosen)) in part.iter().enumerate() {
        let entities = batch.column(entity).as_string_view();
        for row in chosen {
            let row = *row as usize;
            let number = *numbers.entry(entities.value(row)).or_insert_with(|| {
                rows.push(Vec::new());
                rows.len() - 1
            });
            rows[number].push((at, row));
        }
    }
    let mut names: Vec<(&str, usize)> = numbers.into_iter().collect();
    names.sort_unstable();
    let order: Vec<(usize, usize)> =
        names.iter().flat_map(|(_, number)| std::mem::take(&mut rows[*number])).collect();
    let batches: Vec<&RecordBatch> = part.iter().map(|(batch, _)| batch).collect();
    let placed = interleave_record_batch(&batches, &order)?;
    if is_sorted_by_time(&placed, [entity, time, sequence])? {
        return Ok(Some(placed));
    }
    let column =
        |column: usize| SortColumn { values: Arc::clone(placed.column(column)), options: None };
    let indices: UInt32Array = lexsort_to_indices(&[entity, time, sequence].map(column), None)?;
    Ok(Some(take_record_batch(&placed, &indices)?))
}

/// Returns whether rows that are grouped by entity are sorted by time and sequence within each entity.
fn is_sorted_by_time(batch: &RecordBatch, [entity, time, sequence]: [usize; 3]) -> Result<bool> {
    use datafusion::arrow::compute::kernels::cmp::{eq, lt, neq};
    use datafusion::arrow::compute::{and, or};
    let rows = batch.num_rows();
    if rows < 2 {
        return Ok(true);
    }
    let pair = |column: usize| {
        let column = batch.column(column);
        (column.slice(0, rows - 1), column.slice(1, rows - 1))
    };
    let (entities, times, places) = (pair(entity), pair(time), pair(sequence));
    let later = and(&eq(&times.0, &times.1)?, &lt(&places.0, &places.1)?)?;
    let later = or(&lt(&times.0, &times.1)?, &later)?;
    let fine = or(&neq(&entities.0, &entities.1)?, &later)?;
    Ok(fine.true_count() == rows - 1)
}
