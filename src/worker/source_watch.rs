//! The state of sources, which is looked up at most once in a while however many ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tracing::Instrument;

use super::breaker::{BreakerState, EndpointBreaker};
use crate::engine::{Engine, SourceState};
use crate::error::{Error, Kind, Result};
use crate::limits::{INPUTS_CHECK, INPUTS_CHECK_REMOTE, INPUTS_PATIENCE};
use crate::outside;

/// The states of sources, by name.
pub(super) type SourceStates = BTreeMap<String, String>;

/// The sources of an engine that stays.
pub struct SourceWatch {
    engine: Arc<Engine>,
    /// The age up to which a state counts as known; None for the default of each source.
    check: Option<Duration>,
    sources: Mutex<BTreeMap<String, Arc<WatchedSource>>>,
}

struct WatchedSource {
    name: String,
    breaker: EndpointBreaker,
    /// The last look; one caller looks at a time, and the others share what it saw.
    seen: tokio::sync::Mutex<Option<Look>>,
}

/// The state of a source when somebody looked.
struct Look {
    began: Instant,
    /// The state; of a source that tells none, the name of this look.
    state: String,
    /// False if the state is the name of a look.
    told: bool,
}

impl SourceWatch {
    /// Creates a watch; `check` is the age up to which a state counts as known.
    pub(super) fn new(engine: Arc<Engine>, check: Option<Duration>) -> Self {
        Self { engine, check, sources: Mutex::default() }
    }

    /// Returns the states of sources. A source whose state is older than the bound is looked at again, and the engine
    /// then has its present rows.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub(super) async fn states(&self, names: &[String]) -> Result<SourceStates> {
        let mut states = SourceStates::new();
        for name in names {
            states.insert(name.clone(), self.state(name).await?);
        }
        Ok(states)
    }

    /// Returns the states of sources by looks that begin after this call, however young the last ones are: rows that
    /// were read before it are those of a state only if that state is there after it.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub(super) async fn states_from_now_on(&self, names: &[String]) -> Result<SourceStates> {
        let mut states = SourceStates::new();
        for name in names {
            states.insert(name.clone(), self.state_within(name, Duration::ZERO).await?);
        }
        Ok(states)
    }

    /// Returns the state of one source. A source that is left alone is tried again in the background: no caller waits
    /// for it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn state(&self, name: &str) -> Result<String> {
        let check = self.check.unwrap_or_else(|| default_check(&self.engine, name));
        self.state_within(name, check).await
    }

    /// Returns the state of one source by a look that is younger than `check`, or began after this call.
    async fn state_within(&self, name: &str, check: Duration) -> Result<String> {
        let source = self.watched(name);
        let asked = Instant::now();
        if let Some((refused, is_due)) = source.breaker.refusal() {
            if is_due {
                let engine = Arc::clone(&self.engine);
                let look = async move {
                    let mut seen = source.seen.lock().await;
                    let _ = source.look(&engine, &mut seen).await;
                };
                tokio::spawn(look.in_current_span());
            }
            return Err(refused);
        }
        let mut seen = source.seen.lock().await;
        // Whoever waited for another caller knows what that one found.
        if let Some((refused, _)) = source.breaker.refusal() {
            return Err(refused);
        }
        if let Some(look) = &*seen
            // A look that began after this question answers it, even if every question asks for one.
            && (look.began >= asked || asked.duration_since(look.began) < check)
        {
            return Ok(look.state.clone());
        }
        source.look(&self.engine, &mut seen).await
    }

    fn watched(&self, name: &str) -> Arc<WatchedSource> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let breaker = EndpointBreaker::new(format!("source {name}"));
            let seen = tokio::sync::Mutex::new(None);
            Arc::new(WatchedSource { name: name.to_string(), breaker, seen })
        };
        Arc::clone(sources.entry(name.to_string()).or_insert_with(new))
    }

    /// Returns the states of the breakers of all sources that somebody looked at.
    pub fn breakers(&self) -> BTreeMap<String, BreakerState> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().map(|(name, source)| (name.clone(), source.breaker.state())).collect()
    }
}

impl WatchedSource {
    /// Looks at the source, even if it is left alone.
    async fn look(&self, engine: &Engine, seen: &mut Option<Look>) -> Result<String> {
        let began = Instant::now();
        let known = seen.as_ref().filter(|look| look.told).map(|look| look.state.clone());
        let state = self.breaker.try_call(look_at(engine, &self.name, &known)).await?;
        let told = state.is_some();
        let state = state.unwrap_or_else(name_look);
        *seen = Some(Look { began, state: state.clone(), told });
        Ok(state)
    }
}

/// Returns a name that no other look has, in any process: rows whose state nobody knows count as new with each look.
fn name_look() -> String {
    let time = outside::utc_now().timestamp_micros();
    format!("look {time} {}", outside::random_fraction())
}

async fn look_at(engine: &Engine, name: &str, known: &SourceState) -> Result<SourceState> {
    let look = engine.refresh_source(name, known).boxed();
    tokio::time::timeout(INPUTS_PATIENCE, look).await.unwrap_or_else(|_| {
        let seconds = INPUTS_PATIENCE.as_secs();
        let error =
            Error::new(Kind::Timeout, format!("source {name} did not answer in {seconds} s"));
        Err(error.as_transient())
    })
}

fn default_check(engine: &Engine, name: &str) -> Duration {
    match engine.is_remote_source(name) {
        true => INPUTS_CHECK_REMOTE,
        false => INPUTS_CHECK,
    }
}
