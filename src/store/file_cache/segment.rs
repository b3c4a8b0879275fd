//! One file of the cache: some bytes in a row of one version of a remote file.
//!
//! A segment is `WRFC0001`, the SHA-256 of the remote file and its version, the offset and the length of the bytes (8
//! bytes each, little endian), a CRC-32 of each chunk of the bytes, a CRC-32 of everything so far, and the bytes. A
//! reader thus checks the chunks that it reads, and no others.
//!
//! It is written under a temporary name and renamed. Nothing is flushed to the disk: a power cut may leave a torn file,
//! whose checksums are wrong.

use std::io::{Error, ErrorKind, Result, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::outside::files::{self, LocalFile};
use crate::outside::{self, FailPoint};

const MAGIC: [u8; 8] = *b"WRFC0001";

/// The bytes that have a checksum together.
const CHUNK: usize = 128 << 10;

/// The bytes of magic, digest, offset and length.
const FIXED: usize = 8 + 32 + 8 + 8;

/// The bytes of a checksum.
const CHECKSUM: usize = 4;

/// The digits of the name of a remote file that are the name of its folder.
const SHELF_DIGITS: usize = 3;

/// One version of one remote file.
#[derive(Clone, Debug)]
pub(in crate::store) struct FileKey {
    digest: [u8; 32],
    /// The name of the remote file in the cache.
    file: String,
    /// The name of its version.
    version: String,
}

impl FileKey {
    /// Creates the key of a file, wherever it is, and a version, which tells its bytes from all others.
    pub(in crate::store) fn new(place: &str, version: &str) -> Self {
        let digest = Sha256::new().chain_update(place).chain_update([0]).chain_update(version);
        let name = |text: &str, digits: usize| {
            let mut name = hex_digits(&Sha256::digest(text));
            name.truncate(digits);
            name
        };
        Self { digest: digest.finalize().into(), file: name(place, 32), version: name(version, 16) }
    }

    /// Returns the folder of the segments of the file.
    pub(super) fn folder(&self, root: &Path) -> PathBuf {
        root.join(&self.file[..SHELF_DIGITS])
    }

    /// Returns whether a segment belongs to another version of the file.
    pub(super) fn is_replaced(&self, segment: &SegmentName) -> bool {
        segment.file == self.file && segment.version != self.version
    }

    /// Returns whether a segment belongs to this version of the file.
    pub(super) fn has_segment(&self, segment: &SegmentName) -> bool {
        segment.file == self.file && segment.version == self.version
    }

    /// Returns the name of the segment of some bytes.
    pub(super) fn segment(&self, offset: u64, length: u64) -> SegmentName {
        SegmentName { file: self.file.clone(), version: self.version.clone(), offset, length }
    }
}

fn hex_digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns whether a name is that of a folder of segments.
pub(super) fn is_shelf_name(name: &str) -> bool {
    name.len() == SHELF_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of a segment: the file, its version, and the place and number of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    file: String,
    version: String,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, version, offset, length } = self;
        write!(f, "{file}-{version}-{offset:x}-{length:x}")
    }
}

impl SegmentName {
    /// Parses the name of a file; None for other files.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let (file, version) = (parts.next()?, parts.next()?);
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (offset, length) = (number()?, number()?);
        let found = Self { file: file.to_string(), version: version.to_string(), offset, length };
        // A number may be written in several ways, and the name in one.
        (found.to_string() == name && offset.checked_add(length).is_some()).then_some(found)
    }

    /// The offset behind its last byte.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Returns whether a name is that of a segment that is being written.
pub(super) fn is_unfinished_name(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".writing")
}

fn unfinished_name() -> String {
    let number = (outside::random_fraction() * 2_f64.powi(52)) as u64;
    format!(".{}-{number:013x}.writing", outside::process_id())
}

/// Returns the bytes of a file with a segment of so many bytes.
pub(super) fn file_length(length: u64) -> u64 {
    header_length(length) as u64 + length
}

