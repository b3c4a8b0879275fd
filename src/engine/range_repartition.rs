//! Range partitioning by entity in place of hash partitioning: each partition, and each file that is written from
//! it, then holds adjacent entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, ScalarValue, SplitPoint};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalSortExpr, RangePartitioning};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, SendableRecordBatchStream,
};
use futures::TryStreamExt;

/// One of `SAMPLE` rows is sampled to choose where ranges begin.
const SAMPLE: usize = 8;

/// The plan node that exchanges or sorts the rows of a source, which a range partitioning can replace.
struct EntityExchange {
    /// The input, in no order.
    input: Arc<dyn ExecutionPlan>,
    /// The column of the entity in the input.
    key: Column,
}

/// Recognizes an exchange by the hash of the entity, or a sort by the entity of a single partition.
fn find_exchange(node: &Arc<dyn ExecutionPlan>, entity: &str) -> Option<EntityExchange> {
    let (input, key) = if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
        let Partitioning::Hash(keys, _) = exchange.partitioning() else { return None };
        let [key] = keys.as_slice() else { return None };
        (exchange.input(), key)
    } else {
        let sort = node.downcast_ref::<SortExec>()?;
        if sort.input().output_partitioning().partition_count() > 1 {
            return None;
        }
        (sort.input(), &sort.expr().first().expr)
    };
    let key = key.downcast_ref::<Column>().filter(|key| key.name() == entity)?;
    Some(EntityExchange { input: Arc::clone(input), key: key.clone() })
}

/// Returns the rows of a source before they are sorted, and the column of the entity; None if the source is in
/// order.
pub(super) fn find_unordered_input(
    plan: &Arc<dyn ExecutionPlan>,
    entity: &str,
) -> Option<(Arc<dyn ExecutionPlan>, usize)> {
    match find_exchange(plan, entity) {
        // An exchange may lie below a sort.
        Some(EntityExchange { input, key }) => {
            Some(find_unordered_input(&input, entity).unwrap_or((input, key.index())))
        }
        None => plan.children().into_iter().find_map(|child| find_unordered_input(child, entity)),
    }
}

/// Returns the plan with range partitioning by entity, split at `splits`.
pub(super) fn repartition_by_range(
    plan: Arc<dyn ExecutionPlan>,
    entity: &str,
    splits: &[String],
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let point = |split: &String| SplitPoint::new(vec![ScalarValue::Utf8View(Some(split.clone()))]);
    let changed = plan.transform_up(|node| {
        let Some(EntityExchange { input, key }) = find_exchange(&node, entity) else {
            return Ok(Transformed::no(node));
        };
        let order = PhysicalSortExpr::new_default(Arc::new(key)).asc().nulls_last();
        let points = splits.iter().map(point).collect();
        let ranges = RangePartitioning::try_new(LexOrdering::from([order]), points)?;
        let mut exchange = RepartitionExec::try_new(input, Partitioning::Range(ranges))?;
        let new: Arc<dyn ExecutionPlan> = match node.downcast_ref::<SortExec>() {
            Some(sort) => {
                let sort = SortExec::new(sort.expr().clone(), Arc::new(exchange));
                Arc::new(sort.with_preserve_partitioning(true))
            }
            None => {
                let old = node.downcast_ref::<RepartitionExec>();
                if old.is_some_and(RepartitionExec::preserve_order) {
                    exchange = exchange.with_preserve_order();
                }
                Arc::new(exchange)
            }
        };
        Ok(Transformed::yes(new))
    });
    changed.map(|changed| changed.data)
}

/// Counts the symbols in a sample of the rows; returns the counts and the number of all rows.
pub(super) async fn sample_symbol_counts(
    mut stream: SendableRecordBatchStream,
    column: usize,
) -> Result<(BTreeMap<String, u64>, u64), DataFusionError> {
    let (mut counts, mut rows) = (BTreeMap::new(), 0);
    while let Some(batch) = stream.try_next().await? {
        let symbols = cast(batch.column(column), &DataType::Utf8View)?;
        let symbols = symbols.as_string_view();
        // The first row is always sampled, so that a file of few rows is not missed.
        for row in (0..batch.num_rows()).step_by(SAMPLE) {
            let symbol = symbols.value(row);
            match counts.get_mut(symbol) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(symbol.to_string(), 1);
                }
            }
        }
        rows += batch.num_rows() as u64;
    }
    Ok((counts, rows))
}
