//! How a window expression is computed here, if it is.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, make_comparator};
use datafusion::arrow::compute::{SortOptions, partition};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_plan::windows::WindowUDFExpr;
use windrow_udfs::{BoundCall, Kernel, evaluator_call};

use super::frame_aggregate::{FrameBounds, frame_factory};
use super::position;
use super::recompute;
use super::results::WindowResults;
use super::shift;
use super::whole_group::WholeGroupState;

/// A function over the rows of one group, which come slice by slice and in order.
///
/// How the rows are cut into slices changes no bit.
pub(super) trait WindowState: Send {
    /// Takes some rows and adds the results that are certain by now, in the order of the rows.
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()>;

    /// The group has ended: adds the results of the rows that are still open.
    fn finish(&mut self, results: &mut WindowResults) -> Result<()>;

    /// Bytes held.
    fn memory_size(&self) -> usize;
}

/// Consecutive rows of one group.
pub(super) struct GroupSlice<'a> {
    /// The batch that they stand in.
    pub(super) batch: &'a RecordBatch,
    /// The rows alone, once a function has asked for them.
    pub(super) own: &'a OnceCell<Arc<RecordBatch>>,
    /// Which rows.
    pub(super) rows: Range<usize>,
    /// The columns that the function is called with.
    pub(super) args: &'a [ArrayRef],
    /// The columns that the window is ordered by.
    pub(super) order: &'a [ArrayRef],
}

impl GroupSlice<'_> {
    /// The rows alone, cut out of their batch once for all functions.
    pub(super) fn cut_batch(&self) -> Arc<RecordBatch> {
        let Range { start, end } = self.rows;
        Arc::clone(self.own.get_or_init(|| Arc::new(self.batch.slice(start, end - start))))
    }

    /// Stretches of rows with equal order.
    pub(super) fn peer_ranges(&self) -> Result<Vec<Range<usize>>> {
        let Range { start, end } = self.rows;
        let order: Vec<ArrayRef> = self.order.iter().map(|c| c.slice(start, end - start)).collect();
        Ok(match order.as_slice() {
            [] => std::iter::once(start..end).collect(),
            order => {
                let ranges = partition(order)?.ranges();
                ranges.into_iter().map(|r| r.start + start..r.end + start).collect()
            }
        })
    }

    /// Whether the first row has the order of an earlier row.
    pub(super) fn continues_peers(&self, earlier: &[ArrayRef]) -> Result<bool> {
        keys_equal(earlier, self.order, self.rows.start)
    }

    /// The order of the last row.
    pub(super) fn last_order(&self) -> Vec<ArrayRef> {
        self.order.iter().map(|column| column.slice(self.rows.end - 1, 1)).collect()
    }
}

/// Whether the row of `keys` is equal to the one row of `one`.
pub(super) fn keys_equal(one: &[ArrayRef], keys: &[ArrayRef], row: usize) -> Result<bool> {
    for (one, key) in one.iter().zip(keys) {
        if !make_comparator(one, key, SortOptions::default())?(0, row).is_eq() {
            return Ok(false);
        }
    }
    Ok(one.len() == keys.len())
}

/// Makes the state before the first row of a group.
pub(super) type StateFactory = Arc<dyn Fn() -> Result<Box<dyn WindowState>> + Send + Sync>;

/// What a function must see after a row before it can tell the row's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::exec) enum Emission {
    /// Nothing.
    Immediate,
    /// Some rows.
    Delayed,
    /// The rest of the group.
    AtGroupEnd,
}

/// A window expression that is computed here.
#[derive(Clone)]
pub(in crate::exec) struct StreamedFunction {
    pub(super) factory: StateFactory,
    /// What it waits for.
    pub(in crate::exec) emission: Emission,
    /// The type of its results.
    pub(super) ty: DataType,
    /// What EXPLAIN calls it.
    pub(super) label: String,
}

