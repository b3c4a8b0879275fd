//! Circuit breakers: a server that stays down costs its callers milliseconds, not a minute each.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::limits::{ENDPOINT_FAILURES, ENDPOINT_LEFT_ALONE};

/// The state of a breaker, for metrics and health.
#[derive(Clone, Debug)]
pub struct BreakerState {
    /// True while calls are refused.
    pub open: bool,
    /// The last failure; None if the last call succeeded or there was none.
    pub failure: Option<Error>,
    /// The seconds that the last call took; None if there was none.
    pub seconds: Option<f64>,
}

/// A breaker of one endpoint. It opens after [`ENDPOINT_FAILURES`] transient failures in a row. After
/// [`ENDPOINT_LEFT_ALONE`] one call tries again, and closes it if that succeeds.
#[derive(Debug)]
pub struct EndpointBreaker {
    name: String,
    inner: Mutex<BreakerCounts>,
}

#[derive(Debug, Default)]
struct BreakerCounts {
    failures: u32,
    /// The time at which it opened, or at which the last trial call began.
    opened: Option<Instant>,
    failure: Option<Error>,
    seconds: Option<f64>,
}

impl EndpointBreaker {
    /// Creates a closed breaker. `name` is the endpoint in messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), inner: Mutex::default() }
    }

    /// Returns its state.
    pub fn state(&self) -> BreakerState {
        let inner = self.lock();
        BreakerState {
            open: inner.opened.is_some(),
            failure: inner.failure.clone(),
            seconds: inner.seconds,
        }
    }

    /// Returns the last failure while the breaker is open, and whether it is time for a trial, which the caller then
    /// makes.
    pub fn refusal(&self) -> Option<(Error, bool)> {
        let due = self.lock().opened?.elapsed() >= ENDPOINT_LEFT_ALONE;
        if due {
            self.lock().opened = Some(Instant::now());
        }
        Some((self.refusal_error(), due))
    }

    /// Makes a call, unless the breaker is open.
    ///
    /// # Errors
    /// The error of the call; or the last one, as transient, while the breaker is open.
    pub async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.refusal() {
            Some((refused, false)) => Err(refused),
            _ => self.try_call(call).await,
        }
    }

    /// Makes a call, even if the breaker is open.
    ///
    /// # Errors
    /// The error of the call.
    pub async fn try_call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let done = call.await;
        let mut inner = self.lock();
        inner.seconds = Some(started.elapsed().as_secs_f64());
        match &done {
            Err(error) if is_outage(error) => {
                inner.failures += 1;
                inner.failure = Some(error.clone());
                // One that took all its time is not tried twice more at that price.
                if inner.failures >= ENDPOINT_FAILURES || error.kind() == Kind::Timeout {
                    inner.opened = Some(Instant::now());
                }
            }
            _ => (inner.failures, inner.opened, inner.failure) = (0, None, None),
        }
        done
    }

    fn refusal_error(&self) -> Error {
        let failure = self.lock().failure.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = &self.name;
        Error::data(format!("{name} is left alone after failures in a row: {failure}"))
            .as_transient()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BreakerCounts> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether an error tells that a server is away, not that a request is wrong.
fn is_outage(error: &Error) -> bool {
    error.is_transient() || error.kind() == Kind::Timeout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_stays_down_is_left_alone() {
        let breaker = EndpointBreaker::new("source bars");
        let away = || async { Err::<(), _>(Error::data("no answer").as_transient()) };
        for _ in 0..ENDPOINT_FAILURES {
            assert!(!breaker.state().open);
            assert_eq!(breaker.call(away()).await.unwrap_err().message(), "no answer");
        }
        assert!(breaker.state().open);
        let refused = breaker.call(async { Ok(()) }).await.unwrap_err();
        assert!(refused.is_transient());
        let told = "source bars is left alone after failures in a row: no answer";
        assert_eq!(refused.message(), told);
        breaker.lock().opened = Instant::now().checked_sub(ENDPOINT_LEFT_ALONE);
        breaker.call(async { Ok(()) }).await.unwrap();
        assert_eq!((breaker.state().open, breaker.state().failure.is_none()), (false, true));
        // A wrong request says nothing about the server.
        for _ in 0..10 {
            let _ = breaker.call(async { Err::<(), _>(Error::query("no such column")) }).await;
        }
        assert!(!breaker.state().open);
    }
}
