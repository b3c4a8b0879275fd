//! The JSON documents for programs: one struct each, filled from the results of the engine and of
//! the targets. Commands that print JSON print these structs and no others. This module prints
//! nothing, parses no flags and does not depend on the command line or the REPL.
//!
//! Fields are in the order in which they are printed. `docs/report.schema.json` repeats the
//! comments of the fields; `tests/it/report.rs` checks that both are the same.

mod export;
mod function;
mod history;
mod limit;
mod plan;
mod progress;
mod run;

pub use export::{ExportReport, ExportStatus, ExportedSet};
pub use function::{FunctionReport, Parameter};
pub use history::{HistoryReport, PastRun, VacuumReport};
pub use limit::LimitReport;
pub use plan::{AllRows, CountedRows, HistoryStep, OutputReport, PlanReport, RowCount};
pub use progress::ProgressEvent;
pub use run::{AuditReport, ColumnReport, InputReport, LeftOutReport, RunReport};
