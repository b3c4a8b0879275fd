//! Times that lose their zone: `CAST(ts AS TIMESTAMP)` is the clock of the zone, as `CAST(ts AS DATE)` is its day.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::functions::datetime::to_local_time;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Puts the clock of the zone where DataFusion takes that of UTC.
#[derive(Debug)]
pub(super) struct LocalClock;

impl OptimizerRule for LocalClock {
    fn name(&self) -> &str {
        "local_clock"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        // The filters of a scan speak of its columns.
        let schema = match &plan {
            LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
            other => merge_schema(&other.inputs()),
        };
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let local = expr.transform_up(|part| {
                let Expr::Cast(Cast { expr, field }) = part else {
                    return Ok(Transformed::no(part));
                };
                let from = expr.get_type(&schema);
                let zoned = matches!(from, Ok(DataType::Timestamp(_, Some(_))));
                let plain = matches!(field.data_type(), DataType::Timestamp(_, None));
                if !zoned || !plain || is_local(&expr) {
                    return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
                }
                let expr = Box::new(to_local_time().call(vec![*expr]));
                Ok(Transformed::yes(Expr::Cast(Cast { expr, field })))
            })?;
            Ok(local.update_data(|expr| name.restore(expr)))
        })
    }
}

/// Whether an expression has no zone any more.
fn is_local(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == "to_local_time")
}
