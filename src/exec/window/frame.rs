//! SQL's aggregates over frames of rows.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveBuilder};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::{AggregateUDF, WindowFrame, WindowFrameBound, WindowFrameUnits};
use windrow_udfs::kernel::Fold;

use super::function::{Running, Slice, Start};
use super::results::Results;
use super::summary::{Extreme, Joined, Spread, Summary, Total};
use crate::guards::{ExactSum, Moments};
use crate::limits::FRAME_ROWS;

/// The rows of a frame, counted from its own row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Rows in the frame; None is all since the first of the group.
    length: Option<usize>,
    /// Where it ends: before its own row if negative.
    end: i64,
    /// The rows of equal order with the last row belong to it.
    peers: bool,
}

impl Bounds {
    /// The bounds of a frame that a running summary serves.
    pub(super) fn of(frame: &WindowFrame) -> Option<Self> {
        let offset = |bound: &WindowFrameBound| -> Option<i64> {
            let rows = |value: &ScalarValue| match value {
                ScalarValue::UInt64(Some(rows)) => i64::try_from(*rows).ok(),
                _ => None,
            };
            let offset = match bound {
                WindowFrameBound::Preceding(value) => -rows(value)?,
                WindowFrameBound::CurrentRow => 0,
                WindowFrameBound::Following(value) => rows(value)?,
            };
            Some(offset).filter(|offset| offset.abs() < FRAME_ROWS)
        };
        let unbounded = matches!(&frame.start_bound, WindowFrameBound::Preceding(v) if v.is_null());
        match frame.units {
            WindowFrameUnits::Rows => {
                let end = offset(&frame.end_bound)?;
                let length = if unbounded {
                    None
                } else {
                    let length = end - offset(&frame.start_bound)? + 1;
                    Some(usize::try_from(length).ok().filter(|length| *length > 0)?)
                };
                Some(Self { length, end, peers: false })
            }
            WindowFrameUnits::Range
                if unbounded && matches!(frame.end_bound, WindowFrameBound::CurrentRow) =>
            {
                Some(Self { length: None, end: 0, peers: true })
            }
            _ => None,
        }
    }

    /// Whether results wait for rows after their own.
    pub(super) fn waits(self) -> bool {
        self.end > 0 || self.peers
    }
}

/// How an aggregate of arguments of these types runs; None if it is none of those known here.
pub(super) fn aggregate(fun: &AggregateUDF, types: &[DataType], bounds: Bounds) -> Option<Start> {
    let plain = of_rows(fun, types, bounds)?;
    if !bounds.peers {
        return Some(plain);
    }
    let ty = fun.return_type(types).ok()?;
    Some(Arc::new(move || {
        let (running, ty) = (plain()?, ty.clone());
        Ok(Box::new(Peers { running, ty, waiting: 0, last: None, order: Vec::new() }))
    }))
}

fn of_rows(fun: &AggregateUDF, types: &[DataType], bounds: Bounds) -> Option<Start> {
    let fun: &dyn std::any::Any = fun.inner().as_ref();
    if fun.is::<Count>() && types.len() == 1 {
        let rows: CountOf = |total| Some(total.rows);
        return Some(Arc::new(move || Ok(Box::new(Counts(Frame::new(bounds, rows))))));
    }
    match types {
        [DataType::Int64] => of_ints(fun, bounds),
        [DataType::Float64] => of_floats(fun, bounds),
        [DataType::Float64, DataType::Float64] => of_pairs(fun, bounds),
        _ => None,
    }
}

fn start<S: Summary, O: ArrowPrimitiveType>(
    bounds: Bounds,
    result: impl Give<S, O>,
) -> Option<Start> {
    Some(Arc::new(move || Ok(Box::new(Frame::<S, O, _>::new(bounds, result)))))
}

/// What is given for the rows of a frame.
trait Give<S, O: ArrowPrimitiveType>:
    Fn(&S) -> Option<O::Native> + Copy + Send + Sync + 'static
{
}

impl<S, O: ArrowPrimitiveType, R> Give<S, O> for R where
    R: Fn(&S) -> Option<O::Native> + Copy + Send + Sync + 'static
{
}

