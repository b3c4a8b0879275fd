//! What a logical plan needs and leaks: lookback, warm-up, look-ahead; and what each column is
//! computed by. Reads plans, runs nothing.

mod call;
mod column_digest;
mod history;
mod joins;
mod need;
mod relation;
mod text;
mod window;

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;

pub use call::Call;
pub use column_digest::column_digests;
pub use history::{Counted, History, Reach};
pub use need::{Ahead, Need};

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
pub fn needs(plan: &LogicalPlan, names: PlanNames<'_>) -> Result<Vec<Need>> {
    relation::Relation::of(plan, names).map(relation::Relation::into_needs)
}
