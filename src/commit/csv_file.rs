//! One CSV file, written to a stage and exchanged with the old file; its record lies next to it.
//!
//! 1. The run takes the lock next to the file, and recovers from killed runs: it removes their stages,
//!    renames the record of the present file to its final name, and removes other pending records. A
//!    crash leaves the old file with its record; the system releases the lock.
//! 2. One worker writes the rows into a stage next to the file. A crash leaves the old file and the
//!    stage.
//! 3. The run writes the record next to the file, under a pending name that carries the stage's inode
//!    number. A crash leaves the old file with its record, plus the stage and the pending record.
//! 4. The run syncs the stage and gives it the name of the target in one step: this is the commit. A
//!    crash leaves the new file, its pending record, and the old file under the stage's name. Readers
//!    find the pending record by the inode number of the file.
//! 5. The run removes the old file, and renames the pending record to its final name. A crash leaves
//!    the new file, whose record the next run renames.
//!
//! Step 1 of the next run removes the leftovers of each of these crashes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::stage::{
    FileLock, Stage, check_local_source, list_stale_stages, remove_stale_stages, run_blocking,
    unreadable_error,
};
use super::{
    CommittedRun, OpenTarget, PublishMode, PublishOptions, RunHistory, SourcePlace, TargetBackend,
    never_written_error,
};
use crate::error::{Error, Result};
use crate::outside::{self, FailPoint, files};
use crate::stop::Stop;
use crate::store::Record;
use crate::write::{Attempt, Manifest, OutputShape, Staging, unwritable_error};

/// The hint for a scope that is narrower than the file.
const WHOLE_HINT: &str = "run without --symbols, --from and --until, or write to another target";

/// A CSV file that runs write to.
#[derive(Clone, Debug)]
pub(super) struct CsvFileTarget {
    path: PathBuf,
}

impl CsvFileTarget {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    fn read_history(&self) -> Result<RunHistory> {
        let runs = read_target_record(&self.path)?.into_iter().map(CommittedRun::from).collect();
        Ok(RunHistory { runs, leftovers: self.list_leftover_files()? })
    }

    /// Lists the leftovers of failed runs: stages, and records of files that never got the name of the
    /// target.
    fn list_leftover_files(&self) -> Result<Vec<String>> {
        let pending = || {
            let file = files::find_metadata(&self.path)?;
            let own = file.map(|file| pending_path(&self.path, &file));
            let mut pending = list_pending_records(&self.path)?;
            pending.retain(|path| own.as_deref().and_then(Path::file_name) != path.file_name());
            Ok(pending)
        };
        let pending =
            pending().map_err(|error: std::io::Error| unreadable_error(&self.path, &error))?;
        let mut left = list_stale_stages(&self.path)?;
        left.extend(pending.iter().map(|path| path.display().to_string()));
        Ok(left)
    }

    fn open_csv_file(&self) -> Result<OpenCsvFile> {
        let path = self.path.clone();
        let lock = FileLock::acquire(&path)?;
        remove_stale_stages(&path)?;
        recover_pending_records(&path).map_err(|error| unwritable_error(&path, &error))?;
        check_owner(&path)?;
        let held = read_target_record(&path)?;
        Ok(OpenCsvFile { path, lock, held, stage: None })
    }
}

#[async_trait]
impl TargetBackend for CsvFileTarget {
    async fn acquire_target(&self, _: usize) -> Result<Box<dyn OpenTarget>> {
        let this = self.clone();
        let open = run_blocking(move || this.open_csv_file()).await?;
        Ok(Box::new(open))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        let path = self.path.clone();
        run_blocking(move || read_target_record(&path)).await
    }

    async fn history(&self) -> Result<RunHistory> {
        let this = self.clone();
        run_blocking(move || this.read_history()).await
    }

    async fn list_leftovers(&self) -> Result<Vec<String>> {
        let this = self.clone();
        run_blocking(move || this.list_leftover_files()).await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let (path, files) = (self.path.clone(), record.files.clone());
        run_blocking(move || {
            let bytes = files::read_metadata(&path).ok().map(|meta| meta.len());
            Ok(files.iter().all(|file| Some(file.bytes) == bytes))
        })
        .await
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

    fn check_source_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        check_local_source(&self.path, source)
    }
}

/// Returns the path of the record of a CSV target. The record lies next to the file, which holds only
/// rows.
fn record_path(target: &Path) -> PathBuf {
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.windrow.json"))
}

/// Returns the path of the pending record of `file`: the record of a run that has not yet given its
/// file the name of the target, or has just done so. The name carries the inode number of the file. The
/// pending record becomes the record of the target in the moment in which `file` becomes the target.
fn pending_path(target: &Path, file: &Metadata) -> PathBuf {
    record_path(target).with_extension(format!("json.{}", file.ino()))
}

