//! Aggregates over frames that move, recomputed for each row: those that cannot retract a row, and
//! those of floats, whose sums would keep rounding errors of rows that have left the frame.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::SortOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::window_state::WindowFrameContext;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::window::{SlidingAggregateWindowExpr, WindowExpr};

/// Returns the aggregate of an expression whose frames move, if it must be recomputed for each row.
pub(super) fn recomputed_aggregate(expr: &Arc<dyn WindowExpr>) -> Option<&AggregateFunctionExpr> {
    let sliding = expr.as_any().downcast_ref::<SlidingAggregateWindowExpr>()?;
    let aggregate = sliding.get_aggregate_expr();
    // `bit_xor` retracts bits, but its state cannot tell no rows from a result of 0.
    let retracts =
        aggregate.create_sliding_accumulator().is_ok() && aggregate.fun().name() != "bit_xor";
    // Extremes and quantiles keep the values themselves, so that no rounding errors remain.
    let rounds = aggregate.field().data_type().is_floating()
        && !["min", "max", "median", "percentile_cont"].contains(&aggregate.fun().name());
    (!retracts || rounds).then_some(aggregate)
}

/// Computes the results of such an expression over the rows of one group.
pub(super) fn evaluate_frames(expr: &Arc<dyn WindowExpr>, group: &RecordBatch) -> Result<ArrayRef> {
    let Some(aggregate) = recomputed_aggregate(expr) else { return expr.evaluate(group) };
    let args = expr.evaluate_args(group)?;
    let order = expr.order_by_columns(group)?;
    let options: Vec<SortOptions> =
        order.iter().map(|column| column.options.unwrap_or_default()).collect();
    let order: Vec<ArrayRef> = order.into_iter().map(|column| column.values).collect();
    let mut frames = WindowFrameContext::new(Arc::clone(expr.get_window_frame()), options);
    let mut last = Range { start: 0, end: 0 };
    let mut results: Vec<ScalarValue> = Vec::with_capacity(group.num_rows());
    for row in 0..group.num_rows() {
        let frame = frames.calculate_range(&order, &last, group.num_rows(), row)?;
        let known = results.last().filter(|_| row > 0 && frame == last).cloned();
        results.push(match known {
            Some(same) => same,
            None if frame.is_empty() => aggregate.default_value(aggregate.field().data_type())?,
            None => {
                let slices: Vec<ArrayRef> =
                    args.iter().map(|arg| arg.slice(frame.start, frame.len())).collect();
                let mut accumulator = aggregate.create_accumulator()?;
                accumulator.update_batch(&slices)?;
                accumulator.evaluate()?
            }
        });
        last = frame;
    }
    ScalarValue::iter_to_array(results)
}
