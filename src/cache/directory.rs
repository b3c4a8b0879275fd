//! Entries as files: `ab/ab….rows`, in folders by the first two digits of their keys.
//!
//! A file is written under a temporary name in its folder and renamed: a killed process leaves the old file or the
//! new one, and perhaps a temporary name, which the next prune removes. Nothing is flushed to the disk. A power cut
//! may thus leave a torn file; its checksum is wrong, so that it counts as absent.

use std::io::{Error as IoError, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::key::CacheKey;
use super::tier::{
    DurableTier, StoredEntry, entry_name, is_temporary_name, parse_entry_name, run_blocking,
    temporary_name,
};
use crate::error::{Error, Result};
use crate::limits::CACHE_LEFTOVER_AGE;
use crate::outside::{self, files};
use crate::store::display_path;

/// The folder that [`DurableTier::probe`] writes to.
const PROBED_SHELF: &str = "00";

/// Entries in a directory.
pub(super) struct CacheDirectory {
    root: Arc<Path>,
}

impl CacheDirectory {
    /// Opens the directory, which is created if it does not exist.
    pub(super) async fn open(root: PathBuf) -> Result<Self> {
        let root: Arc<Path> = root.into();
        let opened = Arc::clone(&root);
        run_blocking(move || prepare_root(&opened)).await?;
        Ok(Self { root })
    }
}

fn prepare_root(root: &Path) -> Result<()> {
    let shown = display_path(root);
    let unusable = |error: IoError| {
        Error::usage(format!("cannot use {shown} as a cache: {error}"))
            .hint("name a directory that this user may write")
    };
    if files::find_metadata(root).map_err(unusable)?.is_some_and(|found| !found.is_dir()) {
        return Err(Error::usage(format!("the cache {shown} is a file")).hint("name a directory"));
    }
    files::create_folder(root).map_err(unusable)?;
    probe_root(root).map_err(|error| match is_no_space(&error) {
        true => disk_error("write", root, &error),
        false => unusable(error),
    })
}

/// Returns whether a disk or a quota is full.
fn is_no_space(error: &IoError) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Returns the error of a file of a cache.
fn disk_error(what: &str, path: &Path, error: &IoError) -> Error {
    let shown = display_path(path);
    if is_no_space(error) {
        return Error::target(format!("no space is left for the cache: {shown}"))
            .hint("free some space, or give the cache fewer bytes")
            .as_disk_full();
    }
    let failed = Error::target(format!("cannot {what} the cache: {shown}: {error}"));
    match error.raw_os_error() {
        Some(23 | 24) => failed.hint("raise the limit on open files (ulimit -n)").as_transient(),
        _ => failed.hint("give this user the right to read and write there"),
    }
}

fn entry_path(root: &Path, key: &CacheKey) -> PathBuf {
    root.join(key.shelf()).join(entry_name(key))
}

/// Writes a file aside and renames it. The folder is created if it does not exist.
fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let aside = folder.join(temporary_name());
    let mut file = match files::create_or_truncate(&aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            files::create_folder(folder)?;
            files::create_or_truncate(&aside)?
        }
        created => created?,
    };
    let written = file.write_all(bytes).and_then(|()| files::rename_path(&aside, path));
    if written.is_err() {
        let _ = files::remove_file(&aside);
    }
    written
}

/// Writes a file, reads it again and removes it.
fn probe_root(root: &Path) -> Result<(), IoError> {
    const TEXT: &[u8] = b"windrow";
    let path = root.join(PROBED_SHELF).join(temporary_name());
    replace_file(&path, TEXT)?;
    let read = files::read_bytes(&path);
    files::remove_file(&path)?;
    match read? == TEXT {
        true => Ok(()),
        false => {
            Err(IoError::new(ErrorKind::InvalidData, "other bytes are read than were written"))
        }
    }
}

/// Returns the time at which a file was written, in microseconds since 1970.
fn modified_micros(meta: &std::fs::Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000).saturating_add(meta.mtime_nsec() / 1_000)
}

/// Removes a file; a missing one counts as removed.
fn remove_if_present(path: &Path) -> Result<()> {
    match files::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(disk_error("remove a file of", path, &error))
        }
        _ => Ok(()),
    }
}

fn list_folder(folder: &Path) -> Result<Vec<StoredEntry>> {
    let fail = |error: IoError| disk_error("list", folder, &error);
    let listed = match files::list_directory(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(fail)?,
    };
    let leftover_age = i64::try_from(CACHE_LEFTOVER_AGE.as_micros()).unwrap_or(i64::MAX);
    let before = outside::utc_now().timestamp_micros().saturating_sub(leftover_age);
    let mut found = Vec::new();
    for entry in listed {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (key, is_temporary) = (parse_entry_name(name), is_temporary_name(name));
        if key.is_none() && !is_temporary {
            continue;
        }
        let path = entry.path();
        // Another process may have removed it since.
        let Some(meta) = files::find_metadata(&path).map_err(fail)? else { continue };
        let written = modified_micros(&meta);
        match key {
            Some(key) => found.push(StoredEntry { written, key, bytes: meta.len() }),
            None if written < before => remove_if_present(&path)?,
            None => {}
        }
    }
    Ok(found)
}

#[async_trait]
impl DurableTier for CacheDirectory {
    fn place(&self) -> String {
        display_path(&self.root)
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn read(&self, key: &CacheKey) -> Result<Option<Bytes>> {
        let path = entry_path(&self.root, key);
        run_blocking(move || match files::read_bytes(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error("read", &path, &error)),
        })
        .await
    }

    async fn write(&self, entries: Vec<(CacheKey, Bytes)>) -> Result<()> {
        let root = Arc::clone(&self.root);
        run_blocking(move || {
            entries.iter().try_for_each(|(key, bytes)| {
                let path = entry_path(&root, key);
                replace_file(&path, bytes).map_err(|error| disk_error("write", &path, &error))
            })
        })
        .await
    }

    async fn list_shelf(&self, shelf: String) -> Result<Vec<StoredEntry>> {
        let folder = self.root.join(shelf);
        run_blocking(move || list_folder(&folder)).await
    }

    async fn remove_unchanged(&self, entries: Vec<StoredEntry>) -> Result<()> {
        let root = Arc::clone(&self.root);
        run_blocking(move || {
            entries.iter().try_for_each(|entry| {
                let path = entry_path(&root, &entry.key);
                let fail = |error: IoError| disk_error("read", &path, &error);
                match files::find_metadata(&path).map_err(fail)? {
                    Some(meta) if modified_micros(&meta) == entry.written => {
                        remove_if_present(&path)
                    }
                    _ => Ok(()),
                }
            })
        })
        .await
    }

    async fn remove_damaged(&self, key: &CacheKey, bytes: Bytes) -> Result<()> {
        let path = entry_path(&self.root, key);
        run_blocking(move || match files::read_bytes(&path) {
            Ok(now) if bytes == now => remove_if_present(&path),
            _ => Ok(()),
        })
        .await
    }

    async fn probe(&self) -> Result<()> {
        let root = Arc::clone(&self.root);
        run_blocking(move || probe_root(&root).map_err(|error| disk_error("use", &root, &error)))
            .await
    }
}
