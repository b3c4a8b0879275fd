//! A reader of a file in pieces, wherever the file is.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::reader::{ChunkReader, Length};

use super::bucket::RemoteObject;
use super::{FileRef, display_path};
use crate::error;
use crate::outside::files::{self, LocalFile};

/// Bytes at the end of a file that are read at once: most footers are shorter.
const TAIL_BYTES: u64 = 64 << 10;

/// A file that is read in pieces.
#[derive(Clone)]
pub enum FileReader {
    /// In memory.
    InMemory(Bytes),
    /// On the local disk.
    Local(Arc<StableFile>),
    /// Some pieces of the file in memory, in order, each with its offset; the number is the file's
    /// size.
    Pieces(Arc<Vec<(u64, Bytes)>>, u64),
    /// On a server. Reading blocks: never do it on a worker of the runtime.
    Remote(Arc<ReadAheadCache>),
}

/// A local file that is read in one state: other bytes than those that were there first are an error.
pub struct StableFile {
    path: PathBuf,
    file: Arc<LocalFile>,
    state: FileState,
}

/// The length of a file, and the time of the last change of its bytes if the system knows one. A link does not change
/// either.
type FileState = (u64, Option<SystemTime>);

/// The cached windows of a file on a server.
pub struct ReadAheadCache {
    object: RemoteObject,
    size: u64,
    held: Mutex<VecDeque<(u64, Bytes)>>,
}

impl FileRef {
    /// Opens a file; a file of up to `small` bytes is read into memory. A file on a server blocks while
    /// it is read: only threads that may block use it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open_reader(&self, small: u64) -> std::io::Result<FileReader> {
        match &self.object {
            None => {
                let file = match &self.open_file {
                    Some(file) => Arc::clone(file),
                    None => Arc::new(files::open_file(&self.path)?),
                };
                let file = StableFile::new(&self.path, file)?;
                // Its footer and its place among the rows come from the listing.
                check_same_state(&self.path, file.state, (self.size, Some(self.modified)))
                    .map_err(std::io::Error::other)?;
                FileReader::from_stable_file(file, small)
            }
            Some(object) if self.size <= small => {
                let bytes = object.read_whole_blocking().map_err(std::io::Error::other)?;
                Ok(FileReader::InMemory(bytes))
            }
            Some(object) => {
                let (object, size, held) = (object.clone(), self.size, Mutex::default());
                Ok(FileReader::Remote(Arc::new(ReadAheadCache { object, size, held })))
            }
        }
    }
}

impl FileRef {
    /// Checks that a local file still has the length and the time at which it was listed. A file that is gone, and
    /// one whose open handle is kept, were read as they were listed.
    ///
    /// # Errors
    /// The file is another one, or was written: a run starts again.
    pub fn verify_unchanged(&self) -> error::Result<()> {
        if self.object.is_some() || self.open_file.is_some() {
            return Ok(());
        }
        let Ok(meta) = files::read_metadata(&self.path) else { return Ok(()) };
        check_same_state(&self.path, state_of(&meta), (self.size, Some(self.modified)))
    }
}

fn state_of(meta: &Metadata) -> FileState {
    (meta.len(), meta.modified().ok())
}

fn check_same_state(path: &Path, found: FileState, expected: FileState) -> error::Result<()> {
    if found == expected || found.1.is_none() {
        return Ok(());
    }
    Err(error::Error::data(format!("{} changed while it was read", display_path(path)))
        .hint("run again once its writer is done")
        .as_transient())
}

