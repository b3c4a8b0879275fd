//! What the program touches outside of itself: files, the clock, chance, and processes. Each call goes through one
//! function here, which tests make fail, hold or end at any call they choose: `faults.rs`.
//!
//! Requests to object stores leave through `store/http.rs` and connections to PostgreSQL through
//! `store/postgres.rs`; tests stand between those and their servers.

#[cfg(debug_assertions)]
#[doc(hidden)]
pub mod faults;
pub mod files;

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The time of the system's clock.
pub fn utc_now() -> DateTime<Utc> {
    let now = Utc::now();
    #[cfg(debug_assertions)]
    let now = now + faults::clock_offset();
    now
}

/// A random part of a time: who failed together does not come back together.
pub fn random_jitter(bound: Duration) -> Duration {
    bound.mul_f64(fastrand::f64())
}

/// The number of this process.
pub fn process_id() -> u32 {
    std::process::id()
}

/// What tells this machine, and the space of its process numbers, from others; empty where the system
/// does not say.
pub fn machine_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() { boot } else { format!("{} {}", boot.trim(), space.display()) }
}

/// Whether a process of this machine is known to have ended.
pub fn is_process_gone(process: u32) -> bool {
    // Where processes of others are hidden, nobody knows.
    Path::new("/proc/1").exists() && !Path::new(&format!("/proc/{process}")).exists()
}

/// A step of a commit, at which tests kill or hold the process: `faults.rs` has the words. Builds for users have
/// none of it.
pub(crate) fn reach_failpoint(name: &str) {
    #[cfg(debug_assertions)]
    faults::die_or_wait_at(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}
