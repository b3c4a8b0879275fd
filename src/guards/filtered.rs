//! FILTER of aggregates over windows, as a CASE in the argument: DataFusion 55.2 keeps the condition where no
//! operator but its own can see it.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition, when};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Aggregates that leave rows out whose first argument is NULL.
const SKIP_NULLS: [&str; 28] = [
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "max",
    "median",
    "min",
    "percentile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Puts `agg(CASE WHEN c THEN x END) OVER w` in the place of `agg(x) FILTER (WHERE c) OVER w`.
#[derive(Debug)]
pub(super) struct FilterToCase;

impl OptimizerRule for FilterToCase {
    fn name(&self) -> &str {
        "filter_to_case"
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
        if !matches!(plan, LogicalPlan::Window(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|part| match part {
                Expr::WindowFunction(window) => with_case(*window),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    }
}

fn with_case(mut window: WindowFunction) -> Result<Transformed<Expr>> {
    let skips = match &window.fun {
        WindowFunctionDefinition::AggregateUDF(udf) => SKIP_NULLS.contains(&udf.name()),
        WindowFunctionDefinition::WindowUDF(_) => false,
    };
    let params = &mut window.params;
    if !skips || params.args.is_empty() {
        return Ok(Transformed::no(Expr::from(window)));
    }
    let Some(condition) = params.filter.take() else {
        return Ok(Transformed::no(Expr::from(window)));
    };
    if let Some(first) = params.args.first_mut() {
        *first = when(*condition, first.clone()).end()?;
    }
    Ok(Transformed::yes(Expr::from(window)))
}
