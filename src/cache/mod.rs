//! Exact results by key: the rows of one symbol, in memory and in a durable tier.
//!
//! `entry.rs` has the bytes of an entry and `tier.rs` the interface of a place that keeps them: a directory
//! (`directory.rs`), a bucket (`bucket.rs`) or a table (`postgres.rs`). A damaged entry is no answer: it counts as
//! absent and is removed. `prune.rs` decides which entries go.

mod bucket;
mod directory;
mod entry;
mod key;
mod postgres;
mod prune;
#[cfg(test)]
mod tests;
mod tier;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use moka::future::Cache;

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::limits::{
    CACHE_CHUNK, CACHE_CHUNK_BYTES, CACHE_CHUNKS_AT_ONCE, CACHE_DURABLE, CACHE_ENTRY_IN_MEMORY,
    CACHE_MEMORY, CACHE_PRUNED, CACHE_REMOVED_TOGETHER, CACHE_SHELVES_AT_ONCE,
};
use crate::outside;
use crate::store::{Location, PgLocation, StoreRegistry};
use entry::{EncodedEntry, MemoryEntry, decode_entry, encode_entry};
use prune::PruneList;
use tier::{DurableTier, run_blocking, shelf_names};

pub use entry::CachedRows;
pub use key::CacheKey;

/// The bounds of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    /// The bytes of the entries in memory.
    pub memory: u64,
    /// The bytes of the entries in the durable tier; [`ResultCache::prune`] removes the oldest beyond them.
    pub durable: u64,
    /// The life of an entry; None if it has no end. Each entry lives up to a tenth shorter or longer.
    pub ttl: Option<Duration>,
}

impl Default for CacheBounds {
    fn default() -> Self {
        Self { memory: CACHE_MEMORY, durable: CACHE_DURABLE, ttl: None }
    }
}

/// The contents of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// The bytes of the entries in memory.
    pub memory_bytes: u64,
    /// The entries in memory.
    pub memory_entries: u64,
    /// The bytes in the durable tier: those that the last prune left, and those that this process wrote since.
    pub durable_bytes: u64,
    /// The entries in the durable tier, counted as their bytes.
    pub durable_entries: u64,
    /// The damaged entries that this process found.
    pub corrupt: u64,
}

/// A cache of results. Several processes may use its durable tier at the same time.
pub struct ResultCache {
    tier: Box<dyn DurableTier>,
    memory: Cache<CacheKey, MemoryEntry>,
    bounds: CacheBounds,
    durable_bytes: AtomicU64,
    durable_entries: AtomicU64,
    corrupt: AtomicU64,
    /// The number of chunks that this process wrote.
    written: watch::Sender<u64>,
}

/// The reason why an entry does not get into memory.
enum Unloaded {
    Absent,
    Large(Arc<CachedRows>),
    Failed(Error),
}

impl ResultCache {
    /// Opens a cache at a location: a directory, which is created if it does not exist, a prefix of a bucket
    /// (`s3://bucket/prefix`, also `gs://` and `az://`), or a PostgreSQL database (`postgres://host/database`).
    ///
    /// # Errors
    /// If the location is none of these, cannot be reached, or cannot be written.
    pub async fn open(
        location: &str,
        bounds: CacheBounds,
        access: &Arc<StoreRegistry>,
    ) -> Result<Self> {
        let location = location.trim();
        if PgLocation::is(location) {
            let table = postgres::CacheTable::open(location).await?;
            return Ok(Self::with_tier(Box::new(table), bounds));
        }
        let tier: Box<dyn DurableTier> = match Location::parse(location)? {
            Location::Local(path) => Box::new(directory::CacheDirectory::open(path).await?),
            Location::Bucket(url) => Box::new(bucket::CacheBucket::open(url, access).await?),
            web @ Location::Web(_) => {
                let told = format!("{web} is on a web server, which takes no files");
                return Err(Error::usage(told).hint(
                    "name a directory, a prefix with s3://, gs:// or az://, or a database with postgres://",
                ));
            }
        };
        Ok(Self::with_tier(tier, bounds))
    }

