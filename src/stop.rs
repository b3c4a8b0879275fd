//! Stop requests to running work: from the user, or from the time limit.

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};

/// The receiving half, which tells work when to stop. Every run gets a clone; the caller keeps the original.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Kind>>);

/// The sending half of [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Kind>>);

impl Stopper {
    /// Creates a connected pair.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Stop(receiver))
    }

    /// Stops every run that holds the other half. `why` is [`Kind::Interrupted`] or [`Kind::Timeout`].
    pub fn stop(&self, why: Kind) {
        self.0.send_replace(Some(why));
    }
}

impl Stop {
    /// Runs `work` and returns its result. If a stop comes first, drops `work` and returns the error to end
    /// with.
    ///
    /// # Errors
    /// The error of `work`, or that of [`Stop::wait_until_stopped`].
    pub async fn run_until_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut stop = self.clone();
        tokio::select! {
            done = work => done,
            error = stop.wait_until_stopped() => Err(error),
        }
    }

    /// Returns the error to end with if a stop was requested: for work that rarely awaits anything.
    ///
    /// # Errors
    /// The error of [`Stop::wait_until_stopped`].
    pub fn check_stopped(&self) -> Result<()> {
        match *self.0.borrow() {
            Some(why) => Err(stop_error(why)),
            None => Ok(()),
        }
    }

    /// Resolves with the error to end with once a stop is requested; never if the other half is dropped
    /// before that.
    pub async fn wait_until_stopped(&mut self) -> Error {
        let why = self.0.wait_for(Option::is_some).await.map(|why| *why).ok();
        let why = match why {
            Some(why) => why,
            None => std::future::pending().await,
        };
        stop_error(why.unwrap_or(Kind::Interrupted))
    }
}

fn stop_error(why: Kind) -> Error {
    match why {
        Kind::Timeout => Error::new(Kind::Timeout, "the time limit has passed")
            .hint("raise timeout_seconds; the target is as it was"),
        _ => Error::new(Kind::Interrupted, "interrupted; the target is as it was"),
    }
}
