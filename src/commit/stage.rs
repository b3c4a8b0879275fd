//! Staging and commit on a local file system: the lock of a target, the stage next to it, and the
//! exchange.
//!
//! Everything that a run writes before its commit lies next to the target, under a name that begins
//! with a dot. Readers of the target and of its parent directory therefore do not take it for data.
//! `directory.rs` and `csv_file.rs` have the steps of a commit, and what a crash after each leaves.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use super::{SourcePlace, target_held_error};
use crate::error::{Error, Result};
use crate::limits::OLD_STATE_LISTED;
use crate::outside::{self, FailPoint, files};
use crate::stop::Stop;
use crate::write::unwritable_error;

/// Exclusive use of a local target by one run. The system releases the lock when the process ends,
/// however it ends.
#[derive(Debug)]
pub(super) struct FileLock {
    _locked: files::LocalFile,
    run: String,
}

impl FileLock {
    /// Takes the lock, or fails and names the run that holds it.
    pub(super) fn acquire(path: &Path) -> Result<Self> {
        let parent = parent_or_current(path);
        files::create_folder(parent).map_err(|error| unwritable_error(parent, &error))?;
        let lock = sibling_path(path, "lock");
        let mut file =
            files::open_or_create(&lock).map_err(|error| unwritable_error(path, &error))?;
        if !file.try_lock().map_err(|error| unwritable_error(&lock, &error))? {
            let holder = files::read_text(&lock).unwrap_or_default();
            return Err(target_held_error(&path.display(), holder.trim()));
        }
        let run = run_name();
        // The note is for people: the lock itself is the system's.
        let note = format!("run {run}, process {}\n", outside::process_id());
        let _ = file.truncate_all().and_then(|()| file.write_all(note.as_bytes()));
        Ok(Self { _locked: file, run })
    }

    /// The name of this run: its start time and the process id.
    pub(super) fn run_id(&self) -> &str {
        &self.run
    }
}

/// Returns a name that no other run on this machine has: the time in microseconds and the process id.
/// If two runs of a process begin in the same microsecond, the second takes the next one.
pub(super) fn run_name() -> String {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = outside::utc_now().timestamp_micros();
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    let mine = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
    let moment = chrono::DateTime::from_timestamp_micros(mine).unwrap_or_default();
    format!("{}-{}", moment.format("%Y%m%dT%H%M%S%6f"), outside::process_id())
}

/// Returns the directory that contains a path.
pub(super) fn parent_or_current(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns a name next to the target that readers do not take for data.
fn sibling_path(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    parent_or_current(path).join(format!(".{name}.windrow-{what}"))
}

/// Removes the stages of killed runs next to a target that this process has locked.
pub(super) fn remove_stale_stages(path: &Path) -> Result<()> {
    for stage in list_stages(path).map_err(|error| unwritable_error(path, &error))? {
        files::remove_all(&stage).map_err(|error| unwritable_error(&stage, &error))?;
    }
    Ok(())
}

/// Lists the leftovers of killed runs next to a target: every stage but that of the run at work there.
///
/// # Errors
/// The parent directory of the target cannot be listed.
pub(super) fn list_stale_stages(path: &Path) -> Result<Vec<String>> {
    let holder = lock_holder(path);
    let at_work = |stage: &PathBuf| {
        let name = stage.to_string_lossy();
        let run = name.rsplit_once("windrow-stage-").map_or("", |(_, run)| run);
        holder.as_ref().is_some_and(|holder| holder == run)
    };
    let mut stages = match list_stages(path) {
        Ok(stages) => stages,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable_error(path, &error)),
    };
    stages.retain(|stage| !at_work(stage));
    Ok(stages.iter().map(|stage| stage.display().to_string()).collect())
}

/// Returns the name of the run at work at a target, which is empty if the lock is held without naming a
/// run. None if no run holds the lock.
pub(super) fn lock_holder(path: &Path) -> Option<String> {
    let lock = sibling_path(path, "lock");
    if !files::open_file(&lock).is_ok_and(|file| file.is_locked().unwrap_or(true)) {
        return None;
    }
    // Written there by the run that holds the lock.
    let note = files::read_text(&lock).unwrap_or_default();
    let run = note.strip_prefix("run ").and_then(|note| note.split(',').next());
    Some(run.unwrap_or_default().to_string())
}

/// Lists the stages next to a target.
fn list_stages(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let stage = sibling_path(path, "stage-");
    let prefix = stage.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let entries = files::list_directory(parent_or_current(path))?;
    let ours =
        entries.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    Ok(ours.map(|entry| entry.path()).collect())
}

