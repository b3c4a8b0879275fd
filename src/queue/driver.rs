//! The operations of a queue over any driver: a driver runs transactions and reads, and has no rule of its own.

use std::collections::BTreeMap;
use std::future::Future;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::batch::{BatchBounds, BatchEnd};
use super::model::{Batch, Enqueued, JobName, JobOutcome, JobRow, NewGroup, Renewed};
use super::transaction::QueueTransaction;
use super::{Queue, QueueBounds, QueueClock, QueueReads, operations};
use crate::error::Result;

/// A store of queues.
pub(super) trait QueueDriver: QueueReads {
    /// The bounds of the queue.
    fn bounds(&self) -> &QueueBounds;
    /// The clock and the chance of the queue.
    fn clock(&self) -> &QueueClock;
    /// Tells those who wait in this process that jobs may have come.
    fn arrived(&self) -> &watch::Sender<u64>;
    /// Runs an operation in a transaction that follows all others of the queue.
    fn write<T: Send + 'static>(
        &self,
        operation: impl for<'a> FnOnce(&'a mut dyn QueueTransaction) -> BoxFuture<'a, Result<T>>
        + Send
        + 'static,
    ) -> impl Future<Output = Result<T>> + Send;
}

#[async_trait]
impl<D: QueueDriver> Queue for D {
    async fn enqueue(&self, group: NewGroup) -> Result<Enqueued> {
        let (name, bounds) = (self.clock().group_name(), self.bounds().clone());
        let enqueued = self
            .write(move |tx| {
                Box::pin(async move { operations::enqueue(tx, &group, &name, &bounds).await })
            })
            .await?;
        self.arrived().send_modify(|count| *count += 1);
        Ok(enqueued)
    }

    async fn claim(&self, worker: &str, bounds: BatchBounds) -> Result<Option<(Batch, BatchEnd)>> {
        let (worker, lease) = (worker.to_string(), self.bounds().lease);
        self.write(move |tx| {
            Box::pin(async move { operations::claim_batch(tx, &worker, lease, bounds).await })
        })
        .await
    }

    async fn renew(&self, token: i64, progress: f64) -> Result<Option<Renewed>> {
        let lease = self.bounds().lease;
        self.write(move |tx| {
            Box::pin(async move { operations::renew_lease(tx, token, lease, progress).await })
        })
        .await
    }

    async fn finish(
        &self,
        token: i64,
        outcomes: BTreeMap<JobName, JobOutcome>,
        peak_memory: Option<u64>,
    ) -> Result<Vec<JobRow>> {
        let bounds = self.bounds().clone();
        let finished = self
            .write(move |tx| {
                Box::pin(async move {
                    operations::finish_batch(tx, token, &outcomes, peak_memory, &bounds).await
                })
            })
            .await?;
        self.arrived().send_modify(|count| *count += 1);
        Ok(finished)
    }

    async fn cancel(&self, name: &JobName) -> Result<Option<JobRow>> {
        let name = name.clone();
        self.write(move |tx| Box::pin(async move { operations::cancel_one(tx, &name).await })).await
    }

    async fn cancel_group(&self, group: &str) -> Result<u64> {
        let group = group.to_string();
        self.write(move |tx| Box::pin(async move { operations::cancel_group(tx, &group).await }))
            .await
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrived().subscribe()
    }
}
