//! Keeps one row per key: one of the rows of a source with the same (entity, time).

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, make_comparator,
};
use datafusion::arrow::compute::kernels::cmp::{lt, not_distinct};
use datafusion::arrow::compute::{SortOptions, and, filter_record_batch};
use datafusion::arrow::datatypes::{Schema, SchemaRef, UInt64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
};
use datafusion::physical_plan::execution_plan::{EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    ExecutionPlanProperties, InputDistributionRequirements, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::ascending_sort;
use super::clean::{FileNamer, file_and_row};
use super::cleaning_stats::CleaningStats;
use crate::config::Duplicates;
use crate::error::Error;

/// A function that finds entity and time of a plan whose rows come period by period:
/// [`super::period_keys`].
pub type PeriodFinder = fn(&Arc<dyn ExecutionPlan>) -> Option<(usize, usize)>;

/// The operator that keeps one row per (entity, time). Its input is sorted by entity, time and
/// sequence, as a whole or period by period; its output lacks the sequence, the last column of the
/// input.
pub struct DedupExec {
    input: Arc<dyn ExecutionPlan>,
    entity: usize,
    time: usize,
    policy: Duplicates,
    /// True if entities come again, period by period.
    repeats: bool,
    report: Arc<CleaningStats>,
    name_file: FileNamer,
    find_periods: PeriodFinder,
    properties: Arc<PlanProperties>,
}

impl DedupExec {
    /// Creates the operator; `entity` and `time` are column indices of `input`.
    ///
    /// # Errors
    /// Never for indices within the schema.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        entity: usize,
        time: usize,
        policy: Duplicates,
        report: Arc<CleaningStats>,
        name_file: FileNamer,
        find_periods: PeriodFinder,
    ) -> Result<Self> {
        let mut fields = input.schema().fields().to_vec();
        fields.pop();
        let schema = Arc::new(Schema::new(fields));
        let order = [ascending_sort(&schema, entity), ascending_sort(&schema, time)];
        let repeats = find_periods(&input).is_some();
        let mut equivalence = EquivalenceProperties::new(schema);
        if !repeats {
            equivalence.add_ordering(order);
        }
        let properties = PlanProperties::new(
            equivalence,
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            input.boundedness(),
        );
        let properties = Arc::new(properties);
        Ok(Self {
            input,
            entity,
            time,
            policy,
            repeats,
            report,
            name_file,
            find_periods,
            properties,
        })
    }

    /// Returns the names of the columns that identify a row.
    pub(super) fn key_names(&self) -> [String; 2] {
        let schema = self.schema();
        [self.entity, self.time].map(|key| schema.field(key).name().clone())
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let (report, name_file) = (Arc::clone(&self.report), Arc::clone(&self.name_file));
        let (entity, time) = (self.entity, self.time);
        let (policy, find_periods) = (self.policy, self.find_periods);
        let dedup = Self::try_new(input, entity, time, policy, report, name_file, find_periods)?;
        Ok(Arc::new(dedup))
    }
}

impl fmt::Debug for DedupExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedupExec")
            .field("source", &self.report.source_name())
            .finish_non_exhaustive()
    }
}

impl DisplayAs for DedupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let (entity, time) = (schema.field(self.entity).name(), schema.field(self.time).name());
        let keep = match self.policy {
            Duplicates::Error => "error",
            Duplicates::First => "first",
            Duplicates::Last => "last",
            Duplicates::All => "all",
        };
        write!(f, "DedupExec: key=[{entity}, {time}], keep={keep}")
    }
}

