//! Technical indicators as SQL window functions for any Apache DataFusion session.
//!
//! ```text
//! SELECT ts, rsi(close, 14) OVER w, macd(close) OVER w['macdsignal']
//! FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)
//! ```
//!
//! [`register_all`] is the one door. The rooms behind it, arrows downwards only: `planner` (what
//! SQL says), `docs` (what users read), `udwf` (the adapter and the NULL policy), one file per
//! group of functions, [`Indicator`] (what one is), [`kernel`] (the bricks they are made of). To
//! add an indicator is to write one struct in its group's file and one line in the table at the top
//! of that file.

mod cross_section;
pub mod docs;
mod indicator;
pub mod kernel;
mod momentum;
mod operators;
mod overlap;
mod planner;
mod statistic;
mod udwf;
mod volatility;
mod volume;

pub use indicator::{
    CrossSection, EXAMPLE_BARS, Example, FunctionKind, Group, Indicator, Memory, Param, ParamKind,
    Params, Spec, bars,
};
pub use kernel::MaType;
pub use planner::bound_call;
pub use udwf::{BoundCall, Entry, Kernel, OutputColumns, entry, evaluator_call};

use datafusion_common::Result;
use datafusion_expr::registry::FunctionRegistry;
use std::sync::Arc;

/// Every table, in the order of the documentation.
static TABLES: [&[Entry]; 7] = [
    overlap::INDICATORS,
    momentum::INDICATORS,
    volatility::INDICATORS,
    volume::INDICATORS,
    statistic::INDICATORS,
    operators::INDICATORS,
    cross_section::FUNCTIONS,
];

/// Registers every function, and the planner that fills in defaults and refuses calls without
/// meaning.
///
/// # Errors
/// If the registry takes no window functions or no planners.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for entry in all_functions() {
        registry.register_udwf(entry.udwf())?;
    }
    registry.register_expr_planner(Arc::new(planner::CallPlanner))
}

/// Every function, group by group.
pub fn all_functions() -> impl Iterator<Item = &'static Entry> {
    TABLES.into_iter().flatten()
}

/// The function with this name.
pub fn find_function(name: &str) -> Option<&'static Entry> {
    all_functions().find(|entry| entry.spec.name == name)
}