fn header_length(length: u64) -> usize {
    let chunks = usize::try_from(length.div_ceil(CHUNK as u64)).unwrap_or(usize::MAX / 8);
    FIXED + (chunks + 1) * CHECKSUM
}

fn write_header(key: &FileKey, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(key.digest);
    header.extend(offset.to_le_bytes());
    header.extend((bytes.len() as u64).to_le_bytes());
    for chunk in bytes.chunks(CHUNK) {
        header.extend(crc32fast::hash(chunk).to_le_bytes());
    }
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

/// Writes a segment. Readers find all of it or nothing.
pub(super) fn write_segment(root: &Path, key: &FileKey, offset: u64, bytes: &[u8]) -> Result<()> {
    let folder = key.folder(root);
    let aside = folder.join(unfinished_name());
    let mut file = match files::create_private(&aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            files::create_private_folder(&folder)?;
            files::create_private(&aside)?
        }
        created => created?,
    };
    let name = key.segment(offset, bytes.len() as u64).to_string();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let written = file
        .write_all(&write_header(key, offset, bytes))
        .and_then(|()| file.write_all(first))
        .and_then(|()| {
            outside::reach_fail_point(FailPoint::FileCacheWriting);
            file.write_all(second)
        })
        .and_then(|()| files::rename_path(&aside, &folder.join(name)));
    if written.is_err() {
        let _ = files::remove_file(&aside);
    }
    written
}

/// An open segment whose header is right.
pub(super) struct OpenSegment {
    file: LocalFile,
    header: Vec<u8>,
    name: SegmentName,
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} is wrong"))
}

impl OpenSegment {
    /// Opens a segment. One of another length or with a wrong header is `InvalidData`.
    pub(super) fn open(root: &Path, key: &FileKey, name: &SegmentName) -> Result<Self> {
        let file = files::open_file(&key.folder(root).join(name.to_string()))?;
        if file.metadata()?.len() != file_length(name.length) {
            return Err(damaged("its length"));
        }
        let mut header = vec![0; header_length(name.length)];
        read_fully(&file, &mut header, 0)?;
        let (all, checksum) = header.split_at(header.len() - CHECKSUM);
        let mut fixed = MAGIC.to_vec();
        fixed.extend(key.digest);
        fixed.extend(name.offset.to_le_bytes());
        fixed.extend(name.length.to_le_bytes());
        if !all.starts_with(&fixed) || crc32fast::hash(all).to_le_bytes() != checksum {
            return Err(damaged("its header"));
        }
        Ok(Self { file, header, name: name.clone() })
    }

    /// Notes that it was used, unless that was noted within `age`.
    pub(super) fn note_use(&self, age: std::time::Duration) -> Result<()> {
        let noted = self.file.metadata()?.modified()?;
        let now = std::time::SystemTime::from(outside::utc_now());
        match now.duration_since(noted) {
            Ok(since) if since < age => Ok(()),
            _ => self.file.touch(),
        }
    }

    /// Reads some of its bytes, whose offsets are those in the remote file. A wrong chunk is `InvalidData`.
    pub(super) fn read_into(&self, range: &Range<u64>, into: &mut [u8]) -> Result<()> {
        let place = |offset: u64| usize::try_from(offset - self.name.offset).unwrap_or(usize::MAX);
        let (start, end) = (place(range.start), place(range.end));
        let length = usize::try_from(self.name.length).unwrap_or(usize::MAX);
        let mut partly = Vec::new();
        let (mut at, mut into) = (start, into);
        while at < end {
            let number = at / CHUNK;
            let chunk = number * CHUNK..((number + 1) * CHUNK).min(length);
            let until = chunk.end.min(end);
            let (here, rest) = into.split_at_mut(until - at);
            if at == chunk.start && until == chunk.end {
                self.read_chunk(number, &chunk, here)?;
            } else {
                partly.resize(chunk.len(), 0);
                self.read_chunk(number, &chunk, &mut partly)?;
                here.copy_from_slice(&partly[at - chunk.start..until - chunk.start]);
            }
            (at, into) = (until, rest);
        }
        Ok(())
    }

