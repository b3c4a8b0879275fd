//! Files on their way into an object store: parts that are sent while the next ones are written.
//!
//! A file is not there before its upload is completed, which the commit does from the manifest. Until then nobody sees
//! it, and a run that fails leaves nothing.

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

/// Notes uploads that were begun, so that somebody can end them if this run cannot.
#[async_trait]
pub trait UploadLog: Send + Sync {
    /// Notes one upload: its key, and what the server calls it.
    ///
    /// # Errors
    /// It cannot be noted: the upload must not go on.
    async fn log_upload(&self, key: &Key, id: &str) -> Result<()>;
}

/// The files of one run.
pub struct Uploads {
    objects: Arc<Bucket>,
    prefix: Key,
    log: Arc<dyn UploadLog>,
    /// One for each part that is on its way.
    permits: Arc<Semaphore>,
    part: usize,
    begun: Mutex<Vec<(Key, MultipartId)>>,
    /// Held for reading by whoever begins an upload.
    beginning: Arc<RwLock<()>>,
}

impl Uploads {
    /// Uploads below a prefix by so many workers. Where memory is `limited`, parts are small and few.
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

    /// A new file, by its path below the target: where its bytes are written, and what sends them.
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

    /// Ends all uploads, and removes those that were completed.
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

/// What was written and is not sent yet.
#[derive(Default)]
struct PartQueue {
    size: usize,
    full: VecDeque<Bytes>,
    part: Vec<u8>,
    bytes: u64,
}

/// Where the bytes of a file are written.
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
        Ok(()) // A part is sent when it is full, and the last at the end.
    }
}

/// What sends the parts of a file.
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
    /// Sends the parts that are full. It waits while too many are on their way.
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

    /// Sends what is left of a file with so many rows, and waits until all of it is there.
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
        // On its own, so that its name is known even if this run is stopped while it is asked for.
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
