//! Cleans the rows of a source: NaN becomes NULL, rows without a key are removed, and every row
//! gets its position in the source, so that duplicates have one order on every layout.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, UInt64Array,
};
use datafusion::arrow::compute::{and, filter_record_batch, is_not_null, nullif};
use datafusion::arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Schema, SchemaRef, UInt32Type,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, ScalarValue, SplitPoint};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, RangePartitioning,
};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, SendableRecordBatchStream,
};
use futures::{Stream, StreamExt};

use super::{CleaningStats, ascending_sort};
use crate::error::catch_panic;

/// The column that holds a row's position in its source: file ordinal, then row.
pub const SEQUENCE: &str = "__seq";

/// The bits of the sequence that count the rows of one file.
const ROW_BITS: u32 = 40;

/// Returns the ordinal of the file that a sequence stands for, and the row in it, counted from 1.
pub(super) fn file_and_row(sequence: u64) -> (u32, u64) {
    ((sequence >> ROW_BITS) as u32, (sequence & ((1 << ROW_BITS) - 1)) + 1)
}

/// A function that names the file with an ordinal.
pub type FileNamer = Arc<dyn Fn(u32) -> String + Send + Sync>;

/// A function that finds the file at fault for an error of one partition of the scan.
pub type ErrorLocator = Arc<dyn Fn(usize, DataFusionError) -> DataFusionError + Send + Sync>;

/// A function that returns the row of a file at which a partition begins to read it.
pub type FirstRowLookup = Arc<dyn Fn(usize, u32) -> u64 + Send + Sync>;

/// A function that checks, after the last row of a partition, that its files are still those that were listed.
pub type FileVerifier = Arc<dyn Fn(usize) -> Result<()> + Send + Sync>;

/// The functions by which a scan knows its files.
#[derive(Clone)]
pub struct ScannedFiles {
    /// Finds the file at fault.
    pub name_error: ErrorLocator,
    /// Finds the first row that a partition reads.
    pub first_row: FirstRowLookup,
    /// Checks the files at the end.
    pub verify: FileVerifier,
}

impl ScannedFiles {
    /// Returns the functions of a scan that reads no files.
    pub fn none() -> Self {
        Self {
            name_error: Arc::new(|_, error| error),
            first_row: Arc::new(|_, _| 0),
            verify: Arc::new(|_| Ok(())),
        }
    }
}

/// The operator that cleans the batches of a scan; see the module.
pub struct CleanExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Option<(usize, usize)>,
    splits: Option<Vec<String>>,
    about: String,
    report: Arc<CleaningStats>,
    files: ScannedFiles,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CleanExec {
    /// Cleans `input`, whose last column is the ordinal of the file (UInt32). With `keys`, the
    /// indices of entity and time, that column becomes the row's position in the source; without
    /// `keys` it is dropped. With `splits`, every partition is sorted by the keys and holds the
    /// entities from one split up to the next. `about` is the text on the source in EXPLAIN.
    ///
    /// # Errors
    /// The splits do not rise.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        keys: Option<(usize, usize)>,
        splits: Option<Vec<String>>,
        about: String,
        report: Arc<CleaningStats>,
        files: ScannedFiles,
    ) -> Result<Self> {
        let schema = output_schema(&input.schema(), keys);
        let mut equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        let mut partitioning = input.output_partitioning().clone();
        if let (Some((entity, time)), Some(splits)) = (keys, &splits) {
            let sequence = schema.fields().len() - 1;
            let order = [entity, time, sequence].map(|column| ascending_sort(&schema, column));
            equivalence.add_ordering(order);
            partitioning = range_partitioning(&schema, entity, splits)?;
        }
        let properties = PlanProperties::new(
            equivalence,
            partitioning,
            input.pipeline_behavior(),
            input.boundedness(),
        );
        let properties = Arc::new(properties);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, keys, splits, about, report, files, properties, metrics })
    }
}

/// Returns the partitioning by ranges of the entity: partition `i` begins at split `i - 1`.
pub(super) fn range_partitioning(
    schema: &SchemaRef,
    entity: usize,
    splits: &[String],
) -> Result<Partitioning> {
    let key = LexOrdering::from([ascending_sort(schema, entity)]);
    let point = |split: &String| SplitPoint::new(vec![ScalarValue::Utf8View(Some(split.clone()))]);
    let points = splits.iter().map(point).collect();
    Ok(Partitioning::Range(RangePartitioning::try_new(key, points)?))
}

fn output_schema(input: &SchemaRef, keys: Option<(usize, usize)>) -> SchemaRef {
    let mut fields: Vec<Field> = input.fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.pop();
    if let Some((entity, time)) = keys {
        for key in [entity, time] {
            fields[key] = fields[key].clone().with_nullable(false);
        }
        fields.push(Field::new(SEQUENCE, DataType::UInt64, false));
    }
    Arc::new(Schema::new(fields))
}

