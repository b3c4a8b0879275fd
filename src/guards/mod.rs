//! What DataFusion 55.2 computes otherwise than SQL says, put right in one place each. `guard` is the one
//! door; whatever runs a plan of windrow's (a session, a cluster) goes through it.
//!
//! | guard | what DataFusion does | upstream |
//! |---|---|---|
//! | `integers` | `+`, `-`, `*` and unary minus of integers wrap around | apache/datafusion#17539 |
//! | `exact_sum` | sums of integers wrap around | apache/datafusion#3520 |
//! | `percentile` | the weight between two values is cut to six decimals; the median of integers is one | apache/datafusion#25266 |
//! | `moments` | variances, covariances and regressions lose digits with the distance from zero; `corr` of groups takes a small difference of large sums | |
//! | `zones` | a time that loses its zone keeps the clock of UTC, though its day is that of the zone | |
//! | `filtered` | FILTER of an aggregate over a window is hidden in its operator | |
//! | unions (a setting) | `InterleaveExec` is rebuilt over parts that no longer fit together, and the plan fails | apache/datafusion#21826 |
//! | limits (a setting) | a LIMIT goes below windows that read rows behind it | apache/datafusion#25471, #18028 |

mod exact_sum;
mod filtered;
mod integers;
mod moments;
mod parts;
mod percentile;
mod zones;

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, Expr};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion::prelude::SessionConfig;

use parts::Parts;

pub use exact_sum::ExactSum;
pub use moments::{Figures, Moment, Moments};

/// The guards that replace parts of expressions.
const PARTS: [Parts; 3] = [
    Parts::new("check_integers", integers::checked),
    Parts::new("filter_to_case", filtered::to_case),
    Parts::new("local_clock", zones::local_clock),
];

/// The settings of a session with those that keep DataFusion's rules from changing values.
pub fn settings(mut settings: SessionConfig) -> SessionConfig {
    let options = settings.options_mut();
    options.optimizer.enable_window_limits = false;
    options.optimizer.prefer_existing_union = true;
    settings
}

/// Adds the guards to a session.
pub fn guard(builder: SessionStateBuilder) -> SessionStateBuilder {
    let mut rules = Optimizer::new().rules;
    // First, so that constants are computed with checks too.
    for (place, guard) in PARTS.into_iter().enumerate() {
        rules.insert(place, Arc::new(guard));
    }
    builder.with_optimizer_rules(rules)
}

/// A condition on one row, in the types that it is computed in, with the guards that rules put into plans.
///
/// # Errors
/// Of types that do not go together.
pub fn condition(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = ExprSimplifier::new(SimplifyContext::default()).coerce(expr, schema)?;
    PARTS.iter().try_fold(expr, |expr, guard| Ok(guard.replace(expr, schema)?.data))
}

/// Functions that take the place of DataFusion's of the same name.
///
/// # Errors
/// If a signature cannot be built.
pub fn functions() -> Result<Vec<Arc<AggregateUDF>>> {
    let moments = moments::all().into_iter().map(AggregateUDF::new_from_impl).map(Arc::new);
    let others = [
        Arc::new(AggregateUDF::new_from_impl(ExactSum::new())),
        Arc::new(AggregateUDF::new_from_impl(percentile::Percentile::continuous()?)),
        Arc::new(AggregateUDF::new_from_impl(percentile::Percentile::median()?)),
    ];
    Ok(moments.chain(others).collect())
}