impl FileReader {
    /// Opens a file of the local disk; a file of up to `small` bytes is read into memory.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open_local(path: &Path, small: u64) -> std::io::Result<Self> {
        let file = Arc::new(files::open_file(path)?);
        Self::from_stable_file(StableFile::new(path, file)?, small)
    }

    fn from_stable_file(file: StableFile, small: u64) -> std::io::Result<Self> {
        let size = file.size();
        if size > small {
            return Ok(Self::Local(Arc::new(file)));
        }
        Ok(Self::InMemory(file.read_range(0, usize::try_from(size).unwrap_or(0))?.into()))
    }

    /// Fetches the end of an object, with the whole footer if it is parquet.
    ///
    /// # Errors
    /// The server's errors.
    pub async fn fetch_tail(object: &RemoteObject, size: u64) -> error::Result<Self> {
        let from = size.saturating_sub(TAIL_BYTES);
        let mut piece = (from, object.read_range(from..size).await?);
        // The last eight bytes are the length of the footer and the magic number.
        let length =
            piece.1.len().checked_sub(8).and_then(|at| piece.1[at..at + 4].try_into().ok());
        let footer = length.map_or(0, |length| u64::from(u32::from_le_bytes(length)) + 8);
        if footer > size - from && footer <= size {
            piece = (size - footer, object.read_range(size - footer..size).await?);
        }
        Ok(Self::Pieces(Arc::new(vec![piece]), size))
    }

    /// Returns a reader of the file from an offset on.
    pub fn reader_from(&self, at: u64) -> OffsetReader {
        OffsetReader { file: self.clone(), at }
    }
}

impl StableFile {
    fn new(path: &Path, file: Arc<LocalFile>) -> std::io::Result<Self> {
        let state = state_of(&file.metadata()?);
        Ok(Self { path: path.to_path_buf(), file, state })
    }

    fn size(&self) -> u64 {
        self.state.0
    }