    fn with_tier(tier: Box<dyn DurableTier>, bounds: CacheBounds) -> Self {
        let memory = Cache::builder()
            .max_capacity(bounds.memory)
            .weigher(|_: &CacheKey, entry: &MemoryEntry| entry.weight)
            .build();
        let [durable_bytes, durable_entries, corrupt] = [0; 3].map(AtomicU64::new);
        let written = watch::Sender::new(0);
        Self { tier, memory, bounds, durable_bytes, durable_entries, corrupt, written }
    }

    /// Returns whether other machines see the durable entries: they are in a bucket or a database.
    pub fn is_shared(&self) -> bool {
        self.tier.is_shared()
    }

    /// Returns the location without secrets.
    pub fn place(&self) -> String {
        self.tier.place()
    }

    /// Returns an entry; None if there is none. Calls for one key at the same time read the durable tier once.
    ///
    /// # Errors
    /// If the durable tier cannot be read. A damaged entry is no error: it counts as absent and is removed.
    pub async fn get(&self, key: &CacheKey) -> Result<Option<Arc<CachedRows>>> {
        if let Some(found) = self.peek_memory(key).await {
            return Ok(Some(found));
        }
        match self.memory.try_get_with_by_ref(key, self.load_entry(key)).await {
            Ok(entry) => Ok(Some(entry.rows)),
            Err(unloaded) => match unloaded.as_ref() {
                Unloaded::Absent => Ok(None),
                Unloaded::Large(rows) => Ok(Some(Arc::clone(rows))),
                Unloaded::Failed(error) => Err(error.clone()),
            },
        }
    }

    /// Returns an entry if it is in memory.
    pub async fn peek_memory(&self, key: &CacheKey) -> Option<Arc<CachedRows>> {
        let entry = self.memory.get(key).await?;
        if self.is_expired(key, entry.written) {
            self.memory.invalidate(key).await;
            return None;
        }
        Some(entry.rows)
    }

    async fn load_entry(&self, key: &CacheKey) -> Result<MemoryEntry, Unloaded> {
        let bytes = self.tier.read(key).await.map_err(Unloaded::Failed)?;
        let bytes = bytes.ok_or(Unloaded::Absent)?;
        let (read, own) = (bytes.clone(), key.clone());
        let decoded = run_blocking(move || Ok(decode_entry(&own, &read))).await;
        match decoded.map_err(Unloaded::Failed)? {
            Ok(entry) if self.is_expired(key, entry.written) => Err(Unloaded::Absent),
            Ok(entry) if !self.has_room_for(&entry) => Err(Unloaded::Large(entry.rows)),
            Ok(entry) => Ok(entry),
            Err(reason) => {
                self.drop_damaged(key, bytes, &reason).await;
                Err(Unloaded::Absent)
            }
        }
    }

    async fn drop_damaged(&self, key: &CacheKey, bytes: Bytes, reason: &str) {
        self.corrupt.fetch_add(1, Ordering::Relaxed);
        let place = self.place();
        tracing::warn!("{place}: the entry {key} of the cache counts as absent: {reason}");
        if let Err(error) = self.tier.remove_damaged(key, bytes).await {
            tracing::warn!("{place}: the damaged entry {key} stays: {error}");
        }
    }

    fn has_room_for(&self, entry: &MemoryEntry) -> bool {
        u64::from(entry.weight) <= CACHE_ENTRY_IN_MEMORY.min(self.bounds.memory)
    }

    fn is_expired(&self, key: &CacheKey, written: i64) -> bool {
        let Some(ttl) = self.bounds.ttl else { return false };
        let age = outside::utc_now().timestamp_micros().saturating_sub(written);
        age > key.life_micros(ttl)
    }

