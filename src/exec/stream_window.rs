//! Indicators over sorted input, batch by batch: one state per indicator and group.
//!
//! DataFusion's window operator holds all rows of a partition and gives one batch at the end. Here
//! the rows of a batch go through the indicators at once: memory is one batch and the states of
//! one group.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, make_comparator};
use datafusion::arrow::compute::{SortOptions, partition};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan,
    InputDistributionRequirements, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;
use windrow_udfs::{Bound, Columns, Kernel, bound_evaluator};

/// The indicator that a window expression calls, if it calls one and looks forward in its order.
pub(super) fn indicator_of(expr: &Arc<dyn WindowExpr>) -> Option<Bound> {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>()?;
    let evaluator = standard.get_standard_func_expr().create_evaluator().ok()?;
    let bound = bound_evaluator(evaluator.as_ref())?;
    bound.kernel().is_ok().then(|| bound.clone())
}

/// In place of a [`WindowAggExec`] whose expressions are all indicators.
pub struct StreamWindowExec {
    /// The operator that this one stands for: its requirements and its properties.
    stock: Arc<dyn ExecutionPlan>,
    indicators: Vec<Bound>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl StreamWindowExec {
    /// None if an expression of the operator is no indicator.
    pub(super) fn over(stock: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let window = stock.downcast_ref::<WindowAggExec>()?;
        let indicators =
            window.window_expr().iter().map(indicator_of).collect::<Option<Vec<_>>>()?;
        let properties =
            PlanProperties::clone(stock.properties()).with_emission_type(EmissionType::Incremental);
        Some(Self {
            stock: Arc::clone(stock),
            indicators,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn windows(&self) -> &[Arc<dyn WindowExpr>] {
        // `over` saw to it that the operator is one.
        self.stock.downcast_ref::<WindowAggExec>().map_or(&[], WindowAggExec::window_expr)
    }
}

impl fmt::Debug for StreamWindowExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWindowExec").field("stock", &self.stock).finish_non_exhaustive()
    }
}

impl DisplayAs for StreamWindowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |parts: Vec<String>| parts.join(", ");
        let Some(first) = self.windows().first() else { return write!(f, "StreamWindowExec") };
        let by = join(first.partition_by().iter().map(ToString::to_string).collect());
        let order = join(first.order_by().iter().map(ToString::to_string).collect());
        let calls = self.windows().iter().zip(&self.indicators).map(|(window, bound)| {
            let inputs = window.expressions().into_iter().map(|e| e.to_string());
            let params = bound.params.iter().map(f64::to_string);
            format!("{}({})", bound.entry.spec.name, join(inputs.chain(params).collect()))
        });
        let calls = join(calls.collect());
        write!(f, "StreamWindowExec: partition_by=[{by}], order_by=[{order}], windows=[{calls}]")
    }
}

impl ExecutionPlan for StreamWindowExec {
    fn name(&self) -> &'static str {
        "StreamWindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.stock.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.stock.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.stock.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.stock.maintains_input_order()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.stock.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let stock = Arc::clone(&self.stock).replace_children(children, options)?;
        Ok(match Self::over(&stock) {
            Some(streaming) => Arc::new(streaming),
            None => stock,
        })
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
        let [input] = self.children()[..] else {
            return datafusion::common::internal_err!("a window has one input");
        };
        let input = input.execute(number, context)?;
        let baseline = BaselineMetrics::new(&self.metrics, number);
        let mut windows = Windows {
            schema: self.schema(),
            windows: self.windows().to_vec(),
            indicators: self.indicators.clone(),
            groups: MetricBuilder::new(&self.metrics).counter("groups", number),
            last: None,
            states: Vec::new(),
        };
        let batches = input.map(move |batch| {
            let batch = batch?;
            let timer = baseline.elapsed_compute().timer();
            let out = windows.next(&batch);
            timer.done();
            if let Ok(out) = &out {
                baseline.record_output(out.num_rows());
            }
            out
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The states of the group that the last row belonged to.
struct Windows {
    schema: SchemaRef,
    windows: Vec<Arc<dyn WindowExpr>>,
    indicators: Vec<Bound>,
    groups: Count,
    last: Option<Vec<ArrayRef>>,
    states: Vec<Box<dyn Kernel>>,
}

impl Windows {
    fn next(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let keys = match self.windows.first() {
            Some(window) => window.partition_by(),
            None => &[],
        };
        let keys = keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let ranges: Vec<Range<usize>> = match keys.as_slice() {
            [] => std::iter::once(0..rows).collect(),
            keys => partition(keys)?.ranges(),
        };
        let inputs = self
            .windows
            .iter()
            .map(|window| window.evaluate_args(batch))
            .collect::<Result<Vec<_>>>()?;
        let mut outputs: Vec<Columns> =
            self.indicators.iter().map(|b| Columns::new(&b.entry.spec, rows)).collect();
        for (i, range) in ranges.into_iter().enumerate() {
            if i > 0 || !self.goes_on(&keys)? {
                self.states =
                    self.indicators.iter().map(Bound::kernel).collect::<Result<Vec<_>>>()?;
                self.groups.add(1);
            }
            for ((state, inputs), output) in self.states.iter_mut().zip(&inputs).zip(&mut outputs) {
                state.append(inputs, range.clone(), output)?;
            }
        }
        self.last = Some(keys.iter().map(|key| key.slice(rows - 1, 1)).collect());
        let mut columns = batch.columns().to_vec();
        columns.extend(outputs.into_iter().map(Columns::finish));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Whether the first row belongs to the group of the row before it.
    fn goes_on(&self, keys: &[ArrayRef]) -> Result<bool> {
        let Some(last) = &self.last else { return Ok(false) };
        for (last, key) in last.iter().zip(keys) {
            if !make_comparator(last, key, SortOptions::default())?(0, 0).is_eq() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