    fn read_chunk(&self, number: usize, chunk: &Range<usize>, into: &mut [u8]) -> Result<()> {
        read_fully(&self.file, into, (self.header.len() + chunk.start) as u64)?;
        let at = FIXED + number * CHECKSUM;
        match self.header[at..at + CHECKSUM] == crc32fast::hash(into).to_le_bytes() {
            true => Ok(()),
            false => Err(damaged("a checksum")),
        }
    }
}

fn read_fully(file: &LocalFile, into: &mut [u8], at: u64) -> Result<()> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], at + read as u64)? {
            0 => return Err(damaged("its length")),
            more => read += more,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bytes: &[u8]) -> (tempfile::TempDir, FileKey, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let key = FileKey::new("s3://bucket/a", "tag 1");
        write_segment(folder.path(), &key, 1000, bytes).unwrap();
        let name = key.segment(1000, bytes.len() as u64).to_string();
        let path = key.folder(folder.path()).join(name);
        (folder, key, path)
    }

    fn read(root: &Path, key: &FileKey, length: u64, range: Range<u64>) -> Result<Vec<u8>> {
        let mut into = vec![0; (range.end - range.start) as usize];
        OpenSegment::open(root, key, &key.segment(1000, length))?.read_into(&range, &mut into)?;
        Ok(into)
    }

    #[test]
    fn any_range_is_read_back() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 77).map(|n| (n * 7 % 251) as u8).collect();
        let (folder, key, _) = segment(&bytes);
        let length = bytes.len();
        let ends = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, length];
        for from in ends {
            for to in ends.into_iter().filter(|to| *to >= from) {
                let range = 1000 + from as u64..1000 + to as u64;
                let found = read(folder.path(), &key, length as u64, range).unwrap();
                assert!(found == bytes[from..to], "{from}..{to}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes: Vec<u8> = (0..300).map(|n| (n % 251) as u8).collect();
        let (folder, key, path) = segment(&bytes);
        let whole = std::fs::read(&path).unwrap();
        let damaged = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = read(folder.path(), &key, 300, 1000..1300).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        };
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            damaged(&flipped);
            damaged(&whole[..at]);
        }
        damaged(&[&whole[..], &[0]].concat());
        std::fs::write(&path, &whole).unwrap();
        // The bytes of another file, or of another version, under this name.
        for other in
            [FileKey::new("s3://bucket/b", "tag 1"), FileKey::new("s3://bucket/a", "tag 2")]
        {
            let place = other.folder(folder.path());
            std::fs::create_dir_all(&place).unwrap();
            std::fs::copy(&path, place.join(other.segment(1000, 300).to_string())).unwrap();
            let error = read(folder.path(), &other, 300, 1000..1300).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        assert!(read(folder.path(), &key, 300, 1000..1300).unwrap() == bytes);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let key = FileKey::new("s3://bucket/a", "tag 1");
        let name = key.segment(0xabc, 0x10);
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name.clone()));
        assert!(key.has_segment(&name) && !key.is_replaced(&name));
        assert!(FileKey::new("s3://bucket/a", "tag 2").is_replaced(&name));
        assert!(!FileKey::new("s3://bucket/b", "tag 2").is_replaced(&name));
        for odd in ["", "-", "a-b-c", "a-b-0A-1", "a-b-01-1", "a-b-1-1-1", "a-b-ffffffffffffffff-2"]
        {
            assert_eq!(SegmentName::parse(odd), None, "{odd}");
        }
        assert!(is_unfinished_name(&unfinished_name()));
    }

    #[test]
    fn only_the_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, key, path) = segment(b"private");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path), mode(&key.folder(folder.path()))], [0o600, 0o700]);
    }
}
