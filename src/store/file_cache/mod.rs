//! Bytes of remote files on the local disk, for processes that read the same files again and again.
//!
//! Exactly the ranges that were fetched are kept, each as a segment under the name of the file and its version: a
//! version is an ETag, or what else the server gives that tells the bytes from all others. A file that was written
//! again has another version, and thus no segments; those of its old versions are removed as soon as the new one has
//! some.
//!
//! The cache never fails a read. If the disk does not work, the bytes come from the server, as without a cache.
//! Several processes may share the directory.

mod segment;
mod usage;

use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use object_store::coalesce_ranges;

pub(super) use segment::FileKey;
use segment::{OpenSegment, SegmentName, file_length, write_segment};
use usage::{DirectoryUsage, remove_if_there};

use crate::error::Result;
use crate::limits::{FILE_CACHE_PAUSE, FILE_CACHE_SEGMENT, FILE_CACHE_TOUCH};
use crate::outside::files;

/// Ranges with a gap of at most this many bytes are fetched together.
pub(super) const COALESCE_GAP: u64 = 512 << 10;

/// The folder of the segments: the version of their format. It is the cache's own, whoever made the directory.
const FORMAT_FOLDER: &str = "v1";

/// The cache of the bytes of remote files.
pub struct RemoteFileCache {
    /// The directory as it was configured.
    place: PathBuf,
    root: PathBuf,
    /// The bytes that the directory may have.
    bound: u64,
    usage: Mutex<DirectoryUsage>,
    /// The time until which nothing is written, since writing failed.
    paused: Mutex<Option<Instant>>,
    /// True once the directory was made.
    is_prepared: AtomicBool,
    /// True while the log says that the directory cannot be used.
    is_failing: AtomicBool,
    counts: FileCacheCounters,
}

#[derive(Debug, Default)]
struct FileCacheCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    hit_bytes: AtomicU64,
    miss_bytes: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

/// The numbers that a cache counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCacheCounts {
    /// The ranges of remote files that were read without a request.
    pub hits: u64,
    /// The other ranges.
    pub misses: u64,
    /// The bytes that were read from the disk.
    pub hit_bytes: u64,
    /// The bytes that were fetched from servers.
    pub miss_bytes: u64,
    /// The calls to the disk that failed, and the damaged segments.
    pub errors: u64,
    /// The bytes in the directory.
    pub bytes: u64,
}

/// A range, as far as the cache has it.
#[derive(Debug)]
struct FoundRange {
    /// The bytes of the range, with zeros in the gaps; empty if nothing was found.
    bytes: Vec<u8>,
    /// The parts that are missing, in order.
    gaps: Vec<Range<u64>>,
}

