//! Analyses logical plans: the lookback, warm-up and look-ahead of each column, and a digest of its
//! computation. Reads plans, runs nothing.

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

/// The names of the keys and labels of a plan and of the tables that it reads.
#[derive(Clone, Copy)]
pub struct PlanNames<'a> {
    /// The output column of the entity.
    pub entity: &'a str,
    /// The time column. A window partitioned by it is cross-sectional and sees one moment only.
    pub time: &'a str,
    /// Returns the entity and time columns of a table, if it has them.
    pub keys: &'a dyn Fn(&str) -> Option<(String, String)>,
    /// Returns whether a column of a table was written as a label, which depends on later rows.
    pub is_label: &'a dyn Fn(&str, &str) -> bool,
}

/// Returns the needs of the columns of a plan, in their order.
///
/// # Errors
/// A call of an indicator has impossible parameters.
pub fn plan_needs(plan: &LogicalPlan, names: PlanNames<'_>) -> Result<Vec<Need>> {
    relation::Relation::analyze_node(plan, names).map(relation::Relation::into_needs)
}
