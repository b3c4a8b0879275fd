//! Physical operators of our own. They know plans and batches, not files, SQL or targets.

mod clean;
mod dedup;
mod ordered;
mod report;
mod rule;
mod stream_window;

pub use clean::{CleanExec, NameError, SEQUENCE};
pub use dedup::DedupExec;
pub use ordered::{OrderedExec, ordered};
pub use report::{Report, reports};
pub use rule::physical_rules;
pub use stream_window::StreamWindowExec;
