//! Technical indicators as SQL window functions for any Apache DataFusion session.
//!
//! ```text
//! SELECT ts, rsi(close, 14) OVER w, macd(close) OVER w['macdsignal']
//! FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)
//! ```
//!
//! [`register_all`] is the one entry point. Each module depends only on those after it in this
//! list: `arithmetic` (scalar functions), `planner` (the calls in SQL), `docs` (the documentation
//! for users), `udwf` (the adapter to DataFusion), one file per group of functions, `entry` (bound
//! calls and the NULL policy), [`Indicator`] (the trait of one function), [`kernel`] (the
//! components of functions). To add an indicator, write one struct in the file of its group and
//! one line in the table at the top of that file.

mod arithmetic;
mod columns;
mod cross_section;
mod cycle;
pub mod docs;
mod entry;
mod indicator;
pub mod kernel;
mod memory;
mod momentum;
mod operators;
mod overlap;
mod pattern;
mod planner;
mod price;
mod spec_docs;
mod statistic;
mod udwf;
mod volatility;
mod volume;

pub use columns::OutputColumns;
pub use entry::{BoundCall, Entry, Kernel, entry};
pub use indicator::{
    CALM_BARS, CALM_TIMES, CrossSection, EXAMPLE_BARS, Example, ExampleRows, FunctionKind, Group,
    Indicator, Memory, Param, ParamKind, Params, Spec, bars,
};
pub use kernel::MaType;
pub use planner::bound_call;
pub use udwf::evaluator_call;

use datafusion_common::Result;
use datafusion_expr::registry::FunctionRegistry;
use std::sync::Arc;

/// Every table, in the order of the documentation.
static TABLES: [&[Entry]; 33] = [
    overlap::average::INDICATORS,
    overlap::adaptive::INDICATORS,
    overlap::band::INDICATORS,
    overlap::stop::INDICATORS,
    momentum::strength::INDICATORS,
    momentum::stochastic::INDICATORS,
    momentum::direction::INDICATORS,
    momentum::change::INDICATORS,
    momentum::averages::INDICATORS,
    momentum::oscillator::INDICATORS,
    momentum::trend::INDICATORS,
    momentum::swing::INDICATORS,
    momentum::wave::INDICATORS,
    volatility::INDICATORS,
    volatility::spread::INDICATORS,
    volume::INDICATORS,
    volume::flow::INDICATORS,
    statistic::INDICATORS,
    statistic::regression::INDICATORS,
    statistic::rank::INDICATORS,
    operators::INDICATORS,
    operators::extreme::INDICATORS,
    price::INDICATORS,
    cycle::hilbert::INDICATORS,
    cycle::filter::INDICATORS,
    pattern::single::INDICATORS,
    pattern::pair::INDICATORS,
    pattern::star::INDICATORS,
    pattern::march::INDICATORS,
    pattern::gap::INDICATORS,
    pattern::five::INDICATORS,
    pattern::hikkake::INDICATORS,
    cross_section::FUNCTIONS,
];

/// Registers every function, and the planner that fills in defaults and refuses meaningless calls.
///
/// # Errors
/// If the registry takes no functions or no planners.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for entry in all_functions() {
        registry.register_udwf(entry.udwf())?;
    }
    for function in arithmetic::scalar_functions() {
        registry.register_udf(function)?;
    }
    registry.register_expr_planner(Arc::new(planner::CallPlanner))
}

/// Returns every function, group by group.
pub fn all_functions() -> impl Iterator<Item = &'static Entry> {
    TABLES.into_iter().flatten()
}

/// Finds the function with this name.
pub fn find_function(name: &str) -> Option<&'static Entry> {
    all_functions().find(|entry| entry.spec.name == name)
}
