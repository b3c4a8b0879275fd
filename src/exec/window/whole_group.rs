//! Functions that need their whole group: it is held, and DataFusion's own code computes them.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::common::Result;
use datafusion::physical_expr::window::WindowExpr;

use super::function::{GroupSlice, WindowState};
use super::recompute;
use super::results::WindowResults;

/// The rows of a group until it ends.
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

    /// The rows are the operator's, which holds them until their results are there.
    fn memory_size(&self) -> usize {
        size_of::<Self>()
    }
}
