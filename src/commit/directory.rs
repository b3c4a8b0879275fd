//! A directory of parquet files: a run builds the new state in a stage next to it, and exchanges the
//! two.
//!
//! 1. The run takes the lock next to the directory and removes the leftovers of killed runs. A crash
//!    leaves the old state; the system releases the lock.
//! 2. It creates the stage next to the directory and hard-links the files that stay. A crash from here
//!    on leaves the old state and a stage.
//! 3. The workers write rows into the stage. A crash leaves the same.
//! 4. The run writes and syncs the text of its record next to the directory, in the folder of the
//!    earlier records. An empty file in the stage, numbered after those of earlier runs, stands for it.
//!    A crash leaves the old state, the stage, and a text without a record.
//! 5. The run creates in the directory those folders of `partition_by` that only the new state has,
//!    each with a file without rows, and waits for [`FOLDERS_LISTED`]. A reader that lists folder by
//!    folder, and has begun with the directory itself, then knows them when it reaches the files of the
//!    new state. A reader that listed them earlier may find the file without rows already removed when
//!    it opens it. A crash leaves the old state with folders without rows, the stage, and the text.
//! 6. The run syncs the stage and exchanges it with the directory in one step: this is the commit. A
//!    crash after the exchange leaves the new state, and a stage that holds the old one. A power cut
//!    before the parent directory is synced may still leave the old state.
//! 7. After a moment the run removes the old state. The delay is for a reader that has opened the old
//!    directory or one of its folders and not yet listed it: it would find it empty. A crash leaves the
//!    new state, and a stage with the rest of the old one.
//!
//! Step 1 of the next run removes everything but the state.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::Field;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::publish_options::MERGE_HINT;
use super::stage::{
    FileLock, Stage, check_local_source, list_stale_stages, remove_stale_stages, run_blocking,
    unreadable_error,
};
use super::{
    CommittedRun, OpenTarget, PublishOptions, RetainedFiles, RunHistory, SourcePlace,
    TargetBackend, announced_folders, never_written_error,
};
use crate::error::{Error, Result};
use crate::limits::FOLDERS_LISTED;
use crate::outside::{self, FailPoint, files};
use crate::stop::Stop;
use crate::store::{
    FileReader, RECORD_DIR, Record, RecordFile, is_announced, is_record_name, list_records,
    read_latest_record, record_text_dir,
};
use crate::write::{Attempt, ColumnNotes, Manifest, OutputShape, Staging, unwritable_error};

/// A directory that runs write to.
#[derive(Clone, Debug)]
pub(super) struct DirectoryTarget {
    path: PathBuf,
}

impl DirectoryTarget {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    fn read_history(&self) -> Result<RunHistory> {
        let read = |path: &PathBuf| Record::from_path(path).map(CommittedRun::from);
        let runs = list_records(&self.path)?.iter().map(read).collect::<Result<_>>()?;
        Ok(RunHistory { runs, leftovers: directory_leftovers(&self.path)? })
    }

    fn open_directory(&self) -> Result<OpenDirectory> {
        let path = self.path.clone();
        let lock = FileLock::acquire(&path)?;
        remove_stale_stages(&path)?;
        remove_orphaned_records(&path).map_err(|error| unwritable_error(&path, &error))?;
        check_owner(&path)?;
        announced_folders::remove_announced_files(&path)
            .map_err(|error| unwritable_error(&path, &error))?;
        let held = read_latest_record(&path)?;
        Ok(OpenDirectory { path, lock, held, stage: None })
    }
}

#[async_trait]
impl TargetBackend for DirectoryTarget {
    async fn acquire_target(&self, _: usize) -> Result<Box<dyn OpenTarget>> {
        let this = self.clone();
        let open = run_blocking(move || this.open_directory()).await?;
        Ok(Box::new(open))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        let path = self.path.clone();
        run_blocking(move || read_latest_record(&path)).await
    }

    async fn history(&self) -> Result<RunHistory> {
        let this = self.clone();
        run_blocking(move || this.read_history()).await
    }

    async fn list_leftovers(&self) -> Result<Vec<String>> {
        let path = self.path.clone();
        run_blocking(move || directory_leftovers(&path)).await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let (path, files) = (self.path.clone(), record.files.clone());
        let is = move |file: &RecordFile| {
            files::read_metadata(&path.join(&file.path)).is_ok_and(|meta| meta.len() == file.bytes)
        };
        run_blocking(move || Ok(files.iter().all(is))).await
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let history = self.history().await?;
        if history.is_empty() {
            return Err(never_written_error(&self.path.display()));
        }
        // Acquiring a target removes the leftovers.
        drop(self.acquire_target(1).await?);
        Ok(history.leftovers)
    }

