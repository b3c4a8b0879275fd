//! A queue behind a circuit breaker: while its server is down, requests are refused in milliseconds.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::breaker::{BreakerState, EndpointBreaker};
use crate::error::{Error, Kind, Result};
use crate::limits::{QUEUE_PATIENCE, QUEUE_WRITE_PATIENCE};
use crate::queue::{
    Batch, BatchBounds, BatchEnd, Enqueued, GroupRow, JobFilter, JobName, JobOutcome, JobRow,
    JobStatus, NewGroup, Queue, QueueDepth, QueueReads, Renewed,
};

/// A queue behind a circuit breaker.
pub struct GuardedQueue {
    inner: Arc<dyn Queue>,
    breaker: EndpointBreaker,
}

impl GuardedQueue {
    /// Puts a queue behind a breaker.
    pub fn new(inner: Arc<dyn Queue>) -> Self {
        Self { inner, breaker: EndpointBreaker::new("the queue") }
    }

    /// Returns the state of the breaker.
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    async fn call<T>(&self, most: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
        let bounded = async {
            tokio::time::timeout(most, call).await.unwrap_or_else(|_| {
                let seconds = most.as_secs();
                let error = format!("the queue did not answer in {seconds} s");
                Err(Error::new(Kind::Timeout, error).as_transient())
            })
        };
        self.breaker.call(bounded).await
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.call(QUEUE_PATIENCE, call).await
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.call(QUEUE_WRITE_PATIENCE, call).await
    }
}

#[async_trait]
impl QueueReads for GuardedQueue {
    async fn job(&self, name: &JobName) -> Result<Option<JobStatus>> {
        self.read(self.inner.job(name)).await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRow>> {
        self.read(self.inner.jobs(filter)).await
    }

    async fn group(&self, name: &str) -> Result<Option<GroupRow>> {
        self.read(self.inner.group(name)).await
    }

    async fn group_jobs(&self, group: &GroupRow) -> Result<Vec<JobRow>> {
        self.write(self.inner.group_jobs(group)).await // Some groups have a million jobs.
    }

    async fn changes(&self, group: &GroupRow, after: i64) -> Result<Vec<JobRow>> {
        self.write(self.inner.changes(group, after)).await
    }

    async fn depth(&self) -> Result<QueueDepth> {
        self.read(self.inner.depth()).await
    }

    async fn rate(&self) -> Result<Option<f64>> {
        self.read(self.inner.rate()).await
    }

    fn connections(&self) -> Option<(usize, usize)> {
        self.inner.connections()
    }
}

#[async_trait]
impl Queue for GuardedQueue {
    async fn enqueue(&self, group: NewGroup) -> Result<Enqueued> {
        self.write(self.inner.enqueue(group)).await
    }

    async fn claim(&self, worker: &str, bounds: BatchBounds) -> Result<Option<(Batch, BatchEnd)>> {
        self.write(self.inner.claim(worker, bounds)).await
    }

    async fn renew(&self, token: i64, progress: f64) -> Result<Option<Renewed>> {
        self.read(self.inner.renew(token, progress)).await
    }

    async fn finish(
        &self,
        token: i64,
        outcomes: BTreeMap<JobName, JobOutcome>,
        peak_memory: Option<u64>,
    ) -> Result<Vec<JobRow>> {
        self.write(self.inner.finish(token, outcomes, peak_memory)).await
    }

    async fn cancel(&self, name: &JobName) -> Result<Option<JobRow>> {
        self.read(self.inner.cancel(name)).await
    }

    async fn cancel_group(&self, group: &str) -> Result<u64> {
        self.write(self.inner.cancel_group(group)).await
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.inner.arrivals()
    }
}