impl ExecutionPlan for DedupExec {
    fn name(&self) -> &'static str {
        "DedupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let entity = ascending_sort(&self.input.schema(), self.entity).expr;
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(vec![entity])])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        if self.repeats {
            return vec![None];
        }
        let schema = self.input.schema();
        let sequence = schema.fields().len() - 1;
        let keys = [self.entity, self.time, sequence].map(|column| ascending_sort(&schema, column));
        vec![LexOrdering::new(keys).map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false] // The operator has its own order; a sort by another one must stay above.
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
        self.with_input(children.swap_remove(0))
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
        let dedup = Dedup {
            schema: self.schema(),
            keys: [self.entity, self.time],
            policy: self.policy,
            repeats: self.repeats,
            report: Arc::clone(&self.report),
            name_file: Arc::clone(&self.name_file),
            held: None,
        };
        let batches = stream::try_unfold((input.fuse(), dedup), |(mut input, mut dedup)| async {
            while let Some(batch) = input.try_next().await? {
                if batch.num_rows() > 0
                    && let Some(out) = dedup.push_batch(batch)?
                {
                    return Ok(Some((out, (input, dedup))));
                }
            }
            match dedup.held.take() {
                Some(last) => Ok(Some((dedup.drop_sequence(&last)?, (input, dedup)))),
                None => Ok(None),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = MetricsSet::new();
        self.report.dedup_metrics().into_iter().for_each(|metric| metrics.push(metric));
        Some(metrics)
    }
}

/// The state of one partition. It holds one batch back: only the next batch shows whether its last
/// row stays.
struct Dedup {
    schema: SchemaRef,
    keys: [usize; 2],
    policy: Duplicates,
    repeats: bool,
    report: Arc<CleaningStats>,
    name_file: FileNamer,
    held: Option<RecordBatch>,
}

impl Dedup {
    fn push_batch(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        let batch = self.dedup_batch(batch)?;
        let Some(held) = self.held.take() else {
            self.held = Some(batch);
            return Ok(None);
        };
        let last = held.num_rows() - 1;
        self.check_row_order(&held, last, &batch, 0)?;
        if !self.same_key(&held, last, &batch, 0)? {
            self.held = Some(batch);
            return self.drop_sequence(&held).map(Some);
        }
        self.report_duplicate(&held, last, &batch, 0)?;
        // The key spans two batches: one of its two rows is dropped.
        let out = if self.policy == Duplicates::First {
            let rest = batch.slice(1, batch.num_rows() - 1);
            if rest.num_rows() == 0 {
                self.held = Some(held);
                return Ok(None);
            }
            self.held = Some(rest);
            held
        } else {
            self.held = Some(batch);
            held.slice(0, last)
        };
        if out.num_rows() == 0 { Ok(None) } else { self.drop_sequence(&out).map(Some) }
    }

    /// Returns one row per key of a batch.
    fn dedup_batch(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let same = |column: usize| {
            let column = batch.column(column);
            not_distinct(&column.slice(0, rows - 1), &column.slice(1, rows - 1))
        };
        let entities = same(self.keys[0])?;
        let times = batch.column(self.keys[1]);
        let falls = lt(&times.slice(1, rows - 1), &times.slice(0, rows - 1))?;
        let turns = entities.values().clone();
        let suspect = &(!&turns) | falls.values();
        for row in suspect.set_indices() {
            self.check_row_order(&batch, row, &batch, row + 1)?;
        }
        let twin = and(&entities, &same(self.keys[1])?)?;
        if twin.true_count() == 0 {
            return Ok(batch);
        }
        for row in twin.values().set_indices() {
            self.report_duplicate(&batch, row, &batch, row + 1)?;
        }
        let keep: BooleanArray = (0..rows)
            .map(|row| match self.policy {
                Duplicates::First => row == 0 || !twin.value(row - 1),
                _ => row == rows - 1 || !twin.value(row),
            })
            .collect::<Vec<_>>()
            .into();
        Ok(filter_record_batch(&batch, &keep)?)
    }

    fn same_key(&self, a: &RecordBatch, i: usize, b: &RecordBatch, j: usize) -> Result<bool> {
        self.keys
            .iter()
            .try_fold(true, |same, &k| Ok(same && values_equal(a.column(k), i, b.column(k), j)?))
    }

    /// Checks that the second of two rows does not precede the first. Files that are read in their
    /// order were found to be sorted when they were opened.
    fn check_row_order(&self, a: &RecordBatch, i: usize, b: &RecordBatch, j: usize) -> Result<()> {
        let [entity, time] = self.keys;
        let order = |key: usize| {
            Ok::<_, DataFusionError>(make_comparator(
                a.column(key),
                b.column(key),
                SortOptions::default(),
            )?(i, j))
        };
        if self.repeats || order(entity)?.then(order(time)?).is_le() {
            return Ok(());
        }
        let key = |batch: &RecordBatch, row: usize| {
            [entity, time].map(|key| format_key_value(batch.column(key), row)).join(" ")
        };
        let sequence = b.column(b.num_columns() - 1).as_primitive::<UInt64Type>().value(j);
        let (file, row) = file_and_row(sequence);
        let file = (self.name_file)(file);
        let error = Error::data(format!(
            "{}: row {row} of {file}, {}, stands behind {}, though the file was in order when it was opened",
            self.report.source_name(),
            key(b, j),
            key(a, i),
        ))
        .hint("the file changed while it was read: run again when nobody writes it")
        .with_bad_file(file);
        Err(DataFusionError::External(Box::new(error)))
    }

    /// Counts two rows with one key: as a duplicate if all columns agree, else as a conflict.
    fn report_duplicate(&self, a: &RecordBatch, i: usize, b: &RecordBatch, j: usize) -> Result<()> {
        let width = a.num_columns() - 1;
        let mut same = true;
        for column in 0..width {
            same = same && values_equal(a.column(column), i, b.column(column), j)?;
        }
        if same {
            self.report.add_duplicate();
            return Ok(());
        }
        let [entity, time] = self.keys.map(|key| format_key_value(a.column(key), i));
        if self.policy == Duplicates::Error {
            let source = self.report.source_name();
            let error = Error::data(format!("{source}: two rows of {entity} at {time} differ"))
                .hint("correct the data, or choose with `duplicates: first` or `last`")
                .with_bad_symbol(entity);
            return Err(DataFusionError::External(Box::new(error)));
        }
        self.report.add_conflict(|| format!("{entity} {time}"));
        Ok(())
    }

    fn drop_sequence(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = batch.columns()[..batch.num_columns() - 1].to_vec();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn values_equal(a: &ArrayRef, i: usize, b: &ArrayRef, j: usize) -> Result<bool> {
    Ok(make_comparator(a, b, SortOptions::default())?(i, j).is_eq())
}

fn format_key_value(column: &ArrayRef, row: usize) -> String {
    ArrayFormatter::try_new(column, &FormatOptions::default())
        .map(|f| f.value(row).to_string())
        .unwrap_or_default()
}
