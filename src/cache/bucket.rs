//! Entries as objects of a bucket: `prefix/ab/ab….rows`. A put replaces an object as a whole.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::key::CacheKey;
use super::tier::{
    DurableTier, StoredEntry, entry_name, is_temporary_name, parse_entry_name, temporary_name,
};
use crate::error::{Error, Result};
use crate::limits::{CACHE_LEFTOVER_AGE, CACHE_OBJECTS_AT_ONCE};
use crate::outside;
use crate::store::{Bucket, ObjectUrl, StoreRegistry};

/// The folder that [`DurableTier::probe`] writes to.
const PROBED_SHELF: &str = "00";

/// Entries below a prefix of a bucket.
pub(super) struct CacheBucket {
    url: ObjectUrl,
    prefix: Path,
    bucket: Arc<Bucket>,
}

impl CacheBucket {
    /// Opens a prefix.
    pub(super) async fn open(url: ObjectUrl, access: &StoreRegistry) -> Result<Self> {
        if url.key().is_empty() {
            return Err(Error::usage(format!("{url} is a whole bucket"))
                .hint(format!("name a prefix, such as {url}cache/")));
        }
        if url.is_glob() {
            return Err(
                Error::usage(format!("{url} is a glob")).hint("name a prefix without *, ? and [")
            );
        }
        let prefix = url.path()?;
        let cache = Self { bucket: access.open_bucket(&url).await?, prefix, url };
        cache.probe().await?;
        Ok(cache)
    }

    fn object_path(&self, key: &CacheKey) -> Path {
        self.prefix.clone().join(key.shelf()).join(entry_name(key))
    }
}

#[async_trait]
impl DurableTier for CacheBucket {
    fn place(&self) -> String {
        self.url.to_string()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn read(&self, key: &CacheKey) -> Result<Option<Bytes>> {
        self.bucket.get_object(&self.object_path(key)).await
    }

    async fn write(&self, entries: Vec<(CacheKey, Bytes)>) -> Result<()> {
        let put = |(key, bytes): (CacheKey, Bytes)| async move {
            self.bucket.put_object(&self.object_path(&key), bytes).await
        };
        stream::iter(entries).map(put).buffer_unordered(CACHE_OBJECTS_AT_ONCE).try_collect().await
    }

    async fn list_shelf(&self, shelf: String) -> Result<Vec<StoredEntry>> {
        let listed = self.bucket.list_prefix(&self.prefix.clone().join(shelf)).await?;
        let leftover_age = i64::try_from(CACHE_LEFTOVER_AGE.as_micros()).unwrap_or(i64::MAX);
        let before = outside::utc_now().timestamp_micros().saturating_sub(leftover_age);
        let (mut found, mut leftovers) = (Vec::new(), Vec::new());
        for meta in listed {
            let written = meta.last_modified.timestamp_micros();
            let name = meta.location.filename().unwrap_or_default();
            match parse_entry_name(name) {
                // Other places than that of the key hold what somebody put there.
                Some(key) if self.object_path(&key) == meta.location => {
                    found.push(StoredEntry { written, key, bytes: meta.size });
                }
                None if is_temporary_name(name) && written < before => {
                    leftovers.push(meta.location);
                }
                _ => {}
            }
        }
        self.bucket.delete_objects(leftovers).await?;
        Ok(found)
    }

    async fn remove_unchanged(&self, entries: Vec<StoredEntry>) -> Result<()> {
        let remove = |entry: StoredEntry| async move {
            let path = self.object_path(&entry.key);
            // The time of one object is in seconds, that of a listing may be finer.
            let seconds = entry.written.div_euclid(1_000_000);
            match self.bucket.head_object(&path).await? {
                Some(meta) if meta.last_modified.timestamp() == seconds => {
                    self.bucket.delete_objects(vec![path]).await
                }
                _ => Ok(()),
            }
        };
        stream::iter(entries)
            .map(remove)
            .buffer_unordered(CACHE_OBJECTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn remove_damaged(&self, key: &CacheKey, bytes: Bytes) -> Result<()> {
        let path = self.object_path(key);
        match self.bucket.get_object(&path).await? {
            Some(now) if now == bytes => self.bucket.delete_objects(vec![path]).await,
            _ => Ok(()),
        }
    }

    async fn probe(&self) -> Result<()> {
        let text = Bytes::from_static(b"windrow");
        let path = self.prefix.clone().join(PROBED_SHELF).join(temporary_name());
        self.bucket.put_object(&path, text.clone()).await?;
        let read = self.bucket.get_object(&path).await?;
        self.bucket.delete_objects(vec![path]).await?;
        match read == Some(text) {
            true => Ok(()),
            false => Err(Error::target(format!(
                "the cache {} does not return what was written",
                self.url
            ))
            .hint("use a store that returns an object as soon as it is written")),
        }
    }
}