/// Returns the record of the run that wrote the file; None if there is no file, or no run wrote it.
fn read_target_record(target: &Path) -> Result<Option<Record>> {
    let unreadable = |error| unreadable_error(target, &error);
    let Some(file) = files::find_metadata(target).map_err(unreadable)? else { return Ok(None) };
    for path in [pending_path(target, &file), record_path(target)] {
        if files::path_exists(&path).map_err(unreadable)? {
            return Record::from_path(&path).map(Some);
        }
    }
    Ok(None)
}

/// Recovers from failed runs: renames the pending record of the present file to its final name, and
/// removes the others.
fn recover_pending_records(target: &Path) -> std::io::Result<()> {
    let file = files::find_metadata(target)?;
    let own = file.map(|file| pending_path(target, &file));
    let own = own.as_deref().and_then(Path::file_name);
    let record = record_path(target);
    for path in list_pending_records(target)? {
        match path.file_name() == own {
            true => files::rename_path(&path, &record)?,
            false => files::remove_file(&path)?,
        }
    }
    Ok(())
}

/// Lists the pending records next to a target, whose names end in an inode number.
fn list_pending_records(target: &Path) -> std::io::Result<Vec<PathBuf>> {
    let record = record_path(target);
    let prefix = record.file_name().map(|n| n.to_string_lossy().into_owned() + ".");
    let prefix = prefix.unwrap_or_default();
    let entries = files::list_directory(super::stage::parent_or_current(target))?;
    let named = entries.iter().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(&prefix).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    Ok(named.map(|entry| entry.path()).collect())
}

/// Refuses a file that no run wrote.
fn check_owner(target: &Path) -> Result<()> {
    if files::find_metadata(target).map_err(|error| unreadable_error(target, &error))?.is_none()
        || read_target_record(target)?.is_some()
    {
        return Ok(());
    }
    Err(Error::target(format!("{} was not written by windrow", target.display()))
        .hint("name a new file, or remove this one first"))
}

/// A CSV file that one run has to itself.
struct OpenCsvFile {
    path: PathBuf,
    lock: FileLock,
    held: Option<Record>,
    stage: Option<Stage>,
}

#[async_trait]
impl OpenTarget for OpenCsvFile {
    fn run_id(&self) -> &str {
        self.lock.run_id()
    }

    fn held_record(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    async fn prepare_staging(
        &mut self,
        output: &OutputShape,
        publish: &PublishOptions,
        _: &Attempt,
    ) -> Result<Staging> {
        let target = self.path.display();
        match publish.mode {
            PublishMode::Whole => {}
            PublishMode::Append(_) => {
                let what = format!("{target} is a CSV file, which no rows are added to");
                return Err(Error::target(what));
            }
            PublishMode::Scope(_) => {
                let what = format!("{target} is a CSV file, of which no part is replaced");
                return Err(Error::target(what).hint(WHOLE_HINT));
            }
        }
        if !output.partition_by.is_empty() {
            return Err(Error::target("a CSV target is one file and cannot be partitioned")
                .hint("write to a directory, or take partition_by out of the header"));
        }
        publish.check_scope(&target, self.held.as_ref(), WHOLE_HINT)?;
        self.stage = None; // Removes the stage of an earlier attempt.
        let stage = self.stage.insert(Stage::new(&self.path, &self.lock));
        Ok(Staging::CsvFile { path: stage.path().to_path_buf(), target: self.path.clone() })
    }

    async fn publish(
        &mut self,
        _: &PublishOptions,
        _: &[Manifest],
        record: Record,
        stop: &Stop,
    ) -> Result<Record> {
        let missing = || Error::internal("a CSV file is published that was not staged");
        let stage = self.stage.take().ok_or_else(missing)?;
        let target = self.path.clone();
        let (stage, record, pending) = run_blocking(move || {
            let unwritable = |error| unwritable_error(&target, &error);
            let file = files::read_metadata(stage.path()).map_err(unwritable)?;
            let pending = pending_path(&target, &file);
            files::write_synced(&pending, record.to_json()?.as_bytes()).map_err(unwritable)?;
            outside::reach_fail_point(FailPoint::RecordWritten);
            Ok((stage, record, pending))
        })
        .await?;
        let committed = stage.commit(stop, check_owner).await;
        let target = self.path.clone();
        run_blocking(move || {
            // If this fails or is never reached, the next run does it.
            let _ = match &committed {
                Ok(()) => files::rename_path(&pending, &record_path(&target)),
                // A failed exchange may have happened all the same: the file at the target decides.
                Err(_) => recover_pending_records(&target),
            };
            committed
        })
        .await?;
        self.held = Some(record.clone());
        Ok(record)
    }

    async fn abandon_staging(&mut self) {
        self.stage = None;
    }

    async fn release(self: Box<Self>) {}
}
