//! Sends rows to the server in chunks, each of which is stored atomically and exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use deadpool_postgres::{Object, Pool};
use futures::SinkExt;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tracing::Instrument;

use super::copy_encoding::CopyBuffer;
use super::{StagedRows, TableStaging};
use crate::error::{Error, Result};
use crate::limits::COPY_CHUNK;
use crate::store::{CallError, PgLocation, Retry, TableName, acquire_connection};

/// Bytes passed to a connection at a time.
const PIECE: usize = 64 << 10;

/// The first statement of a chunk's transaction: it returns the transaction's number, and turns off the
/// wait for the disk at commit. The last commit of a run waits for all of them. If the server crashes
/// before, the run counts fewer rows than it copied.
const BEGIN: &str = "SELECT txid_current(), set_config('synchronous_commit', 'off', true)";

/// Copies chunks over any free connection.
#[derive(Clone)]
pub struct Copier {
    /// The connections.
    pub pool: Pool,
    /// The server.
    pub location: PgLocation,
    /// The retry policy of a copy.
    pub retry: Arc<Retry>,
    /// The staging table.
    pub stage: TableName,
}

/// The state of a chunk whose connection broke.
enum ChunkStatus {
    /// Not in the table.
    Missing,
    /// In the table.
    Stored,
    /// The server is still executing the transaction.
    Unknown,
}

impl Copier {
    /// Copies a chunk exactly once, even if connections break; returns its memory.
    async fn copy_chunk(self, columns: String, chunk: Bytes) -> Result<Bytes> {
        // The transaction whose commit was not answered; 0 means none.
        let unheard = AtomicI64::new(0);
        let call = || {
            let (this, columns, bytes, unheard) = (&self, &columns, chunk.clone(), &unheard);
            async move {
                let mut client = acquire_connection(&this.pool, &this.location).await?;
                let before = unheard.load(Ordering::Relaxed);
                if before != 0 {
                    match this.query_chunk_status(&client, before).await? {
                        ChunkStatus::Stored => return Ok(()),
                        ChunkStatus::Missing => unheard.store(0, Ordering::Relaxed),
                        ChunkStatus::Unknown => {
                            let error =
                                Error::target("the server is still at work on the last attempt");
                            return Err(CallError { error, transient: true });
                        }
                    }
                }
                let fault = |error| this.location.to_call_error("copying rows", &error);
                let work = client.transaction().await.map_err(fault)?;
                let number = work.query_one(BEGIN, &[]).await.map_err(fault)?;
                let sql = format!("COPY {} ({columns}) FROM STDIN BINARY", this.stage);
                let sink = work.copy_in::<_, Bytes>(&sql).await.map_err(fault)?;
                futures::pin_mut!(sink);
                let mut rest = bytes;
                while !rest.is_empty() {
                    let piece = rest.split_to(rest.len().min(PIECE));
                    sink.feed(piece).await.map_err(fault)?;
                }
                sink.as_mut().finish().await.map_err(fault)?;
                // From here on the chunk may be in the table even if the connection breaks.
                unheard.store(number.get(0), Ordering::Relaxed);
                work.commit().await.map_err(fault)
            }
        };
        self.retry.call_with_retries("copying rows", call).await?;
        Ok(chunk)
    }

    /// Asks whether a transaction whose commit was not answered was committed.
    async fn query_chunk_status(
        &self,
        client: &Object,
        transaction: i64,
    ) -> Result<ChunkStatus, CallError> {
        let row = client.query_one("SELECT txid_status($1)", &[&transaction]).await;
        let row = match row {
            // After a crash the server may not have reached this transaction number again.
            Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => {
                return Ok(ChunkStatus::Missing);
            }
            row => row
                .map_err(|error| self.location.to_call_error("asking for a transaction", &error))?,
        };
        Ok(match row.get::<_, Option<&str>>(0) {
            Some("committed") => ChunkStatus::Stored,
            Some("in progress") => ChunkStatus::Unknown,
            _ => ChunkStatus::Missing,
        })
    }
}

/// The sink of one partition: it fills a chunk while another is sent, and reuses the same two buffers.
pub(super) struct TableSink {
    staging: Arc<TableStaging>,
    rows: Option<CopyBuffer>,
    sending: Option<JoinHandle<Result<Bytes>>>,
    /// The memory of a chunk that was sent.
    spare: Vec<u8>,
    copied: u64,
    bytes: u64,
}

impl Drop for TableSink {
    fn drop(&mut self) {
        if let Some(sending) = &self.sending {
            sending.abort();
        }
    }
}

impl TableSink {
    pub(super) fn new(staging: Arc<TableStaging>) -> Self {
        Self { staging, rows: None, sending: None, spare: Vec::new(), copied: 0, bytes: 0 }
    }

    /// Encodes rows; sends the chunk if it is full.
    pub(super) async fn fill_chunk(&mut self, batch: &RecordBatch) -> Result<()> {
        let new = || CopyBuffer::new(std::mem::take(&mut self.spare));
        let mut rows = self.rows.take().unwrap_or_else(new);
        rows.encode_batch(&self.staging.encoding, batch)?;
        if rows.encoded_bytes() < COPY_CHUNK {
            self.rows = Some(rows);
            return Ok(());
        }
        self.send_chunk(rows).await
    }

    async fn send_chunk(&mut self, rows: CopyBuffer) -> Result<()> {
        let (bytes, count) = rows.finish();
        self.wait_for_chunk().await?;
        if count > 0 {
            self.copied += count;
            self.bytes += bytes.len() as u64;
            let columns = self.staging.columns.clone();
            let copy = self.staging.copier.clone().copy_chunk(columns, Bytes::from(bytes));
            self.sending = Some(tokio::spawn(copy.in_current_span()));
        }
        Ok(())
    }

    /// Waits until the chunk in flight was sent.
    async fn wait_for_chunk(&mut self) -> Result<()> {
        if let Some(sending) = self.sending.take() {
            let sent = sending.await;
            let chunk =
                sent.map_err(|error| Error::internal(format!("a copy panicked: {error}")))??;
            // The last reference: the conversion copies nothing.
            self.spare = chunk.into();
        }
        Ok(())
    }

    /// Sends the last chunk, and waits until the server has all rows.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        if let Some(rows) = self.rows.take() {
            self.send_chunk(rows).await?;
        }
        self.wait_for_chunk().await
    }

    /// Returns the counts of the rows that the server has.
    pub(super) fn staged_rows(&self) -> StagedRows {
        let table = self.staging.copier.stage.to_string();
        StagedRows { table, copied: self.copied, bytes: self.bytes }
    }
}
