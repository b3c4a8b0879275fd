//! Decides whether and how a window expression is computed here.

use crate::exec::window::state::Emission;
use crate::exec::window::state::GroupSlice;
use crate::exec::window::state::StateFactory;
use crate::exec::window::state::WindowState;
use std::sync::Arc;

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

/// A window expression that is computed here.
#[derive(Clone)]
pub(in crate::exec) struct StreamedFunction {
    pub(super) factory: StateFactory,
    /// The rows that it must see before it emits a result.
    pub(in crate::exec) emission: Emission,
    /// The type of its results.
    pub(super) ty: DataType,
    /// Its name in EXPLAIN.
    pub(super) label: String,
}

/// Returns how an expression is computed here; None if it stays with DataFusion.
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
        return None; // The FILTER is hidden; `guards` leaves it only where it must stay.
    }
    // The others are computed one group at a time, unless all rows are one group and DataFusion
    // needs fewer of them. A `lead` that counts only rows with values is computed here even then:
    // DataFusion misjudges how many rows it needs.
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

/// Returns whether the aggregate may have a FILTER, which the expression shows only in its Debug form.
fn may_have_filter(expr: &Arc<dyn WindowExpr>) -> bool {
    !format!("{expr:?}").ends_with("filter: None }")
}

fn explain_label(expr: &Arc<dyn WindowExpr>) -> String {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>();
    let evaluator = standard.and_then(|s| s.get_standard_func_expr().create_evaluator().ok());
    let Some(bound) = evaluator.as_ref().and_then(|e| evaluator_call(e.as_ref())) else {
        // The name continues with the window, which the operator prints once for all functions.
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

/// The state of an indicator, whose kernel steps over the rows.
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