fn of_ints(fun: &dyn std::any::Any, bounds: Bounds) -> Option<Start> {
    match () {
        () if fun.is::<ExactSum>() => start::<Total<i128>, Int64Type>(bounds, |t| {
            (t.rows > 0).then(|| i64::try_from(t.sum).unwrap_or_default())
        }),
        () if fun.is::<Min>() => start::<Extreme<i64, false>, Int64Type>(bounds, |e| e.value),
        () if fun.is::<Max>() => start::<Extreme<i64, true>, Int64Type>(bounds, |e| e.value),
        () => None,
    }
}

fn of_floats(fun: &dyn std::any::Any, bounds: Bounds) -> Option<Start> {
    if let Some(Moments { moment, .. }) = fun.downcast_ref() {
        let moment = *moment;
        let of = move |spread: &Spread| moment.of(&spread.figures());
        return start::<Spread, Float64Type>(bounds, of);
    }
    match () {
        () if fun.is::<ExactSum>() => {
            start::<Total<f64>, Float64Type>(bounds, |t| (t.rows > 0).then_some(t.sum))
        }
        () if fun.is::<Avg>() => start::<Total<f64>, Float64Type>(bounds, |t| {
            (t.rows > 0).then(|| t.sum / t.rows as f64)
        }),
        () if fun.is::<Min>() => start::<Extreme<f64, false>, Float64Type>(bounds, |e| e.value),
        () if fun.is::<Max>() => start::<Extreme<f64, true>, Float64Type>(bounds, |e| e.value),
        () => None,
    }
}

fn of_pairs(fun: &dyn std::any::Any, bounds: Bounds) -> Option<Start> {
    let moment = fun.downcast_ref::<Moments>()?.moment;
    start::<Joined, Float64Type>(bounds, move |joined| moment.of(&joined.figures()))
}

/// What is known of the rows of a frame.
enum Window<S: Summary> {
    /// The last rows, their number fixed.
    Last(Fold<S>),
    /// All rows since the first.
    All(S),
}

impl<S: Summary> Window<S> {
    /// Gives the window that ends with each of the rows.
    fn run(
        &mut self,
        rows: impl ExactSizeIterator<Item = Option<Row<S>>>,
        mut give: impl FnMut(S),
    ) {
        match self {
            Window::Last(fold) => {
                fold.run(rows.map(|row| row.map_or(S::NONE, S::of)), |_, window| give(window));
            }
            Window::All(all) => rows.for_each(|row| {
                if let Some(row) = row {
                    all.add(row);
                }
                give(*all);
            }),
        }
    }
}

/// The values of one row.
type Row<S> = [<<S as Summary>::In as ArrowPrimitiveType>::Native; 2];

/// One aggregate over the rows of one group.
struct Frame<S: Summary, O: ArrowPrimitiveType, R> {
    window: Window<S>,
    result: R,
    /// Results of windows that end before the rows they belong to.
    early: VecDeque<Option<O::Native>>,
    /// Windows that belong to no row, since they end too early for the first.
    skip: usize,
    /// Rows that a window ends behind its own.
    ahead: usize,
}

impl<S: Summary, O: ArrowPrimitiveType, R: Give<S, O>> Frame<S, O, R> {
    fn new(bounds: Bounds, result: R) -> Self {
        let count = |rows: i64| usize::try_from(rows).unwrap_or(0);
        let window = match bounds.length {
            Some(length) => Window::Last(Fold::new(length)),
            None => Window::All(S::NONE),
        };
        let early = vec![result(&S::NONE); count(-bounds.end)].into();
        let ahead = count(bounds.end);
        Self { window, result, early, skip: ahead, ahead }
    }

    fn run(
        &mut self,
        rows: impl ExactSizeIterator<Item = Option<Row<S>>>,
        results: &mut Results,
    ) -> Result<()> {
        let Self { window, result, early, skip, .. } = self;
        let mut array = PrimitiveBuilder::<O>::with_capacity(rows.len());
        let mut fits = true;
        if early.is_empty() {
            window.run(rows, |window| match *skip {
                0 => {
                    fits &= window.fits();
                    array.append_option(result(&window));
                }
                _ => *skip -= 1,
            });
        } else {
            window.run(rows, |window| {
                fits &= window.fits();
                early.push_back(result(&window));
                array.append_option(early.pop_front().flatten());
            });
        }
        if !fits {
            return exec_err!(
                "a sum over a window does not fit BIGINT (64 bits); sum CAST(... AS DOUBLE) or CAST(... AS DECIMAL(38, 0))"
            );
        }
        results.push(Arc::new(array.finish()));
        Ok(())
    }
}

