//! The events that are printed while a command works.

use serde::{Deserialize, Serialize};

/// One line of `--progress json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProgressEvent {
    /// The work began; printed once.
    Started {
        /// The work in progress: a feature set, `compact`, `export`, or `sample bars` of the demo.
        set: String,
    },
    /// The state of the work, about twice a second.
    Progress {
        /// The work in progress: a feature set, `compact`, `export`, or `sample bars` of the demo.
        set: String,
        /// Rows written so far.
        rows: u64,
        /// Rows read so far.
        read: u64,
        /// Rows that the source reports to have; null while that is not known.
        total: Option<u64>,
        /// Wall seconds since the start.
        seconds: f64,
        /// Rows written per second since the start, or read while none is written yet; null before
        /// the first.
        rows_per_second: Option<f64>,
        /// Seconds that the work will still take, an estimate; null while that is not known.
        remaining_seconds: Option<f64>,
    },
    /// The work is done, and its output is committed; printed once.
    Finished {
        /// The work in progress: a feature set, `compact`, `export`, or `sample bars` of the demo.
        set: String,
        /// Rows that were written.
        rows: u64,
        /// Wall seconds of the work.
        seconds: f64,
    },
    /// The work failed; printed once, in place of `finished`.
    Failed {
        /// The work in progress: a feature set, `compact`, `export`, or `sample bars` of the demo.
        set: String,
        /// Wall seconds until then.
        seconds: f64,
        /// The error, and a hint on how to solve it.
        error: String,
    },
}
