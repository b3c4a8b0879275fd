//! Functions that need their whole group: its rows are held, and DataFusion's own code computes the
//! results.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::common::Result;
use datafusion::physical_expr::window::WindowExpr;

use super::recompute;
use super::results::WindowResults;
use super::state::{GroupSlice, WindowState};

/// The state of such a function: the rows of a group until it ends.
pub(super) struct WholeGroupState {
    expr: Arc<dyn WindowExpr>,
    rows: Vec<Arc<RecordBatch>>,
}

impl WholeGroupState {
    pub(super) fn new(expr: Arc<dyn WindowExpr>) -> Self {
        Self { expr, rows: Vec::new() }
    }
}

impl WindowState for WholeGroupState {
    fn append_slice(&mut self, slice: &GroupSlice, _: &mut WindowResults) -> Result<()> {
        self.rows.push(slice.cut_batch());
        Ok(())
    }

    fn finish(&mut self, results: &mut WindowResults) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let group = match rows.as_slice() {
            [] => return Ok(()),
            [group] => Arc::clone(group),
            [first, ..] => {
                Arc::new(concat_batches(&first.schema(), rows.iter().map(AsRef::as_ref))?)
            }
        };
        results.push(recompute::evaluate_frames(&self.expr, &group)?);
        Ok(())
    }

    /// Counts no rows: they belong to the operator, which holds them until their results are complete.
    fn memory_size(&self) -> usize {
        size_of::<Self>()
    }
}
