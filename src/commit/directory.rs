//! A directory of parquet files: the new state is built beside it, and the two are exchanged.
//!
//! 1. The run takes the lock beside the directory, and removes what killed runs left there.
//! 2. It makes a stage beside it and links the files that stay.
//! 3. Rows are written into the stage.
//! 4. The text of the record is written and synced beside the directory, where those of earlier runs
//!    lie; an empty file in the stage stands for it, behind those for the earlier ones.
//! 5. Folders of `partition_by` that only the new state has are made in the directory, each with a file without
//!    rows, and the run waits for a moment: a reader that lists folder by folder, and has begun with the
//!    directory itself, shall know them when it comes to the files of the new state. If it has listed them before,
//!    the file without rows is gone when it opens it.
//! 6. The stage is synced, and exchanged with the directory in one step: this is the commit.
//! 7. What was the directory is removed after a moment: a reader that has opened it, or a folder of it, and not yet
//!    listed it would find it empty.
//!
//! A crash before 6 leaves the old state, maybe with folders that hold no rows, a stage, and maybe a text that nothing
//! stands for; after it the new state and a stage with the old one. The next run removes all but the state.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::Field;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::publish::MERGE;
use super::stage::{FileLock, Stage, blocking, check_local_source, clean, leftovers};
use super::{
    Commit, CommittedRun, History, Kept, OpenTarget, Publish, SourcePlace, announce, nothing,
};
use crate::error::{Error, Result};
use crate::limits::FOLDERS_LISTED;
use crate::outside::{self, files};
use crate::stop::Stop;
use crate::store::{
    Opened, RECORD_DIR, Record, RecordFile, is_announced, latest, records, records_beside,
};
use crate::write::{Attempt, Manifest, Notes, Output, Staging, unwritable};

/// A directory that runs write to.
#[derive(Clone, Debug)]
pub(super) struct DirectoryTarget {
    path: PathBuf,
}

impl DirectoryTarget {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    fn past(&self) -> Result<History> {
        let read = |path: &PathBuf| Record::read(path).map(CommittedRun::from);
        let runs = records(&self.path)?.iter().map(read).collect::<Result<_>>()?;
        Ok(History { runs, leftovers: leftovers_of(&self.path)? })
    }

    fn take(&self) -> Result<OpenDirectory> {
        let path = self.path.clone();
        let lock = FileLock::take(&path)?;
        clean(&path)?;
        remove_texts(&path).map_err(|error| unwritable(&path, &error))?;
        check_owner(&path)?;
        announce::remove(&path).map_err(|error| unwritable(&path, &error))?;
        let held = latest(&path)?;
        Ok(OpenDirectory { path, lock, held, stage: None })
    }
}

#[async_trait]
impl Commit for DirectoryTarget {
    async fn open(&self, _: usize) -> Result<Box<dyn OpenTarget>> {
        let this = self.clone();
        let open = blocking(move || this.take()).await?;
        Ok(Box::new(open))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        let path = self.path.clone();
        blocking(move || latest(&path)).await
    }

    async fn history(&self) -> Result<History> {
        let this = self.clone();
        blocking(move || this.past()).await
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        let path = self.path.clone();
        blocking(move || leftovers_of(&path)).await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let (path, files) = (self.path.clone(), record.files.clone());
        let is = move |file: &RecordFile| {
            files::metadata(&path.join(&file.path)).is_ok_and(|meta| meta.len() == file.bytes)
        };
        blocking(move || Ok(files.iter().all(is))).await
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let history = self.history().await?;
        if history.is_empty() {
            return Err(nothing(&self.path.display()));
        }
        // Whoever opens a target cleans it.
        drop(self.open(1).await?);
        Ok(history.leftovers)
    }

    async fn notes(&self, held: &Record) -> Result<Notes> {
        let Some(file) = held.files.first() else { return Ok(Notes::new()) };
        let path = self.path.join(&file.path);
        blocking(move || {
            let opened = Opened::local(&path, 0).map_err(|error| unreadable(&path, &error))?;
            notes_of(&opened).map_err(|error| unreadable(&path, &error))
        })
        .await
    }

