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

use super::results::WindowResults;
use super::state::{GroupSlice, StateFactory, WindowState};
use super::summary::{Extreme, PairSpread, Spread, SumAndCount, Summary};
use crate::guards::{ExactSum, MomentAggregate};
use crate::limits::FRAME_ROWS;

/// The bounds of a frame, counted from its own row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameBounds {
    /// The number of rows in the frame; None means all rows since the first of the group.
    length: Option<usize>,
    /// The offset of its last row, which is before its own row if negative.
    end: i64,
    /// True if rows with the same order as the last row belong to the frame.
    peers: bool,
}

impl FrameBounds {
    /// Returns the bounds of a frame that a running summary can compute; None for other frames.
    pub(super) fn from_frame(frame: &WindowFrame) -> Option<Self> {
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

    /// Returns whether results wait for rows after their own.
    pub(super) fn needs_later_rows(self) -> bool {
        self.end > 0 || self.peers
    }
}

/// Returns how an aggregate over these argument types runs; None if it is not supported here.
pub(super) fn frame_factory(
    fun: &AggregateUDF,
    types: &[DataType],
    bounds: FrameBounds,
) -> Option<StateFactory> {
    let plain = row_frame_factory(fun, types, bounds)?;
    if !bounds.peers {
        return Some(plain);
    }
    let ty = fun.return_type(types).ok()?;
    Some(Arc::new(move || {
        let (running, ty) = (plain()?, ty.clone());
        Ok(Box::new(PeerFrameState { running, ty, waiting: 0, last: None, order: Vec::new() }))
    }))
}

fn row_frame_factory(
    fun: &AggregateUDF,
    types: &[DataType],
    bounds: FrameBounds,
) -> Option<StateFactory> {
    let fun: &dyn std::any::Any = fun.inner().as_ref();
    if fun.is::<Count>() && types.len() == 1 {
        let rows: CountResult = |total| Some(total.rows);
        return Some(Arc::new(move || Ok(Box::new(CountState(FrameState::new(bounds, rows))))));
    }
    match types {
        [DataType::Int64] => int_factory(fun, bounds),
        [DataType::Float64] => float_factory(fun, bounds),
        [DataType::Float64, DataType::Float64] => pair_factory(fun, bounds),
        _ => None,
    }
}

fn summary_factory<S: Summary, O: ArrowPrimitiveType>(
    bounds: FrameBounds,
    result: impl FrameResultFn<S, O>,
) -> Option<StateFactory> {
    Some(Arc::new(move || Ok(Box::new(FrameState::<S, O, _>::new(bounds, result)))))
}

/// The function from the summary of a frame to its result.
trait FrameResultFn<S, O: ArrowPrimitiveType>:
    Fn(&S) -> Option<O::Native> + Copy + Send + Sync + 'static
{
}

impl<S, O: ArrowPrimitiveType, R> FrameResultFn<S, O> for R where
    R: Fn(&S) -> Option<O::Native> + Copy + Send + Sync + 'static
{
}

fn int_factory(fun: &dyn std::any::Any, bounds: FrameBounds) -> Option<StateFactory> {
    match () {
        () if fun.is::<ExactSum>() => {
            summary_factory::<SumAndCount<i128>, Int64Type>(bounds, |t| {
                (t.rows > 0).then(|| i64::try_from(t.sum).unwrap_or_default())
            })
        }
        () if fun.is::<Min>() => {
            summary_factory::<Extreme<i64, false>, Int64Type>(bounds, |e| e.value)
        }
        () if fun.is::<Max>() => {
            summary_factory::<Extreme<i64, true>, Int64Type>(bounds, |e| e.value)
        }
        () => None,
    }
}

fn float_factory(fun: &dyn std::any::Any, bounds: FrameBounds) -> Option<StateFactory> {
    if let Some(MomentAggregate { moment, .. }) = fun.downcast_ref() {
        let moment = *moment;
        let of = move |spread: &Spread| moment.compute_moment(&spread.sample_moments());
        return summary_factory::<Spread, Float64Type>(bounds, of);
    }
    match () {
        () if fun.is::<ExactSum>() => {
            summary_factory::<SumAndCount<f64>, Float64Type>(bounds, |t| {
                (t.rows > 0).then_some(t.sum)
            })
        }
        () if fun.is::<Avg>() => summary_factory::<SumAndCount<f64>, Float64Type>(bounds, |t| {
            (t.rows > 0).then(|| t.sum / t.rows as f64)
        }),
        () if fun.is::<Min>() => {
            summary_factory::<Extreme<f64, false>, Float64Type>(bounds, |e| e.value)
        }
        () if fun.is::<Max>() => {
            summary_factory::<Extreme<f64, true>, Float64Type>(bounds, |e| e.value)
        }
        () => None,
    }
}

fn pair_factory(fun: &dyn std::any::Any, bounds: FrameBounds) -> Option<StateFactory> {
    let moment = fun.downcast_ref::<MomentAggregate>()?.moment;
    summary_factory::<PairSpread, Float64Type>(bounds, move |joined| {
        moment.compute_moment(&joined.sample_moments())
    })
}

/// The summary of the rows of a frame.
enum FrameFold<S: Summary> {
    /// A fixed number of the last rows.
    Last(Fold<S>),
    /// All rows since the first.
    All(S),
}

impl<S: Summary> FrameFold<S> {
    /// Passes to `give` the summary of the frame that ends with each of the rows.
    fn slide_rows(
        &mut self,
        rows: impl ExactSizeIterator<Item = Option<SummaryRow<S>>>,
        mut give: impl FnMut(S),
    ) {
        match self {
            FrameFold::Last(fold) => {
                fold.push_rows(rows.map(|row| row.map_or(S::NONE, S::of_row)), |_, window| {
                    give(window)
                });
            }
            FrameFold::All(all) => rows.for_each(|row| {
                if let Some(row) = row {
                    all.add_row(row);
                }
                give(*all);
            }),
        }
    }
}

/// The values of one row.
type SummaryRow<S> = [<<S as Summary>::In as ArrowPrimitiveType>::Native; 2];

/// The state of one aggregate over the rows of one group.
struct FrameState<S: Summary, O: ArrowPrimitiveType, R> {
    window: FrameFold<S>,
    result: R,
    /// Results of frames that end before their own rows.
    early: VecDeque<Option<O::Native>>,
    /// The number of frames still to be skipped: they end too early to belong to a row.
    skip: usize,
    /// The number of rows by which a frame ends after its own row.
    ahead: usize,
}

impl<S: Summary, O: ArrowPrimitiveType, R: FrameResultFn<S, O>> FrameState<S, O, R> {
    fn new(bounds: FrameBounds, result: R) -> Self {
        let count = |rows: i64| usize::try_from(rows).unwrap_or(0);
        let window = match bounds.length {
            Some(length) => FrameFold::Last(Fold::new(length)),
            None => FrameFold::All(S::NONE),
        };
        let early = vec![result(&S::NONE); count(-bounds.end)].into();
        let ahead = count(bounds.end);
        Self { window, result, early, skip: ahead, ahead }
    }

