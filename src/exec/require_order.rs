//! States what a target requires of a plan: rows in order, and each entity in one partition.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{LexOrdering, OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    InputDistributionRequirements, PlanProperties, SendableRecordBatchStream,
};

use super::ascending_sort;

/// The operator that passes batches through and exists for its requirements.
#[derive(Debug)]
pub struct RequireOrderExec {
    input: Arc<dyn ExecutionPlan>,
    /// Rows equal in these keys are in one partition; without keys there is one partition.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    order: LexOrdering,
}

/// Returns a plan whose partitions are sorted by the columns `order` and hold the rows of an
/// `entity` together; without an entity there is one partition. Properties that the plan already
/// has cost nothing.
///
/// # Errors
/// DataFusion's optimizer fails.
pub fn ensure_order(
    input: Arc<dyn ExecutionPlan>,
    entity: Option<usize>,
    order: &[usize],
    options: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let keys = entity.map(|entity| ascending_sort(&schema, entity).expr).into_iter().collect();
    let order = LexOrdering::new(order.iter().map(|column| ascending_sort(&schema, *column)));
    let Some(order) = order else { return Ok(input) };
    EnsureRequirements::new().optimize(Arc::new(RequireOrderExec::new(input, keys, order)), options)
}

impl RequireOrderExec {
    /// Creates the operator; see the type.
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        order: LexOrdering,
    ) -> Self {
        Self { input, keys, order }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(input, self.keys.clone(), self.order.clone()))
    }
}

impl DisplayAs for RequireOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequireOrderExec: by=[{}]", self.order)
    }
}

impl ExecutionPlan for RequireOrderExec {
    fn name(&self) -> &'static str {
        "RequireOrderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let distribution = match self.keys.as_slice() {
            [] => Distribution::SinglePartition,
            keys => Distribution::KeyPartitioned(keys.to_vec()),
        };
        InputDistributionRequirements::new(vec![distribution])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        Ok(self.with_input(children.swap_remove(0)))
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
        self.input.execute(partition, context)
    }
}
