//! The options of one run, and its outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Scope;
use crate::commit::Target;
use crate::stop::Stop;
use crate::store::Record;
use crate::write::Progress;

/// The options of a run of a feature set.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The target to write.
    pub target: Target,
    /// The symbols and the time range to compute.
    pub scope: Scope,
    /// Parameters, as `--set` gives them.
    pub params: BTreeMap<String, String>,
    /// True to replace another set that the target holds.
    pub replace: bool,
    /// True to replace just the rows of the scope, and to retain all other rows of the target.
    pub merge: bool,
    /// True to leave out symbols and files that cannot be computed, instead of failing.
    pub keep_going: bool,
    /// The counter of rows.
    pub progress: Arc<Progress>,
    /// The signal to stop.
    pub stop: Stop,
}

/// The outcome of a committed run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The record of the run.
    pub record: Record,
    /// The target that holds the rows.
    pub target: Target,
}
