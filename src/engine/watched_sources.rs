//! Sources that change while an engine stays: each is opened again to see its present rows, and replaced only if they
//! are others. Plans that were made before keep the rows that they know.

use std::collections::BTreeMap;

use super::{Engine, PlannedSet};
use crate::config::SourceConfig;
use crate::error::{Error, Result};
use crate::identity::digest_inputs;

/// The state of the rows of a source: equal only if the rows are. None if nothing tells whether they changed.
pub type SourceState = Option<String>;

impl Engine {
    /// Opens a source again and returns the state of its rows. The source replaces the open one unless its state is
    /// `known`.
    ///
    /// # Errors
    /// If there is no such source, or it cannot be read.
    pub async fn refresh_source(&self, name: &str, known: &SourceState) -> Result<SourceState> {
        let open = self.sources().get(name).map(|source| source.config().clone());
        let config = open.clone().or_else(|| self.lazy_sources.get(name).cloned());
        let config = config.ok_or_else(|| Error::query(format!("there is no source {name}")))?;
        let source = self.build_source(name, config).await?;
        let state = digest_inputs(source.input_states().await?);
        if open.is_none() || state.is_none() || state != *known {
            self.register_source(name, source)?;
        }
        Ok(state)
    }

    /// Returns the names of the sources that a planned set reads. A table function is none.
    pub fn read_sources(&self, planned: &PlannedSet) -> Vec<String> {
        let open = self.sources();
        planned.source_names().into_iter().filter(|name| open.contains_key(name)).collect()
    }

    /// Returns the states of the rows that a planned set reads, as this engine has opened them.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub async fn planned_states(
        &self,
        planned: &PlannedSet,
    ) -> Result<BTreeMap<String, SourceState>> {
        let inputs = self.read_input_states(planned).await?;
        Ok(inputs.into_iter().map(|(name, input)| (name, input.state)).collect())
    }

    /// Returns whether a source lies on a server.
    pub fn is_remote_source(&self, name: &str) -> bool {
        let far = |config: &SourceConfig| config.location.contains("://");
        let open = self.sources().get(name).map(|source| far(source.config()));
        open.or_else(|| self.lazy_sources.get(name).map(far)).unwrap_or(false)
    }

    /// Returns a session of its own, with the sources as they are now. Later changes of this engine do not reach it. It
    /// does not open the sources of `down`, which maps their names to anything.
    ///
    /// # Errors
    /// If DataFusion refuses a setting.
    pub async fn open_session_without<T>(&self, down: &BTreeMap<String, T>) -> Result<Self> {
        let mut session = self.fork_session().await?;
        session.lazy_sources.retain(|name, _| !down.contains_key(name));
        Ok(session)
    }
}
