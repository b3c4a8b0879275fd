//! Physical operators of our own. They know plans and batches, not files, SQL or targets.

mod clean;
mod cleaning_stats;
mod dedup;
mod forget_properties;
mod merge_joins;
mod periods;
mod require_order;
mod session_options;
mod shared_buffer;

mod physical_rules;
mod shared_plan;
mod window;

pub use clean::{CleanExec, ErrorLocator, FirstRowLookup, SEQUENCE};
pub use cleaning_stats::{CleaningStats, cleaning_notices};
pub use dedup::DedupExec;
pub use periods::{FileNamer, PeriodsExec, period_keys};
pub use physical_rules::physical_rules;
pub use require_order::{RequireOrderExec, ensure_order, has_independent_partitions};
pub use session_options::WindrowOptions;
pub use shared_plan::{SharedExec, SharedPlan};
pub use window::StreamWindowExec;

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;

/// The order of SQL's `ORDER BY column`.
fn ascending_sort(schema: &SchemaRef, column: usize) -> PhysicalSortExpr {
    let column = Arc::new(Column::new(schema.field(column).name(), column));
    PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: false })
}
