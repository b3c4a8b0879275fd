//! `lag` and `lead`: the value of another row at a fixed distance.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, UInt64Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::functions_window::lead_lag::WindowShift;
use datafusion::physical_expr::window::StandardWindowFunctionExpr;
use datafusion::physical_plan::windows::WindowUDFExpr;

use super::results::WindowResults;
use super::state::{Emission, GroupSlice, StateFactory, WindowState};

/// The distance from which shifts are computed with the whole group in memory.
const MAX_SHIFT_ROWS: usize = 1 << 24;

/// Returns how a shift runs; None for other functions, for shifts that ignore NULL, and for longer
/// distances.
pub(super) fn shift_factory(
    function: &Arc<dyn StandardWindowFunctionExpr>,
    udwf: &WindowUDFExpr,
) -> Option<(StateFactory, Emission)> {
    if !is_lag_or_lead(udwf) {
        return None;
    }
    // The rows that the function reads for a row far from both ends give the distance. A function
    // that ignores NULL reads up to an end.
    let (row, all) = (MAX_SHIFT_ROWS * 4, MAX_SHIFT_ROWS * 8);
    let reads = function.create_evaluator().ok()?.get_range(row, all).ok()?;
    let (before, after) = (row.checked_sub(reads.start)?, reads.end.checked_sub(row)?);
    let waits = match (before, after) {
        (1..MAX_SHIFT_ROWS, 1) => Emission::Immediate,
        (0, 0..MAX_SHIFT_ROWS) => Emission::Delayed,
        _ => return None,
    };
    let function = Arc::clone(function);
    let start: StateFactory = Arc::new(move || {
        let (function, rows) = (Arc::clone(&function), before.max(after));
        Ok(match waits {
            Emission::Immediate => Box::new(LagState { function, rows, last: None }),
            _ => Box::new(LeadState { function, rows, open: None }),
        })
    });
    Some((start, waits))
}

/// Returns whether a function is `lag` or `lead`.
pub(super) fn is_lag_or_lead(udwf: &WindowUDFExpr) -> bool {
    let any: &dyn std::any::Any = udwf.fun().inner().as_ref();
    any.is::<WindowShift>()
}

/// Concatenates the values of `last` and those of the slice.
fn concat_with_slice(last: Option<&ArrayRef>, slice: &GroupSlice) -> Result<ArrayRef> {
    let column =
        slice.args.first().ok_or_else(|| internal_datafusion_err!("no column to shift"))?;
    let new = column.slice(slice.rows.start, slice.rows.len());
    Ok(match last {
        Some(last) => concat(&[last.as_ref(), new.as_ref()])?,
        None => new,
    })
}

/// Copies the last values of a column: a slice would keep the whole column in memory.
fn copy_tail(values: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let all = values.len();
    let last: UInt64Array = (all.saturating_sub(rows)..all).map(|row| row as u64).collect();
    Ok(take(values, &last, None)?)
}

struct LagState {
    function: Arc<dyn StandardWindowFunctionExpr>,
    rows: usize,
    last: Option<ArrayRef>,
}

impl WindowState for LagState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let count = slice.rows.len();
        // Far enough from the start of the group, the results of a slice begin with the values kept
        // of the last one.
        if let Some(last) = self.last.as_ref().filter(|last| last.len() == self.rows)
            && count >= self.rows
        {
            let new = concat_with_slice(None, slice)?;
            results.push(concat(&[last.as_ref(), new.slice(0, count - self.rows).as_ref()])?);
            self.last = Some(copy_tail(&new, self.rows)?);
            return Ok(());
        }
        let values = concat_with_slice(self.last.as_ref(), slice)?;
        let shifted =
            self.function.create_evaluator()?.evaluate_all(&[Arc::clone(&values)], values.len())?;
        let known = self.last.as_ref().map_or(0, |last| last.len());
        results.push(shifted.slice(known, count));
        self.last = Some(copy_tail(&values, self.rows)?);
        Ok(())
    }

    fn finish(&mut self, _: &mut WindowResults) -> Result<()> {
        Ok(())
    }

    fn memory_size(&self) -> usize {
        size_of::<Self>() + self.last.as_ref().map_or(0, |last| last.get_array_memory_size())
    }
}

struct LeadState {
    function: Arc<dyn StandardWindowFunctionExpr>,
    rows: usize,
    /// The values of the rows whose results are pending.
    open: Option<ArrayRef>,
}

impl WindowState for LeadState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let values = concat_with_slice(self.open.as_ref(), slice)?;
        let shifted =
            self.function.create_evaluator()?.evaluate_all(&[Arc::clone(&values)], values.len())?;
        results.push(shifted.slice(0, values.len().saturating_sub(self.rows)));
        self.open = Some(copy_tail(&values, self.rows)?);
        Ok(())
    }

    fn finish(&mut self, results: &mut WindowResults) -> Result<()> {
        if let Some(open) = self.open.take() {
            let rows = open.len();
            results.push(self.function.create_evaluator()?.evaluate_all(&[open], rows)?);
        }
        Ok(())
    }

    fn memory_size(&self) -> usize {
        size_of::<Self>() + self.open.as_ref().map_or(0, |open| open.get_array_memory_size())
    }
}
