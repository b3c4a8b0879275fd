//! Feature sets as they are now: planned over the present rows of their sources, and known by identity.
//!
//! A view is made once for each set, parameters and state of the sources, and shared by all who ask: requests, and the
//! batches of workers. Its session never changes, so rows that it computes belong to its identity as long as the
//! sources have the same state after the computation as before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use futures::FutureExt;
use tokio::sync::OnceCell;

use super::source_watch::{SourceStates, SourceWatch};
use crate::commit::Target;
use crate::engine::{CommittedRows, Engine, PlannedSet};
use crate::error::{Error, Result, did_you_mean};
use crate::feature_set::FeatureSet;
use crate::identity::digest_texts;
use crate::limits::{INPUTS_CHANGED, INPUTS_CHECK, INPUTS_PATIENCE, PLANNED_SETS};
use crate::stop::Stopper;
use crate::traces::trace_step;

/// Parameters of a set, by name.
pub type SetParams = BTreeMap<String, String>;

/// A planned set over one state of its sources.
pub struct SetView {
    /// The session that planned it.
    pub session: Engine,
    /// The set.
    pub planned: PlannedSet,
    /// The digest of the definition.
    pub definition: String,
    /// The identity of its rows: equal only if the rows are.
    pub identity: String,
    states: SourceStates,
    symbols: OnceCell<BTreeMap<String, u64>>,
    committed: tokio::sync::Mutex<Option<CommittedLook>>,
}

/// The committed target that somebody found for a view, and when.
struct CommittedLook {
    at: Instant,
    found: Option<Arc<CommittedRows>>,
}

impl SetView {
    /// Returns the symbols of the set, each with its number of rows.
    ///
    /// # Errors
    /// If the data is at fault.
    pub async fn symbols(&self) -> Result<&BTreeMap<String, u64>> {
        let (_never, stop) = Stopper::new();
        let count = || self.session.count_symbol_rows(&self.planned, &stop);
        self.symbols.get_or_try_init(count).await
    }

    /// Returns whether the symbols have been counted.
    pub fn knows_symbols(&self) -> bool {
        self.symbols.initialized()
    }

    /// Reads the rows of a symbol from a committed target that has them; None if there is none. Targets are looked at
    /// once in a while. One that cannot be read counts as none: the rows are computed.
    pub async fn read_committed(&self, symbol: &str) -> Option<RecordBatch> {
        let found = self.find_committed().await.filter(|found| found.has_symbol(symbol))?;
        match self.session.read_committed_symbol(&found, &self.planned, symbol).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!("the rows of {symbol} are computed, not read: {error}");
                None
            }
        }
    }

    async fn find_committed(&self) -> Option<Arc<CommittedRows>> {
        let mut look = self.committed.lock().await;
        if let Some(known) = look.as_ref().filter(|known| known.at.elapsed() < INPUTS_CHECK) {
            return known.found.clone();
        }
        let set = &self.planned.set.name;
        let config = self.session.config();
        let states = self.states.iter();
        let states = states.map(|(name, state)| (name.clone(), Some(state.clone()))).collect();
        let mut found = None;
        for name in config.targets.keys() {
            let target = config.resolve_set_target(name, Some(set));
            let Ok(target) = target.and_then(|location| Target::parse(&location)) else { continue };
            let looked = self.session.find_committed_rows(target, &self.planned, &states);
            match tokio::time::timeout(INPUTS_PATIENCE, looked).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(rows))) => found = Some(Arc::new(rows)),
                // A target that is away is no reason to fail: the rows are computed.
                Ok(Err(error)) => {
                    tracing::warn!("the target {name} was not asked for {set}: {error}")
                }
                Err(_) => tracing::warn!("the target {name} did not answer"),
            }
        }
        *look = Some(CommittedLook { at: Instant::now(), found: found.clone() });
        found
    }

    /// Returns the names of the sources that it reads.
    pub fn source_names(&self) -> Vec<String> {
        self.states.keys().cloned().collect()
    }
}

/// The sets of a process as they were loaded last. A reload replaces them; whoever works goes on with those that it
/// began with.
pub struct SetViews(RwLock<Arc<LoadedSets>>);

impl SetViews {
    /// Creates the sets of a process.
    pub fn new(sets: LoadedSets) -> Self {
        Self(RwLock::new(Arc::new(sets)))
    }

    /// Returns the sets that were loaded last.
    pub fn loaded(&self) -> Arc<LoadedSets> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the sets.
    pub fn reload(&self, sets: LoadedSets) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sets);
    }
}

/// Sets with the engine that plans them, and the views that were made so far.
pub struct LoadedSets {
    engine: Arc<Engine>,
    watch: SourceWatch,
    sets: BTreeMap<String, FeatureSet>,
    views: Mutex<Vec<CachedView>>,
}

struct CachedView {
    set: String,
    params: SetParams,
    /// Makes one view at a time; the others wait for it.
    place: Arc<tokio::sync::Mutex<Option<Arc<SetView>>>>,
}

impl LoadedSets {
    /// Creates the views of an engine. `check` is the age up to which the state of a source counts as known; None for
    /// the default of each source. `sets` are all sets that callers may name.
    pub fn new(engine: Engine, check: Option<Duration>, sets: Vec<FeatureSet>) -> Self {
        let engine = Arc::new(engine);
        let watch = SourceWatch::new(Arc::clone(&engine), check);
        let sets = sets.into_iter().map(|set| (set.name.clone(), set)).collect();
        Self { engine, watch, sets, views: Mutex::default() }
    }