impl std::fmt::Debug for RemoteFileCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteFileCache").field("root", &self.root).finish_non_exhaustive()
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RemoteFileCache {
    /// Creates the cache of a directory, which may have so many bytes. Nothing is done until remote files are read: a
    /// directory that cannot be used is no error then, but told in the log, and tried again later.
    pub fn new(place: &Path, bound: u64) -> Arc<Self> {
        Arc::new(Self {
            place: place.to_path_buf(),
            root: place.join(FORMAT_FOLDER),
            bound,
            usage: Mutex::default(),
            paused: Mutex::default(),
            is_prepared: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            counts: FileCacheCounters::default(),
        })
    }

    /// Looks at the bytes that earlier processes kept, if there are any. Blocks.
    pub fn recount(&self) {
        if files::path_exists(&self.root).is_ok_and(|exists| exists)
            && let Err(error) = self.with_usage(|usage| usage.recount(&self.root, self.bound, 0))
        {
            self.note_failure(&error);
        }
    }

    fn with_usage<T>(&self, change: impl FnOnce(&mut DirectoryUsage) -> T) -> T {
        let mut usage = lock(&self.usage);
        let done = change(&mut usage);
        self.counts.bytes.store(usage.bytes, Ordering::Relaxed);
        done
    }

    /// Returns the numbers so far.
    pub fn counts(&self) -> FileCacheCounts {
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FileCacheCounts {
            hits: number(&self.counts.hits),
            misses: number(&self.counts.misses),
            hit_bytes: number(&self.counts.hit_bytes),
            miss_bytes: number(&self.counts.miss_bytes),
            errors: number(&self.counts.errors),
            bytes: number(&self.counts.bytes),
        }
    }

    /// Counts an error, and tells the first of several in a row. Nothing is written for a while.
    fn note_failure(&self, error: &IoError) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        *lock(&self.paused) = Some(Instant::now() + FILE_CACHE_PAUSE);
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the file cache {} cannot be used: {error}; remote files are read from their servers",
                self.place.display()
            );
        }
    }

    fn note_success(&self) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the file cache {} can be used again", self.place.display());
        }
    }

    fn is_paused(&self) -> bool {
        let mut paused = lock(&self.paused);
        if paused.is_some_and(|until| until <= Instant::now()) {
            *paused = None;
        }
        paused.is_some()
    }

    /// Reads ranges of a file, from the disk as far as they are there. `fetch` gets the others from the server; it also
    /// returns whether its bytes are those of the version for sure, so that they may be kept.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) async fn read_through<F: Future<Output = Result<(Bytes, bool)>> + Send>(
        self: &Arc<Self>,
        key: &Arc<FileKey>,
        ranges: &[Range<u64>],
        fetch: impl Fn(Range<u64>) -> F + Sync,
    ) -> Result<Vec<Bytes>> {
        let found = self.find_elsewhere(key, ranges).await;
        let gaps: Vec<_> = found.iter().flat_map(|found| found.gaps.iter().cloned()).collect();
        let fetch_gap = |gap: Range<u64>| {
            let fetched = fetch(gap.clone());
            async move {
                let (bytes, is_sure) = fetched.await?;
                self.counts.miss_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if is_sure {
                    self.keep_elsewhere(key, gap.start, bytes.clone()).await;
                }
                Ok(bytes)
            }
        };
        let fetched = coalesce_ranges(&gaps, fetch_gap, COALESCE_GAP).await?;
        let mut filling = gaps.iter().zip(fetched);
        let fill = |(range, found): (&Range<u64>, FoundRange)| {
            self.count_range(range, &found);
            let filled = filling.by_ref().take(found.gaps.len()).collect::<Vec<_>>();
            fill_gaps(range, found.bytes, filled)
        };
        Ok(ranges.iter().zip(found).map(fill).collect())
    }

    /// Finds ranges on a thread that may wait for the disk.
    async fn find_elsewhere(
        self: &Arc<Self>,
        key: &Arc<FileKey>,
        ranges: &[Range<u64>],
    ) -> Vec<FoundRange> {
        let (cache, key, wanted) = (Arc::clone(self), Arc::clone(key), ranges.to_vec());
        let found = tokio::task::spawn_blocking(move || cache.find_ranges(&key, &wanted));
        let nothing = |range: &Range<u64>| FoundRange {
            bytes: Vec::new(),
            gaps: if range.is_empty() { Vec::new() } else { vec![range.clone()] },
        };
        found.await.unwrap_or_else(|_| ranges.iter().map(nothing).collect())
    }

    /// Keeps bytes on a thread that may wait for the disk.
    pub(super) async fn keep_elsewhere(
        self: &Arc<Self>,
        key: &Arc<FileKey>,
        at: u64,
        bytes: Bytes,
    ) {
        let (cache, key) = (Arc::clone(self), Arc::clone(key));
        let kept = tokio::task::spawn_blocking(move || cache.keep_bytes(&key, at, &bytes));
        // The thread ends early only with the program.
        let _ = kept.await;
    }

    /// Counts a range as one that needed no request, or as one of which some bytes were fetched.
    fn count_range(&self, range: &Range<u64>, found: &FoundRange) {
        let missing: u64 = found.gaps.iter().map(|gap| gap.end - gap.start).sum();
        let counts = &self.counts;
        let count = if missing == 0 { &counts.hits } else { &counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        counts.hit_bytes.fetch_add(range.end - range.start - missing, Ordering::Relaxed);
    }

    /// Finds the parts of some ranges that the cache has. Blocks.
    fn find_ranges(&self, key: &FileKey, ranges: &[Range<u64>]) -> Vec<FoundRange> {
        let mut segments = self.list_file(key);
        segments.sort_by_key(|segment| (segment.offset, segment.length));
        ranges.iter().map(|range| self.find_range(key, range, &segments)).collect()
    }

    /// Lists the segments of a file.
    fn list_file(&self, key: &FileKey) -> Vec<SegmentName> {
        let names = self.list_folder(key).into_iter();
        names.filter(|segment| key.has_segment(segment)).collect()
    }

    /// Lists the segments in the folder of a file, of which other files may have some.
    fn list_folder(&self, key: &FileKey) -> Vec<SegmentName> {
        match files::list_directory(&key.folder(&self.root)) {
            Ok(entries) => entries
                .iter()
                .filter_map(|entry| SegmentName::parse(entry.file_name().to_str()?))
                .collect(),
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    self.note_failure(&error);
                }
                Vec::new()
            }
        }
    }

    fn find_range(
        &self,
        key: &FileKey,
        range: &Range<u64>,
        segments: &[SegmentName],
    ) -> FoundRange {
        let mut found = FoundRange { bytes: Vec::new(), gaps: Vec::new() };
        for (part, segment) in cover_range(range, segments) {
            let is_there = segment.is_some_and(|segment| {
                let length = usize::try_from(range.end - range.start).unwrap_or(0);
                found.bytes.resize(length, 0);
                let place = |at: u64| usize::try_from(at - range.start).unwrap_or(length);
                let into = &mut found.bytes[place(part.start)..place(part.end)];
                self.read_part(key, segment, &part, into)
            });
            match found.gaps.last_mut() {
                _ if is_there => {}
                Some(gap) if gap.end == part.start => gap.end = part.end,
                _ => found.gaps.push(part),
            }
        }
        if found.gaps.first() == Some(range) {
            found.bytes = Vec::new();
        }
        found
    }

    /// Reads a part of a segment. Returns false if it cannot be read; a damaged segment is removed.
    fn read_part(
        &self,
        key: &FileKey,
        name: &SegmentName,
        part: &Range<u64>,
        into: &mut [u8],
    ) -> bool {
        let read = OpenSegment::open(&self.root, key, name).and_then(|segment| {
            segment.read_into(part, into)?;
            Ok(segment)
        });
        match read {
            Ok(segment) => {
                // The note decides only which segments go first.
                let _ = segment.note_use(FILE_CACHE_TOUCH);
                true
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.counts.errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("{}: a damaged segment is removed: {error}", self.place.display());
                self.remove_segment(key, name);
                false
            }
            Err(error) => {
                self.note_failure(&error);
                false
            }
        }
    }

    fn remove_segment(&self, key: &FileKey, name: &SegmentName) {
        match remove_if_there(&key.folder(&self.root).join(name.to_string())) {
            Ok(()) => self.with_usage(|usage| usage.note_removed(file_length(name.length))),
            Err(error) => self.note_failure(&error),
        }
    }

    /// Keeps bytes of a file, and removes those of its other versions. Blocks.
    fn keep_bytes(&self, key: &FileKey, offset: u64, bytes: &Bytes) {
        if self.is_paused() {
            return;
        }
        for segment in self.list_folder(key).iter().filter(|segment| key.is_replaced(segment)) {
            self.remove_segment(key, segment);
        }
        for (number, part) in bytes.chunks(FILE_CACHE_SEGMENT).enumerate() {
            let at = offset + (number * FILE_CACHE_SEGMENT) as u64;
            match self.keep_segment(key, at, part) {
                Ok(true) => self.note_success(),
                Ok(false) => return,
                Err(error) => return self.note_failure(&error),
            }
        }
    }

    /// Keeps some bytes; returns false if there is no room.
    fn keep_segment(&self, key: &FileKey, offset: u64, bytes: &[u8]) -> IoResult<bool> {
        let length = file_length(bytes.len() as u64);
        if self.is_failing.load(Ordering::Relaxed) || !self.is_prepared.load(Ordering::Relaxed) {
            files::create_private_folder(&self.root)?;
            self.is_prepared.store(true, Ordering::Relaxed);
        }
        if !self.with_usage(|usage| usage.make_room(&self.root, self.bound, length))? {
            return Ok(false);
        }
        let written = write_segment(&self.root, key, offset, bytes);
        if written.is_err() {
            self.with_usage(|usage| usage.note_removed(length));
        }
        written.map(|()| true)
    }
}

