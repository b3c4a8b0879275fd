//! Detects plans whose rows come period by period.

use std::sync::Arc;

use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::dedup::DedupExec;
use super::periods::PeriodsExec;
use super::window::StreamWindowExec;

/// Returns the columns of entity and time in a plan whose partitions hold period after period, each
/// sorted by them; None for other plans.
///
/// Such a plan declares no order: DataFusion knows only orders of all rows.
pub fn period_keys(plan: &Arc<dyn ExecutionPlan>) -> Option<(usize, usize)> {
    if let Some(periods) = plan.downcast_ref::<PeriodsExec>() {
        return periods.period_keys();
    }
    let [child] = plan.children()[..] else { return None };
    if plan.is::<DedupExec>() {
        return period_keys(child);
    }
    if let Some(window) = plan.downcast_ref::<StreamWindowExec>() {
        return period_keys(child).filter(|_| window.keeps_states());
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return match filter.projection() {
            None => period_keys(child),
            Some(_) => None,
        };
    }
    let projection = plan.downcast_ref::<ProjectionExec>()?;
    let (entity, time) = period_keys(child)?;
    let place = |from: usize| {
        projection.expr().iter().position(|output| {
            output.expr.downcast_ref::<Column>().is_some_and(|column| column.index() == from)
        })
    };
    Some((place(entity)?, place(time)?))
}
