//! The operator that replaces DataFusion's window operators in plans.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan,
    InputDistributionRequirements, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::function::streamed_function;
use super::groups::{WindowCall, WindowGroups};
use super::state::Emission;

/// The replacement of a [`WindowAggExec`] all of whose expressions are computed here.
pub struct StreamWindowExec {
    /// The operator that this one replaces, which defines its requirements and properties.
    stock: Arc<dyn ExecutionPlan>,
    /// The calls that are computed, each once.
    calls: Vec<WindowCall>,
    /// The index in `calls` that computes each window expression.
    outputs: Vec<usize>,
    /// True if groups come again, period by period, and their states are kept for that.
    keep_states: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl StreamWindowExec {
    /// Creates the operator for window expressions over one order; None if [`streamed_function`] is
    /// None for one of them. `period_keys` are entity and time of rows that come period by period.
    ///
    /// # Errors
    /// DataFusion refuses expressions that do not fit the input.
    pub(in crate::exec) fn from_window_exprs(
        exprs: Vec<Arc<dyn WindowExpr>>,
        input: Arc<dyn ExecutionPlan>,
        period_keys: Option<(usize, usize)>,
    ) -> Result<Option<Self>> {
        let schema = input.schema();
        let partitioned = exprs.first().is_some_and(|expr| !expr.partition_by().is_empty());
        let (mut calls, mut outputs) = (Vec::<WindowCall>::new(), Vec::new());
        for expr in &exprs {
            let Some(function) = streamed_function(expr, &schema) else { return Ok(None) };
            let known = calls.iter().position(|call| has_same_results(&call.expr, expr));
            outputs.push(known.unwrap_or(calls.len()));
            if known.is_none() {
                calls.push(WindowCall { expr: Arc::clone(expr), function });
            }
        }
        let keep =
            period_keys.is_some_and(|keys| calls.iter().all(|call| can_span_periods(call, keys)));
        let stock = WindowAggExec::try_new(exprs, input, partitioned)?;
        Ok(Some(Self::new(Arc::new(stock), calls, outputs, keep)))
    }

    fn new(
        stock: Arc<dyn ExecutionPlan>,
        calls: Vec<WindowCall>,
        outputs: Vec<usize>,
        keep: bool,
    ) -> Self {
        let properties =
            PlanProperties::clone(stock.properties()).with_emission_type(EmissionType::Incremental);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { stock, calls, outputs, keep_states: keep, properties: Arc::new(properties), metrics }
    }

    /// Returns whether groups may come again, period by period.
    pub(in crate::exec) fn keeps_states(&self) -> bool {
        self.keep_states
    }

    /// Returns the number of functions that are computed: equal expressions count once.
    pub fn computation_count(&self) -> usize {
        self.calls.len()
    }
}

/// Returns whether a call can continue its group in a later period: the groups are the entities, in
/// the order of their time, and no result waits for later rows.
fn can_span_periods(call: &WindowCall, (entity, time): (usize, usize)) -> bool {
    let is = |expr: &Arc<dyn PhysicalExpr>, column: usize| {
        expr.downcast_ref::<Column>().is_some_and(|known| known.index() == column)
    };
    let by = call.expr.partition_by();
    let order = call.expr.order_by();
    call.function.emission == Emission::Immediate
        && matches!(by, [key] if is(key, entity))
        && matches!(order, [key] if is(&key.expr, time) && !key.options.descending)
}

/// Returns whether two expressions over one window have the same results.
fn has_same_results(a: &Arc<dyn WindowExpr>, b: &Arc<dyn WindowExpr>) -> bool {
    use datafusion::physical_expr::window::StandardWindowExpr;
    let bound = |expr: &Arc<dyn WindowExpr>| {
        let standard = expr.as_any().downcast_ref::<StandardWindowExpr>()?;
        let evaluator = standard.get_standard_func_expr().create_evaluator().ok()?;
        windrow_udfs::evaluator_call(evaluator.as_ref()).cloned()
    };
    let (of_a, of_b) = (bound(a), bound(b));
    of_a.is_some() && of_a == of_b && a.expressions() == b.expressions()
}

impl fmt::Debug for StreamWindowExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWindowExec").field("stock", &self.stock).finish_non_exhaustive()
    }
}

impl DisplayAs for StreamWindowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.calls.first() else { return write!(f, "StreamWindowExec") };
        let join = |parts: Vec<String>| parts.join(", ");
        let by = join(first.expr.partition_by().iter().map(ToString::to_string).collect());
        let order = join(first.expr.order_by().iter().map(ToString::to_string).collect());
        let calls = join(self.calls.iter().map(|call| call.function.label.clone()).collect());
        write!(f, "StreamWindowExec: partition_by=[{by}], order_by=[{order}], windows=[{calls}]")?;
        if self.keep_states { write!(f, ", by period") } else { Ok(()) }
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
        if self.keep_states {
            return vec![None];
        }
        self.stock.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false] // It does, but a sort for a node above must not move below.
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
        Ok(Arc::new(Self::new(stock, self.calls.clone(), self.outputs.clone(), self.keep_states)))
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
        let input = input.execute(number, Arc::clone(&context))?;
        let baseline = BaselineMetrics::new(&self.metrics, number);
        let memory = MemoryConsumer::new(format!("StreamWindowExec[{number}]"));
        let groups = WindowGroups::new(
            self.schema(),
            self.calls.clone(),
            self.outputs.clone(),
            self.keep_states,
            memory.register(context.memory_pool()),
            (
                MetricBuilder::new(&self.metrics).counter("groups", number),
                MetricBuilder::new(&self.metrics).gauge("peak_mem_used", number),
            ),
        )?;
        let work = WindowStream {
            input: input.fuse(),
            groups: Some(groups),
            ready: VecDeque::new(),
            baseline,
        };
        let batches = stream::try_unfold(work, |mut work| async {
            Ok(work.next().await?.map(|batch| (batch, work)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The execution of one partition.
struct WindowStream {
    input: stream::Fuse<SendableRecordBatchStream>,
    groups: Option<WindowGroups>,
    ready: VecDeque<datafusion::arrow::array::RecordBatch>,
    baseline: BaselineMetrics,
}

impl WindowStream {
    async fn next(&mut self) -> Result<Option<datafusion::arrow::array::RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.baseline.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            let Some(groups) = &mut self.groups else { return Ok(None) };
            let next = self.input.try_next().await?;
            let _timer = self.baseline.elapsed_compute().timer();
            match next {
                Some(batch) => self.ready.extend(groups.push_batch(batch)?),
                None => {
                    self.ready.extend(groups.finish()?);
                    self.groups = None;
                }
            }
        }
    }
}
