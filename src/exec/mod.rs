//! Physical operators of our own. They know plans and batches, not files, SQL or targets.

mod clean;
mod dedup;
mod ordered;
mod report;

pub use clean::{CleanExec, NameError, SEQUENCE};
pub use dedup::DedupExec;
pub use ordered::{OrderedExec, ordered};
pub use report::{Report, reports};
