//! The options of one run, and its outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::Scope;
use crate::commit::Target;
use crate::error::Result;
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
    /// The jobs of a queue that the run computes, for its record.
    pub jobs: Vec<String>,
    /// The permission to commit, which is asked for right before the commit.
    pub permit: CommitPermit,
    /// The signal to stop.
    pub stop: Stop,
}

impl RunOptions {
    /// Returns the options of a run over everything into a target, with default settings.
    pub fn new(target: Target, stop: Stop) -> Self {
        Self {
            target,
            scope: Scope::default(),
            params: BTreeMap::new(),
            replace: false,
            merge: false,
            keep_going: false,
            progress: Arc::default(),
            jobs: Vec::new(),
            permit: CommitPermit::default(),
            stop,
        }
    }
}

/// A question that is asked right before a commit: whether the run may still commit. Its error ends the run, and the
/// target is then as it was.
#[derive(Clone, Default)]
pub struct CommitPermit(Option<Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>>);

impl CommitPermit {
    /// Creates a permission that a function gives.
    pub fn new(ask: impl Fn() -> BoxFuture<'static, Result<()>> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    /// Asks for the permission.
    pub(super) async fn ask(&self) -> Result<()> {
        match &self.0 {
            Some(ask) => ask().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CommitPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "asks" } else { "always" })
    }
}

/// The outcome of a committed run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The record of the run.
    pub record: Record,
    /// The target that holds the rows.
    pub target: Target,
}