    /// Reads some bytes, and checks afterwards that the file is still in its state.
    fn read_range(&self, start: u64, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut read = 0;
        while read < length {
            match self.file.read_at(&mut bytes[read..], start + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        check_same_state(&self.path, state_of(&self.file.metadata()?), self.state)
            .map_err(std::io::Error::other)?;
        if read < length {
            return Err(std::io::Error::other("the file became shorter"));
        }
        Ok(bytes)
    }
}

impl Length for FileReader {
    fn len(&self) -> u64 {
        match self {
            Self::InMemory(bytes) => bytes.len() as u64,
            Self::Local(file) => file.size(),
            Self::Pieces(_, size) => *size,
            Self::Remote(file) => file.size,
        }
    }
}

impl ChunkReader for FileReader {
    type T = BufReader<OffsetReader>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // Page headers are read this way, and they are small.
        Ok(BufReader::with_capacity(256, self.reader_from(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64);
        let Some(end) = end.filter(|end| *end <= self.len()) else {
            return Err(ParquetError::EOF(format!(
                "{length} bytes from {start} on, in a file of {}",
                self.len()
            )));
        };
        match self {
            Self::InMemory(bytes) => bytes.get_bytes(start, length),
            Self::Local(file) => Ok(file.read_range(start, length)?.into()),
            Self::Pieces(pieces, _) => {
                let missing = || ParquetError::General(format!("nobody fetched {start} to {end}"));
                slice_pieces(pieces.iter(), start..end).ok_or_else(missing)
            }
            Self::Remote(file) => Ok(file.fetch_range(start..end)?),
        }
    }
}

/// Returns the bytes of a range if one of the pieces holds all of it.
fn slice_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a (u64, Bytes)>,
    range: Range<u64>,
) -> Option<Bytes> {
    let has =
        |(at, bytes): &&(u64, Bytes)| *at <= range.start && range.end <= at + bytes.len() as u64;
    let (at, bytes) = pieces.into_iter().find(has)?;
    let place = |n: u64| usize::try_from(n - at).unwrap_or(usize::MAX);
    Some(bytes.slice(place(range.start)..place(range.end)))
}

/// The least number of bytes read at a time, and the most for sequential reads.
const READ_AHEAD_BYTES: [u64; 2] = [512 << 10, 8 << 20];

/// The number of cached windows, since several columns are read side by side, and their total bytes.
const CACHE_BOUNDS: (usize, u64) = (4, READ_AHEAD_BYTES[1]);

impl ReadAheadCache {
    fn fetch_range(&self, range: Range<u64>) -> std::io::Result<Bytes> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = slice_pieces(held.iter(), range.clone()) {
            return Ok(bytes);
        }
        // A window that ends where this range begins was read just before: the reads are sequential.
        let length = |bytes: &Bytes| bytes.len() as u64;
        let before = held.iter().find(|(at, bytes)| {
            *at <= range.start && at + length(bytes) + READ_AHEAD_BYTES[0] / 2 >= range.start
        });
        let ahead = before
            .map_or(READ_AHEAD_BYTES[0], |(_, bytes)| (2 * length(bytes)).min(READ_AHEAD_BYTES[1]));
        let end = range.end.max(range.start + ahead).min(self.size);
        // A footer is read backwards from the end of the file.
        let start = if self.size - range.start <= TAIL_BYTES {
            self.size.saturating_sub(TAIL_BYTES)
        } else {
            range.start
        };
        let bytes = self.object.read_blocking(start..end).map_err(std::io::Error::other)?;
        held.push_front((start, bytes));
        let mut bytes = 0;
        held.retain(|(_, window)| {
            bytes += length(window);
            bytes == length(window) || bytes <= CACHE_BOUNDS.1
        });
        held.truncate(CACHE_BOUNDS.0);
        slice_pieces(held.iter(), range)
            .ok_or_else(|| std::io::Error::other("a window went missing"))
    }
}

/// A reader of the bytes of a file from an offset on.
pub struct OffsetReader {
    file: FileReader,
    at: u64,
}

impl Read for OffsetReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let left = self.file.len().saturating_sub(self.at);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let read = match &self.file {
            FileReader::Local(file) => file.file.read_at(into, self.at)?,
            FileReader::Pieces(pieces, _) => {
                let here = pieces
                    .iter()
                    .find(|(at, bytes)| (*at..at + bytes.len() as u64).contains(&self.at));
                let Some((at, bytes)) = here else { return Ok(0) };
                let from = usize::try_from(self.at - at).unwrap_or(usize::MAX);
                (&bytes[from..]).read(into)?
            }
            file => {
                let bytes = file.get_bytes(self.at, most).map_err(std::io::Error::other)?;
                (&bytes[..]).read(into)?
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::list_local_files;

    /// Returns the message of an error, and whether the run that meets it starts again.
    fn told(error: &(dyn std::error::Error + 'static)) -> (String, bool) {
        let own = error::downcast_own_error(error).expect("an error of windrow");
        (own.to_string(), own.is_transient())
    }

    #[test]
    fn a_file_is_read_in_the_state_in_which_it_was_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.csv");
        std::fs::write(&path, "symbol,ts\nA,2024-01-02\n").unwrap();
        let listed = list_local_files(&path).unwrap().files.remove(0);
        for small in [0, u64::MAX] {
            let open = listed.open_reader(small).unwrap();
            assert_eq!(open.get_bytes(7, 2).unwrap(), "ts");
        }
        // A run that links to the file does not change it.
        std::fs::hard_link(&path, folder.path().join("link")).unwrap();
        let open = listed.open_reader(0).unwrap();
        // Another file of the same length takes its name: the open one stays as it is.
        let other = folder.path().join("other");
        std::fs::write(&other, "symbol,ts\nB,2024-01-03\n").unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(later).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(open.get_bytes(10, 1).unwrap(), "A");
        for small in [0, u64::MAX] {
            let (told, again) = told(&listed.open_reader(small).err().unwrap());
            assert!(told.contains("bars.csv changed while it was read") && again, "{told}");
            assert!(listed.verify_unchanged().is_err());
        }
        // Its writer writes into the open file.
        let open = FileReader::open_local(&path, 0).unwrap();
        let mut writer = std::fs::File::options().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut writer, b"C,2024-01-02\n").unwrap();
        let (told, again) = told(&open.get_bytes(10, 1).unwrap_err());
        assert!(told.contains("changed while it was read") && again, "{told}");
    }
}
