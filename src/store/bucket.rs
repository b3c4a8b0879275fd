//! One bucket of an object store, or the files of one web server.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartId, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    coalesce_ranges,
};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::file_cache::{COALESCE_GAP, FileKey, RemoteFileCache};
use super::object_version::ObjectVersion;
use super::retry::Retry;
use super::uploads::UploadList;
use super::url::ObjectUrl;
use crate::error::{Error, Kind, Result, downcast_own_error};
use crate::limits::OBJECTS_REMOVED;
use crate::outside;

/// The handles of a bucket: for its objects, its uploads, and the list of uploads that were never
/// completed.
pub(super) type StoreHandles =
    (Arc<dyn ObjectStore>, Option<Arc<dyn MultipartStore>>, Option<UploadList>);

/// The cache for the objects of a bucket.
pub(super) struct BucketFiles {
    pub(super) cache: Arc<RemoteFileCache>,
    /// The server and the bucket, which no other bucket has.
    pub(super) place: String,
}

/// A bucket whose objects are listed, read and written.
pub struct Bucket {
    /// `s3://bucket`.
    name: String,
    store: Arc<dyn ObjectStore>,
    /// None if the store is read-only.
    multipart: Option<Arc<dyn MultipartStore>>,
    /// None if uploads cannot be listed.
    uploads: Option<UploadList>,
    /// None if no bytes of its objects are kept on the local disk.
    files: Option<BucketFiles>,
    retry: Arc<Retry>,
    handle: Handle,
    /// The bytes that small files may still keep in memory between their first read and the next.
    room: AtomicU64,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One object and its bucket.
#[derive(Clone, Debug)]
pub struct RemoteObject {
    /// The bucket.
    pub store: Arc<Bucket>,
    /// Its key.
    pub key: Path,
    version: ObjectVersion,
    /// Its name in the file cache; None if its bytes are not kept on the local disk.
    cached: Option<Arc<FileKey>>,
    /// The whole content, if the server supports no ranges or the object is small.
    whole: Arc<OnceCell<Bytes>>,
}

impl Bucket {
    pub(super) fn new(
        name: String,
        (store, multipart, uploads): StoreHandles,
        files: Option<BucketFiles>,
        retry: Arc<Retry>,
        room: u64,
    ) -> Self {
        let (handle, room) = (Handle::current(), AtomicU64::new(room));
        Self { name, store, multipart, uploads, files, retry, handle, room }
    }

    /// `s3://bucket`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of retried requests.
    pub fn retry_count(&self) -> u64 {
        self.retry.retries_so_far()
    }

    /// Blocks until an asynchronous call returns: only for threads that are no workers of the runtime.
    fn block_on_call<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.handle.spawn(async move { sender.send(call.await) });
        // The runtime drops the call when the program ends.
        receiver.recv().unwrap_or_else(|_| Err(Error::new(Kind::Interrupted, "interrupted")))
    }

    /// Explains an error to the user.
    fn to_store_error(&self, what: &str, key: &Path, error: &object_store::Error) -> Error {
        if let Some(error) = downcast_own_error(error) {
            return error.clone();
        }
        let place = format!("{}/{key}", self.name);
        match error {
            object_store::Error::NotFound { .. } => Error::data(format!("{place} does not exist")),
            object_store::Error::Precondition { .. } => {
                Error::data(format!("{place} changed while it was read")).as_transient()
            }
            object_store::Error::NotSupported { .. }
            | object_store::Error::NotImplemented { .. } => {
                Error::target(format!("{} cannot {what}", self.name))
            }
            error => {
                let text = error.to_string();
                if text.contains("invalid path") {
                    return Error::data(format!(
                        "cannot {what} {place}: a key below it has an empty part or an odd character"
                    ))
                    .hint("rename that object, or name a prefix without it");
                }
                // The address before the reason may contain a secret.
                let text = text.lines().next().unwrap_or_default();
                let text = text.rsplit_once(" - ").map_or(text, |(_, reason)| reason);
                let text = match text.find("://") {
                    Some(_) => "the server gave an odd answer",
                    None => text.strip_prefix("Generic S3 error: ").unwrap_or(text),
                };
                Error::target(format!("cannot {what} {place}: {text}"))
            }
        }
    }

