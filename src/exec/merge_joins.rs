//! Turns joins of inputs that are sorted by their keys into merge joins. These hold a few rows in memory, while
//! DataFusion would hold one side as a whole. If both sides are cut alike, they run range by range, while DataFusion
//! would exchange and sort both sides again.

use crate::limits::CROSS_JOIN_FEW;
use std::fmt;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{
    LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    ExecutionPlanProperties, InputDistributionRequirements, PlanProperties,
    SendableRecordBatchStream,
};

/// A key on the left side and the same key on the right side.
type JoinKeyPair = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);
type JoinKeys = Vec<JoinKeyPair>;

/// Swaps the inputs of a cross join so that it holds its small side. DataFusion holds the left one
/// and emits a batch for each of its rows and each batch of the other side. With many rows on the
/// left and one on the right, each batch has one row.
pub(super) fn swap_cross_join(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<CrossJoinExec>() else { return Ok(None) };
    let [left, right] = [small_row_count(join.left())?, small_row_count(join.right())?];
    match (left, right) {
        (None, Some(_)) => join.swap_inputs().map(Some),
        (Some(left), Some(right)) if right < left => join.swap_inputs().map(Some),
        _ => Ok(None),
    }
}

/// Returns the rows of a plan, if they are known to be few.
fn small_row_count(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<usize>> {
    let rows =
        StatisticsContext::default().compute(plan.as_ref(), &StatisticsArgs::new())?.num_rows;
    Ok(match rows {
        Precision::Exact(rows) if rows <= CROSS_JOIN_FEW => Some(rows),
        _ => None,
    })
}

/// Returns a merge join in place of a join whose inputs have the order for it.
pub(super) fn to_merge_join(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = MergeCandidate::from_join_node(node) else { return Ok(None) };
    let Some((keys, order)) = join.keys_in_order() else { return Ok(None) };
    let right = order
        .iter()
        .zip(&keys)
        .map(|(sort, (_, right))| PhysicalSortExpr::new(Arc::clone(right), sort.options));
    let Some(right) = LexOrdering::new(right) else { return Ok(None) };
    if !join.right.equivalence_properties().ordering_satisfy(right)? {
        return Ok(None);
    }
    let merged = SortMergeJoinExec::try_new(
        Arc::clone(join.left),
        Arc::clone(join.right),
        keys,
        join.filter.cloned(),
        join.join_type,
        order.iter().map(|sort| sort.options).collect(),
        join.null_equality,
    )?;
    Ok(Some(RangeJoinExec::wrap_if_aligned(Arc::new(merged))))
}

/// The common properties of joins that may become merge joins.
struct MergeCandidate<'a> {
    left: &'a Arc<dyn ExecutionPlan>,
    right: &'a Arc<dyn ExecutionPlan>,
    on: &'a [JoinKeyPair],
    filter: Option<&'a JoinFilter>,
    join_type: JoinType,
    null_equality: NullEquality,
}

impl<'a> MergeCandidate<'a> {
    fn from_join_node(node: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
            return Some(Self {
                left: &join.left,
                right: &join.right,
                on: &join.on,
                filter: join.filter.as_ref(),
                join_type: join.join_type,
                null_equality: join.null_equality,
            });
        }
        let join = node.downcast_ref::<HashJoinExec>()?;
        if join.contains_projection() || join.null_aware {
            return None;
        }
        Some(Self {
            left: join.left(),
            right: join.right(),
            on: join.on(),
            filter: join.filter(),
            join_type: *join.join_type(),
            null_equality: join.null_equality(),
        })
    }

    /// Returns the keys in the order of the left input, if that is sorted by them.
    fn keys_in_order(&self) -> Option<(JoinKeys, Vec<PhysicalSortExpr>)> {
        let order = self.left.output_ordering()?;
        let (mut keys, mut sorts) = (JoinKeys::new(), Vec::new());
        for sort in order.iter().take(self.on.len()) {
            keys.push(self.on.iter().find(|(left, _)| left.eq(&sort.expr))?.clone());
            sorts.push(sort.clone());
        }
        (keys.len() == self.on.len()).then_some((keys, sorts))
    }
}

/// A merge join of two inputs that are cut into the same ranges of one of the keys: rows that match
/// are in partitions of the same number. DataFusion requires partitions by all keys at once, which
/// ranges of one key do not satisfy.
pub(super) struct RangeJoinExec {
    join: Arc<dyn ExecutionPlan>,
    /// The key that is cut into ranges, on both sides.
    keys: [Arc<dyn PhysicalExpr>; 2],
    properties: Arc<PlanProperties>,
}

impl RangeJoinExec {
    /// Returns the join range by range, or unchanged if its inputs are not cut alike.
    fn wrap_if_aligned(join: Arc<SortMergeJoinExec>) -> Arc<dyn ExecutionPlan> {
        let keys = match (join.left.output_partitioning(), join.right.output_partitioning()) {
            (Partitioning::Range(left), Partitioning::Range(right))
                if left.split_points() == right.split_points() =>
            {
                let sides = (left.ordering().as_ref(), right.ordering().as_ref());
                let ([left], [right]) = sides else { return join };
                let cut = |(l, r): &&JoinKeyPair| l.eq(&left.expr) && r.eq(&right.expr);
                join.on.iter().find(cut).filter(|_| left.options == right.options).cloned()
            }
            _ => None,
        };
        match keys {
            Some((left, right)) => Arc::new(Self::new(join, [left, right])),
            None => join,
        }
    }

    fn new(join: Arc<dyn ExecutionPlan>, keys: [Arc<dyn PhysicalExpr>; 2]) -> Self {
        let properties = PlanProperties::clone(join.properties());
        let kind = join.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type);
        // The columns of the left side come first, and its rows stay in their partitions.
        let properties = match (kind, join.children()[..].first()) {
            (
                Some(JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti),
                Some(left),
            ) => properties.with_partitioning(left.output_partitioning().clone()),
            _ => properties,
        };
        Self { join, keys, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for RangeJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeJoinExec").field("join", &self.join).finish_non_exhaustive()
    }
}

impl DisplayAs for RangeJoinExec {
    fn fmt_as(&self, ty: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RangeJoinExec: by=[{}], ", self.keys[0])?;
        self.join.fmt_as(ty, f)
    }
}

impl ExecutionPlan for RangeJoinExec {
    fn name(&self) -> &'static str {
        "RangeJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.join.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let by = |key: &Arc<dyn PhysicalExpr>| Distribution::KeyPartitioned(vec![Arc::clone(key)]);
        InputDistributionRequirements::co_partitioned(self.keys.iter().map(by).collect())
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.join.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // It does, but a sort for a node above must not move below the order that the merge needs.
        vec![false; 2]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.join.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let join = Arc::clone(&self.join).replace_children(children, options)?;
        Ok(Arc::new(Self::new(join, self.keys.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.join.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.join.metrics()
    }
}