/// How an expression is computed here; None if it stays with DataFusion.
pub(in crate::exec) fn streamed_function(
    expr: &Arc<dyn WindowExpr>,
    input: &Schema,
) -> Option<StreamedFunction> {
    let ty = expr.field().ok()?.data_type().clone();
    let label = explain_label(expr);
    let found = |(start, waits)| StreamedFunction {
        factory: start,
        emission: waits,
        ty: ty.clone(),
        label: label.clone(),
    };
    let running = match expr.as_any().downcast_ref::<StandardWindowExpr>() {
        Some(standard) => standard_factory(standard),
        None => aggregate_factory(expr, input),
    };
    if let Some(running) = running {
        return Some(found(running));
    }
    if recompute::recomputed_aggregate(expr).is_some() && may_have_filter(expr) {
        return None; // Their FILTER cannot be seen; `guards` leaves none but of those that must have it.
    }
    // One group at a time, unless all rows are one group and DataFusion needs fewer of them. What it
    // needs for a `lead` that counts values only it gets wrong.
    let bounded = expr.partition_by().is_empty() && expr.uses_bounded_memory();
    if bounded && !is_shift_expr(expr) && recompute::recomputed_aggregate(expr).is_none() {
        return None;
    }
    let own = Arc::clone(expr);
    let start: StateFactory =
        Arc::new(move || Ok(Box::new(WholeGroupState::new(Arc::clone(&own)))));
    Some(found((start, Emission::AtGroupEnd)))
}

fn is_shift_expr(expr: &Arc<dyn WindowExpr>) -> bool {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>();
    standard.is_some_and(|standard| {
        let function = standard.get_standard_func_expr();
        function.as_any().downcast_ref::<WindowUDFExpr>().is_some_and(shift::is_lag_or_lead)
    })
}

fn standard_factory(expr: &StandardWindowExpr) -> Option<(StateFactory, Emission)> {
    let function = expr.get_standard_func_expr();
    let evaluator = function.create_evaluator().ok()?;
    if let Some(bound) = evaluator_call(evaluator.as_ref()) {
        bound.new_kernel().ok()?;
        return Some((indicator_factory(bound.clone()), Emission::Immediate));
    }
    let udwf = function.as_any().downcast_ref::<WindowUDFExpr>()?;
    shift::shift_factory(function, udwf).or_else(|| position::position_factory(expr, udwf))
}

fn aggregate_factory(
    expr: &Arc<dyn WindowExpr>,
    input: &Schema,
) -> Option<(StateFactory, Emission)> {
    let any = expr.as_any();
    let function = match any.downcast_ref::<PlainAggregateWindowExpr>() {
        Some(plain) => plain.get_aggregate_expr(),
        None => any.downcast_ref::<SlidingAggregateWindowExpr>()?.get_aggregate_expr(),
    };
    if may_have_filter(expr) || function.is_distinct() || !function.order_bys().is_empty() {
        return None;
    }
    let bounds = FrameBounds::from_frame(expr.get_window_frame())?;
    let args = function.expressions();
    let types: Vec<DataType> =
        args.iter().map(|arg| arg.data_type(input)).collect::<Result<_>>().ok()?;
    let start = frame_factory(function.fun(), &types, bounds)?;
    Some((start, if bounds.needs_later_rows() { Emission::Delayed } else { Emission::Immediate }))
}

/// Whether there may be a FILTER: the expression shows it in its Debug form only.
fn may_have_filter(expr: &Arc<dyn WindowExpr>) -> bool {
    !format!("{expr:?}").ends_with("filter: None }")
}

fn explain_label(expr: &Arc<dyn WindowExpr>) -> String {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>();
    let evaluator = standard.and_then(|s| s.get_standard_func_expr().create_evaluator().ok());
    let Some(bound) = evaluator.as_ref().and_then(|e| evaluator_call(e.as_ref())) else {
        // The name goes on with the window, which the operator tells once for all.
        let name = expr.name();
        let end = name.find(" PARTITION BY").or_else(|| name.find(" ORDER BY"));
        let frame = expr.get_window_frame();
        return match standard {
            Some(_) => name[..end.unwrap_or(name.len())].to_string(),
            None => format!("{} {frame}", &name[..end.unwrap_or(name.len())]),
        };
    };
    let inputs = expr.expressions().into_iter().map(|e| e.to_string());
    let params = bound.params.iter().map(f64::to_string);
    let args: Vec<String> = inputs.chain(params).collect();
    format!("{}({})", bound.entry.spec.name, args.join(", "))
}

/// An indicator steps over the rows.
struct IndicatorState(Box<dyn Kernel>);

fn indicator_factory(bound: BoundCall) -> StateFactory {
    Arc::new(move || Ok(Box::new(IndicatorState(bound.new_kernel()?))))
}

impl WindowState for IndicatorState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let columns = results.indicator_columns(self.0.indicator_spec(), slice.batch.num_rows());
        self.0.append_results(slice.args, slice.rows.clone(), columns)
    }

    fn finish(&mut self, _: &mut WindowResults) -> Result<()> {
        Ok(())
    }

    fn memory_size(&self) -> usize {
        self.0.state_bytes()
    }
}
