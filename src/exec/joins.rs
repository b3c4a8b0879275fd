//! Joins of inputs that are sorted by their keys: merged, with a few rows in memory, where
//! DataFusion would hold one side as a whole.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

type Keys = Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>;

/// A merge join in place of a hash join whose inputs have the order for it.
pub(super) fn merged(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    if join.contains_projection() || join.null_aware {
        return Ok(None);
    }
    let Some((keys, order)) = keys_in_order(join) else { return Ok(None) };
    let right = order
        .iter()
        .zip(&keys)
        .map(|(sort, (_, right))| PhysicalSortExpr::new(Arc::clone(right), sort.options));
    let Some(right) = LexOrdering::new(right) else { return Ok(None) };
    if !join.right().equivalence_properties().ordering_satisfy(right)? {
        return Ok(None);
    }
    let merged = SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        keys,
        join.filter().cloned(),
        *join.join_type(),
        order.iter().map(|sort| sort.options).collect(),
        join.null_equality(),
    )?;
    Ok(Some(Arc::new(merged)))
}

/// The keys of a join in the order of its left input, if that is sorted by them.
fn keys_in_order(join: &HashJoinExec) -> Option<(Keys, Vec<PhysicalSortExpr>)> {
    let order = join.left().output_ordering()?;
    let on = join.on();
    let (mut keys, mut sorts) = (Keys::new(), Vec::new());
    for sort in order.iter().take(on.len()) {
        keys.push(on.iter().find(|(left, _)| left.eq(&sort.expr))?.clone());
        sorts.push(sort.clone());
    }
    (keys.len() == on.len()).then_some((keys, sorts))
}
