//! Uploads of files into an object store: parts are sent while the next ones are written.
//!
//! 1. The file's bytes are cut into parts in memory; nothing is on the server. A crash leaves nothing.
//! 2. With the first full part, or at the end of a small file, the multipart upload is begun. A crash
//!    leaves an upload that no lease names; the next run finds it where the server lists uploads.
//! 3. The upload is noted in the lease before any part is sent, or, beyond `UPLOADS_NOTED` uploads, when
//!    the lease is next renewed. A crash leaves an upload that the next run aborts by the lease.
//! 4. The parts are sent, several at a time. A crash leaves an incomplete upload with parts.
//! 5. The manifest names the upload and its parts. A crash leaves the same.
//! 6. The commit completes the upload, and only then the file exists. A crash leaves a file that no
//!    record names.
//!
//! Before step 6 no reader sees the file. A run that fails without a crash aborts its uploads and
//! removes completed files (see `abandon`).

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::MultipartId;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;

use super::{UploadParts, WrittenFile};
use crate::error::{Error, Result, group_digits};
use crate::limits::{UPLOAD_PART, UPLOAD_PART_LIMITED, UPLOAD_PARTS};
use crate::store::Bucket;

/// The log of uploads that were begun, by which another run can abort them if this run cannot.
#[async_trait]
pub trait UploadLog: Send + Sync {
    /// Notes one upload: its key and the server's id.
    ///
    /// # Errors
    /// The note cannot be stored: the upload must not continue.
    async fn log_upload(&self, key: &Key, id: &str) -> Result<()>;
}

/// The uploads of one run.
pub struct Uploads {
    objects: Arc<Bucket>,
    prefix: Key,
    log: Arc<dyn UploadLog>,
    /// One permit for each part in flight.
    permits: Arc<Semaphore>,
    part: usize,
    begun: Mutex<Vec<(Key, MultipartId)>>,
    /// A task that begins an upload holds the read lock.
    beginning: Arc<RwLock<()>>,
}

impl Uploads {
    /// Creates the uploads below a prefix for `workers` workers. If memory is `limited`, parts are
    /// small and few.
    pub fn new(
        objects: &Arc<Bucket>,
        prefix: &Key,
        log: Arc<dyn UploadLog>,
        workers: usize,
        limited: bool,
    ) -> Self {
        Self {
            objects: Arc::clone(objects),
            prefix: prefix.clone(),
            log,
            permits: Arc::new(Semaphore::new(if limited {
                workers.clamp(2, 4)
            } else {
                (2 * workers).clamp(8, 16)
            })),
            part: if limited { UPLOAD_PART_LIMITED } else { UPLOAD_PART },
            begun: Mutex::default(),
            beginning: Arc::default(),
        }
    }

    /// Starts a file, given by its path below the target; returns the writer of its bytes, and the
    /// upload that sends them.
    pub(super) fn start_upload(self: &Arc<Self>, below: &str) -> Result<(PartWriter, Upload)> {
        let wrong = |error| Error::internal(format!("{below} is no key: {error}"));
        let below = Key::parse(below).map_err(wrong)?;
        let key = self.prefix.parts().chain(below.parts()).collect();
        let queue = Arc::new(Mutex::new(PartQueue { size: self.part, ..PartQueue::default() }));
        let upload = Upload {
            uploads: Arc::clone(self),
            key,
            path: below.to_string(),
            queue: Arc::clone(&queue),
            id: None,
            next: 0,
            tasks: JoinSet::new(),
            parts: Vec::new(),
        };
        Ok((PartWriter(queue), upload))
    }

    /// Aborts all uploads, and removes files that were completed.
    pub async fn abandon(&self) {
        let _none_begins = self.beginning.write().await;
        let begun = std::mem::take(&mut *lock_mutex(&self.begun));
        let keys = begun.iter().map(|(key, _)| key.clone()).collect();
        self.objects.abort_uploads(begun).await;
        if let Err(error) = self.objects.delete_objects(keys).await {
            tracing::warn!(
                "files of this run stay behind, where no reader takes them for data: {error}"
            );
        }
    }
}

fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that were written and not sent yet.
#[derive(Default)]
struct PartQueue {
    size: usize,
    full: VecDeque<Bytes>,
    part: Vec<u8>,
    bytes: u64,
}

