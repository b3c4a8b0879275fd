//! Faults that tests inject, in builds with debug assertions: the Nth call of a run fails, is delayed or is its
//! last.
//!
//! In the process of a test, [`FaultGuard`] applies to paths below one folder, so that tests can run in parallel. A
//! separate process reads environment variables: `WINDROW_FAULT=STEP` kills it at a step of a commit,
//! `WINDROW_FAULT=wait:STEP` pauses it there for ten seconds, `WINDROW_FAULT=kill:N` kills it at its Nth call to
//! files, and `WINDROW_CLOCK=SECONDS` shifts its clock.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

/// The effect of a fault on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// The call fails and has no effect.
    Error,
    /// The disk is full: a write stores half of its bytes, and all further calls that need space fail.
    Full,
    /// The call takes effect but reports an error.
    Lost,
    /// The call takes a while.
    Slow,
    /// The process ends before the call: no later call has an effect.
    KilledBefore,
    /// The process ends after the call.
    KilledAfter,
}

impl FileFault {
    /// All faults.
    pub const ALL: [Self; 6] =
        [Self::Error, Self::Full, Self::Lost, Self::Slow, Self::KilledBefore, Self::KilledAfter];
}

/// Faults of calls on paths below one folder, active while this value lives.
#[derive(Debug)]
pub struct FaultGuard(Arc<FaultPlan>);

#[derive(Debug)]
struct FaultPlan {
    folder: PathBuf,
    /// The fault of each call, by the number of the call, counted from 1.
    faults: Vec<(u64, FileFault)>,
    calls: AtomicU64,
    is_dead: AtomicBool,
    is_full: AtomicBool,
    log: Mutex<Vec<String>>,
}

static PLANS: Mutex<Vec<Arc<FaultPlan>>> = Mutex::new(Vec::new());

impl FaultGuard {
    /// Injects faults from now on, each at the call of its number.
    pub fn inject_below(folder: &Path, faults: Vec<(u64, FileFault)>) -> Self {
        let plan = Arc::new(FaultPlan {
            folder: folder.to_path_buf(),
            faults,
            calls: AtomicU64::new(0),
            is_dead: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            log: Mutex::default(),
        });
        lock_ignoring_poison(&PLANS).push(Arc::clone(&plan));
        Self(plan)
    }

    /// Returns the calls so far, with the paths that they touched.
    pub fn call_log(&self) -> Vec<String> {
        lock_ignoring_poison(&self.0.log).clone()
    }

    /// Returns whether the process counts as killed.
    pub fn is_dead(&self) -> bool {
        self.0.is_dead.load(Ordering::SeqCst)
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        lock_ignoring_poison(&PLANS).retain(|plan| !Arc::ptr_eq(plan, &self.0));
    }
}

fn lock_ignoring_poison<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds the plan for a path.
fn find_fault_plan(path: &Path) -> Option<Arc<FaultPlan>> {
    lock_ignoring_poison(&PLANS).iter().find(|plan| path.starts_with(&plan.folder)).map(Arc::clone)
}

fn killed_error() -> Error {
    Error::other("the process was killed here")
}

impl FaultPlan {
    /// Counts a call and returns its fault.
    fn next_fault(&self, name: &str, path: &Path) -> Result<Option<FileFault>> {
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(killed_error());
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let below = path.strip_prefix(&self.folder).unwrap_or(path);
        lock_ignoring_poison(&self.log).push(format!("{name} {}", below.display()));
        let fault = self.faults.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault);
        if fault == Some(FileFault::KilledBefore) {
            self.is_dead.store(true, Ordering::SeqCst);
            return Err(killed_error());
        }
        if fault == Some(FileFault::Full) {
            self.is_full.store(true, Ordering::SeqCst);
        }
        Ok(fault)
    }

    fn apply_after<T>(&self, fault: Option<FileFault>, done: Result<T>) -> Result<T> {
        match fault {
            Some(FileFault::Lost) => Err(Error::from(ErrorKind::TimedOut)),
            Some(FileFault::KilledAfter) => {
                self.is_dead.store(true, Ordering::SeqCst);
                Err(killed_error())
            }
            _ => done,
        }
    }
}

/// Returns whether a call needs space on the disk.
fn needs_disk_space(name: &str) -> bool {
    matches!(name, "write" | "create" | "mkdir" | "link" | "sync")
}

/// Runs an operation on a path, with the fault that is planned for it.
pub(super) fn call_with_fault<T>(
    name: &str,
    path: &Path,
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    die_at_call();
    let Some(plan) = find_fault_plan(path) else { return act() };
    let fault = plan.next_fault(name, path)?;
    match fault {
        Some(FileFault::Error) => return Err(Error::from_raw_os_error(EIO)),
        Some(FileFault::Slow) => std::thread::sleep(Duration::from_millis(20)),
        _ if plan.is_full.load(Ordering::SeqCst) && needs_disk_space(name) => {
            return Err(Error::from_raw_os_error(ENOSPC));
        }
        _ => {}
    }
    plan.apply_after(fault, act())
}

/// Returns the part of the bytes that still fits, if this write fills the disk.
pub(super) fn short_write<'a>(path: &Path, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let plan = find_fault_plan(path)?;
    let next = plan.calls.load(Ordering::SeqCst) + 1;
    let full = plan.faults.contains(&(next, FileFault::Full));
    if !full || bytes.len() < 2 || plan.next_fault("write", path).is_err() {
        return None;
    }
    Some(&bytes[..bytes.len() / 2])
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Kills or pauses the process if the environment names this step.
pub(super) fn die_or_wait_at(name: &str) {
    let Ok(fault) = std::env::var("WINDROW_FAULT") else { return };
    if fault == name {
        kill_self();
    } else if fault.strip_prefix("wait:") == Some(name) {
        std::thread::sleep(Duration::from_secs(10));
    }
}

/// Kills the process if the environment names the number of this call.
fn die_at_call() {
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let at = || std::env::var("WINDROW_FAULT").ok()?.strip_prefix("kill:")?.parse().ok();
    if AT.get_or_init(at).is_some_and(|at| CALLS.fetch_add(1, Ordering::SeqCst) + 1 == at) {
        kill_self();
    }
}

fn kill_self() {
    use rustix::process::{Signal, getpid, kill_process};
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Returns the shift of the clock.
pub(super) fn clock_offset() -> TimeDelta {
    static MOVED: OnceLock<TimeDelta> = OnceLock::new();
    let seconds = || std::env::var("WINDROW_CLOCK").ok()?.parse().ok();
    *MOVED.get_or_init(|| TimeDelta::seconds(seconds().unwrap_or(0)))
}
