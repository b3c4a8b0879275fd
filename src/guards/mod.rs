//! Guards: each corrects one thing that DataFusion 55.2 computes differently from SQL. `guard_session` adds them;
//! everything that runs a plan of windrow (a session, a cluster) goes through it.
//!
//! | guard | what DataFusion does | upstream |
//! |---|---|---|
//! | `checked_arithmetic` | `+`, `-`, `*` and unary minus of integers wrap around | apache/datafusion#17539 |
//! | `exact_sum` | sums of integers wrap around | apache/datafusion#3520 |
//! | `percentile` | the weight between two values is cut to six decimals; the median of integers is an integer | apache/datafusion#25266 |
//! | `moments` | variances, covariances and regressions lose digits the further values are from zero; `corr` over groups is a small difference of large sums | |
//! | `zones` | a cast to a timestamp without zone gives the UTC clock, though a cast to a date gives the day in the zone | |
//! | `datetime_functions` | `to_timestamp` of a text column loses the zone of its type; doubles beyond nanoseconds are clamped, NaN becomes 1970; `date_bin` is NULL beyond them | |
//! | `intervals` | intervals are compared by months, then days, then the rest | |
//! | `membership` | `x IN (SELECT ...)` under NOT, `=` or IS treats unknown as false | |
//! | `decimals` | a cast of a decimal to double does not give the nearest double | |
//! | `operands` | decimals next to doubles become DECIMAL(30, 15); dates and times lose the part of an added interval below their unit | |
//! | `float_keys` | NaN has a sign, and -0.0 comes before 0.0, in orders, groups and comparisons | |
//! | `fine_literals` | a quoted time is cut to the unit of the column that it is compared with | |
//! | `date_part` (in `datetime_functions`) | conditions on it become ranges of times that nanoseconds do not hold | |
//! | `window_filter` | the FILTER of a window aggregate is hidden in its operator | |
//! | unions (a setting) | `InterleaveExec` is rebuilt over inputs that no longer fit together, and the plan fails | apache/datafusion#21826 |
//! | aggregates (a setting) | `IS TRUE` as a grouping key fails the check of nullability | |
//! | limits (a setting) | a LIMIT is pushed below windows that read rows after it | apache/datafusion#25471, #18028 |

mod checked_arithmetic;
mod datetime_functions;
mod decimals;
mod exact_sum;
mod expr_rewrite;
mod fine_literals;
mod float_keys;
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
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
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

/// Adds the settings that keep DataFusion's rules from changing values to those of a session.
pub fn guard_settings(mut settings: SessionConfig) -> SessionConfig {
    let options = settings.options_mut();
    options.optimizer.enable_window_limits = false;
    options.optimizer.prefer_existing_union = true;
    // The check treats IS TRUE as nullable, and fails.
    options.execution.skip_physical_aggregate_schema_check = true;
    settings
}

/// Adds the guards to a session, and leaves out the rules (guards or DataFusion's) that `is_disabled` names.
pub fn guard_session(
    builder: SessionStateBuilder,
    is_disabled: &dyn Fn(&str) -> bool,
) -> SessionStateBuilder {
    let (mut adapting, mut rules) = all_rules();
    adapting.retain(|rule| !is_disabled(rule.name()));
    rules.retain(|rule| !is_disabled(rule.name()));
    builder.with_analyzer_rules(adapting).with_optimizer_rules(rules)
}

/// Returns the names of the guards and of DataFusion's rules that can be disabled.
pub fn logical_rule_names() -> Vec<String> {
    let (adapting, rules) = all_rules();
    // The other analyzer rules give types to expressions, without which nothing can be planned.
    let adapting = adapting.iter().take(1).map(|rule| rule.name().to_string());
    adapting.chain(rules.iter().map(|rule| rule.name().to_string())).collect()
}

/// The names of the rules that give types to expressions, without which nothing can be planned.
pub fn required_rule_names() -> Vec<String> {
    all_rules().0.iter().skip(1).map(|rule| rule.name().to_string()).collect()
}

type AnalyzerRules = Vec<Arc<dyn AnalyzerRule + Send + Sync>>;
type OptimizerRules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// Returns the rules of DataFusion with the guards among them.
fn all_rules() -> (AnalyzerRules, OptimizerRules) {
    let mut rules = Optimizer::new().rules;
    // First, so that constants are computed with checks too.
    for (place, guard) in REWRITE_RULES.into_iter().enumerate() {
        rules.insert(place, Arc::new(guard));
    }
    // After it, since a decimal that becomes a double is no NaN.
    rules.insert(REWRITE_RULES.len(), Arc::new(float_keys::FloatKeys));
    rules.insert(0, Arc::new(membership::Membership));
    let mut adapting = Analyzer::new().rules;
    adapting.insert(0, Arc::new(operands::ExactOperands));
    (adapting, rules)
}

/// Prepares a condition on one row as rules prepare plans: coerces its types and applies the guards.
///
/// # Errors
/// If types do not go together.
pub fn guard_condition(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = operands::adapt_operands(expr, schema)?.data;
    let expr = ExprSimplifier::new(SimplifyContext::default()).coerce(expr, schema)?;
    let expr = REWRITE_RULES
        .iter()
        .try_fold(expr, |expr, guard| guard.rewrite_expr(expr, schema).map(|done| done.data))?;
    Ok(float_keys::unify_nans(expr, schema)?.data)
}

/// Returns whether an operator compares two values.
pub fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Registers the functions of the guards in a session; each replaces DataFusion's function of the same name.
///
/// # Errors
/// If a signature cannot be built.
pub fn register_functions(state: &mut SessionState) -> Result<()> {
    for function in datetime_functions::timestamp_functions(state.config_options()) {
        state.register_udf(Arc::new(function))?;
    }
    state.register_udf(Arc::new(datetime_functions::date_part()))?;
    state.register_udf(Arc::new(datetime_functions::date_bin()))?;
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
