//! windrow's own physical operators. They know plans and batches, not files, SQL or targets.

mod clean;
mod cleaning_stats;
mod dedup;
mod forget_properties;
mod merge_joins;
mod partition_independence;
mod period_keys;
mod periods;
mod physical_rules;
mod require_order;
mod session_options;
mod shared_buffer;
mod shared_plan;
mod window;
mod window_steps;

pub use clean::{
    CleanExec, ErrorLocator, FileNamer, FileVerifier, FirstRowLookup, SEQUENCE, ScannedFiles,
};
pub use cleaning_stats::{CleaningStats, cleaning_notices};
pub use dedup::{DedupExec, PeriodFinder};
pub use partition_independence::has_independent_partitions;
pub use period_keys::period_keys;
pub use periods::PeriodsExec;
pub use physical_rules::{REQUIREMENTS, physical_rule_names, physical_rules};
pub use require_order::{RequireOrderExec, ensure_order};
pub use session_options::{DisabledRules, WindrowOptions};
pub use shared_plan::{SharedExec, SharedPlan};
pub use window::StreamWindowExec;

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;

/// Returns the order of SQL's `ORDER BY column`.
fn ascending_sort(schema: &SchemaRef, column: usize) -> PhysicalSortExpr {
    let column = Arc::new(Column::new(schema.field(column).name(), column));
    PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: false })
}
