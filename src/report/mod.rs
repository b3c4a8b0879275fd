//! What programs are told: one struct for each JSON document, filled from what the engine and the
//! targets give. Doors that speak JSON print these and no others; this room prints nothing, parses
//! no flags and knows no door.
//!
//! Fields stand in the order in which they are printed. `docs/report.schema.json` describes the
//! documents in the words of the fields; `tests/it/report.rs` holds it against them.

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