    /// Lists the objects below a prefix, sorted by key. A prefix ends at a slash.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn list_prefix(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let listed = self.store.list(Some(prefix)).try_collect().await;
        let mut listed: Vec<ObjectMeta> =
            listed.map_err(|error| self.to_store_error("list", prefix, &error))?;
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(listed)
    }

    /// Returns the metadata of an object; None if there is none.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn head_object(&self, key: &Path) -> Result<Option<ObjectMeta>> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.to_store_error("read", key, &error)),
        }
    }

    /// Reads a small object as a whole; None if there is none.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn get_object(&self, key: &Path) -> Result<Option<Bytes>> {
        Ok(self.get_with_meta(key).await?.map(|(bytes, _)| bytes))
    }

    /// Reads the same with its metadata.
    async fn get_with_meta(&self, key: &Path) -> Result<Option<(Bytes, ObjectMeta)>> {
        let got = async {
            let got = self.store.get(key).await?;
            let meta = got.meta.clone();
            Ok((got.bytes().await?, meta))
        };
        match got.await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.to_store_error("read", key, &error)),
        }
    }

    /// Writes a small object, replacing one that exists.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn put_object(&self, key: &Path, bytes: Bytes) -> Result<()> {
        let put = self.store.put(key, bytes.into()).await;
        put.map(|_| ()).map_err(|error| self.to_store_error("write", key, &error))
    }

    /// Writes an object unless there is one; returns false if there is. Some servers ignore the
    /// condition and write it anyway.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn put_if_absent(&self, key: &Path, bytes: Bytes) -> Result<bool> {
        match self.store.put_opts(key, bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(self.to_store_error("write", key, &error)),
        }
    }

    /// Removes objects; an object that no longer exists counts as removed.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn delete_objects(&self, keys: Vec<Path>) -> Result<()> {
        let delete = |key: Path| async move {
            match self.store.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.to_store_error("remove", &key, &error)),
            }
        };
        stream::iter(keys).map(delete).buffer_unordered(OBJECTS_REMOVED).try_collect().await
    }

    fn multipart_store(&self) -> Result<&dyn MultipartStore> {
        let none = || Error::target(format!("{} cannot be written to", self.name));
        self.multipart.as_deref().ok_or_else(none)
    }

    /// Begins a multipart upload. The object does not exist until the upload is completed.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn begin_upload(&self, key: &Path) -> Result<MultipartId> {
        let begun = self.multipart_store()?.create_multipart(key).await;
        begun.map_err(|error| self.to_store_error("write", key, &error))
    }

    /// Uploads one part of an object.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn upload_part(
        &self,
        key: &Path,
        id: &MultipartId,
        number: usize,
        bytes: Bytes,
    ) -> Result<PartId> {
        let put = self.multipart_store()?.put_part(key, id, number, bytes.into()).await;
        put.map_err(|error| self.to_store_error("write", key, &error))
    }

    /// Completes an upload: its parts become an object of `bytes` bytes.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn complete_upload(
        &self,
        key: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
        bytes: u64,
    ) -> Result<()> {
        let Err(error) = self.multipart_store()?.complete_multipart(key, id, parts).await else {
            return Ok(());
        };
        // The answer may have been lost: the object may be there.
        if let Ok(Some(meta)) = self.head_object(key).await
            && meta.size == bytes
        {
            return Ok(());
        }
        let error = self.to_store_error("complete", key, &error);
        Err(match error.kind() {
            Kind::Data => {
                Error::target(format!("the upload of {}/{key} was aborted by somebody", self.name))
            }
            _ => error,
        })
    }

    /// Aborts an upload.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub async fn abort_upload(&self, key: &Path, id: &MultipartId) -> Result<()> {
        match self.multipart_store()?.abort_multipart(key, id).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.to_store_error("abort the upload of", key, &error)),
        }
    }

    /// Aborts uploads, some of which may have been completed since. Those have nothing to abort, which
    /// some servers refuse in odd words.
    pub async fn abort_uploads(&self, uploads: Vec<(Path, MultipartId)>) {
        let abort = |(key, id): (Path, MultipartId)| async move {
            if let Err(error) = self.abort_upload(&key, &id).await {
                tracing::info!("{error} (upload {id})");
            }
        };
        stream::iter(uploads).for_each_concurrent(OBJECTS_REMOVED, abort).await;
    }

    /// Lists the uploads below a prefix that were begun and neither completed nor aborted, as far as
    /// the server lists them. Azure drops them after a week, and some servers have no such list.
    pub async fn list_uploads(&self, prefix: &Path) -> Vec<(Path, MultipartId)> {
        let Some(uploads) = &self.uploads else { return Vec::new() };
        uploads.list_pending(prefix).await.unwrap_or_else(|error| {
            tracing::info!("{}", self.to_store_error("list the uploads of", prefix, &error));
            Vec::new()
        })
    }

    /// Finds the file at a web address; None if there is none.
    ///
    /// # Errors
    /// The server refuses the request, or cannot be reached.
    pub(super) async fn find_web_object(
        self: &Arc<Self>,
        url: &ObjectUrl,
    ) -> Result<Option<(RemoteObject, ObjectMeta)>> {
        let key = url.path()?;
        // Not every server answers HEAD, and signed addresses are signed for GET.
        let first = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        match self.store.get_opts(&key, first).await {
            Ok(found) => return Ok(Some((self.object_from_meta(&found.meta), found.meta))),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            // An empty file has no first byte.
            Err(error) if is_range_unsupported(&error) || is_unsatisfiable_range(&error) => {}
            Err(error) => return Err(self.to_store_error("read", &key, &error)),
        }
        if let Ok(Some(meta)) = self.head_object(&key).await {
            return Ok(Some((self.object_from_meta(&meta), meta)));
        }
        let Some(bytes) = self.get_object(&key).await? else { return Ok(None) };
        let meta = ObjectMeta {
            location: key,
            last_modified: DateTime::UNIX_EPOCH,
            size: bytes.len() as u64,
            e_tag: None,
            version: None,
        };
        let object = self.object_from_meta(&meta);
        let _ = object.whole.set(bytes);
        Ok(Some((object, meta)))
    }

    /// Returns the object for the metadata of a listing.
    pub fn object_from_meta(self: &Arc<Self>, meta: &ObjectMeta) -> RemoteObject {
        let version = ObjectVersion::from_meta(meta);
        let cached = self.files.as_ref().and_then(|files| {
            let place = format!("{}\n{}", files.place, meta.location);
            Some(Arc::new(FileKey::new(&place, &version.identity()?)))
        });
        RemoteObject {
            store: Arc::clone(self),
            key: meta.location.clone(),
            version,
            cached,
            whole: Arc::default(),
        }
    }
}

