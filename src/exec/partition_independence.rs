//! Detects plans whose partitions may run one after the other.

use std::sync::Arc;

use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use super::clean::CleanExec;
use super::dedup::DedupExec;
use super::forget_properties::ForgetExec;
use super::merge_joins::RangeJoinExec;
use super::require_order::RequireOrderExec;
use super::window::StreamWindowExec;

/// Returns whether each partition of a plan reads only the partition of the same number of its
/// sources, so that the partitions may run one after the other. If rows change partitions, all must
/// run in parallel.
pub fn has_independent_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_apart = plan.is::<BoundedWindowAggExec>()
        || plan.is::<CleanExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<DataSourceExec>()
        || plan.is::<DedupExec>()
        || plan.is::<FilterExec>()
        || plan.is::<ForgetExec>()
        || plan.is::<RequireOrderExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<RangeJoinExec>()
        || plan.is::<SortExec>()
        || plan.is::<StreamWindowExec>()
        || plan.is::<StreamingTableExec>()
        || plan.is::<WindowAggExec>();
    is_apart && plan.children().into_iter().all(has_independent_partitions)
}
