//! Takes back what DataFusion 55.2 believes of rows and what is no longer true above: a column that a filter fixed is
//! not constant where an outer join fills it with NULL, rows in order are not in that of grouping sets, and a sort
//! above OFFSET does not belong below it.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, SendableRecordBatchStream,
};

use super::RequireOrderExec;

/// Passes batches through, and less of what is known of them.
#[derive(Debug)]
pub(super) struct ForgetExec {
    input: Arc<dyn ExecutionPlan>,
    /// Whether the order of rows stays known.
    keeps_order: bool,
    /// Whether sorts stay above.
    blocks_sorts: bool,
    properties: Arc<PlanProperties>,
}

impl ForgetExec {
    fn new(input: Arc<dyn ExecutionPlan>, ordered: bool, closed: bool) -> Self {
        let known = input.equivalence_properties();
        let schema = input.schema();
        let known = match ordered {
            true => {
                EquivalenceProperties::new_with_orderings(schema, known.oeq_class().iter().cloned())
            }
            false => EquivalenceProperties::new(schema),
        };
        let properties = input.properties().as_ref().clone().with_eq_properties(known);
        Self { input, keeps_order: ordered, blocks_sorts: closed, properties: Arc::new(properties) }
    }
}

impl DisplayAs for ForgetExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ForgetExec: {}",
            if self.keeps_order { "constants" } else { "constants and order" }
        )
    }
}

impl ExecutionPlan for ForgetExec {
    fn name(&self) -> &'static str {
        "ForgetExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.keeps_order && !self.blocks_sorts]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        Ok(Arc::new(Self::new(children.swap_remove(0), self.keeps_order, self.blocks_sorts)))
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

/// Puts [`ForgetExec`] where it is needed, before any rule goes by what is known.
#[derive(Debug)]
pub(super) struct ForgetProperties;

impl PhysicalOptimizerRule for ForgetProperties {
    fn name(&self) -> &'static str {
        "forget_what_is_not_true_above"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let filled = null_filled_inputs(&node);
            let sets = has_grouping_sets(&node);
            let mut changed = false;
            let mut children = Vec::new();
            for (number, child) in node.children().into_iter().enumerate() {
                let known = child.equivalence_properties();
                let forgets = match sets {
                    true => !known.constants().is_empty() || !known.oeq_class().is_empty(),
                    false => filled.contains(&number) && !known.constants().is_empty(),
                };
                changed |= forgets;
                children.push(match forgets {
                    true => Arc::new(ForgetExec::new(Arc::clone(child), !sets, false)),
                    false => Arc::clone(child),
                });
            }
            if has_offset(&node) {
                let sorted = with_fixed_sort(&node)?;
                return Ok(Transformed::yes(Arc::new(ForgetExec::new(sorted, true, true))));
            }
            Ok(match changed {
                true => Transformed::yes(node.replace_children(
                    children,
                    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
                )?),
                false => Transformed::no(node),
            })
        })
        .data()
    }
}

/// Whether a node leaves out its first rows: the limit of a sort that is moved below it would count without them.
fn has_offset(node: &Arc<dyn ExecutionPlan>) -> bool {
    let node: &dyn std::any::Any = node.as_ref();
    node.downcast_ref::<GlobalLimitExec>().is_some_and(|limit| limit.skip() > 0)
}

/// The same with a sort that nothing takes away: without anybody above who asks for its order it would seem to be of
/// no use, though it says which rows are left out.
fn with_fixed_sort(node: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let any: &dyn std::any::Any = node.as_ref();
    if let Some(sort) = any.downcast_ref::<SortExec>() {
        let order = sort.expr().clone();
        return Ok(Arc::new(RequireOrderExec::new(Arc::clone(node), Vec::new(), order)));
    }
    match (node.children().as_slice(), node.maintains_input_order().as_slice()) {
        ([child], [true]) => {
            let children = vec![with_fixed_sort(child)?];
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(node).replace_children(children, options)
        }
        _ => Ok(Arc::clone(node)),
    }
}

fn has_grouping_sets(node: &Arc<dyn ExecutionPlan>) -> bool {
    let node: &dyn std::any::Any = node.as_ref();
    node.downcast_ref::<AggregateExec>().is_some_and(|of| !of.group_expr().is_single())
}

/// The inputs of a join whose columns it may fill with NULL.
fn null_filled_inputs(node: &Arc<dyn ExecutionPlan>) -> &'static [usize] {
    let node: &dyn std::any::Any = node.as_ref();
    let kind = None
        .or_else(|| node.downcast_ref::<HashJoinExec>().map(|join| join.join_type))
        .or_else(|| node.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type()))
        .or_else(|| node.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type()));
    match kind {
        Some(JoinType::Left) => &[1],
        Some(JoinType::Right) => &[0],
        Some(JoinType::Full) => &[0, 1],
        _ => &[],
    }
}
