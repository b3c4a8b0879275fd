//! Functions of a row's position in its group: `row_number`, `rank`, `dense_rank`, and
//! `first_value` and `last_value` over frames that need no look back.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, UInt64Array, new_null_array};
use datafusion::arrow::compute::concat;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::functions_window::nth_value::{NthValue, NthValueKind};
use datafusion::functions_window::rank::Rank;
use datafusion::functions_window::row_number::RowNumber;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_plan::windows::WindowUDFExpr;

use super::results::WindowResults;
use super::state::{Emission, GroupSlice, StateFactory, WindowState};

/// Returns how a position function runs; None if it is not supported here.
pub(super) fn position_factory(
    expr: &StandardWindowExpr,
    udwf: &WindowUDFExpr,
) -> Option<(StateFactory, Emission)> {
    let any: &dyn std::any::Any = udwf.fun().inner().as_ref();
    let start: StateFactory = if any.is::<RowNumber>() {
        Arc::new(|| Ok(Box::new(RowNumberState(0))))
    } else if any.is::<Rank>() {
        let dense = match udwf.fun().name() {
            "rank" => false,
            "dense_rank" => true,
            _ => return None,
        };
        Arc::new(move || Ok(Box::new(RankState { dense, rows: 0, rank: 0, order: None })))
    } else {
        let kind = any.downcast_ref::<NthValue>()?.kind();
        let frame = expr.get_window_frame();
        if ignores_nulls(expr)? {
            return None;
        }
        match kind {
            NthValueKind::First if starts_at_first_row(frame) => {
                Arc::new(|| Ok(Box::new(FirstValueState(None))))
            }
            NthValueKind::Last if ends_at_own_row(frame) => {
                Arc::new(|| Ok(Box::new(OwnValueState)))
            }
            _ => return None,
        }
    };
    Some((start, Emission::Immediate))
}

/// Returns whether frames begin with the first row of the group and are never empty.
fn starts_at_first_row(frame: &WindowFrame) -> bool {
    let first = matches!(&frame.start_bound, WindowFrameBound::Preceding(v) if v.is_null());
    first && !matches!(frame.end_bound, WindowFrameBound::Preceding(_))
}

/// Returns whether frames end with their own row.
fn ends_at_own_row(frame: &WindowFrame) -> bool {
    frame.units == WindowFrameUnits::Rows
        && matches!(frame.end_bound, WindowFrameBound::CurrentRow)
        && !matches!(frame.start_bound, WindowFrameBound::Following(_))
}

/// Returns whether the function ignores NULL. It does not expose this, so it is evaluated on a
/// column with NULLs.
fn ignores_nulls(expr: &StandardWindowExpr) -> Option<bool> {
    let function = expr.get_standard_func_expr();
    let field = function.field().ok()?;
    let null = new_null_array(field.data_type(), 1);
    let value = ScalarValue::new_default(field.data_type()).ok()?.to_array().ok()?;
    let column = concat(&[null.as_ref(), value.as_ref(), null.as_ref()]).ok()?;
    let found = function.create_evaluator().ok()?.evaluate(&[column], &(0..3)).ok()?;
    Some(!found.is_null())
}

struct RowNumberState(u64);

impl WindowState for RowNumberState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let before = self.0;
        self.0 += slice.rows.len() as u64;
        results.push(Arc::new(UInt64Array::from_iter_values(before + 1..=self.0)));
        Ok(())
    }

    fn finish(&mut self, _: &mut WindowResults) -> Result<()> {
        Ok(())
    }

    fn memory_size(&self) -> usize {
        size_of::<Self>()
    }
}

struct RankState {
    /// True for ranks without gaps after rows of equal order.
    dense: bool,
    rows: u64,
    rank: u64,
    order: Option<Vec<ArrayRef>>,
}

impl WindowState for RankState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let mut ranks = Vec::with_capacity(slice.rows.len());
        for (i, peers) in slice.peer_ranges()?.into_iter().enumerate() {
            let goes_on = match &self.order {
                Some(order) if i == 0 => slice.continues_peers(order)?,
                _ => false,
            };
            if !goes_on {
                self.rank = if self.dense { self.rank + 1 } else { self.rows + 1 };
            }
            ranks.resize(ranks.len() + peers.len(), self.rank);
            self.rows += peers.len() as u64;
        }
        self.order = Some(slice.last_order());
        results.push(Arc::new(UInt64Array::from(ranks)));
        Ok(())
    }

    fn finish(&mut self, _: &mut WindowResults) -> Result<()> {
        Ok(())
    }

    fn memory_size(&self) -> usize {
        size_of::<Self>()
    }
}

/// The state of `first_value`: the value of the group's first row.
struct FirstValueState(Option<ScalarValue>);

impl WindowState for FirstValueState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let first = match &self.0 {
            Some(first) => first,
            None => self
                .0
                .insert(ScalarValue::try_from_array(first_argument(slice)?, slice.rows.start)?),
        };
        results.push(first.to_array_of_size(slice.rows.len())?);
        Ok(())
    }

    fn finish(&mut self, _: &mut WindowResults) -> Result<()> {
        Ok(())
    }

    fn memory_size(&self) -> usize {
        size_of::<Self>() + self.0.as_ref().map_or(0, ScalarValue::size)
    }
}

/// The state of `last_value` over frames that end with their own row: the value of the row itself.
struct OwnValueState;

impl WindowState for OwnValueState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        results.push(first_argument(slice)?.slice(slice.rows.start, slice.rows.len()));
        Ok(())
    }

    fn finish(&mut self, _: &mut WindowResults) -> Result<()> {
        Ok(())
    }

    fn memory_size(&self) -> usize {
        0
    }
}

fn first_argument<'a>(slice: &GroupSlice<'a>) -> Result<&'a ArrayRef> {
    slice.args.first().ok_or_else(|| internal_datafusion_err!("a function of place has no column"))
}
