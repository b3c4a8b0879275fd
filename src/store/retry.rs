//! Retries of calls to a server that may be unavailable for a moment, with a pause for a server that
//! stays down.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};
use recloser::{AsyncRecloser, Recloser};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::limits::{
    RETRY_PATIENCE, RETRY_WAIT, RETRY_WAIT_FIRST, SERVER_FAILURES, SERVER_LEFT_ALONE,
};
use crate::outside;

/// The error of a call.
#[derive(Debug)]
pub struct CallError {
    /// The error to report if the call is not retried.
    pub error: Error,
    /// True if a retry may succeed.
    pub transient: bool,
}

impl From<Error> for CallError {
    /// Creates a permanent error.
    fn from(error: Error) -> Self {
        Self { error, transient: false }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.error.message())
    }
}

/// The retry policy of calls to one server. All callers that share it share its circuit breaker and its
/// counter.
pub struct Retry {
    server: String,
    patience: Duration,
    breaker: AsyncRecloser,
    count: AtomicU64,
    /// The last error of a call.
    last: Mutex<Option<Error>>,
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Retry {
    /// Creates the policy for a server; `server` is its name in messages. `limit` is the time limit of
    /// the whole command, which ends the command wherever it is. Without a limit, a call is retried for
    /// [`RETRY_PATIENCE`].
    pub fn new(server: impl Into<String>, limit: Option<Duration>) -> Self {
        let breaker = Recloser::custom()
            .error_rate(0.99)
            .closed_len(SERVER_FAILURES)
            .half_open_len(1)
            .open_wait(SERVER_LEFT_ALONE)
            .build();
        let (server, patience) = (server.into(), limit.unwrap_or(RETRY_PATIENCE));
        let (breaker, last) = (AsyncRecloser::from(breaker), Mutex::default());
        Self { server, patience, breaker, count: AtomicU64::new(0), last }
    }

    fn last_error(&self) -> Error {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.unwrap_or_else(|| Error::target(format!("{} does not answer", self.server)))
    }

    /// The number of attempts beyond the first ones.
    pub fn retries_so_far(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts and logs another attempt.
    pub fn count_retry(&self, what: &str, why: &dyn fmt::Display, wait: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            server = self.server,
            "{what}: {why}; trying again in {:.1} s",
            wait.as_secs_f64()
        );
    }

    /// Runs `call` and returns its result. Retries transient errors, after a random part of a bound
    /// that doubles.
    ///
    /// # Errors
    /// The first permanent error, or the last transient one.
    pub async fn call_with_retries<T, C, F>(&self, what: &str, mut call: C) -> Result<T>
    where
        C: FnMut() -> F,
        F: Future<Output = Result<T, CallError>>,
    {
        let guarded = || {
            let call = call();
            async {
                let transient: fn(&CallError) -> bool = |fault| fault.transient;
                let done = self.breaker.call_with(transient, call).await;
                if matches!(done, Err(recloser::Error::Rejected)) {
                    let (server, seconds) = (&self.server, SERVER_LEFT_ALONE.as_secs());
                    tracing::warn!(
                        server,
                        "{server} failed {SERVER_FAILURES} times in a row and is left alone for {seconds} s"
                    );
                    tokio::time::sleep(SERVER_LEFT_ALONE).await;
                }
                done.map_err(|error| match error {
                    recloser::Error::Inner(fault) => {
                        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(fault.error.clone());
                        fault
                    }
                    recloser::Error::Rejected => {
                        CallError { error: self.last_error(), transient: true }
                    }
                })
            }
        };
        guarded
            .retry(FullJitter(self.patience))
            .when(|fault| fault.transient)
            .notify(|fault, wait| self.count_retry(what, fault, wait))
            .await
            .map_err(|fault| fault.error)
    }
}

/// A backoff with random waits between zero and a bound that doubles, so that callers that failed
/// together do not return together. It ends when the given time has passed since the first failure.
#[derive(Debug, Clone, Copy)]
struct FullJitter(Duration);

impl BackoffBuilder for FullJitter {
    type Backoff = JitteredBackoff;

    fn build(self) -> JitteredBackoff {
        let bounds = ExponentialBuilder::default()
            .with_min_delay(RETRY_WAIT_FIRST)
            .with_max_delay(RETRY_WAIT)
            .without_max_times()
            .build();
        JitteredBackoff { bounds, patience: self.0, until: None }
    }
}

struct JitteredBackoff {
    bounds: ExponentialBackoff,
    patience: Duration,
    until: Option<Instant>,
}

impl Iterator for JitteredBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + self.patience);
        let bound = self.bounds.next().filter(|_| now < until)?;
        Some(outside::random_jitter(bound))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn fault(transient: bool) -> CallError {
        CallError { error: Error::target("the server went away"), transient }
    }

    #[tokio::test(start_paused = true)]
    async fn transient_faults_are_tried_again() {
        let retry = Retry::new("server", None);
        let calls = AtomicUsize::new(0);
        let call = || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(fault(true)),
                n => Ok(n),
            }
        };
        assert_eq!(retry.call_with_retries("a call", call).await.unwrap(), 3);
        assert_eq!(retry.retries_so_far(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_faults_are_not() {
        let retry = Retry::new("server", None);
        let error =
            retry.call_with_retries("a call", || async { Err::<(), _>(fault(false)) }).await;
        assert_eq!(error.unwrap_err().message(), "the server went away");
        assert_eq!(retry.retries_so_far(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_down_is_left_alone_and_given_up() {
        let retry = Retry::new("server", Some(Duration::from_secs(60)));
        let calls = AtomicUsize::new(0);
        let call = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(fault(true))
        };
        let started = Instant::now();
        let error = retry.call_with_retries("a call", call).await.unwrap_err();
        assert_eq!(error.message(), "the server went away");
        let took = started.elapsed();
        assert!((60..=80).contains(&took.as_secs()), "{took:?}");
        // The bounds of the waits are 0.2, 0.4, ... 6.4 and then 10 s.
        let attempts = retry.retries_so_far() + 1;
        assert!(attempts >= 7, "{attempts}");
        let called = calls.load(Ordering::Relaxed) as u64;
        assert!(called >= SERVER_FAILURES as u64 && called <= attempts, "{called} of {attempts}");
    }

    #[test]
    fn waits_are_random_parts_of_what_doubles() {
        let waits = FullJitter(Duration::from_secs(60)).build().take(20);
        let waits: Vec<Duration> = waits.collect();
        assert_eq!(waits.len(), 20);
        let bounds =
            (0..).map(|n| RETRY_WAIT_FIRST * 2_u32.pow(n)).map(|bound| bound.min(RETRY_WAIT));
        assert!(waits.iter().zip(bounds).all(|(wait, bound)| *wait <= bound), "{waits:?}");
        assert_eq!(FullJitter(Duration::ZERO).build().next(), None);
    }
}
