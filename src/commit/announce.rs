//! Folders that a commit is about to add to a directory, for readers that list folder by folder: each with a file
//! without rows, which belongs to no state.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::errors::ParquetError;

use super::stage::holder;
use crate::outside::files;
use crate::store::{Opened, Record, announced_name, is_announced};

/// Makes the folders of a state that its target does not have yet, each with a file without rows; gives whether there
/// were any.
pub(super) fn make(target: &Path, stage: &Path, record: &Record) -> std::io::Result<bool> {
    let folders = record.files.iter().filter_map(|file| Path::new(&file.path).parent());
    let folders: BTreeSet<&Path> =
        folders.filter(|folder| !folder.as_os_str().is_empty()).collect();
    if folders.is_empty() || !files::exists(target)? {
        return Ok(false);
    }
    let mut without_rows = None;
    for folder in folders.into_iter().map(|folder| target.join(folder)) {
        if !files::exists(&folder)? {
            let bytes = match without_rows.take() {
                Some(bytes) => bytes,
                None => file_without_rows(&stage.join(&record.files[0].path))?,
            };
            files::create_folder(&folder)?;
            let name = announced_name(&record.run);
            files::create(&folder.join(name)).and_then(|mut file| file.write_all(&bytes))?;
            without_rows = Some(bytes);
        }
    }
    Ok(without_rows.is_some())
}

/// A parquet file with the columns of another.
fn file_without_rows(like: &Path) -> std::io::Result<Vec<u8>> {
    let other = std::io::Error::other::<ParquetError>;
    let opened = Opened::local(like, 0)?;
    let meta = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).map_err(other)?;
    let mut bytes = Vec::new();
    let writer = ArrowWriter::try_new(&mut bytes, Arc::clone(meta.schema()), None);
    writer.and_then(ArrowWriter::close).map_err(other)?;
    Ok(bytes)
}

/// The announced files that runs left which ended before their commit.
pub(super) fn left(target: &Path) -> std::io::Result<Vec<PathBuf>> {
    let holder = holder(target);
    let mut found = Vec::new();
    collect(target, &mut found)?;
    found.retain(|path| holder.as_ref().is_none_or(|run| !named_by(path, run)));
    Ok(found)
}

/// Removes announced files, and the folders that held nothing else. The target is locked.
pub(super) fn remove(target: &Path) -> std::io::Result<()> {
    let mut found = Vec::new();
    collect(target, &mut found)?;
    for file in found {
        files::remove_file(&file)?;
        let mut folder = file.parent();
        while let Some(path) = folder.filter(|path| *path != target) {
            if !files::list(path)?.is_empty() {
                break;
            }
            files::remove_all(path)?;
            folder = path.parent();
        }
    }
    Ok(())
}

fn named_by(path: &Path, run: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy() == announced_name(run))
}

/// Adds the announced files below a folder; nothing where there is no folder.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match files::list(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, found)?;
        } else if is_announced(&path) {
            found.push(path);
        }
    }
    Ok(())
}
