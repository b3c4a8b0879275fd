//! What DataFusion 55.2 computes otherwise than SQL says, put right in one place each. `guard_session` is the one
//! door; whatever runs a plan of windrow's (a session, a cluster) goes through it.
//!
//! | guard | what DataFusion does | upstream |
//! |---|---|---|
//! | `integers` | `+`, `-`, `*` and unary minus of integers wrap around | apache/datafusion#17539 |
//! | `exact_sum` | sums of integers wrap around | apache/datafusion#3520 |
//! | `percentile` | the weight between two values is cut to six decimals; the median of integers is one | apache/datafusion#25266 |
//! | `moments` | variances, covariances and regressions lose digits with the distance from zero; `corr` of groups takes a small difference of large sums | |
//! | `zones` | a time that loses its zone keeps the clock of UTC, though its day is that of the zone | |
//! | `instants` | `to_timestamp` of a column of text loses the zone of its type; doubles beyond nanoseconds are clamped, NaN is 1970 | |
//! | `intervals` | intervals are compared by months, then days, then the rest | |
//! | `membership` | `x IN (SELECT ...)` under NOT, `=` or IS takes unknown for false | |
//! | `decimals` | a decimal becomes a double that is not the nearest | |
//! | `operands` | decimals beside doubles become DECIMAL(30, 15); dates and times lose what is added below their unit | |
//! | `fine_literals` | a time in quotes is cut to the unit of the column that it is compared with | |
//! | `date_part` (in `instants`) | conditions on it become ranges of times that nanoseconds do not hold | |
//! | `filtered` | FILTER of an aggregate over a window is hidden in its operator | |
//! | unions (a setting) | `InterleaveExec` is rebuilt over parts that no longer fit together, and the plan fails | apache/datafusion#21826 |
//! | aggregates (a setting) | `IS TRUE` as a key of groups fails a check of what may be NULL | |
//! | limits (a setting) | a LIMIT goes below windows that read rows behind it | apache/datafusion#25471, #18028 |

mod checked_arithmetic;
mod datetime_functions;
mod decimals;
mod exact_sum;
mod expr_rewrite;
mod fine_literals;
mod intervals;
mod membership;
mod moments;
mod operands;
mod percentile;
mod time_units;
mod window_filter;
mod zones;

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, Expr, Operator};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion::optimizer::{Analyzer, Optimizer};
use datafusion::prelude::SessionConfig;

use expr_rewrite::ExprRewriteRule;

pub use decimals::nearest_doubles;
pub use exact_sum::ExactSum;
pub use moments::{MomentAggregate, MomentKind, SampleMoments};
pub use operands::append_seconds;
pub use time_units::{nanoseconds_per_unit, timestamp_scalar};

/// The guards that replace parts of expressions.
const REWRITE_RULES: [ExprRewriteRule; 6] = [
    ExprRewriteRule::new("check_integers", checked_arithmetic::check_arithmetic),
    ExprRewriteRule::new("filter_to_case", window_filter::filter_to_case),
    ExprRewriteRule::new("local_clock", zones::local_clock),
    ExprRewriteRule::new("lengths_of_intervals", intervals::compare_interval_lengths),
    ExprRewriteRule::new("nearest_doubles", decimals::replace_decimal_casts),
    ExprRewriteRule::new("fine_literals", fine_literals::rewrite_fine_comparison),
];

/// The settings of a session with those that keep DataFusion's rules from changing values.
pub fn guard_settings(mut settings: SessionConfig) -> SessionConfig {
    let options = settings.options_mut();
    options.optimizer.enable_window_limits = false;
    options.optimizer.prefer_existing_union = true;
    // It takes IS TRUE for what may be NULL, and fails.
    options.execution.skip_physical_aggregate_schema_check = true;
    settings
}

/// Adds the guards to a session.
pub fn guard_session(builder: SessionStateBuilder) -> SessionStateBuilder {
    let mut rules = Optimizer::new().rules;
    // First, so that constants are computed with checks too.
    for (place, guard) in REWRITE_RULES.into_iter().enumerate() {
        rules.insert(place, Arc::new(guard));
    }
    rules.insert(0, Arc::new(membership::Membership));
    let mut adapting = Analyzer::new().rules;
    adapting.insert(0, Arc::new(operands::ExactOperands));
    builder.with_analyzer_rules(adapting).with_optimizer_rules(rules)
}

/// A condition on one row, in the types that it is computed in, with the guards that rules put into plans.
///
/// # Errors
/// Of types that do not go together.
pub fn guard_condition(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = operands::adapt_operands(expr, schema)?.data;
    let expr = ExprSimplifier::new(SimplifyContext::default()).coerce(expr, schema)?;
    REWRITE_RULES.iter().try_fold(expr, |expr, guard| Ok(guard.rewrite_expr(expr, schema)?.data))
}

/// Whether an operator compares two values.
pub fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Puts functions into a session in the place of DataFusion's of the same name.
///
/// # Errors
/// If a signature cannot be built.
pub fn register_functions(state: &mut SessionState) -> Result<()> {
    for function in datetime_functions::timestamp_functions(state.config_options()) {
        state.register_udf(Arc::new(function))?;
    }
    state.register_udf(Arc::new(datetime_functions::date_part()))?;
    for function in replacement_aggregates()? {
        state.register_udaf(function)?;
    }
    Ok(())
}

fn replacement_aggregates() -> Result<Vec<Arc<AggregateUDF>>> {
    let moments =
        moments::moment_aggregates().into_iter().map(AggregateUDF::new_from_impl).map(Arc::new);
    let others = [
        Arc::new(AggregateUDF::new_from_impl(ExactSum::new())),
        Arc::new(AggregateUDF::new_from_impl(percentile::Percentile::new_continuous()?)),
        Arc::new(AggregateUDF::new_from_impl(percentile::Percentile::new_median()?)),
    ];
    Ok(moments.chain(others).collect())
}