    fn aggregate_rows(
        &mut self,
        rows: impl ExactSizeIterator<Item = Option<SummaryRow<S>>>,
        results: &mut WindowResults,
    ) -> Result<()> {
        let Self { window, result, early, skip, .. } = self;
        let mut array = PrimitiveBuilder::<O>::with_capacity(rows.len());
        let mut fits = true;
        if early.is_empty() {
            window.slide_rows(rows, |window| match *skip {
                0 => {
                    fits &= window.fits_result_type();
                    array.append_option(result(&window));
                }
                _ => *skip -= 1,
            });
        } else {
            window.slide_rows(rows, |window| {
                fits &= window.fits_result_type();
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

impl<S: Summary, O: ArrowPrimitiveType, R: FrameResultFn<S, O>> WindowState
    for FrameState<S, O, R>
{
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
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
            None => self.aggregate_rows(values.map(|(x, y)| Some([*x, *y])), results),
            Some(nulls) => {
                let rows = values.enumerate();
                self.aggregate_rows(
                    rows.map(|(i, (x, y))| nulls.is_valid(i).then_some([*x, *y])),
                    results,
                )
            }
        }
    }

    fn finish(&mut self, results: &mut WindowResults) -> Result<()> {
        self.aggregate_rows((0..self.ahead).map(|_| None), results)
    }

    fn memory_size(&self) -> usize {
        let fold = match &self.window {
            FrameFold::Last(fold) => fold.heap_size(),
            FrameFold::All(_) => 0,
        };
        size_of::<Self>() + fold + self.early.capacity() * size_of::<Option<O::Native>>()
    }
}

/// The state of a count of the rows in which an argument of any type has a value.
struct CountState(FrameState<SumAndCount<i128>, Int64Type, CountResult>);

/// The function from the summary of a frame to its count.
type CountResult = fn(&SumAndCount<i128>) -> Option<i64>;

impl WindowState for CountState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let GroupSlice { rows, .. } = slice;
        match slice.args.first().and_then(|arg| arg.logical_nulls()) {
            None => self.0.aggregate_rows(rows.clone().map(|_| Some([0, 0])), results),
            Some(nulls) => {
                let valid = |row: usize| nulls.is_valid(row).then_some([0, 0]);
                self.0.aggregate_rows(rows.clone().map(valid), results)
            }
        }
    }

    fn finish(&mut self, results: &mut WindowResults) -> Result<()> {
        self.0.finish(results)
    }

    fn memory_size(&self) -> usize {
        self.0.memory_size()
    }
}

/// The state of a running aggregate whose frames end with the last row of equal order.
struct PeerFrameState {
    running: Box<dyn WindowState>,
    ty: DataType,
    /// The number of rows of equal order that wait for the next row. `last` is the result of the
    /// last of them.
    waiting: usize,
    last: Option<ArrayRef>,
    order: Vec<ArrayRef>,
}

impl PeerFrameState {
    fn close_peers(&mut self, results: &mut WindowResults) -> Result<()> {
        if let Some(last) = self.last.take() {
            results.push(ScalarValue::try_from_array(&last, 0)?.to_array_of_size(self.waiting)?);
        }
        self.waiting = 0;
        Ok(())
    }
}

impl WindowState for PeerFrameState {
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()> {
        let mut own = WindowResults::new(self.ty.clone());
        self.running.append_slice(slice, &mut own)?;
        let own = own.take_rows(slice.rows.len())?;
        for (i, peers) in slice.peer_ranges()?.into_iter().enumerate() {
            if i > 0 || !slice.continues_peers(&self.order)? {
                self.close_peers(results)?;
            }
            self.waiting += peers.len();
            let last = peers.end - 1 - slice.rows.start;
            self.last = Some(own.slice(last, 1));
        }
        self.order = slice.last_order();
        Ok(())
    }

    fn finish(&mut self, results: &mut WindowResults) -> Result<()> {
        self.close_peers(results)
    }

    fn memory_size(&self) -> usize {
        size_of::<Self>() + self.running.memory_size()
    }
}
