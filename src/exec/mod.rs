//! Physical operators of our own. They know plans and batches, not files, SQL or targets.

mod clean;
mod cleaning_stats;
mod dedup;
mod forget;
mod joins;
mod kept;
mod options;
mod ordered;
mod periods;

mod rule;
mod shared;
mod window;

pub use clean::{CleanExec, FirstRow, NameError, SEQUENCE};
pub use cleaning_stats::{CleaningStats, reports};
pub use dedup::DedupExec;
pub use options::WindrowOptions;
pub use ordered::{OrderedExec, independent, ordered};
pub use periods::{NameFile, PeriodsExec, by_periods};
pub use rule::physical_rules;
pub use shared::{Shared, SharedExec};
pub use window::StreamWindowExec;

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;

/// The order of SQL's `ORDER BY column`.
fn ascending(schema: &SchemaRef, column: usize) -> PhysicalSortExpr {
    let column = Arc::new(Column::new(schema.field(column).name(), column));
    PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: false })
}
