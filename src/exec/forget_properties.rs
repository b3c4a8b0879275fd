//! Hides properties of rows that DataFusion 55.2 still assumes where they no longer hold. A column
//! that a filter fixed is not constant where an outer join fills it with NULL. The order of rows is
//! not that of grouping sets. A sort above OFFSET does not belong below it.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, SendableRecordBatchStream,
};

use super::require_order::RequireOrderExec;

/// The operator that passes batches through and hides some of their properties from the nodes above.
#[derive(Debug)]
pub(super) struct ForgetExec {
    input: Arc<dyn ExecutionPlan>,
    /// True if the order of rows stays known.
    keeps_order: bool,
    /// True if sorts must stay above.
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

/// Hides properties of a node's inputs that are not true above the node: the step `forget_properties`.
pub(super) fn forget_properties(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let filled = null_filled_inputs(node);
    let sets = has_grouping_sets(node);
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
    if !changed {
        return Ok(None);
    }
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(node).replace_children(children, recompute).map(Some)
}

/// Keeps sorts above a node that skips its first rows, and keeps the sort below it: the step
/// `fix_offset_sort`.
pub(super) fn fix_offset_sort(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if !has_offset(node) {
        return Ok(None);
    }
    Ok(Some(Arc::new(ForgetExec::new(with_fixed_sort(node)?, true, true))))
}

/// Returns whether a node skips its first rows: the limit of a sort that is moved below it would
/// not count them.
fn has_offset(node: &Arc<dyn ExecutionPlan>) -> bool {
    let node: &dyn std::any::Any = node.as_ref();
    node.downcast_ref::<GlobalLimitExec>().is_some_and(|limit| limit.skip() > 0)
}

/// Returns the node with a sort that no rule removes. If no node above requires its order, the sort
/// seems to be of no use, though it determines which rows are skipped.
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

/// Returns the inputs of a join whose columns it may fill with NULL.
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
