//! Processes of the service, whose logs are kept and read.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::Client;

/// The time after which something that should have come is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is there.
pub(super) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test. Its log must have no panic.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Process {
    /// Starts a command whose standard error goes into a file of the folder.
    pub(super) fn start(mut command: Command, folder: &Path) -> Self {
        static LOGS: AtomicUsize = AtomicUsize::new(0);
        let log = folder.join(format!("log-{}", LOGS.fetch_add(1, Ordering::Relaxed)));
        command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), log, ended: false }
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process says that it serves; None if it ends instead.
    pub(super) fn address(&mut self) -> Option<SocketAddr> {
        wait_until("the address of a service", || {
            let log = self.log();
            let line = log.lines().find_map(|line| {
                line.split_once("://").filter(|(before, _)| {
                    before.starts_with("windrow serves") || before.starts_with("windrow works")
                })
            });
            if let Some((_, address)) = line {
                return Some(address.parse().ok());
            }
            self.child.try_wait().unwrap().map(|_| None)
        })
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end; the exit code, None if a signal ended it.
    pub(super) fn end(&mut self) -> Option<i32> {
        let status = wait_until("the end of a process", || self.child.try_wait().unwrap());
        self.ended = true;
        self.check_log();
        status.code()
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.ended = true;
        self.check_log();
    }

    /// Open files of the process.
    pub(super) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Memory of the process in bytes.
    pub(super) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    fn check_log(&self) {
        let log = self.log();
        let panic = log.lines().find(|line| line.contains("panicked"));
        if let Some(line) = panic.filter(|_| !std::thread::panicking()) {
            panic!("a panic in the log: {line}\n{log}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.check_log();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("the end of {}:\n{}", self.log.display(), last.join("\n"));
        }
    }
}

/// A process that answers.
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) client: Client,
}

impl Server {
    pub(super) fn new(mut process: Process) -> Self {
        let address = process.address();
        let address = address.unwrap_or_else(|| panic!("no service:\n{}", process.log()));
        Self { process, client: Client::new(address) }
    }
}

impl std::ops::Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
