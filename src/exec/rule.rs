//! Puts our window operator into plans.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::stream_window::{StreamWindowExec, indicator_of};

/// DataFusion's physical rules with ours directly before `EnsureRequirements`, so that order,
/// distribution, cooperation and sanity are still seen to after it.
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == "EnsureRequirements");
    rules.insert(at.unwrap_or(rules.len()), Arc::new(StreamWindows));
    rules
}

/// Replaces window operators by [`StreamWindowExec`] as far as they compute indicators; what it
/// cannot serve stays with DataFusion, in an operator of its own above.
#[derive(Debug)]
struct StreamWindows;

impl PhysicalOptimizerRule for StreamWindows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match replaced(&node)? {
                Some(streaming) => Transformed::yes(streaming),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "StreamWindows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn replaced(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(window) = node.downcast_ref::<WindowAggExec>() else { return Ok(None) };
    let all = window.window_expr();
    let ours = |expr: &&Arc<dyn WindowExpr>| indicator_of(expr).is_some();
    let indicators: Vec<_> = all.iter().filter(ours).cloned().collect();
    if indicators.is_empty() {
        return Ok(None);
    }
    let rest: Vec<_> = all.iter().filter(|expr| !ours(expr)).cloned().collect();
    let partitioned = !window.partition_keys().is_empty();
    let stock = WindowAggExec::try_new(indicators, Arc::clone(window.input()), partitioned)?;
    let stock: Arc<dyn ExecutionPlan> = Arc::new(stock);
    let Some(streaming) = StreamWindowExec::over(&stock) else { return Ok(None) };
    if rest.is_empty() {
        return Ok(Some(Arc::new(streaming)));
    }
    let above = stock_windows(rest, Arc::new(streaming), partitioned)?;
    in_order(node, all, above).map(Some)
}

/// Windows that stay with DataFusion, streaming if all of them can.
fn stock_windows(
    rest: Vec<Arc<dyn WindowExpr>>,
    input: Arc<dyn ExecutionPlan>,
    partitioned: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    if rest.iter().all(|expr| expr.uses_bounded_memory()) {
        let mode = InputOrderMode::Sorted;
        return Ok(Arc::new(BoundedWindowAggExec::try_new(rest, input, mode, partitioned)?));
    }
    Ok(Arc::new(WindowAggExec::try_new(rest, input, partitioned)?))
}

/// The columns in the order of the node that was split.
fn in_order(
    node: &Arc<dyn ExecutionPlan>,
    all: &[Arc<dyn WindowExpr>],
    split: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = node.schema();
    let inputs = schema.fields().len() - all.len();
    let served = all.iter().filter(|expr| indicator_of(expr).is_some()).count();
    let (mut ours, mut theirs) = (inputs, inputs + served);
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let from = match i.checked_sub(inputs) {
            None => i,
            Some(window) if indicator_of(&all[window]).is_some() => {
                ours += 1;
                ours - 1
            }
            Some(_) => {
                theirs += 1;
                theirs - 1
            }
        };
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), from));
        (column, field.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), split)?))
}
