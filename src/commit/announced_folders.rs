//! Folders that a commit is about to add to a directory. They are created before the commit for readers
//! that list folder by folder. Each holds a file without rows, which belongs to no state.
//!
//! Until the commit, and after a crash before it, other readers find these files among those of the old state.
//! So they have the columns and types of the old state: some readers take the types of all files from one of
//! them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::errors::ParquetError;

use super::stage::lock_holder;
use crate::outside::files;
use crate::store::{FileReader, Record, announced_name, is_announced};

/// Creates the folders of a state that its target does not have yet, each with a file without rows.
/// `held` is the record of the old state. Returns whether there were any.
pub(super) fn announce_folders(
    target: &Path,
    stage: &Path,
    record: &Record,
    held: Option<&Record>,
) -> std::io::Result<bool> {
    let folders = record.files.iter().filter_map(|file| Path::new(&file.path).parent());
    let folders: BTreeSet<&Path> =
        folders.filter(|folder| !folder.as_os_str().is_empty()).collect();
    if folders.is_empty() || !files::path_exists(target)? {
        return Ok(false);
    }
    let old = held.and_then(|held| held.files.first()).map(|file| target.join(&file.path));
    let like = old.unwrap_or_else(|| stage.join(&record.files[0].path));
    let mut without_rows = None;
    for folder in folders.into_iter().map(|folder| target.join(folder)) {
        if !files::path_exists(&folder)? {
            let bytes = match without_rows.take() {
                Some(bytes) => bytes,
                None => file_without_rows(&like)?,
            };
            files::create_folder(&folder)?;
            let name = announced_name(&record.run);
            files::create_or_truncate(&folder.join(name))
                .and_then(|mut file| file.write_all(&bytes))?;
            without_rows = Some(bytes);
        }
    }
    Ok(without_rows.is_some())
}

/// Returns a parquet file without rows and with the columns of the file `like`.
fn file_without_rows(like: &Path) -> std::io::Result<Vec<u8>> {
    let other = std::io::Error::other::<ParquetError>;
    let opened = FileReader::open_local(like, 0)?;
    let meta = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).map_err(other)?;
    let mut bytes = Vec::new();
    let writer = ArrowWriter::try_new(&mut bytes, Arc::clone(meta.schema()), None);
    writer.and_then(ArrowWriter::close).map_err(other)?;
    Ok(bytes)
}

/// Returns the announced files of runs that ended before their commit.
pub(super) fn stale_announced_files(target: &Path) -> std::io::Result<Vec<PathBuf>> {
    let holder = lock_holder(target);
    let mut found = Vec::new();
    collect_announced_files(target, &mut found)?;
    found.retain(|path| holder.as_ref().is_none_or(|run| !is_announced_by(path, run)));
    Ok(found)
}

/// Removes announced files, and folders that held nothing else. The caller holds the lock of the
/// target.
pub(super) fn remove_announced_files(target: &Path) -> std::io::Result<()> {
    let mut found = Vec::new();
    collect_announced_files(target, &mut found)?;
    for file in found {
        files::remove_file(&file)?;
        let mut folder = file.parent();
        while let Some(path) = folder.filter(|path| *path != target) {
            if !files::list_directory(path)?.is_empty() {
                break;
            }
            files::remove_all(path)?;
            folder = path.parent();
        }
    }
    Ok(())
}

fn is_announced_by(path: &Path, run: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy() == announced_name(run))
}

/// Collects the announced files below a folder; adds nothing if the folder does not exist.
fn collect_announced_files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match files::list_directory(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect_announced_files(&path, found)?;
        } else if is_announced(&path) {
            found.push(path);
        }
    }
    Ok(())
}
