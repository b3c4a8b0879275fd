//! The need of a window function itself, without that of its arguments.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use windrow_udfs::{BoundCall, FunctionKind, Memory, bound_call};

use super::join_timing::TimedColumns;
use super::relation::Relation;
use super::{LookAhead, Need, RowCounting, RowDependency, RowHistory};

/// The order of the rows of a window in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeOrder {
    /// Earliest first.
    Forwards,
    /// Latest first.
    Backwards,
}

impl Relation<'_> {
    /// Returns the need of a window function over these rows, without the needs of its arguments.
    ///
    /// # Errors
    /// A call of an indicator has impossible parameters.
    pub(super) fn window_need(&self, window: &WindowFunction) -> Result<Need> {
        let params = &window.params;
        let order = self.time_order(params);
        let backwards = order == Some(TimeOrder::Backwards);
        let mut need = match &window.fun {
            WindowFunctionDefinition::WindowUDF(udf) => match bound_call(udf, &params.args) {
                Some(bound) => self.indicator_need(&bound?, params, backwards),
                None => self.builtin_need(udf.name(), params, backwards),
            },
            WindowFunctionDefinition::AggregateUDF(udf) => {
                self.frame_need(udf.name(), params, backwards)
            }
        };
        if params.partition_by.iter().any(|expr| self.is_time_column(expr)) {
            // All rows are of one moment: none is earlier or later.
            let history = self.step_history(0, RowCounting::Every, &params.partition_by);
            need = Need { calls: need.calls, history, ..Need::NONE };
        } else if order.is_none() && need.ahead != LookAhead::All {
            (need.history, need.ahead) = (RowHistory::All, LookAhead::Unknown);
        }
        need.groups = vec![self.expr_texts(&params.partition_by)];
        Ok(need)
    }

    /// Returns the order of the rows of a window in time, if the time column orders them. Sort keys before it
    /// must not change that order: only keys of the group, and the time truncated to days or months in the
    /// same direction, are allowed.
    fn time_order(&self, params: &WindowFunctionParams) -> Option<TimeOrder> {
        let mut coarser = Vec::new();
        for sort in &params.order_by {
            if self.is_time_column(&sort.expr) {
                let same = coarser.iter().all(|asc| *asc == sort.asc);
                let order = if sort.asc { TimeOrder::Forwards } else { TimeOrder::Backwards };
                return same.then_some(order);
            }
            if self.is_truncated_time(&sort.expr) {
                coarser.push(sort.asc);
            } else if !params.partition_by.contains(&sort.expr) {
                return None;
            }
        }
        None
    }

    /// Returns whether an expression is the time column truncated to days, months or other intervals. Such a
    /// value is equal for rows that follow each other, and never decreases with time.
    fn is_truncated_time(&self, expr: &Expr) -> bool {
        let of_time = |expr: &Expr| self.is_time_column(expr) || self.is_truncated_time(expr);
        match expr {
            Expr::Cast(cast) => {
                use DataType::{Date32, Date64, Timestamp};
                matches!(cast.field.data_type(), Date32 | Date64 | Timestamp(..))
                    && of_time(&cast.expr)
            }
            Expr::ScalarFunction(call)
                if ["date_trunc", "date_bin"].contains(&call.func.name()) =>
            {
                let (fixed, moving): (Vec<&Expr>, Vec<&Expr>) =
                    call.args.iter().partition(|arg| arg.column_refs().is_empty());
                !fixed.is_empty() && !moving.is_empty() && moving.into_iter().all(of_time)
            }
            _ => false,
        }
    }

    /// Returns the history of a window that reads this many rows before its own.
    fn lookback_history(
        &self,
        rows: usize,
        counted: RowCounting,
        params: &WindowFunctionParams,
    ) -> RowHistory {
        match rows {
            0 => RowHistory::OWN_ROW,
            rows => self.step_history(rows, counted, &params.partition_by),
        }
    }

    fn indicator_need(
        &self,
        bound: &BoundCall,
        params: &WindowFunctionParams,
        backwards: bool,
    ) -> Need {
        let (lookback, warmup, memory) =
            (bound.lookback_rows(), bound.warmup_rows(), bound.call_memory());
        let spec = &bound.entry.spec;
        let history = match memory {
            Memory::Pointwise | Memory::Window => {
                self.lookback_history(lookback, RowCounting::Valid, params)
            }
            Memory::Recursive | Memory::Cumulative => RowHistory::All,
        };
        let (call, ahead) = match spec.function_kind() {
            FunctionKind::Indicator => {
                let params = bound.params.clone();
                let ahead = if backwards { LookAhead::All } else { LookAhead::None };
                (RowDependency::Indicator { name: spec.name, params, memory }, ahead)
            }
            // It reads all rows of the group, which are of one moment if the time is among the keys.
            FunctionKind::CrossSection => {
                (RowDependency::CrossSection { name: spec.name }, LookAhead::All)
            }
        };
        Need { lookback, warmup, history, ahead, calls: vec![call], ..Need::NONE }
    }

    /// Returns the need of `lag`, `lead`, ranks, and other built-in window functions.
    fn builtin_need(&self, name: &str, params: &WindowFunctionParams, backwards: bool) -> Need {
        let function = name.to_string();
        match name {
            "lag" | "lead" => self.shift_need(name, params, backwards),
            "row_number" | "rank" | "dense_rank" if !params.order_by.is_empty() => {
                let ahead = if backwards { LookAhead::All } else { LookAhead::None };
                let calls = vec![RowDependency::Rank { function }];
                Need { history: RowHistory::All, ahead, calls, ..Need::NONE }
            }
            "first_value" | "last_value" | "nth_value" => self.frame_need(name, params, backwards),
            _ => {
                let calls = vec![RowDependency::WholeGroup { function }];
                Need { history: RowHistory::All, ahead: LookAhead::All, calls, ..Need::NONE }
            }
        }
    }

    /// Returns the need of `lag` and `lead`: one row at a distance. IGNORE NULLS counts only rows with a
    /// value, so any number of rows may lie in between.
    fn shift_need(&self, name: &str, params: &WindowFunctionParams, backwards: bool) -> Need {
        let shift = params.args.get(1).map_or(Some(1), constant_distance);
        let calls = vec![RowDependency::Shift { function: name.to_string(), rows: shift }];
        let Some(shift) = shift else {
            return Need {
                history: RowHistory::All,
                ahead: LookAhead::Unknown,
                calls,
                ..Need::NONE
            };
        };
        let skips = params.null_treatment == Some(NullTreatment::IgnoreNulls);
        let rows = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
        if rows == 0 {
            Need { calls, ..Need::NONE }
        } else if ((shift > 0) == (name == "lag")) != backwards {
            let counted = if skips { RowCounting::Valid } else { RowCounting::Every };
            let history = self.lookback_history(rows, counted, params);
            Need { lookback: rows, warmup: rows, history, calls, ..Need::NONE }
        } else {
            let ahead = if skips { LookAhead::All } else { LookAhead::Rows(rows) };
            Need { ahead, calls, ..Need::NONE }
        }
    }

    /// Returns the need of a function over a frame. It counts every row, also rows that a FILTER excludes.
    /// Only a ROWS frame with a bounded start limits the history: frames of RANGE and GROUPS may contain any
    /// number of rows.
    fn frame_need(&self, name: &str, params: &WindowFunctionParams, backwards: bool) -> Need {
        let frame = &params.window_frame;
        let (start, end) =
            (frame_bound_rows(&frame.start_bound), frame_bound_rows(&frame.end_bound));
        let turned = |bound: Option<i64>| bound.and_then(i64::checked_neg);
        let (start, end) = if backwards { (turned(end), turned(start)) } else { (start, end) };
        let unordered = params.order_by.is_empty();
        let rows = frame.units == WindowFrameUnits::Rows;
        let mut need = Need::NONE;
        match start {
            Some(start) if rows && !unordered => {
                let back = usize::try_from(start.min(0).unsigned_abs()).unwrap_or(usize::MAX);
                need.history = self.lookback_history(back, RowCounting::Every, params);
                (need.lookback, need.warmup) = (back, back);
            }
            _ => need.history = RowHistory::All,
        }
        // If a frame begins at or before its own row, its first row is never later, wherever the frame ends.
        let begins_before = !matches!(frame.start_bound, WindowFrameBound::Following(_));
        let skips = params.null_treatment == Some(NullTreatment::IgnoreNulls);
        let first = name == "first_value" && begins_before && !skips && !backwards;
        need.ahead = match end {
            _ if unordered => LookAhead::All,
            _ if first => LookAhead::None,
            Some(end) if end <= 0 => LookAhead::None,
            Some(end) if rows => LookAhead::Rows(usize::try_from(end).unwrap_or(usize::MAX)),
            _ => LookAhead::All,
        };
        let function = name.to_string();
        need.calls.push(if need.ahead == LookAhead::All {
            RowDependency::WholeGroup { function }
        } else {
            RowDependency::Frame { function, frame: Box::new(frame.clone()) }
        });
        need
    }
}

/// Returns a bound in rows relative to the current one; None if it is unbounded or no number.
fn frame_bound_rows(bound: &WindowFrameBound) -> Option<i64> {
    match bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(value) => scalar_to_i64(value)?.checked_neg(),
        WindowFrameBound::Following(value) => scalar_to_i64(value),
    }
}

/// Returns the distance that an argument of `lag` or `lead` stands for, computed as the optimizer will. NULL
/// counts as 0. None if the distance depends on rows or is no whole number.
fn constant_distance(expr: &Expr) -> Option<i64> {
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    match simplifier.simplify(expr.clone().unalias()).ok()? {
        Expr::Literal(value, _) if value.is_null() => Some(0),
        Expr::Literal(value, _) if value.data_type().is_integer() => scalar_to_i64(&value),
        _ => None,
    }
}

fn scalar_to_i64(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => number,
        _ => None,
    }
}