/// Returns whether the server reported that the range does not exist.
fn is_unsatisfiable_range(error: &object_store::Error) -> bool {
    downcast_own_error(error).is_none() && error.to_string().contains("416")
}

/// Returns whether the server answered a range request with the whole object.
fn is_range_unsupported(error: &object_store::Error) -> bool {
    let said = matches!(error, object_store::Error::NotSupported { .. })
        || error.to_string().contains("non-partial");
    said && downcast_own_error(error).is_none()
}

impl RemoteObject {
    /// Reads a range of its bytes.
    ///
    /// # Errors
    /// The object was removed or replaced, or the server refuses the request or cannot be reached.
    pub async fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        let Some((cache, key)) = self.file_cache() else {
            return Ok(self.fetch_range(range).await?.0);
        };
        let range = std::slice::from_ref(&range);
        let read = cache.read_through(key, range, |part| self.fetch_range(part)).await?;
        read.into_iter().next().ok_or_else(|| Error::internal("a range went missing"))
    }

    /// Returns the file cache with the name of the object, unless all bytes are in memory.
    fn file_cache(&self) -> Option<(&Arc<RemoteFileCache>, &Arc<FileKey>)> {
        let files = self.store.files.as_ref().filter(|_| self.whole.get().is_none())?;
        Some((&files.cache, self.cached.as_ref()?))
    }

    /// Reads no bytes from the file cache, and keeps none there.
    pub fn detach_from_cache(&mut self) {
        self.cached = None;
    }

    /// Fetches a range from the server. Returns true if the answer says that it is for the version that was listed, and
    /// no later one looks like it: such bytes may be kept.
    async fn fetch_range(&self, range: Range<u64>) -> Result<(Bytes, bool)> {
        if range.is_empty() {
            return Ok((Bytes::new(), false));
        }
        let slice = |whole: &Bytes| {
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(whole.len());
            let bytes = self.check_length(whole.slice(at(range.start)..at(range.end)), &range);
            bytes.map(|bytes| (bytes, false))
        };
        if let Some(whole) = self.whole.get() {
            return slice(whole);
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.version.strong_tag(),
            ..GetOptions::default()
        };
        let now = outside::utc_now();
        let got = async {
            let got = self.store.store.get_opts(&self.key, options).await?;
            let answer = ObjectVersion::from_meta(&got.meta);
            Ok((answer, got.bytes().await?))
        };
        match got.await {
            Ok((answer, bytes)) => {
                let is_sure = self.check_answer(&answer, now)?;
                Ok((self.check_length(bytes, &range)?, is_sure))
            }
            Err(object_store::Error::NotFound { .. }) => {
                let name = &self.store.name;
                Err(Error::data(format!("{name}/{} was removed while it was read", self.key))
                    .hint("run again: another run may have committed meanwhile, or somebody removed it")
                    .as_transient())
            }
            Err(error) if is_range_unsupported(&error) => slice(self.fetch_whole().await?),
            Err(error) => Err(self.store.to_store_error("read", &self.key, &error)),
        }
    }

    /// Refuses an answer for another version. Returns true if the answer names the version, which was long enough there
    /// at the time of the request.
    fn check_answer(&self, answer: &ObjectVersion, now: DateTime<Utc>) -> Result<bool> {
        if !self.version.is_same(answer) {
            let name = &self.store.name;
            return Err(Error::data(format!("{name}/{} changed while it was read", self.key))
                .as_transient());
        }
        let on_web = self.store.name.starts_with("http");
        Ok(self.version.is_named_by(answer) && self.version.is_settled(on_web, now))
    }

    fn check_length(&self, bytes: Bytes, range: &Range<u64>) -> Result<Bytes> {
        if bytes.len() as u64 == range.end - range.start {
            return Ok(bytes);
        }
        let name = &self.store.name;
        Err(Error::data(format!("{name}/{} became shorter while it was read", self.key))
            .as_transient())
    }

    /// Fetches the whole object, for a server that supports no ranges.
    async fn fetch_whole(&self) -> Result<&Bytes> {
        let fetch = || async {
            let name = format!("{}/{}", self.store.name, self.key);
            tracing::warn!(
                "{name}: the server gives no part of a file, so that it is held in memory ({} MB)",
                self.version.size / 1_000_000
            );
            let gone = || Error::data(format!("{name} does not exist"));
            let now = outside::utc_now();
            let (bytes, meta) = self.store.get_with_meta(&self.key).await?.ok_or_else(gone)?;
            let is_sure = self.check_answer(&ObjectVersion::from_meta(&meta), now)?;
            if let Some((cache, key)) = self.file_cache().filter(|_| is_sure) {
                cache.keep_elsewhere(key, 0, bytes.clone()).await;
            }
            Ok(bytes)
        };
        self.whole.get_or_try_init(fetch).await
    }

    /// Reads ranges of its bytes, in the given order; ranges near each other are read in one request.
    ///
    /// # Errors
    /// As [`RemoteObject::read_range`].
    pub async fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.file_cache() {
            Some((cache, key)) => {
                cache.read_through(key, ranges, |part| self.fetch_range(part)).await
            }
            None => {
                let fetch = |part| async { Ok(self.fetch_range(part).await?.0) };
                coalesce_ranges(ranges, fetch, COALESCE_GAP).await
            }
        }
    }

    /// Reads a range; blocks, so never call it on a worker of the runtime.
    pub(super) fn read_blocking(&self, range: Range<u64>) -> Result<Bytes> {
        let object = self.clone();
        self.store.block_on_call(async move { object.read_range(range).await })
    }

    /// Reads a small file as a whole; blocks. The bytes stay in memory while there is room, because a
    /// file that is inspected is read soon after.
    pub(super) fn read_whole_blocking(&self) -> Result<Bytes> {
        let bytes = self.read_blocking(0..self.version.size)?;
        let taken = self.store.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
            room.checked_sub(self.version.size)
        });
        if taken.is_ok() && self.whole.set(bytes.clone()).is_err() {
            self.store.room.fetch_add(self.version.size, Ordering::Relaxed);
        }
        Ok(bytes)
    }
}
