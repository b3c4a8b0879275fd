//! Processes the rows of one partition group by group: creates and ends states, and joins results
//! to their rows.

use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::metrics::{Count, Gauge};

use super::function::StreamedFunction;
use super::results::WindowResults;
use super::state::{Emission, GroupSlice, WindowState, keys_equal};

/// A function with the expression that it computes.
#[derive(Clone)]
pub(super) struct WindowCall {
    pub(super) expr: Arc<dyn WindowExpr>,
    pub(super) function: StreamedFunction,
}

/// The state of the groups of one partition.
pub(super) struct WindowGroups {
    schema: SchemaRef,
    calls: Vec<WindowCall>,
    /// The index in `calls` that computes each output column.
    outputs: Vec<usize>,
    /// The partition keys of the last row.
    last: Option<Vec<ArrayRef>>,
    /// The states of the group of the last row.
    states: Vec<Box<dyn WindowState>>,
    /// The states of groups that may come again.
    kept: Option<RecurringStates>,
    results: Vec<WindowResults>,
    /// Batches whose results are not complete.
    pending: VecDeque<RecordBatch>,
    memory: MemoryReservation,
    counted: Count,
    peak: Gauge,
}

/// The states of groups that come again and again, by partition keys.
struct RecurringStates {
    keys: RowConverter,
    states: HashMap<OwnedRow, Vec<Box<dyn WindowState>>>,
    current: Option<OwnedRow>,
    bytes: usize,
}

impl WindowGroups {
    /// Creates the state before the first row. With `keep`, a group may come again after others;
    /// functions that wait for the rest of a group do not allow this.
    pub(super) fn new(
        schema: SchemaRef,
        calls: Vec<WindowCall>,
        outputs: Vec<usize>,
        keep: bool,
        memory: MemoryReservation,
        (counted, peak): (Count, Gauge),
    ) -> Result<Self> {
        let kept = match calls.first().filter(|_| keep) {
            Some(call) => {
                let ty = |key: &Arc<dyn datafusion::physical_expr::PhysicalExpr>| {
                    Ok(SortField::new(key.data_type(&schema)?))
                };
                let fields = call.expr.partition_by().iter().map(ty).collect::<Result<_>>()?;
                let keys = RowConverter::new(fields)?;
                Some(RecurringStates { keys, states: HashMap::new(), current: None, bytes: 0 })
            }
            None => None,
        };
        let results =
            calls.iter().map(|call| WindowResults::new(call.function.ty.clone())).collect();
        Ok(Self {
            schema,
            calls,
            outputs,
            last: None,
            states: Vec::new(),
            kept,
            results,
            pending: VecDeque::new(),
            memory,
            counted,
            peak,
        })
    }

    /// Takes a batch and returns the batches whose results are complete by now.
    pub(super) fn push_batch(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(Vec::new());
        }
        let (keys, order) = match self.calls.first() {
            Some(call) => {
                let order = call.expr.order_by().iter().map(|key| &key.expr);
                (
                    evaluate_exprs(call.expr.partition_by().iter(), &batch)?,
                    evaluate_exprs(order, &batch)?,
                )
            }
            None => (Vec::new(), Vec::new()),
        };
        let ranges: Vec<Range<usize>> = match keys.as_slice() {
            [] => std::iter::once(0..rows).collect(),
            keys => partition(keys)?.ranges(),
        };
        let args =
            self.calls.iter().map(|c| c.expr.evaluate_args(&batch)).collect::<Result<Vec<_>>>()?;
        for (i, rows) in ranges.into_iter().enumerate() {
            let goes_on = match &self.last {
                Some(last) if i == 0 => keys_equal(last, &keys, 0)?,
                _ => false,
            };
            if !goes_on {
                self.start_group(&keys, rows.start)?;
            }
            let own = OnceCell::new();
            let all = self.states.iter_mut().zip(&args).zip(&mut self.results);
            for ((state, args), results) in all {
                let rows = rows.clone();
                let slice = GroupSlice { batch: &batch, own: &own, rows, args, order: &order };
                state.append_slice(&slice, results)?;
            }
        }
        self.last = Some(keys.iter().map(|key| key.slice(rows - 1, 1)).collect());
        self.pending.push_back(batch);
        self.take_ready_batches()
    }

    /// Ends the last group and returns the batches that waited for it.
    pub(super) fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        self.finish_group()?;
        self.take_ready_batches()
    }

    /// Ends or stores the states of the group before, and restores or creates those of the group of a row.
    fn start_group(&mut self, keys: &[ArrayRef], row: usize) -> Result<()> {
        let fresh = |calls: &[WindowCall]| {
            calls.iter().map(|c| (c.function.factory)()).collect::<Result<Vec<_>>>()
        };
        let Some(kept) = &mut self.kept else {
            self.finish_group()?;
            self.states = fresh(&self.calls)?;
            self.counted.add(1);
            return Ok(());
        };
        let one: Vec<ArrayRef> = keys.iter().map(|key| key.slice(row, 1)).collect();
        let key = kept.keys.convert_columns(&one)?.row(0).owned();
        let left = std::mem::take(&mut self.states);
        if let Some(current) = kept.current.replace(key.clone()) {
            if kept.bytes == 0 {
                kept.bytes = left.iter().map(|state| state.memory_size()).sum::<usize>();
            }
            kept.states.insert(current, left);
        }
        self.states = match kept.states.remove(&key) {
            Some(states) => states,
            None => {
                self.counted.add(1);
                fresh(&self.calls)?
            }
        };
        Ok(())
    }

    fn finish_group(&mut self) -> Result<()> {
        for (state, results) in self.states.iter_mut().zip(&mut self.results) {
            state.finish(results)?;
        }
        self.states.clear();
        Ok(())
    }

    /// Returns the batches at the front whose results are complete, together with these results.
    fn take_ready_batches(&mut self) -> Result<Vec<RecordBatch>> {
        self.results.iter_mut().for_each(WindowResults::flush_columns);
        let mut there =
            self.results.iter().map(WindowResults::ready_rows).min().unwrap_or(usize::MAX);
        let mut ready = Vec::new();
        while let Some(batch) = self.pending.pop_front_if(|batch| batch.num_rows() <= there) {
            there -= batch.num_rows();
            let results =
                self.results.iter_mut().map(|results| results.take_rows(batch.num_rows()));
            let results = results.collect::<Result<Vec<_>>>()?;
            let mut columns = batch.columns().to_vec();
            columns.extend(self.outputs.iter().map(|call| ArrayRef::clone(&results[*call])));
            ready.push(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        }
        self.account_memory()?;
        Ok(ready)
    }

    fn account_memory(&mut self) -> Result<()> {
        let mut bytes = match &self.kept {
            Some(kept) => (kept.states.len() + 1) * kept.bytes,
            None => 0,
        };
        if self.calls.iter().any(|call| call.function.emission > Emission::Immediate) {
            let batches = self.pending.iter().map(RecordBatch::get_array_memory_size);
            bytes += batches.sum::<usize>();
            bytes += self.results.iter().map(WindowResults::buffered_bytes).sum::<usize>();
            bytes += self.states.iter().map(|state| state.memory_size()).sum::<usize>();
        }
        self.peak.set_max(bytes);
        self.memory.try_resize(bytes)
    }
}

/// Evaluates expressions on a batch, row by row.
fn evaluate_exprs<'a>(
    exprs: impl Iterator<Item = &'a Arc<dyn datafusion::physical_expr::PhysicalExpr>>,
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    exprs.map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}