impl fmt::Debug for CleanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanExec").field("about", &self.about).finish_non_exhaustive()
    }
}

impl DisplayAs for CleanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CleanExec: {}", self.about)
    }
}

impl ExecutionPlan for CleanExec {
    fn name(&self) -> &'static str {
        "CleanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false] // The order is kept, but the sequence is new: a sort by it must not move below.
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false] // A file is read in one piece, so that its rows are numbered in order.
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
            self.keys,
            self.splits.clone(),
            self.about.clone(),
            Arc::clone(&self.report),
            self.files.clone(),
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
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let ScannedFiles { name_error, first_row, verify } = self.files.clone();
        let mut cleaner = Cleaner {
            first_row: Box::new(move |file| first_row(partition, file)),
            schema: self.schema(),
            keys: self.keys,
            report: Arc::clone(&self.report),
            file: None,
            rows: 0,
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let batches = without_panics(input).map(move |batch| match batch {
            Ok(batch) => {
                let _timer = baseline.elapsed_compute().timer();
                baseline.record_output(batch.num_rows());
                cleaner.clean_batch(&batch)
            }
            Err(error) => Err(name_error(partition, error)),
        });
        let checked = futures::stream::once(async move { verify(partition) });
        let batches = batches.chain(checked.filter_map(async |checked| checked.err().map(Err)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        self.report.cleaning_metrics().into_iter().for_each(|metric| metrics.push(metric));
        Some(metrics)
    }
}

/// Streams batches of files that other programs wrote: a panic of their reader becomes an error and
/// ends the stream.
fn without_panics(
    mut input: SendableRecordBatchStream,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let mut ended = false;
    futures::stream::poll_fn(move |context| {
        if ended {
            return Poll::Ready(None);
        }
        catch_panic(|| input.poll_next_unpin(context)).unwrap_or_else(|panic| {
            ended = true;
            Poll::Ready(Some(Err(DataFusionError::External(panic.into()))))
        })
    })
}

struct Cleaner {
    first_row: Box<dyn Fn(u32) -> u64 + Send>,
    schema: SchemaRef,
    keys: Option<(usize, usize)>,
    report: Arc<CleaningStats>,
    file: Option<u32>,
    rows: u64,
}

impl Cleaner {
    fn clean_batch(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let width = batch.num_columns() - 1;
        let mut columns: Vec<ArrayRef> =
            batch.columns()[..width].iter().map(|c| self.without_nan(c)).collect::<Result<_>>()?;
        let Some((entity, time)) = self.keys else {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let schema = Arc::clone(&self.schema);
            return Ok(RecordBatch::try_new_with_options(schema, columns, &options)?);
        };
        // Otherwise a sort that holds rows would keep the text of their whole pages in memory.
        if let Some(entities) = columns[entity].as_string_view_opt()
            && !entities.data_buffers().is_empty()
        {
            columns[entity] = Arc::new(entities.gc());
        }
        let ordinals = batch.column(width).as_primitive::<UInt32Type>();
        columns.push(Arc::new(self.number_rows(ordinals.values())));
        if columns[entity].null_count() + columns[time].null_count() == 0 {
            return Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        }
        let keep = and(&is_not_null(&columns[entity])?, &is_not_null(&columns[time])?)?;
        self.report.add_null_keys((keep.len() - keep.true_count()) as u64);
        let nullable: Vec<Field> =
            self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let loose = RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns)?;
        let kept = filter_record_batch(&loose, &keep)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), kept.columns().to_vec())?)
    }

    /// Returns each row's position in the source: the ordinal of its file, then its row in the file.
    fn number_rows(&mut self, ordinals: &[u32]) -> UInt64Array {
        let place = |&ordinal: &u32| {
            if self.file != Some(ordinal) {
                (self.file, self.rows) = (Some(ordinal), (self.first_row)(ordinal));
            }
            let place = (u64::from(ordinal) << ROW_BITS) | self.rows;
            self.rows += 1;
            place
        };
        ordinals.iter().map(place).collect::<Vec<_>>().into()
    }

    fn without_nan(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let nan = match column.data_type() {
            DataType::Float64 => nan_rows(column.as_primitive::<Float64Type>(), f64::is_nan),
            DataType::Float32 => nan_rows(column.as_primitive::<Float32Type>(), f32::is_nan),
            _ => None,
        };
        let Some(nan) = nan else { return Ok(Arc::clone(column)) };
        self.report.add_nan(nan.true_count() as u64);
        Ok(nullif(column, &nan)?)
    }
}

/// Returns the rows that hold NaN; None if there are none, which is found without a branch per row.
fn nan_rows<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    is_nan: fn(T::Native) -> bool,
) -> Option<BooleanArray> {
    if !values.values().iter().fold(false, |any, v| any | is_nan(*v)) {
        return None;
    }
    let rows = values.values().iter().enumerate();
    Some(rows.map(|(i, v)| Some(values.is_valid(i) && is_nan(*v))).collect())
}