/// The writer of a file's bytes.
pub(super) struct PartWriter(Arc<Mutex<PartQueue>>);

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut queue = lock_mutex(&self.0);
        if queue.part.capacity() == 0 {
            queue.part = Vec::with_capacity(queue.size);
        }
        let taken = bytes.len().min(queue.size - queue.part.len());
        queue.part.extend_from_slice(&bytes[..taken]);
        queue.bytes += taken as u64;
        if queue.part.len() == queue.size {
            let part = std::mem::take(&mut queue.part);
            queue.full.push_back(part.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(()) // Parts are sent when full, and the last one at the end.
    }
}

/// The sender of a file's parts.
pub(super) struct Upload {
    uploads: Arc<Uploads>,
    key: Key,
    /// The path below the target.
    path: String,
    queue: Arc<Mutex<PartQueue>>,
    id: Option<MultipartId>,
    next: usize,
    tasks: JoinSet<Result<(usize, PartId)>>,
    parts: Vec<Option<PartId>>,
}

impl Upload {
    /// Sends the full parts. Waits while too many are in flight.
    pub(super) async fn send_full_parts(&mut self) -> Result<()> {
        while let Some(sent) = self.tasks.try_join_next() {
            self.record_sent_part(sent)?;
        }
        loop {
            let part = lock_mutex(&self.queue).full.pop_front();
            match part {
                Some(part) => self.send_part(part).await?,
                None => return Ok(()),
            }
        }
    }

    /// Sends the rest of a file with `rows` rows, and waits until the server has all parts.
    pub(super) async fn finish(mut self, rows: u64) -> Result<WrittenFile> {
        self.send_full_parts().await?;
        let last = std::mem::take(&mut lock_mutex(&self.queue).part);
        if !last.is_empty() {
            self.send_part(last.into()).await?;
        }
        while let Some(sent) = self.tasks.join_next().await {
            self.record_sent_part(sent)?;
        }
        let missing = || Error::internal("a part of an upload went missing");
        let parts = std::mem::take(&mut self.parts).into_iter();
        let parts = parts.map(|part| part.map(|part| part.content_id));
        let parts = parts.collect::<Option<Vec<_>>>().ok_or_else(missing)?;
        let id = self.id.take().ok_or_else(missing)?;
        let bytes = lock_mutex(&self.queue).bytes;
        let upload = Some(UploadParts { id, parts });
        Ok(WrittenFile { path: std::mem::take(&mut self.path), rows, bytes, upload })
    }

    fn record_sent_part(
        &mut self,
        sent: Result<Result<(usize, PartId)>, tokio::task::JoinError>,
    ) -> Result<()> {
        let panicked = |error| Error::internal(format!("an upload panicked: {error}"));
        let (number, part) = sent.map_err(panicked)??;
        self.parts[number] = Some(part);
        Ok(())
    }

    async fn send_part(&mut self, part: Bytes) -> Result<()> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => self.begin_multipart().await?,
        };
        if self.next == UPLOAD_PARTS {
            return Err(Error::target(format!(
                "{} has more than {} parts, which no object store takes",
                self.key,
                group_digits(UPLOAD_PARTS as u64)
            ))
            .hint("write smaller files: name outputs under partition_by, or use more --threads"));
        }
        let closed = |_| Error::internal("nothing is sent any more");
        let permit = Arc::clone(&self.uploads.permits).acquire_owned().await.map_err(closed)?;
        let (uploads, key, number) = (Arc::clone(&self.uploads), self.key.clone(), self.next);
        self.next += 1;
        self.parts.push(None);
        self.tasks.spawn(async move {
            let sent = uploads.objects.upload_part(&key, &id, number, part).await?;
            drop(permit);
            Ok((number, sent))
        });
        Ok(())
    }

    async fn begin_multipart(&mut self) -> Result<MultipartId> {
        let (uploads, key) = (Arc::clone(&self.uploads), self.key.clone());
        let beginning = Arc::clone(&uploads.beginning).read_owned().await;
        // A task of its own, so that the id becomes known even if this run is stopped during the
        // request.
        let begun = tokio::spawn(async move {
            let id = uploads.objects.begin_upload(&key).await?;
            lock_mutex(&uploads.begun).push((key.clone(), id.clone()));
            drop(beginning);
            uploads.log.log_upload(&key, &id).await?;
            Ok::<_, Error>(id)
        });
        let panicked = |error| Error::internal(format!("an upload panicked: {error}"));
        let id = begun.await.map_err(panicked)??;
        self.id = Some(id.clone());
        Ok(id)
    }
}