    async fn notes(&self, held: &Record) -> Result<ColumnNotes> {
        let Some(file) = held.files.first() else { return Ok(ColumnNotes::new()) };
        let path = self.path.join(&file.path);
        run_blocking(move || {
            let opened = FileReader::open_local(&path, 0)
                .map_err(|error| unreadable_error(&path, &error))?;
            read_column_notes(&opened).map_err(|error| unreadable_error(&path, &error))
        })
        .await
    }

    fn check_source_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        check_local_source(&self.path, source)
    }
}

/// Returns the leftovers of killed runs next to a directory and in it.
fn directory_leftovers(path: &Path) -> Result<Vec<String>> {
    let mut left = list_stale_stages(path)?;
    let announced = announced_folders::stale_announced_files(path)
        .map_err(|error| unreadable_error(path, &error))?;
    left.extend(announced.iter().map(|file| file.display().to_string()));
    Ok(left)
}

/// Returns the metadata that a parquet file stores for its columns.
pub(super) fn read_column_notes(
    file: &FileReader,
) -> std::result::Result<ColumnNotes, datafusion::parquet::errors::ParquetError> {
    let meta = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let pairs = |field: &Arc<Field>| {
        let pairs = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone()));
        (field.name().clone(), pairs.collect())
    };
    Ok(meta.schema().fields().iter().map(pairs).collect())
}

/// A directory that one run has to itself.
struct OpenDirectory {
    path: PathBuf,
    lock: FileLock,
    held: Option<Record>,
    stage: Option<Stage>,
}

#[async_trait]
impl OpenTarget for OpenDirectory {
    fn run_id(&self) -> &str {
        self.lock.run_id()
    }

