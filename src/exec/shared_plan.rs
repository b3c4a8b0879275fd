//! A computation that several places of a plan read.
//!
//! The shared plan is planned on its own and hidden from the plan that reads it: rules that rewrite
//! each place separately cannot make two computations of it. [`super::shared_buffer`] keeps the
//! rows that readers still need.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::stream;

use super::shared_buffer::{SharedPartition, SharedReader};

/// A plan that is computed once, however many places read it.
pub struct SharedPlan {
    /// A number that tells it from other shared plans of the same statement.
    number: usize,
    plan: Arc<dyn ExecutionPlan>,
    readers: AtomicUsize,
    started: Mutex<HashMap<usize, StartedPartition>>,
    metrics: ExecutionPlanMetricsSet,
}

/// A partition that a reader has begun to read.
struct StartedPartition {
    /// None once every reader has begun: from then on its readers keep it alive.
    partition: Option<Arc<SharedPartition>>,
    begun: Vec<usize>,
}

impl SharedPlan {
    /// Shares a plan. It must be complete: no rule of the reading plan is applied to it.
    pub fn new(number: usize, plan: Arc<dyn ExecutionPlan>) -> Arc<Self> {
        Arc::new(Self {
            number,
            plan,
            readers: AtomicUsize::new(0),
            started: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Adds a reader. All readers must be added before the first is executed.
    pub fn add_reader(self: &Arc<Self>) -> SharedExec {
        let reader = self.readers.fetch_add(1, Ordering::Relaxed);
        SharedExec { shared: Arc::clone(self), reader, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Returns the rows of a partition for one reader, from the first row on.
    fn read_partition(
        &self,
        number: usize,
        reader: usize,
        context: &Arc<TaskContext>,
        baseline: BaselineMetrics,
    ) -> Result<SharedReader> {
        let readers = self.readers.load(Ordering::Relaxed);
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = started
            .entry(number)
            .or_insert(StartedPartition { partition: None, begun: Vec::new() });
        if entry.begun.contains(&reader) {
            return internal_err!("partition {number} of SharedExec is taken");
        }
        let partition = match (&entry.partition, entry.begun.is_empty()) {
            (Some(partition), _) => Arc::clone(partition),
            (None, true) => {
                let partition = SharedPartition::start_reading(
                    &self.plan,
                    number,
                    readers,
                    context,
                    &self.metrics,
                )?;
                entry.partition = Some(Arc::clone(&partition));
                partition
            }
            (None, false) => return internal_err!("SharedExec has a reader that nobody knew"),
        };
        entry.begun.push(reader);
        if entry.begun.len() == readers {
            entry.partition = None;
        }
        Ok(SharedReader::new(partition, reader, baseline))
    }

    fn has_run(&self) -> bool {
        !self.started.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// The operator that reads a shared plan at one place.
pub struct SharedExec {
    shared: Arc<SharedPlan>,
    reader: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    /// Returns the plan that is computed once; it is no child, see the module.
    pub fn computed_plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.shared.plan
    }

    /// Returns whether the shared plan is shown and its metrics are counted at this place.
    pub fn is_first(&self) -> bool {
        self.reader == 0
    }
}

/// Returns the plans that a plan reads: its children, or the plan that it shares.
pub(super) fn plan_inputs(plan: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    match plan.downcast_ref::<SharedExec>() {
        Some(reader) => vec![reader.computed_plan()],
        None => plan.children(),
    }
}

impl fmt::Debug for SharedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("SharedPlan");
        told.field("number", &self.number).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.shared.number;
        if matches!(format, DisplayFormatType::TreeRender) {
            return write!(f, "shared=#{number}");
        }
        if !self.is_first() {
            return write!(f, "SharedExec: #{number}");
        }
        let readers = self.shared.readers.load(Ordering::Relaxed);
        write!(f, "SharedExec: #{number}, read {readers} times, computed once:")?;
        let plan = self.computed_plan().as_ref();
        let plan = match self.shared.has_run() {
            true => DisplayableExecutionPlan::with_metrics(plan),
            false => DisplayableExecutionPlan::new(plan),
        };
        let verbose = matches!(format, DisplayFormatType::Verbose);
        for line in plan.indent(verbose).to_string().lines() {
            write!(f, "\n  #{number} | {line}")?;
        }
        // The last line is followed by the metrics of this reader.
        if self.shared.has_run() { write!(f, "\n  #{number} as it is read here") } else { Ok(()) }
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &'static str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.computed_plan().properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        number: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, number);
        let reader = self.shared.read_partition(number, self.reader, &context, baseline)?;
        let batches = stream::try_unfold(reader, |mut reader| async {
            Ok(reader.next().await?.map(|batch| (batch, reader)))
        });
        let batches = RecordBatchStreamAdapter::new(self.schema(), batches);
        // Buffered rows come without a wait: this lets other tasks run, and a cancellation take effect.
        Ok(make_cooperative(Box::pin(batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        if self.is_first() {
            for spilled in self.shared.metrics.clone_inner().iter() {
                metrics.push(Arc::clone(spilled));
            }
        }
        Some(metrics)
    }
}
