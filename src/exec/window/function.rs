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
use windrow_udfs::{Bound, Kernel, bound_evaluator};

use super::anew;
use super::frame::{Bounds, aggregate};
use super::place;
use super::results::Results;
use super::shift;
use super::whole::Whole;

/// A function over the rows of one group, which come slice by slice and in order.
///
/// How the rows are cut into slices changes no bit.
pub(super) trait Running: Send {
    /// Takes some rows and adds the results that are certain by now, in the order of the rows.
    fn append(&mut self, slice: &Slice, results: &mut Results) -> Result<()>;

    /// The group has ended: adds the results of the rows that are still open.
    fn finish(&mut self, results: &mut Results) -> Result<()>;

    /// Bytes held.
    fn size(&self) -> usize;
}

/// Consecutive rows of one group.
pub(super) struct Slice<'a> {
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

impl Slice<'_> {
    /// The rows alone, cut out of their batch once for all functions.
    pub(super) fn own(&self) -> Arc<RecordBatch> {
        let Range { start, end } = self.rows;
        Arc::clone(self.own.get_or_init(|| Arc::new(self.batch.slice(start, end - start))))
    }

    /// Stretches of rows with equal order.
    pub(super) fn peers(&self) -> Result<Vec<Range<usize>>> {
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
    pub(super) fn continues(&self, earlier: &[ArrayRef]) -> Result<bool> {
        same(earlier, self.order, self.rows.start)
    }

    /// The order of the last row.
    pub(super) fn last_order(&self) -> Vec<ArrayRef> {
        self.order.iter().map(|column| column.slice(self.rows.end - 1, 1)).collect()
    }
}

/// Whether the row of `keys` is equal to the one row of `one`.
pub(super) fn same(one: &[ArrayRef], keys: &[ArrayRef], row: usize) -> Result<bool> {
    for (one, key) in one.iter().zip(keys) {
        if !make_comparator(one, key, SortOptions::default())?(0, row).is_eq() {
            return Ok(false);
        }
    }
    Ok(one.len() == keys.len())
}

/// Makes the state before the first row of a group.
pub(super) type Start = Arc<dyn Fn() -> Result<Box<dyn Running>> + Send + Sync>;

/// What a function must see after a row before it can tell the row's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::exec) enum Waits {
    /// Nothing.
    No,
    /// Some rows.
    Some,
    /// The rest of the group.
    Whole,
}

/// A window expression that is computed here.
#[derive(Clone)]
pub(in crate::exec) struct Function {
    pub(super) start: Start,
    /// What it waits for.
    pub(in crate::exec) waits: Waits,
    /// The type of its results.
    pub(super) ty: DataType,
    /// What EXPLAIN calls it.
    pub(super) label: String,
}

/// How an expression is computed here; None if it stays with DataFusion.
pub(in crate::exec) fn served(expr: &Arc<dyn WindowExpr>, input: &Schema) -> Option<Function> {
    let ty = expr.field().ok()?.data_type().clone();
    let label = label(expr);
    let found = |(start, waits)| Function { start, waits, ty: ty.clone(), label: label.clone() };
    let running = match expr.as_any().downcast_ref::<StandardWindowExpr>() {
        Some(standard) => of_standard(standard),
        None => of_aggregate(expr, input),
    };
    if let Some(running) = running {
        return Some(found(running));
    }
    if anew::aggregate(expr).is_some() && is_filtered(expr) {
        return None; // Their FILTER cannot be seen; `guards` leaves none but of those that must have it.
    }
    // One group at a time, unless all rows are one group and DataFusion needs fewer of them. What it
    // needs for a `lead` that counts values only it gets wrong.
    let bounded = expr.partition_by().is_empty() && expr.uses_bounded_memory();
    if bounded && !is_shift(expr) && anew::aggregate(expr).is_none() {
        return None;
    }
    let own = Arc::clone(expr);
    let start: Start = Arc::new(move || Ok(Box::new(Whole::new(Arc::clone(&own)))));
    Some(found((start, Waits::Whole)))
}

fn is_shift(expr: &Arc<dyn WindowExpr>) -> bool {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>();
    standard.is_some_and(|standard| {
        let function = standard.get_standard_func_expr();
        function.as_any().downcast_ref::<WindowUDFExpr>().is_some_and(shift::is_shift)
    })
}

fn of_standard(expr: &StandardWindowExpr) -> Option<(Start, Waits)> {
    let function = expr.get_standard_func_expr();
    let evaluator = function.create_evaluator().ok()?;
    if let Some(bound) = bound_evaluator(evaluator.as_ref()) {
        bound.kernel().ok()?;
        return Some((indicator(bound.clone()), Waits::No));
    }
    let udwf = function.as_any().downcast_ref::<WindowUDFExpr>()?;
    shift::shift(function, udwf).or_else(|| place::place(expr, udwf))
}

fn of_aggregate(expr: &Arc<dyn WindowExpr>, input: &Schema) -> Option<(Start, Waits)> {
    let any = expr.as_any();
    let function = match any.downcast_ref::<PlainAggregateWindowExpr>() {
        Some(plain) => plain.get_aggregate_expr(),
        None => any.downcast_ref::<SlidingAggregateWindowExpr>()?.get_aggregate_expr(),
    };
    if is_filtered(expr) || function.is_distinct() || !function.order_bys().is_empty() {
        return None;
    }
    let bounds = Bounds::of(expr.get_window_frame())?;
    let args = function.expressions();
    let types: Vec<DataType> =
        args.iter().map(|arg| arg.data_type(input)).collect::<Result<_>>().ok()?;
    let start = aggregate(function.fun(), &types, bounds)?;
    Some((start, if bounds.waits() { Waits::Some } else { Waits::No }))
}

/// Whether there may be a FILTER: the expression shows it in its Debug form only.
fn is_filtered(expr: &Arc<dyn WindowExpr>) -> bool {
    !format!("{expr:?}").ends_with("filter: None }")
}

fn label(expr: &Arc<dyn WindowExpr>) -> String {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>();
    let evaluator = standard.and_then(|s| s.get_standard_func_expr().create_evaluator().ok());
    let Some(bound) = evaluator.as_ref().and_then(|e| bound_evaluator(e.as_ref())) else {
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
struct Steps(Box<dyn Kernel>);

fn indicator(bound: Bound) -> Start {
    Arc::new(move || Ok(Box::new(Steps(bound.kernel()?))))
}

impl Running for Steps {
    fn append(&mut self, slice: &Slice, results: &mut Results) -> Result<()> {
        let columns = results.columns(self.0.spec(), slice.batch.num_rows());
        self.0.append(slice.args, slice.rows.clone(), columns)
    }

    fn finish(&mut self, _: &mut Results) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
