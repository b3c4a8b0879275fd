//! The durable tier of a cache: a place that keeps entries as bytes, and knows nothing of them but their keys.

use async_trait::async_trait;
use bytes::Bytes;

use super::key::CacheKey;
use crate::error::{Error, Result};
use crate::outside;

/// An entry as a tier lists it. Entries sort by age, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredEntry {
    /// The time at which it was written, in microseconds since 1970, by the clock of the tier.
    pub(super) written: i64,
    pub(super) key: CacheKey,
    pub(super) bytes: u64,
}

/// A place that keeps entries.
#[async_trait]
pub(super) trait DurableTier: Send + Sync {
    /// Returns the place without secrets.
    fn place(&self) -> String;

    /// Returns whether other machines see the same entries.
    fn is_shared(&self) -> bool;

    /// Returns the bytes of an entry; None if there is none.
    async fn read(&self, key: &CacheKey) -> Result<Option<Bytes>>;

    /// Writes entries, sorted by key and each key once. A reader finds the old or the new bytes of each.
    async fn write(&self, entries: Vec<(CacheKey, Bytes)>) -> Result<()>;

    /// Lists the entries whose keys begin with two digits, and removes old temporary names among them.
    async fn list_shelf(&self, shelf: String) -> Result<Vec<StoredEntry>>;

    /// Removes entries, without those that were written again since they were listed.
    async fn remove_unchanged(&self, entries: Vec<StoredEntry>) -> Result<()>;

    /// Removes an entry if it still has these bytes.
    async fn remove_damaged(&self, key: &CacheKey, bytes: Bytes) -> Result<()>;

    /// Checks that something can be written and read, and leaves nothing.
    async fn probe(&self) -> Result<()>;
}

/// Returns the names of all shelves.
pub(super) fn shelf_names() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|shelf| format!("{shelf:02x}"))
}

/// Returns the name of an entry in its folder.
pub(super) fn entry_name(key: &CacheKey) -> String {
    format!("{key}.rows")
}

/// Returns the key of an entry by its name.
pub(super) fn parse_entry_name(name: &str) -> Option<CacheKey> {
    CacheKey::from_digits(name.strip_suffix(".rows")?)
}

/// Returns a name that no other writer has.
pub(super) fn temporary_name() -> String {
    let number = (outside::random_fraction() * 2_f64.powi(52)) as u64;
    format!(".{}-{number:013x}.writing", outside::process_id())
}

/// Returns whether a name is one that [`temporary_name`] gives.
pub(super) fn is_temporary_name(name: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let within = name.strip_prefix('.').and_then(|name| name.strip_suffix(".writing"));
    within.is_some_and(|within| within.contains('-') && within.bytes().all(is_sign))
}

/// Runs work that waits for a disk, or that takes long.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| Error::internal(format!("the work of the cache did not end: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}