    /// Returns all sets by name.
    pub fn sets(&self) -> &BTreeMap<String, FeatureSet> {
        &self.sets
    }

    /// Returns the engine. Its sources are those of the last look.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the watch over the sources.
    pub fn watch(&self) -> &SourceWatch {
        &self.watch
    }

    /// Returns a set by its name.
    ///
    /// # Errors
    /// If there is no such set; the hint has the nearest name.
    pub fn set(&self, name: &str) -> Result<&FeatureSet> {
        self.sets.get(name).ok_or_else(|| {
            let known = self.sets.keys().map(String::as_str);
            let hint = did_you_mean(name, "sets", known);
            Error::query(format!("there is no feature set {name}")).hint(hint)
        })
    }

    /// Returns a set over the present rows of its sources.
    ///
    /// # Errors
    /// If there is no such set, if it is wrong, or if a source cannot be read.
    pub async fn view(&self, name: &str, params: &SetParams) -> Result<Arc<SetView>> {
        let set = self.set(name)?;
        let place = self.place(name, params);
        let mut held = place.lock().await;
        if let Some(view) = &*held {
            let states = self.watch.states(&view.source_names()).await?;
            if states == view.states {
                return Ok(Arc::clone(view));
            }
        }
        let view = trace_step("plan", self.make_view(set, params)).await?;
        let view = Arc::new(view);
        *held = Some(Arc::clone(&view));
        Ok(view)
    }

    /// Returns whether the sources of a view still have the state that it knows, by a look that begins now.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub async fn is_current(&self, view: &SetView) -> Result<bool> {
        Ok(self.watch.states_from_now_on(&view.source_names()).await? == view.states)
    }

    async fn make_view(&self, set: &FeatureSet, params: &SetParams) -> Result<SetView> {
        // Planning opens sources, and waits for those that are down: the watch knows them, and waits for none twice.
        let mut down = BTreeMap::new();
        for name in self.mentioned_sources(set) {
            if let Err(error) = self.watch.state(&name).await {
                down.insert(name, error);
            }
        }
        let mut names = Vec::new();
        for _ in 0..=INPUTS_CHANGED {
            let mut states = self.watch.states(&names).await?;
            let session = self.engine.open_session_without(&down).boxed().await?;
            let planned = session.plan_set(set.clone(), params).boxed().await;
            let planned =
                planned.map_err(|error| down.values().next().cloned().unwrap_or(error))?;
            let read = session.read_sources(&planned);
            if read.iter().any(|name| !names.contains(name)) {
                names = read; // The first plan tells which sources there are to look at.
                continue;
            }
            states.retain(|name, _| read.contains(name));
            // Another caller may have looked between the states and the session.
            let planned_states = session.planned_states(&planned).await?;
            let same = |(name, state): (&String, &Option<String>)| {
                state.as_ref().is_none_or(|state| states.get(name) == Some(state))
            };
            if planned_states.iter().all(same) {
                let definition = session.definition_fingerprint(&planned);
                let identity = rows_identity(&definition, &states);
                return Ok(SetView {
                    session,
                    planned,
                    definition,
                    identity,
                    states,
                    symbols: OnceCell::new(),
                    committed: tokio::sync::Mutex::new(None),
                });
            }
        }
        Err(changing_inputs_error(&set.name))
    }

    /// Returns the configured sources that the text of a set mentions, and those that the sets in it mention: more than
    /// it reads, if a comment names one.
    fn mentioned_sources(&self, set: &FeatureSet) -> BTreeSet<String> {
        let configured = &self.engine.config().sources;
        let (mut sources, mut seen) = (BTreeSet::new(), BTreeSet::from([set.name.clone()]));
        let mut texts = vec![set.to_text().text];
        while let Some(text) = texts.pop() {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            for word in text.split(|c| !is_part(c)) {
                let source = word.strip_suffix("_raw").unwrap_or(word);
                let names =
                    [word, source].into_iter().filter(|name| configured.contains_key(*name));
                sources.extend(names.map(str::to_string));
                if let Some(read) = self.sets.get(word)
                    && seen.insert(word.to_string())
                {
                    texts.push(read.to_text().text);
                }
            }
        }
        sources
    }

    /// Returns the place of a view. The one that was used longest ago gives way.
    fn place(
        &self,
        set: &str,
        params: &SetParams,
    ) -> Arc<tokio::sync::Mutex<Option<Arc<SetView>>>> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let found = views.iter().position(|view| view.set == set && view.params == *params);
        let view = match found {
            Some(at) => views.remove(at),
            None => {
                if views.len() >= PLANNED_SETS {
                    views.remove(0);
                }
                let (set, params) = (set.to_string(), params.clone());
                CachedView { set, params, place: Arc::default() }
            }
        };
        let place = Arc::clone(&view.place);
        views.push(view);
        place
    }
}

/// Returns the identity of the rows of a definition over states of its sources.
fn rows_identity(definition: &str, states: &SourceStates) -> String {
    let mut parts = vec![definition];
    parts.extend(states.iter().flat_map(|(name, state)| [name.as_str(), state.as_str()]));
    digest_texts(&parts)
}

/// Returns the error for inputs that change faster than they are read.
pub(super) fn changing_inputs_error(set: &str) -> Error {
    Error::data(format!("{set}: its inputs changed again and again while they were read"))
        .hint("ask again when they rest")
        .as_transient()
}
