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

/// The needs of the columns of a plan, in their order. `time` is the name of the time column: a
/// window partitioned by it is cross-sectional and sees one moment only.
///
/// # Errors
/// A call of an indicator with impossible parameters.
pub fn needs(plan: &LogicalPlan, time: &str) -> Result<Vec<Need>> {
    relation::Relation::of(plan, time).map(|relation| relation.needs)
}
