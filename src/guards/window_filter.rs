//! FILTER of window aggregates as a CASE in the argument: DataFusion 55.2 keeps the condition where no operator but
//! its own can see it.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition, when};

/// Aggregates that skip rows whose first argument is NULL.
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

/// Replaces `agg(x) FILTER (WHERE c) OVER w` with `agg(CASE WHEN c THEN x END) OVER w`.
pub(super) fn filter_to_case(expr: Expr, _: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut window) = expr else { return Ok(Transformed::no(expr)) };
    let skips = match &window.fun {
        WindowFunctionDefinition::AggregateUDF(udf) => SKIP_NULLS.contains(&udf.name()),
        WindowFunctionDefinition::WindowUDF(_) => false,
    };
    let params = &mut window.params;
    if !skips || params.args.is_empty() {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    }
    let Some(condition) = params.filter.take() else {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    };
    if let Some(first) = params.args.first_mut() {
        *first = when(*condition, first.clone()).end()?;
    }
    Ok(Transformed::yes(Expr::WindowFunction(window)))
}