    /// Writes entries. All of them are in the durable tier when this returns: they survive the end of the process,
    /// however it ends. In a directory they need not survive a power cut.
    ///
    /// # Errors
    /// If an entry cannot be written, or is too large; other entries may have been written then. A full disk is
    /// marked as such.
    pub async fn put(&self, entries: Vec<(CacheKey, CachedRows)>) -> Result<()> {
        // Of equal keys the last one counts, and all drivers get keys in order.
        let entries: BTreeMap<CacheKey, CachedRows> = entries.into_iter().collect();
        let writes = cut_chunks(entries).into_iter().map(|chunk| self.write_chunk(chunk));
        stream::iter(writes).buffer_unordered(CACHE_CHUNKS_AT_ONCE).try_collect().await
    }

    async fn write_chunk(&self, chunk: Vec<(CacheKey, CachedRows)>) -> Result<()> {
        let written = outside::utc_now().timestamp_micros();
        let encoded = run_blocking(move || {
            let encode = |(key, rows)| encode_entry(key, rows, written);
            chunk.into_iter().map(encode).collect::<Result<Vec<EncodedEntry>>>()
        })
        .await?;
        let bytes: u64 = encoded.iter().map(|entry| entry.bytes.len() as u64).sum();
        let values = encoded.iter().map(|entry| (entry.key.clone(), entry.bytes.clone()));
        self.tier.write(values.collect()).await?;
        self.durable_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.durable_entries.fetch_add(encoded.len() as u64, Ordering::Relaxed);
        for EncodedEntry { key, memory, .. } in encoded {
            if self.has_room_for(&memory) {
                self.memory.insert(key, memory).await;
            }
        }
        self.written.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Returns a number that changes whenever this process wrote entries.
    pub fn writes(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Checks that the durable tier can be read and written.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn check(&self) -> Result<()> {
        self.tier.probe().await
    }

    /// Removes expired entries from the durable tier and, the oldest first, those beyond its bytes; also leftovers of
    /// writers that were killed. One call removes [`CACHE_PRUNED`] entries at most. Several processes may prune one
    /// place at the same time.
    ///
    /// # Errors
    /// If the durable tier cannot be listed or written.
    pub async fn prune(&self) -> Result<CacheUsage> {
        let before =
            [&self.durable_bytes, &self.durable_entries].map(|n| n.load(Ordering::Relaxed));
        let mut list = PruneList::new(CACHE_PRUNED);
        let shelves = shelf_names().map(|shelf| self.tier.list_shelf(shelf));
        let mut shelves = pin!(stream::iter(shelves).buffer_unordered(CACHE_SHELVES_AT_ONCE));
        while let Some(shelf) = shelves.try_next().await? {
            shelf.into_iter().for_each(|entry| list.note_entry(entry));
        }
        let is_expired = |entry: &tier::StoredEntry| self.is_expired(&entry.key, entry.written);
        for together in
            list.take_excess(self.bounds.durable, is_expired).chunks(CACHE_REMOVED_TOGETHER)
        {
            self.tier.remove_unchanged(together.to_vec()).await?;
        }
        // Writes since the listing began stay counted.
        for (counter, before, now) in [
            (&self.durable_bytes, before[0], list.bytes),
            (&self.durable_entries, before[1], list.entries),
        ] {
            counter.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
        self.memory.run_pending_tasks().await;
        Ok(self.usage())
    }

    /// Returns what the cache holds.
    pub fn usage(&self) -> CacheUsage {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheUsage {
            memory_bytes: self.memory.weighted_size(),
            memory_entries: self.memory.entry_count(),
            durable_bytes: load(&self.durable_bytes),
            durable_entries: load(&self.durable_entries),
            corrupt: load(&self.corrupt),
        }
    }
}

/// Cuts entries into chunks that are encoded and written together.
fn cut_chunks(entries: BTreeMap<CacheKey, CachedRows>) -> Vec<Vec<(CacheKey, CachedRows)>> {
    let (mut chunks, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (key, rows) in entries {
        let cells = rows.batch.num_rows().saturating_mul(rows.batch.num_columns());
        let more = cells.saturating_mul(size_of::<f64>());
        if chunk.len() >= CACHE_CHUNK || (bytes > 0 && bytes + more > CACHE_CHUNK_BYTES) {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += more;
        chunk.push((key, rows));
    }
    chunks.push(chunk);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}