    fn check_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        check_local_source(&self.path, source)
    }
}

/// What killed runs left beside a directory and in it.
fn leftovers_of(path: &Path) -> Result<Vec<String>> {
    let mut left = leftovers(path)?;
    let announced = announce::left(path).map_err(|error| unreadable(path, &error))?;
    left.extend(announced.iter().map(|file| file.display().to_string()));
    Ok(left)
}

/// What a parquet file says of its columns.
pub(super) fn notes_of(
    file: &Opened,
) -> std::result::Result<Notes, datafusion::parquet::errors::ParquetError> {
    let meta = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let pairs = |field: &Arc<Field>| {
        let pairs = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone()));
        (field.name().clone(), pairs.collect())
    };
    Ok(meta.schema().fields().iter().map(pairs).collect())
}

/// The error for a file of a target that cannot be read.
pub(super) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::target(format!("cannot read {}: {error}", path.display()))
        .hint("move the target away and run again")
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
    fn run(&self) -> &str {
        self.lock.run()
    }

    fn held(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    async fn stage(&mut self, _: &Output, publish: &Publish, _: &Attempt) -> Result<Staging> {
        publish.check_scope(&self.path.display(), self.held.as_ref(), MERGE)?;
        self.stage = None; // Of an attempt before.
        let stage = Stage::new(&self.path, &self.lock);
        let (target, kept) = (self.path.clone(), publish.kept().cloned());
        // The stage goes along: if nobody waits any more, it is removed when the links are made.
        let stage = blocking(move || {
            files::create_folder(stage.path()).map_err(|error| unwritable(&target, &error))?;
            outside::step("stage-made");
            if let Some(kept) = &kept {
                link(kept, &target, stage.path())?;
                outside::step("files-linked");
            }
            Ok(stage)
        });
        let stage = self.stage.insert(stage.await?);
        Ok(Staging::Folder(stage.path().to_path_buf()))
    }

    async fn publish(
        &mut self,
        _: &Publish,
        _: &[Manifest],
        record: Record,
        stop: &Stop,
    ) -> Result<Record> {
        let missing = || Error::internal("a directory is published that was not staged");
        let stage = self.stage.take().ok_or_else(missing)?;
        let target = self.path.clone();
        let (stage, record, announced) = blocking(move || {
            let unwritable = |error| unwritable(&target, &error);
            remove_unnamed(stage.path(), &record).map_err(unwritable)?;
            write_record(stage.path(), &target, &record).map_err(unwritable)?;
            outside::step("record-written");
            let announced = announce::make(&target, stage.path(), &record).map_err(unwritable)?;
            outside::step("folders-made");
            Ok((stage, record, announced))
        })
        .await?;
        let committed = exchange_later(stage, announced, stop).await;
        if committed.is_err() && announced {
            let target = self.path.clone();
            // If this fails, the next run does it.
            let _ = blocking(move || Ok(announce::remove(&target))).await?;
        }
        committed?;
        self.held = Some(record.clone());
        Ok(record)
    }

    async fn abandon(&mut self) {
        self.stage = None;
    }

    async fn release(self: Box<Self>) {}
}

/// Exchanges the stage with the target: if folders were announced, after readers had the time to list them.
async fn exchange_later(stage: Stage, announced: bool, stop: &Stop) -> Result<()> {
    if announced {
        let listed = async {
            tokio::time::sleep(FOLDERS_LISTED).await;
            Ok(())
        };
        stop.or(listed).await?;
    }
    stage.commit(stop).await
}

/// Refuses a directory with files that no run wrote: a commit would remove them.
fn check_owner(target: &Path) -> Result<()> {
    let found = files::found(target).map_err(|error| unreadable(target, &error))?;
    let Some(found) = found else { return Ok(()) };
    if found.is_file() {
        return Err(Error::target(format!("{} is a file", target.display()))
            .hint("name a directory, or a file that ends in .csv"));
    }
    let ours: BTreeSet<PathBuf> = match latest(target)? {
        Some(record) => record.files.iter().map(|file| target.join(&file.path)).collect(),
        None => BTreeSet::new(),
    };
    if let Some(names) = super::targets_in(target) {
        return Err(Error::target(format!("{} holds targets itself: {names}", target.display()))
            .hint("name one of them, or another directory in it"));
    }
    match foreign(target, target, &ours).map_err(|error| unwritable(target, &error))? {
        None => Ok(()),
        Some(path) => Err(Error::target(format!(
            "{} holds files that windrow did not write, such as {}",
            target.display(),
            path.display()
        ))
        .hint("move them away, or name a new or an empty directory")),
    }
}

