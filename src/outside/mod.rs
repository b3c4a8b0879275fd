//! Everything that the program touches outside of itself: files, the clock, random numbers and processes. Each call
//! goes through one function here. Tests can make any call fail, wait or end the process: see `faults.rs`.
//!
//! Requests to object stores go through `store/http.rs` and connections to PostgreSQL through `store/postgres.rs`;
//! tests put proxies between those and their servers.

mod fail_point;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub mod faults;
pub mod files;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use fail_point::FailPoint;

/// Returns the time of the system clock.
pub fn utc_now() -> DateTime<Utc> {
    let now = Utc::now();
    #[cfg(debug_assertions)]
    let now = now + faults::clock_offset();
    now
}

/// Returns a random part of a duration, so that callers that failed together do not retry together.
pub fn random_jitter(bound: Duration) -> Duration {
    bound.mul_f64(fastrand::f64())
}

/// Returns a random number from 0 to 1.
pub fn random_fraction() -> f64 {
    fastrand::f64()
}

/// Random numbers from a seed, for tests that repeat them.
#[derive(Debug)]
pub struct SeededNumbers(Mutex<fastrand::Rng>);

impl SeededNumbers {
    /// Creates the numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// Returns the next number, from 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// Returns the id of this process.
pub fn process_id() -> u32 {
    std::process::id()
}

/// Returns the name of this machine in its network; `localhost` if the system gives none.
pub fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_string() } else { name.trim().to_string() }
}

/// Returns an id of this machine and its process namespace; empty if the system gives none.
pub fn machine_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() { boot } else { format!("{} {}", boot.trim(), space.display()) }
}

/// Returns whether a process of this machine is known to have ended.
pub fn is_process_gone(process: u32) -> bool {
    // If the system hides the processes of other users, a missing entry proves nothing.
    Path::new("/proc/1").exists() && !Path::new(&format!("/proc/{process}")).exists()
}

/// Marks a step at which tests kill or pause the process; `faults.rs` has the syntax. Release builds ignore it.
pub(crate) fn reach_fail_point(point: FailPoint) {
    #[cfg(debug_assertions)]
    faults::die_or_wait_at(point.name());
    #[cfg(not(debug_assertions))]
    let _ = point;
}