impl<S: Summary, O: ArrowPrimitiveType, R: Give<S, O>> Running for Frame<S, O, R> {
    fn append(&mut self, slice: &Slice, results: &mut Results) -> Result<()> {
        let columns = slice
            .args
            .iter()
            .map(|arg| match arg.as_primitive_opt::<S::In>() {
                Some(column) => Ok(column.slice(slice.rows.start, slice.rows.len())),
                None => internal_err!("an aggregate of {} is computed as another", arg.data_type()),
            })
            .collect::<Result<Vec<_>>>()?;
        let [x, y] = match columns.as_slice() {
            [x] => [x, x],
            [x, y] => [x, y],
            _ => return internal_err!("an aggregate of {} columns", columns.len()),
        };
        let values = x.values().iter().zip(y.values().iter());
        let nulls = NullBuffer::union(x.nulls(), y.nulls()).filter(|n| n.null_count() > 0);
        match nulls {
            None => self.run(values.map(|(x, y)| Some([*x, *y])), results),
            Some(nulls) => {
                let rows = values.enumerate();
                self.run(rows.map(|(i, (x, y))| nulls.is_valid(i).then_some([*x, *y])), results)
            }
        }
    }

    fn finish(&mut self, results: &mut Results) -> Result<()> {
        self.run((0..self.ahead).map(|_| None), results)
    }

    fn size(&self) -> usize {
        let fold = match &self.window {
            Window::Last(fold) => fold.size(),
            Window::All(_) => 0,
        };
        size_of::<Self>() + fold + self.early.capacity() * size_of::<Option<O::Native>>()
    }
}

/// Counts the rows in which an argument of any type has a value.
struct Counts(Frame<Total<i128>, Int64Type, CountOf>);

/// What counts give for the rows of a frame.
type CountOf = fn(&Total<i128>) -> Option<i64>;

impl Running for Counts {
    fn append(&mut self, slice: &Slice, results: &mut Results) -> Result<()> {
        let Slice { rows, .. } = slice;
        match slice.args.first().and_then(|arg| arg.logical_nulls()) {
            None => self.0.run(rows.clone().map(|_| Some([0, 0])), results),
            Some(nulls) => {
                let valid = |row: usize| nulls.is_valid(row).then_some([0, 0]);
                self.0.run(rows.clone().map(valid), results)
            }
        }
    }

    fn finish(&mut self, results: &mut Results) -> Result<()> {
        self.0.finish(results)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// A running aggregate whose frames end with the last row of equal order.
struct Peers {
    running: Box<dyn Running>,
    ty: DataType,
    /// Rows of equal order that wait for the next, and the result of the last of them.
    waiting: usize,
    last: Option<ArrayRef>,
    order: Vec<ArrayRef>,
}

impl Peers {
    fn close(&mut self, results: &mut Results) -> Result<()> {
        if let Some(last) = self.last.take() {
            results.push(ScalarValue::try_from_array(&last, 0)?.to_array_of_size(self.waiting)?);
        }
        self.waiting = 0;
        Ok(())
    }
}

impl Running for Peers {
    fn append(&mut self, slice: &Slice, results: &mut Results) -> Result<()> {
        let mut own = Results::new(self.ty.clone());
        self.running.append(slice, &mut own)?;
        let own = own.take(slice.rows.len())?;
        for (i, peers) in slice.peers()?.into_iter().enumerate() {
            if i > 0 || !slice.continues(&self.order)? {
                self.close(results)?;
            }
            self.waiting += peers.len();
            let last = peers.end - 1 - slice.rows.start;
            self.last = Some(own.slice(last, 1));
        }
        self.order = slice.last_order();
        Ok(())
    }

    fn finish(&mut self, results: &mut Results) -> Result<()> {
        self.close(results)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.running.size()
    }
}