/// The first file below a directory that neither is in `ours` nor is a record.
fn foreign(
    target: &Path,
    folder: &Path,
    ours: &BTreeSet<PathBuf>,
) -> std::io::Result<Option<PathBuf>> {
    let mut entries = files::list(folder)?;
    entries.sort_by_key(DirEntry::file_name);
    let records = target.join(RECORD_DIR);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if let Some(found) = foreign(target, &path, ours)? {
                return Ok(Some(found));
            }
        } else {
            let record = folder == records && path.extension().is_some_and(|e| e == "json");
            if !record && !ours.contains(&path) && !is_announced(&path) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Takes the files of the target into the stage: they stay what they are.
fn link(kept: &Kept, target: &Path, stage: &Path) -> Result<()> {
    for file in &kept.files {
        let (from, to) = (target.join(&file.path), stage.join(&file.path));
        if !files::exists(&from).map_err(|error| unreadable(&from, &error))? {
            return Err(Error::target(format!(
                "{} is gone, which the target held",
                from.display()
            ))
            .hint("run the whole set, without --merge or --append; the target is as it was"));
        }
        if let Some(folder) = to.parent() {
            files::create_folder(folder).map_err(|error| unwritable(folder, &error))?;
        }
        files::link(&from, &to).map_err(|error| unwritable(&to, &error))?;
    }
    Ok(())
}

/// Removes files of the stage that the record does not name: attempts that were given up wrote them.
fn remove_unnamed(stage: &Path, record: &Record) -> std::io::Result<()> {
    let named: BTreeSet<PathBuf> = record.files.iter().map(|file| stage.join(&file.path)).collect();
    while let Some(file) = foreign(stage, stage, &named)? {
        files::remove_file(&file)?;
    }
    Ok(())
}

/// Writes the record behind those of earlier runs, which stay: its text beside the target, and an empty
/// file for it into the stage.
fn write_record(stage: &Path, target: &Path, record: &Record) -> std::io::Result<()> {
    let folder = stage.join(RECORD_DIR);
    let texts = records_beside(target);
    files::create_folder(&folder)?;
    files::create_folder(&texts)?;
    let mut last = 0;
    for path in records(target).map_err(std::io::Error::other)? {
        let Some(name) = path.file_name() else { continue };
        if files::metadata(&path)?.len() > 0 {
            // Of an earlier build, which wrote the text there.
            write_whole(&texts.join(name), &files::read(&path)?)?;
        }
        files::create(&folder.join(name))?;
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        last = last.max(number.unwrap_or(0));
    }
    let name = format!("{:06}.json", last + 1);
    let text = record.to_json().map_err(std::io::Error::other)?;
    write_whole(&texts.join(&name), text.as_bytes())?;
    files::sync(&texts)?;
    files::create(&folder.join(name)).map(|_| ())
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    files::write_synced(&part, bytes)?;
    files::rename(&part, path)
}

/// Removes texts beside the target that no record in it stands for.
fn remove_texts(target: &Path) -> std::io::Result<()> {
    let texts = records_beside(target);
    if !files::exists(&texts)? {
        return Ok(());
    }
    let records = records(target).map_err(std::io::Error::other)?;
    if records.is_empty() {
        return files::remove_all(&texts);
    }
    let known: BTreeSet<_> = records.iter().filter_map(|record| record.file_name()).collect();
    for entry in files::list(&texts)? {
        let path = entry.path();
        if !known.contains(entry.file_name().as_os_str()) {
            files::remove_file(&path)?;
        }
    }
    Ok(())
}