    fn held_record(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    async fn prepare_staging(
        &mut self,
        _: &OutputShape,
        publish: &PublishOptions,
        _: &Attempt,
    ) -> Result<Staging> {
        publish.check_scope(&self.path.display(), self.held.as_ref(), MERGE_HINT)?;
        self.stage = None; // Removes the stage of an earlier attempt.
        let stage = Stage::new(&self.path, &self.lock);
        let (target, kept) = (self.path.clone(), publish.retained_files().cloned());
        // The closure owns the stage: if the caller is cancelled meanwhile, the stage is removed once
        // the links are created.
        let stage = run_blocking(move || {
            files::create_folder(stage.path())
                .map_err(|error| unwritable_error(&target, &error))?;
            outside::reach_fail_point(FailPoint::StageMade);
            if let Some(kept) = &kept {
                link_kept_files(kept, &target, stage.path())?;
                outside::reach_fail_point(FailPoint::FilesLinked);
            }
            Ok(stage)
        });
        let stage = self.stage.insert(stage.await?);
        Ok(Staging::Folder(stage.path().to_path_buf()))
    }

    async fn publish(
        &mut self,
        _: &PublishOptions,
        _: &[Manifest],
        record: Record,
        stop: &Stop,
    ) -> Result<Record> {
        let missing = || Error::internal("a directory is published that was not staged");
        let stage = self.stage.take().ok_or_else(missing)?;
        let (target, held) = (self.path.clone(), self.held.clone());
        let (stage, record, announced) = run_blocking(move || {
            let unwritable = |error| unwritable_error(&target, &error);
            remove_unnamed(stage.path(), &record).map_err(unwritable)?;
            write_record(stage.path(), &target, &record).map_err(unwritable)?;
            outside::reach_fail_point(FailPoint::RecordWritten);
            let announced =
                announced_folders::announce_folders(&target, stage.path(), &record, held.as_ref());
            if announced.is_err() {
                // The error of the announcement counts.
                let _ = announced_folders::remove_announced_files(&target);
            }
            let announced = announced.map_err(unwritable)?;
            outside::reach_fail_point(FailPoint::FoldersMade);
            Ok((stage, record, announced))
        })
        .await?;
        let committed = exchange_later(stage, announced, stop).await;
        if committed.is_err() && announced {
            let target = self.path.clone();
            // If this fails, the next run removes them.
            let _ = run_blocking(move || Ok(announced_folders::remove_announced_files(&target)))
                .await?;
        }
        committed?;
        self.held = Some(record.clone());
        Ok(record)
    }

    async fn abandon_staging(&mut self) {
        self.stage = None;
    }

    async fn release(self: Box<Self>) {}
}

/// Exchanges the stage with the target. If folders were announced, it first gives readers the time to
/// list them.
async fn exchange_later(stage: Stage, announced: bool, stop: &Stop) -> Result<()> {
    if announced {
        let listed = async {
            tokio::time::sleep(FOLDERS_LISTED).await;
            Ok(())
        };
        stop.run_until_stopped(listed).await?;
    }
    stage.commit(stop, check_owner).await
}

/// Refuses a directory with files that no run wrote: a commit would remove them. A run checks this when it takes
/// the lock, and again right before the exchange, since somebody may put a file there while it computes.
fn check_owner(target: &Path) -> Result<()> {
    let found = files::find_metadata(target).map_err(|error| unreadable_error(target, &error))?;
    let Some(found) = found else { return Ok(()) };
    if found.is_file() {
        return Err(Error::target(format!("{} is a file", target.display()))
            .hint("name a directory, or a file that ends in .csv"));
    }
    let ours: BTreeSet<PathBuf> = match read_latest_record(target)? {
        Some(record) => record.files.iter().map(|file| target.join(&file.path)).collect(),
        None => BTreeSet::new(),
    };
    if let Some(names) = super::nested_target_names(target) {
        return Err(Error::target(format!("{} holds targets itself: {names}", target.display()))
            .hint("name one of them, or another directory in it"));
    }
    match find_foreign_file(target, target, &ours)
        .map_err(|error| unwritable_error(target, &error))?
    {
        None => Ok(()),
        Some(path) => Err(Error::target(format!(
            "{} holds files that windrow did not write, such as {}",
            target.display(),
            path.display()
        ))
        .hint("move them away, or name a new or an empty directory")),
    }
}

/// Returns the first file below a directory that is neither in `ours` nor a record.
fn find_foreign_file(
    target: &Path,
    folder: &Path,
    ours: &BTreeSet<PathBuf>,
) -> std::io::Result<Option<PathBuf>> {
    let mut entries = files::list_directory(folder)?;
    entries.sort_by_key(DirEntry::file_name);
    let records = target.join(RECORD_DIR);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if let Some(found) = find_foreign_file(target, &path, ours)? {
                return Ok(Some(found));
            }
        } else {
            let record = folder == records && is_record_name(&path);
            if !record && !ours.contains(&path) && !is_announced(&path) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Hard-links the retained files of the target into the stage; their bytes are not copied.
fn link_kept_files(kept: &RetainedFiles, target: &Path, stage: &Path) -> Result<()> {
    for file in &kept.files {
        let (from, to) = (target.join(&file.path), stage.join(&file.path));
        if !files::path_exists(&from).map_err(|error| unreadable_error(&from, &error))? {
            return Err(Error::target(format!(
                "{} is gone, which the target held",
                from.display()
            ))
            .hint("run the whole set, without --merge or --append; the target is as it was"));
        }
        if let Some(folder) = to.parent() {
            files::create_folder(folder).map_err(|error| unwritable_error(folder, &error))?;
        }
        files::hard_link(&from, &to).map_err(|error| unwritable_error(&to, &error))?;
    }
    Ok(())
}

/// Removes files of the stage that the record does not name: abandoned attempts wrote them.
fn remove_unnamed(stage: &Path, record: &Record) -> std::io::Result<()> {
    let named: BTreeSet<PathBuf> = record.files.iter().map(|file| stage.join(&file.path)).collect();
    while let Some(file) = find_foreign_file(stage, stage, &named)? {
        files::remove_file(&file)?;
    }
    Ok(())
}

/// Writes the record after those of earlier runs, which stay: its text goes next to the target, and an
/// empty file that stands for it into the stage.
fn write_record(stage: &Path, target: &Path, record: &Record) -> std::io::Result<()> {
    let folder = stage.join(RECORD_DIR);
    let texts = record_text_dir(target);
    files::create_folder(&folder)?;
    files::create_folder(&texts)?;
    let mut last = 0;
    for path in list_records(target).map_err(std::io::Error::other)? {
        let Some(name) = path.file_name() else { continue };
        if files::read_metadata(&path)?.len() > 0 {
            // An earlier build wrote the text into this file.
            write_atomically(&texts.join(name), &files::read_bytes(&path)?)?;
        }
        files::create_or_truncate(&folder.join(name))?;
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        last = last.max(number.unwrap_or(0));
    }
    let name = format!("{:06}.json", last + 1);
    let text = record.to_json().map_err(std::io::Error::other)?;
    write_atomically(&texts.join(&name), text.as_bytes())?;
    files::sync_path(&texts)?;
    files::create_or_truncate(&folder.join(name)).map(|_| ())
}

/// Writes a file atomically.
fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    files::write_synced(&part, bytes)?;
    files::rename_path(&part, path)
}

/// Removes texts next to the target that no record in the target stands for.
fn remove_orphaned_records(target: &Path) -> std::io::Result<()> {
    let texts = record_text_dir(target);
    if !files::path_exists(&texts)? {
        return Ok(());
    }
    let records = list_records(target).map_err(std::io::Error::other)?;
    if records.is_empty() {
        return files::remove_all(&texts);
    }
    let known: BTreeSet<_> = records.iter().filter_map(|record| record.file_name()).collect();
    for entry in files::list_directory(&texts)? {
        let path = entry.path();
        if !known.contains(entry.file_name().as_os_str()) {
            files::remove_file(&path)?;
        }
    }
    Ok(())
}
