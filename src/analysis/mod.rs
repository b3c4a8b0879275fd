//! What a logical plan needs and leaks: lookback, warm-up, look-ahead; and what each column is
//! computed by. Reads plans, runs nothing.

mod column_digest;
mod expr_text;
mod join_timing;
mod need;
mod relation;
mod row_dependency;
mod row_history;
mod window_need;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;

pub use column_digest::column_digests;
pub use need::{LookAhead, Need};
pub use row_dependency::RowDependency;
pub use row_history::{RowCounting, RowHistory, StepBack};

/// What a plan reads, as far as names tell.
#[derive(Clone, Copy)]
pub struct PlanNames<'a> {
    /// The output that names the entity.
    pub entity: &'a str,
    /// The time column: a window partitioned by it is cross-sectional and sees one moment only.
    pub time: &'a str,
    /// The entity and the time column of a table that has them.
    pub keys: &'a dyn Fn(&str) -> Option<(String, String)>,
    /// Whether a column of a table was written as a label, which tells of later rows.
    pub is_label: &'a dyn Fn(&str, &str) -> bool,
}

/// The needs of the columns of a plan, in their order.
///
/// # Errors
/// A call of an indicator with impossible parameters.
pub fn plan_needs(plan: &LogicalPlan, names: PlanNames<'_>) -> Result<Vec<Need>> {
    relation::Relation::analyze_node(plan, names).map(relation::Relation::into_needs)
}