/// Puts fetched bytes into the gaps of a range.
fn fill_gaps(
    range: &Range<u64>,
    mut bytes: Vec<u8>,
    mut filling: Vec<(&Range<u64>, Bytes)>,
) -> Bytes {
    if bytes.is_empty() {
        return filling.pop().map_or_else(Bytes::new, |(_, fetched)| fetched);
    }
    for (gap, fetched) in filling {
        let start = usize::try_from(gap.start - range.start).unwrap_or(usize::MAX);
        if let Some(into) = bytes.get_mut(start..start.saturating_add(fetched.len())) {
            into.copy_from_slice(&fetched);
        }
    }
    bytes.into()
}

/// Divides a range into the parts that segments have, each with its segment, and those that none has. The segments are
/// sorted by offset.
fn cover_range<'a>(
    range: &Range<u64>,
    segments: &'a [SegmentName],
) -> Vec<(Range<u64>, Option<&'a SegmentName>)> {
    let (mut parts, mut at, mut next) = (Vec::new(), range.start, 0);
    let mut longest: Option<&SegmentName> = None;
    while at < range.end {
        while let Some(segment) = segments.get(next).filter(|segment| segment.offset <= at) {
            if longest.is_none_or(|longest| longest.end() < segment.end()) {
                longest = Some(segment);
            }
            next += 1;
        }
        let begin = segments.get(next).map_or(range.end, |segment| segment.offset);
        let (end, segment) = match longest.filter(|longest| longest.end() > at) {
            Some(segment) => (segment.end(), Some(segment)),
            None => (begin, None),
        };
        let end = end.min(range.end);
        parts.push((at..end, segment));
        at = end;
    }
    parts
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]
mod tests;
