//! Steps on window operators: one order of their rows, and [`StreamWindowExec`] in place of DataFusion's operators.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, InputOrderMode};

use super::ascending_sort;
use super::dedup::DedupExec;
use super::period_keys::period_keys;
use super::require_order::RequireOrderExec;
use super::shared_plan::plan_inputs;
use super::window::{StreamWindowExec, streamed_function};

/// Gives the rows of a window node a unique order. Otherwise rows of equal order, such as all rows
/// of one moment, would come in an order that depends on threads, and sums and positions with it.
/// The keys of the sources below settle the order.
pub(super) fn settle_window_order(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((windows, input)) = window_node(node) else { return Ok(None) };
    let Some(first) = windows.first() else { return Ok(None) };
    let schema = input.schema();
    let options = SortOptions { descending: false, nulls_first: false };
    let by = first.partition_by().iter().map(|key| PhysicalSortExpr::new(Arc::clone(key), options));
    let mut order: Vec<PhysicalSortExpr> = by.chain(first.order_by().iter().cloned()).collect();
    let before = order.len();
    let mut names = BTreeSet::new();
    collect_source_keys(&input, &mut names);
    for (column, field) in schema.fields().iter().enumerate() {
        let key = ascending_sort(&schema, column);
        let known = order.iter().any(|sort| sort.expr.eq(&key.expr));
        if names.contains(field.name()) && !known {
            order.push(key);
        }
    }
    if order.len() == before {
        return Ok(None);
    }
    let Some(order) = LexOrdering::new(order) else { return Ok(None) };
    let settled = RequireOrderExec::new(input, first.partition_by().to_vec(), order);
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(node).replace_children(vec![Arc::new(settled)], recompute).map(Some)
}

/// Collects the names of the key columns of the sources that a plan reads.
fn collect_source_keys(plan: &Arc<dyn ExecutionPlan>, names: &mut BTreeSet<String>) {
    if let Some(source) = plan.downcast_ref::<DedupExec>() {
        names.extend(source.key_names());
    }
    for child in plan_inputs(plan) {
        collect_source_keys(child, names);
    }
}

/// Replaces the windows of a node by one [`StreamWindowExec`]; windows that it does not compute
/// stay with DataFusion, above it.
pub(super) fn to_stream_window(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((all, input)) = window_node(node) else { return Ok(None) };
    let schema = input.schema();
    let (ours, rest): (Vec<_>, Vec<_>) =
        all.iter().cloned().partition(|expr| streamed_function(expr, &schema).is_some());
    if ours.is_empty() {
        return Ok(None);
    }
    let keys = period_keys(&input);
    let Some(streaming) = StreamWindowExec::from_window_exprs(ours, input, keys)? else {
        return Ok(None);
    };
    if rest.is_empty() {
        return Ok(Some(Arc::new(streaming)));
    }
    let above = stock_windows(rest, Arc::new(streaming))?;
    restore_column_order(node, &all, above, &schema).map(Some)
}

type WindowExprs = Vec<Arc<dyn WindowExpr>>;

/// Returns the expressions and the input of one of DataFusion's window operators.
fn window_node(node: &Arc<dyn ExecutionPlan>) -> Option<(WindowExprs, Arc<dyn ExecutionPlan>)> {
    if let Some(window) = node.downcast_ref::<WindowAggExec>() {
        return Some((window.window_expr().to_vec(), Arc::clone(window.input())));
    }
    let window = node.downcast_ref::<BoundedWindowAggExec>()?;
    Some((window.window_expr().to_vec(), Arc::clone(window.input())))
}

/// Creates the operator for windows that stay with DataFusion, streaming if all of them can.
fn stock_windows(
    rest: Vec<Arc<dyn WindowExpr>>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitioned = rest.first().is_some_and(|expr| !expr.partition_by().is_empty());
    if rest.iter().all(|expr| expr.uses_bounded_memory()) {
        let mode = InputOrderMode::Sorted;
        return Ok(Arc::new(BoundedWindowAggExec::try_new(rest, input, mode, partitioned)?));
    }
    Ok(Arc::new(WindowAggExec::try_new(rest, input, partitioned)?))
}

/// Restores the columns to the order of the node that was split.
fn restore_column_order(
    node: &Arc<dyn ExecutionPlan>,
    all: &[Arc<dyn WindowExpr>],
    split: Arc<dyn ExecutionPlan>,
    input: &SchemaRef,
) -> Result<Arc<dyn ExecutionPlan>> {
    let inputs = input.fields().len();
    let ours: Vec<bool> = all.iter().map(|expr| streamed_function(expr, input).is_some()).collect();
    let (mut mine, mut theirs) = (inputs, inputs + ours.iter().filter(|ours| **ours).count());
    let schema = node.schema();
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let from = match i.checked_sub(inputs) {
            None => i,
            Some(window) => {
                let next = if ours[window] { &mut mine } else { &mut theirs };
                *next += 1;
                *next - 1
            }
        };
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), from));
        (column, field.name().clone())
    });
    let columns: Vec<_> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, split)?))
}