/// A directory or file next to the target that either becomes the target or is removed.
#[derive(Debug)]
pub(super) struct Stage {
    path: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Stage {
    /// Chooses the path of the stage; creates nothing there yet.
    pub(super) fn new(target: &Path, lock: &FileLock) -> Self {
        let path = sibling_path(target, &format!("stage-{}", lock.run_id()));
        Self { path, target: target.to_path_buf(), committed: false }
    }

    /// The path to write to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the stage the target in one step: an exchange of two names if the target exists, a rename
    /// if not. Removes the old state afterwards. The commit can be stopped until the exchange; after it
    /// the run is committed. `check_target` looks at the target right before the exchange; if it fails, the target
    /// stays as it was.
    pub(super) async fn commit(
        mut self,
        stop: &Stop,
        check_target: fn(&Path) -> Result<()>,
    ) -> Result<()> {
        let (path, target) = (self.path.clone(), self.target.clone());
        let synced = run_blocking(move || {
            let synced = sync_tree(&path).and_then(|()| files::read_metadata(&path));
            outside::reach_fail_point(FailPoint::BeforeExchange);
            let synced = synced.map_err(|error| unwritable_error(&path, &error))?;
            check_target(&target)?;
            Ok(synced)
        });
        let staged = stop.run_until_stopped(synced).await?;
        if let Err(error) = exchange_paths(&self.path, &self.target)
            && !self.became_target(&staged)?
        {
            return Err(error);
        }
        self.committed = true;
        let (path, target) = (self.path.clone(), self.target.clone());
        let old = run_blocking(move || {
            outside::reach_fail_point(FailPoint::AfterExchange);
            let _ = files::sync_path(parent_or_current(&target));
            outside::reach_fail_point(FailPoint::BeforeCleaning);
            Ok(path)
        })
        .await?;
        if files::read_metadata(&old).is_ok_and(|old| old.is_dir()) {
            let listed = async {
                tokio::time::sleep(OLD_STATE_LISTED).await;
                Ok(())
            };
            // A request to stop cuts the wait short.
            let _ = stop.run_until_stopped(listed).await;
        }
        run_blocking(move || {
            // The old state now has the stage's name. If this fails, the next run removes it.
            let _ = files::remove_all(&old);
            outside::reach_fail_point(FailPoint::AfterCleaning);
            Ok(())
        })
        .await
    }
}

impl Stage {
    /// Returns whether the stage became the target although the system reported a failure, as network
    /// file systems may if their answer is lost.
    fn became_target(&self, staged: &Metadata) -> Result<bool> {
        let shown = self.target.display();
        match files::find_metadata(&self.target) {
            Ok(found) => Ok(found
                .is_some_and(|found| (found.dev(), found.ino()) == (staged.dev(), staged.ino()))),
            Err(error) => Err(Error::target(format!(
                "nobody knows whether the run is committed: {shown} cannot be looked at: {error}"
            ))
            .hint(format!("`windrow runs {shown}` tells; run again if it is not"))),
        }
    }
}

/// Runs blocking disk work on its own thread, so that signals are still handled.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| Error::internal(format!("a commit panicked: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

fn exchange_paths(stage: &Path, target: &Path) -> Result<()> {
    files::exchange_names(stage, target).map_err(|error| match error.kind() {
        std::io::ErrorKind::Unsupported => Error::target(format!(
            "the file system of {} cannot exchange two directories in one step ({error})",
            target.display()
        ))
        .hint("write to a target on a local file system, such as ext4, xfs, btrfs or tmpfs"),
        _ => unwritable_error(target, &error),
    })
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.committed {
            let _ = files::remove_all(&self.path);
        }
    }
}

/// Syncs a tree of files, so that it survives a power cut before it becomes visible.
fn sync_tree(path: &Path) -> std::io::Result<()> {
    if files::read_metadata(path)?.is_dir() {
        for entry in files::list_directory(path)? {
            sync_tree(&entry.path())?;
        }
    }
    files::sync_path(path)
}

/// Refuses a source whose files a commit at this path would remove, or that would read what a run
/// writes there.
pub(super) fn check_local_source(target: &Path, source: &SourcePlace<'_>) -> Result<()> {
    let (shown, to, name) = (target.display(), canonical_path(target), source.name);
    let mut folders = source.files.iter().filter_map(|file| file.parent()).map(canonical_path);
    let why = if folders.any(|folder| folder.starts_with(&to)) {
        format!("{shown} holds the source {name}: a commit would remove what it reads")
    } else if (source.lists)(&to) {
        format!("{shown} lies in the source {name}, which would read it the next time")
    } else {
        return Ok(());
    };
    Err(Error::target(why).hint("write to another directory"))
}

/// Returns the path with its links resolved; a part that does not exist yet is appended unchanged.
fn canonical_path(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut known = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut below = Vec::new();
    while known.canonicalize().is_err()
        && let Some(name) = known.file_name().map(std::ffi::OsStr::to_os_string)
    {
        below.push(name);
        known.pop();
    }
    let mut real = known.canonicalize().unwrap_or(known);
    real.extend(below.iter().rev());
    real
}

/// Returns the error for a file of a target that cannot be read.
pub(super) fn unreadable_error(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::target(format!("cannot read {}: {error}", path.display()))
        .hint("move the target away and run again")
}
