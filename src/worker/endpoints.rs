//! The limits of sources and targets: how many batches use one at a time, and how many begin per second. A target that
//! fails again and again is left alone for a while.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::breaker::{BreakerState, EndpointBreaker};
use crate::config::EndpointLimits;
use crate::error::{Error, Result};
use crate::stop::Stop;

/// The endpoints that have limits, and the breakers of targets.
pub struct Endpoints {
    limits: BTreeMap<String, EndpointGate>,
    targets: Mutex<BTreeMap<String, Arc<TargetGate>>>,
}

/// The limits of one endpoint.
struct EndpointGate {
    at_once: Option<Arc<Semaphore>>,
    per_second: Option<DefaultDirectRateLimiter>,
}

/// One target of this process.
struct TargetGate {
    /// A target takes one run at a time.
    turn: Arc<Semaphore>,
    breaker: EndpointBreaker,
}

/// The permission to use endpoints, until it is dropped.
pub struct EndpointTurn {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Endpoints {
    /// Creates the limits of the configuration.
    pub fn new(limits: &BTreeMap<String, EndpointLimits>) -> Self {
        let gate = |(name, limits): (&String, &EndpointLimits)| {
            let per_second = limits.per_second.and_then(NonZeroU32::new);
            let gate = EndpointGate {
                at_once: limits.at_once.map(|most| Arc::new(Semaphore::new(most))),
                per_second: per_second.map(|most| RateLimiter::direct(Quota::per_second(most))),
            };
            (name.clone(), gate)
        };
        Self { limits: limits.iter().map(gate).collect(), targets: Mutex::default() }
    }

    /// Waits until a batch may use sources.
    ///
    /// # Errors
    /// If the batch is stopped.
    pub async fn acquire_sources(&self, names: &[String], stop: &Stop) -> Result<EndpointTurn> {
        let mut permits = Vec::new();
        // In the order of their names, so that no two batches wait for each other.
        for gate in names.iter().filter_map(|name| self.limits.get(name)) {
            permits.extend(stop.run_until_stopped(gate.enter()).await?);
        }
        Ok(EndpointTurn { _permits: permits })
    }

    /// Waits until a batch may use a target, which takes one run at a time.
    ///
    /// # Errors
    /// If the batch is stopped.
    pub async fn acquire_target(&self, name: &str, stop: &Stop) -> Result<EndpointTurn> {
        let turn = Arc::clone(&self.target(name).turn);
        let mut permits = vec![stop.run_until_stopped(acquire(turn)).await?];
        if let Some(gate) = self.limits.get(name) {
            permits.extend(stop.run_until_stopped(gate.enter()).await?);
        }
        Ok(EndpointTurn { _permits: permits })
    }

    /// Calls a target, unless it is left alone.
    ///
    /// # Errors
    /// The error of the call, or that of the breaker.
    pub async fn call_target<T>(
        &self,
        name: &str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.target(name).breaker.call(call).await
    }

    /// Returns the states of the breakers of all targets that were used.
    pub fn target_breakers(&self) -> BTreeMap<String, BreakerState> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().map(|(name, target)| (name.clone(), target.breaker.state())).collect()
    }

    fn target(&self, name: &str) -> Arc<TargetGate> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let breaker = EndpointBreaker::new(format!("target {name}"));
            Arc::new(TargetGate { turn: Arc::new(Semaphore::new(1)), breaker })
        };
        Arc::clone(targets.entry(name.to_string()).or_insert_with(new))
    }
}

impl EndpointGate {
    async fn enter(&self) -> Result<Option<OwnedSemaphorePermit>> {
        let permit = match &self.at_once {
            Some(at_once) => Some(acquire(Arc::clone(at_once)).await?),
            None => None,
        };
        if let Some(per_second) = &self.per_second {
            per_second.until_ready().await;
        }
        Ok(permit)
    }
}

async fn acquire(semaphore: Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    let closed = |_| Error::internal("an endpoint was closed");
    semaphore.acquire_owned().await.map_err(closed)
}
