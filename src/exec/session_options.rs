//! Settings of a session that our operators and tables rely on.

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

extensions_options! {
    /// Settings under `windrow.` in a session. They travel wherever a session's settings do.
    pub struct WindrowOptions {
        /// Rows of a period in files that are sorted period by period; 0 for ten batches. A memory
        /// limit may make batches small, which periods of a few rows for each entity would make slow.
        pub period_rows: u64, default = 0
    }
}

impl ConfigExtension for WindrowOptions {
    const PREFIX: &'static str = "windrow";
}

impl WindrowOptions {
    /// The rows of a period for batches of so many rows: few enough to be held three times, and enough
    /// that an entity has many of them.
    pub const fn period_rows_of(batch_size: usize) -> u64 {
        10 * batch_size as u64
    }
}
