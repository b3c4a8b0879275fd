//! Functions that need their whole group: it is held, and DataFusion's own code computes them.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::common::Result;
use datafusion::physical_expr::window::WindowExpr;

use super::anew;
use super::function::{Running, Slice};
use super::results::Results;

/// The rows of a group until it ends.
pub(super) struct Whole {
    expr: Arc<dyn WindowExpr>,
    rows: Vec<Arc<RecordBatch>>,
}

impl Whole {
    pub(super) fn new(expr: Arc<dyn WindowExpr>) -> Self {
        Self { expr, rows: Vec::new() }
    }
}

impl Running for Whole {
    fn append(&mut self, slice: &Slice, _: &mut Results) -> Result<()> {
        self.rows.push(slice.own());
        Ok(())
    }

    fn finish(&mut self, results: &mut Results) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let group = match rows.as_slice() {
            [] => return Ok(()),
            [group] => Arc::clone(group),
            [first, ..] => {
                Arc::new(concat_batches(&first.schema(), rows.iter().map(AsRef::as_ref))?)
            }
        };
        results.push(anew::evaluate(&self.expr, &group)?);
        Ok(())
    }

    /// The rows are the operator's, which holds them until their results are there.
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}
