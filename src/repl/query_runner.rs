//! Runs queries and passes their rows on, so that Ctrl-C stops a query and memory stays bounded.
//!
//! A query may compute for long without yielding, on every thread of its runtime. Queries therefore
//! have a pool of their own, which is abandoned when a query does not stop.

use crate::engine::{Query, executor};
use crate::error::{Error, Kind, Result};
use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use futures::{FutureExt, StreamExt};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The listener for Ctrl-C while something runs.
pub(super) struct Interrupt(mpsc::UnboundedReceiver<()>);

impl Interrupt {
    /// Starts to listen; from now on Ctrl-C no longer ends the program.
    ///
    /// # Errors
    /// If the signal cannot be caught.
    pub(super) fn new() -> Result<Self> {
        executor::listen_for_interrupts().map(Self)
    }

    /// Discards a Ctrl-C that came while nothing ran.
    pub(super) fn discard_pending(&mut self) {
        while self.0.try_recv().is_ok() {}
    }

    /// Returns the outcome of `work`, or drops `work` and returns an error if Ctrl-C comes first.
    pub(super) async fn run_until_interrupted<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            Some(()) = self.0.recv() => Err(Error::new(Kind::Interrupted, "cancelled")),
            done = work => done,
        }
    }
}

/// The pool of threads that queries run on.
pub(super) struct QueryRunner {
    threads: usize,
    limit: Option<Duration>,
    runtime: Option<Runtime>,
    last: Option<tokio::task::AbortHandle>,
}

impl QueryRunner {
    /// Creates a runner with this many threads; `limit` is the time that each query may take.
    pub(super) fn new(threads: usize, limit: Option<Duration>) -> Self {
        Self { threads: threads.max(1), limit, runtime: None, last: None }
    }

    /// Starts a query. At most two of its batches wait to be read.
    ///
    /// # Errors
    /// If no threads can be started.
    pub(super) fn start_query<'a>(
        &mut self,
        query: &Arc<Query>,
        interrupt: Option<&'a mut Interrupt>,
    ) -> Result<QueryBatches<'a>> {
        if self.last.as_ref().is_some_and(|last| !last.is_finished()) {
            self.abandon_runtime();
        }
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => executor::compute(self.threads)?,
        };
        let (sender, batches) = mpsc::channel(2);
        let task = runtime.spawn(send_batches(Arc::clone(query), sender));
        self.last = Some(task.abort_handle());
        self.runtime = Some(runtime);
        let until = self.limit.map(|limit| Instant::now() + limit);
        Ok(QueryBatches { batches, task, interrupt, until })
    }

    /// Drops the runtime without waiting for threads that still compute.
    fn abandon_runtime(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for QueryRunner {
    fn drop(&mut self) {
        self.abandon_runtime();
    }
}

async fn send_batches(query: Arc<Query>, sender: mpsc::Sender<Result<RecordBatch>>) {
    let mut stream = match query.stream() {
        Ok(stream) => stream,
        Err(error) => return drop(sender.send(Err(error)).await),
    };
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| from_stream(&error));
        if sender.send(batch).await.is_err() {
            return;
        }
    }
}

/// The batches of a query. Dropping this value stops the query.
pub(super) struct QueryBatches<'a> {
    batches: mpsc::Receiver<Result<RecordBatch>>,
    task: JoinHandle<()>,
    interrupt: Option<&'a mut Interrupt>,
    /// The time at which the limit of the query passes.
    until: Option<Instant>,
}

impl QueryBatches<'_> {
    /// Returns the next batch, or None after the last one.
    ///
    /// # Errors
    /// If the query fails, Ctrl-C comes, or the time limit passes.
    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let (batches, until) = (&mut self.batches, self.until);
        let next = async {
            let Some(until) = until else { return Ok(batches.recv().await) };
            tokio::time::timeout_at(until, batches.recv()).await.map_err(|_| {
                Error::new(Kind::Timeout, "the time limit has passed").hint("raise timeout_seconds")
            })
        };
        let next = match &mut self.interrupt {
            Some(interrupt) => interrupt.run_until_interrupted(next).await?,
            None => next.await?,
        };
        match next {
            Some(batch) => batch.map(Some),
            None => match (&mut self.task).now_or_never() {
                Some(Err(error)) if error.is_panic() => {
                    Err(Error::internal("the query stopped in a panic"))
                }
                _ => Ok(None),
            },
        }
    }
}

impl Drop for QueryBatches<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns windrow's own error if DataFusion's wraps one, or else the message of DataFusion.
fn from_stream(error: &DataFusionError) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(own) = inner.downcast_ref::<Error>() {
            return own.clone();
        }
        source = inner.source();
    }
    Error::query(error.strip_backtrace())
}
