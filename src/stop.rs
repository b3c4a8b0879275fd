//! How work is told to stop: by the user, or by the time limit.

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};

/// Tells work to stop: a clone of it goes into every run, the original stays with the door.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Kind>>);

/// The sending half of [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Kind>>);

impl Stopper {
    /// A pair.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Stop(receiver))
    }

    /// Stops every run that holds the other half: by the user or by the time limit.
    pub fn stop(&self, why: Kind) {
        self.0.send_replace(Some(why));
    }
}

impl Stop {
    /// What `work` gives, or the error to end with if it is stopped first; `work` is then dropped.
    ///
    /// # Errors
    /// Of `work`, or [`Stop::wait_until_stopped`].
    pub async fn run_until_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut stop = self.clone();
        tokio::select! {
            done = work => done,
            error = stop.wait_until_stopped() => Err(error),
        }
    }

    /// The error to end with, if it is stopped: for work that hardly ever waits.
    ///
    /// # Errors
    /// As [`Stop::wait_until_stopped`].
    pub fn check_stopped(&self) -> Result<()> {
        match *self.0.borrow() {
            Some(why) => Err(stop_error(why)),
            None => Ok(()),
        }
    }

    /// Resolves with the error to end with, once stopped; never if the other half is gone.
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
