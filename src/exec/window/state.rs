//! The state of a window function over one group, and the slices of rows that it takes.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, make_comparator};
use datafusion::arrow::compute::{SortOptions, partition};
use datafusion::common::Result;

use super::results::WindowResults;

/// The state of a function over the rows of one group, which come slice by slice and in order.
///
/// The results do not depend on how the rows are cut into slices, bit by bit.
pub(super) trait WindowState: Send {
    /// Takes some rows and adds the results that are final by now, in the order of the rows.
    fn append_slice(&mut self, slice: &GroupSlice, results: &mut WindowResults) -> Result<()>;

    /// Ends the group: adds the results of the rows that are still pending.
    fn finish(&mut self, results: &mut WindowResults) -> Result<()>;

    /// Returns the bytes held.
    fn memory_size(&self) -> usize;
}

/// Consecutive rows of one group.
pub(super) struct GroupSlice<'a> {
    /// The batch that holds the rows.
    pub(super) batch: &'a RecordBatch,
    /// The rows as a batch of their own, once a function has asked for it.
    pub(super) own: &'a OnceCell<Arc<RecordBatch>>,
    /// The range of the rows in the batch.
    pub(super) rows: Range<usize>,
    /// The arguments of the function.
    pub(super) args: &'a [ArrayRef],
    /// The columns that the window is ordered by.
    pub(super) order: &'a [ArrayRef],
}

impl GroupSlice<'_> {
    /// Returns the rows as a batch of their own, cut once for all functions.
    pub(super) fn cut_batch(&self) -> Arc<RecordBatch> {
        let Range { start, end } = self.rows;
        Arc::clone(self.own.get_or_init(|| Arc::new(self.batch.slice(start, end - start))))
    }

    /// Returns the ranges of rows with equal order.
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

    /// Returns whether the first row has the order of an earlier row.
    pub(super) fn continues_peers(&self, earlier: &[ArrayRef]) -> Result<bool> {
        keys_equal(earlier, self.order, self.rows.start)
    }

    /// Returns the order of the last row.
    pub(super) fn last_order(&self) -> Vec<ArrayRef> {
        self.order.iter().map(|column| column.slice(self.rows.end - 1, 1)).collect()
    }
}

/// Returns whether row `row` of `keys` is equal to the only row of `one`.
pub(super) fn keys_equal(one: &[ArrayRef], keys: &[ArrayRef], row: usize) -> Result<bool> {
    for (one, key) in one.iter().zip(keys) {
        if !make_comparator(one, key, SortOptions::default())?(0, row).is_eq() {
            return Ok(false);
        }
    }
    Ok(one.len() == keys.len())
}

/// A function that creates the state before the first row of a group.
pub(super) type StateFactory = Arc<dyn Fn() -> Result<Box<dyn WindowState>> + Send + Sync>;

/// The rows that a function must see after a row before it can emit the row's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::exec) enum Emission {
    /// Nothing.
    Immediate,
    /// Some rows.
    Delayed,
    /// The rest of the group.
    AtGroupEnd,
}
