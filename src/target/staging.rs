//! Writing aside and committing: the lock of a target, the directory beside it, and the exchange.
//!
//! Everything that a run writes before its commit stands beside the target under a name that
//! begins with a dot, so that neither readers of the target nor of its parent take it for data.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::objects::Bucket;
use super::postgres::{PgTarget, Server};
use super::{Stop, fault, unwritable};
use crate::error::{Error, Result};
use crate::store::{Access, ObjectUrl};

/// Exclusive use of a target by one run. The system releases it when the process ends, however
/// it ends.
#[derive(Debug)]
pub struct Lock {
    held: Held,
    run: String,
}

#[derive(Debug)]
enum Held {
    File { _locked: File },
    Server(Box<Server>),
    Bucket(Box<Bucket>),
}

impl Lock {
    /// Takes the lock or says who holds it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let parent = parent(path);
        std::fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error))?;
        let lock = beside(path, "lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock)
            .map_err(|error| unwritable(path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&lock).unwrap_or_default();
                return Err(Error::target(format!(
                    "another run is writing {} ({})",
                    path.display(),
                    holder.trim()
                ))
                .hint("wait for it, or write to another target"));
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(&lock, &error)),
        }
        let run = run_name();
        // For people: the lock itself is the system's.
        let note = format!("run {run}, process {}\n", std::process::id());
        let _ = file.set_len(0).and_then(|()| file.write_all(note.as_bytes()));
        Ok(Self { held: Held::File { _locked: file }, run })
    }

    /// Takes a table of a server.
    pub(super) async fn of_server(
        table: &PgTarget,
        workers: usize,
        limit: Option<Duration>,
    ) -> Result<Self> {
        let run = run_name();
        let server = Server::open(table, run.clone(), workers, limit).await?;
        Ok(Self { held: Held::Server(Box::new(server)), run })
    }

    /// Takes a prefix of an object store.
    pub(super) async fn of_bucket(
        url: &ObjectUrl,
        workers: usize,
        access: &Access,
    ) -> Result<Self> {
        let run = run_name();
        let bucket = Bucket::open(url, &run, workers, access).await?;
        Ok(Self { held: Held::Bucket(Box::new(bucket)), run })
    }

    /// The server whose table it is.
    pub(super) fn server(&self) -> Option<&Server> {
        match &self.held {
            Held::Server(server) => Some(server),
            Held::File { .. } | Held::Bucket(_) => None,
        }
    }

    /// The prefix of an object store that it is.
    pub(super) fn bucket(&self) -> Option<&Bucket> {
        match &self.held {
            Held::Bucket(bucket) => Some(bucket),
            Held::File { .. } | Held::Server(_) => None,
        }
    }

    /// Gives the target back. Of a lock that is only dropped, an object store learns by waiting.
    pub async fn release(self) {
        if let Held::Bucket(bucket) = self.held {
            bucket.release().await;
        }
    }

    /// The name of this run: when it began, and a number.
    pub fn run(&self) -> &str {
        &self.run
    }
}

/// A name that no other run on this machine has: the moment and the process.
fn run_name() -> String {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S%6f");
    format!("{now}-{}", std::process::id())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name beside the target that is no data.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    parent(path).join(format!(".{name}.windrow-{what}"))
}

/// Removes what killed runs left beside a target that this process has locked.
pub(super) fn clean(path: &Path) -> Result<()> {
    for stage in stages(path).map_err(|error| unwritable(path, &error))? {
        remove(&stage).map_err(|error| unwritable(&stage, &error))?;
    }
    Ok(())
}

/// What killed runs left beside a target: everything that is not of the run at work there.
pub(super) fn leftovers(path: &Path) -> Vec<String> {
    let lock = beside(path, "lock");
    let busy = File::open(&lock).is_ok_and(|file| file.try_lock_shared().is_err());
    // The name of the run stands in the lock and in that of its stage.
    let holder = std::fs::read_to_string(&lock).unwrap_or_default();
    let at_work = |stage: &PathBuf| {
        let name = stage.to_string_lossy();
        let run = name.rsplit_once("windrow-stage-").map_or("", |(_, run)| run);
        busy && holder.contains(run)
    };
    let stages = stages(path).unwrap_or_default().into_iter();
    stages.filter(|stage| !at_work(stage)).map(|stage| stage.display().to_string()).collect()
}

/// The directories and files that stand beside a target.
fn stages(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let stage = beside(path, "stage-");
    let prefix = stage.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let entries = std::fs::read_dir(parent(path))?.flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    Ok(ours.map(|entry| entry.path()).collect())
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A directory or file beside the target that becomes the target, or goes.
#[derive(Debug)]
pub(super) struct Stage {
    path: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Stage {
    /// The place to write to; nothing is made there yet.
    pub(super) fn new(target: &Path, lock: &Lock) -> Self {
        let path = beside(target, &format!("stage-{}", lock.run()));
        Self { path, target: target.to_path_buf(), committed: false }
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the stage the target in one step: an exchange of two names if there is a target, a
    /// rename if there is none. What was the target is removed after. Until the exchange it can be
    /// stopped, after it the run is committed.
    pub(super) async fn commit(mut self, stop: &Stop) -> Result<()> {
        let path = self.path.clone();
        let synced = blocking(move || {
            let synced = sync(&path);
            fault::point("before-exchange");
            synced.map_err(|error| unwritable(&path, &error))
        });
        stop.or(synced).await?;
        exchange(&self.path, &self.target)?;
        self.committed = true;
        let (path, target) = (self.path.clone(), self.target.clone());
        blocking(move || {
            fault::point("after-exchange");
            let _ = sync_directory(parent(&target));
            fault::point("before-cleaning");
            // The old state now stands under the stage's name. If this fails, the next run does it.
            let _ = remove(&path);
            fault::point("after-cleaning");
            Ok(())
        })
        .await
    }
}

/// Runs what waits for a disk beside what waits for signals.
async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let panicked = |error| Error::internal(format!("a commit panicked: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

fn exchange(stage: &Path, target: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let flags = if target.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    renameat_with(CWD, stage, CWD, target, flags).map_err(|error| {
        let text = std::io::Error::from(error);
        match error {
            rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP => {
                Error::target(format!(
                    "the file system of {} cannot exchange two directories in one step ({text})",
                    target.display()
                ))
                .hint("write to a target on a local file system, such as ext4, xfs, btrfs or tmpfs")
            }
            _ => unwritable(target, &text),
        }
    })
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.committed {
            let _ = remove(&self.path);
        }
    }
}

/// Makes what was written outlast a power cut, before it becomes visible.
fn sync(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            sync(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
