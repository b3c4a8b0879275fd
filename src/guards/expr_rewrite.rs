//! The optimizer rule that applies guards: it replaces parts of the expressions of a plan.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// A function that replaces a part of an expression over the columns of a schema.
type ExprRewrite = fn(Expr, &DFSchema) -> Result<Transformed<Expr>>;

/// A rule that replaces parts of all expressions of a plan, from the outside to the inside. Outputs keep their names.
#[derive(Debug)]
pub(super) struct ExprRewriteRule {
    name: &'static str,
    part: ExprRewrite,
}

impl ExprRewriteRule {
    pub(super) const fn new(name: &'static str, part: ExprRewrite) -> Self {
        Self { name, part }
    }

    /// Replaces the parts of one expression.
    pub(super) fn rewrite_expr(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        expr.transform_down(|part| (self.part)(part, schema))
    }
}

impl OptimizerRule for ExprRewriteRule {
    fn name(&self) -> &str {
        self.name
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
        // The filters of a scan refer to its columns.
        let schema = match &plan {
            LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
            other => merge_schema(&other.inputs()),
        };
        let names = NamePreserver::new(&plan);
        let replaced = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(self.rewrite_expr(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })?;
        replaced.map_data(|plan| plan.recompute_schema())
    }
}
