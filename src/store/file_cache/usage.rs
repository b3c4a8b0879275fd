//! The size of the cache: the bytes in its directory, and the segments that go when it is too large.
//!
//! The directory is the truth, because several processes share it. A process lists it when it has added a sixteenth of
//! the bound since the last time, and then leaves room for itself and for another process to add as much again.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::segment::{SegmentName, is_shelf_name, is_unfinished_name};
use crate::limits::{CACHE_LEFTOVER_AGE, FILE_CACHE_DISK_LEFT, FILE_CACHE_FILES};
use crate::outside::{self, files};

/// The bytes that disks give out together.
const BLOCK: u64 = 4096;

/// The state of the directory, as far as this process knows it.
#[derive(Debug, Default)]
pub(super) struct DirectoryUsage {
    /// The bytes and files when it was listed, with those that this process has added and removed since; zero until
    /// it is listed.
    pub(super) bytes: u64,
    files: u64,
    /// The bytes that this process has added since.
    added: u64,
    is_listed: bool,
}

/// A file of the directory. Files sort by their last use, the oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct StoredSegment {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

/// Returns the bytes that a file takes on a disk.
pub(super) fn disk_bytes(length: u64) -> u64 {
    length.div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl DirectoryUsage {
    /// Makes room for a file of some bytes, and counts it. Returns false if the file is too large for the bound. It is
    /// an error if the disk is full of other things.
    pub(super) fn make_room(&mut self, root: &Path, bound: u64, length: u64) -> Result<bool> {
        let more = disk_bytes(length);
        if more > bound / 4 {
            return Ok(false);
        }
        let is_full = files::free_space(root)? < FILE_CACHE_DISK_LEFT.saturating_add(more);
        let share = self.added.saturating_add(more) > bound / 16;
        if !self.is_listed || is_full || share || self.files >= FILE_CACHE_FILES {
            self.recount(root, bound, more)?;
            if is_full && files::free_space(root)? < FILE_CACHE_DISK_LEFT.saturating_add(more) {
                return Err(Error::new(ErrorKind::StorageFull, "its disk is almost full"));
            }
        }
        self.bytes += more;
        self.added += more;
        self.files += 1;
        Ok(true)
    }

    /// Notes that a file of some bytes is gone.
    pub(super) fn note_removed(&mut self, length: u64) {
        self.bytes = self.bytes.saturating_sub(disk_bytes(length));
        self.files = self.files.saturating_sub(1);
    }

    /// Lists the directory, and removes the files that were used longest ago if those bytes would soon pass the bound
    /// or leave too little of the disk to others.
    pub(super) fn recount(&mut self, root: &Path, bound: u64, more: u64) -> Result<()> {
        let mut found = list_segments(root)?;
        let mut bytes: u64 = found.iter().map(|segment| segment.bytes).sum();
        let mut count = found.len() as u64;
        let free = files::free_space(root)?;
        let lacking = FILE_CACHE_DISK_LEFT.saturating_add(more).saturating_sub(free);
        let reserve = more.max(bound / 16).saturating_mul(2);
        if bytes.saturating_add(reserve) > bound || lacking > 0 || count >= FILE_CACHE_FILES {
            let most = (bound / 4 * 3).saturating_sub(more).min(bytes.saturating_sub(lacking));
            let most_files = FILE_CACHE_FILES / 8 * 7;
            found.sort();
            for segment in &found {
                if bytes <= most && count <= most_files {
                    break;
                }
                remove_if_there(&segment.path)?;
                bytes -= segment.bytes;
                count -= 1;
            }
        }
        (self.bytes, self.files, self.added, self.is_listed) = (bytes, count, 0, true);
        Ok(())
    }
}

/// Removes a file; a missing one counts as removed, because another process may have done so.
pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match files::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lists all segments. Removes old ones that nobody finished.
fn list_segments(root: &Path) -> Result<Vec<StoredSegment>> {
    let before = SystemTime::from(outside::utc_now()).checked_sub(CACHE_LEFTOVER_AGE);
    let mut found = Vec::new();
    for shelf in files::list_directory(root)? {
        if !shelf.file_name().to_str().is_some_and(is_shelf_name) {
            continue;
        }
        for entry in files::list_directory(&shelf.path())? {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_unfinished = is_unfinished_name(name);
            if !is_unfinished && SegmentName::parse(name).is_none() {
                continue;
            }
            let path = entry.path();
            // Another process may have removed it since.
            let Some(meta) = files::find_metadata(&path)? else { continue };
            let used = meta.modified()?;
            if is_unfinished && before.is_some_and(|before| used < before) {
                remove_if_there(&path)?;
                continue;
            }
            found.push(StoredSegment { used, path, bytes: disk_bytes(meta.len()) });
        }
    }
    Ok(found)
}
