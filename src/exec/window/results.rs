//! The results of one function until they are emitted.

use std::collections::VecDeque;

use datafusion::arrow::array::{Array, ArrayRef, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use windrow_udfs::{OutputColumns, Spec};

/// Results in the order of the rows; some functions lag behind the rows that they have seen.
pub(super) struct WindowResults {
    ty: DataType,
    parts: VecDeque<ArrayRef>,
    rows: usize,
    /// The columns into which an indicator writes until the batch ends.
    columns: Option<OutputColumns>,
}

impl WindowResults {
    pub(super) fn new(ty: DataType) -> Self {
        Self { ty, parts: VecDeque::new(), rows: 0, columns: None }
    }

    /// Adds results.
    pub(super) fn push(&mut self, part: ArrayRef) {
        if !part.is_empty() {
            self.rows += part.len();
            self.parts.push_back(part);
        }
    }

    /// Returns the columns of an indicator, with room for `capacity` rows.
    pub(super) fn indicator_columns(&mut self, spec: &Spec, capacity: usize) -> &mut OutputColumns {
        self.columns.get_or_insert_with(|| OutputColumns::new(spec, capacity))
    }

    /// Ends a batch: turns the values that indicators wrote into an array.
    pub(super) fn flush_columns(&mut self) {
        if let Some(columns) = self.columns.take() {
            self.push(columns.finish());
        }
    }

    /// Returns the number of results that are ready.
    pub(super) fn ready_rows(&self) -> usize {
        self.rows
    }

    /// Returns the bytes of the results that are buffered.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.get_array_memory_size()).sum()
    }

    /// Takes the first `rows` results.
    pub(super) fn take_rows(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut wanted = rows;
        while wanted > 0
            && let Some(part) = self.parts.pop_front()
        {
            if part.len() <= wanted {
                wanted -= part.len();
                parts.push(part);
            } else {
                self.parts.push_front(part.slice(wanted, part.len() - wanted));
                parts.push(part.slice(0, wanted));
                wanted = 0;
            }
        }
        self.rows -= rows - wanted;
        Ok(match parts.as_slice() {
            [] => new_empty_array(&self.ty),
            [part] => ArrayRef::clone(part),
            parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        })
    }
}
