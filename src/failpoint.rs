//! Places where tests kill or hold the process: before and after every step of a commit.

/// Dies here if the environment variable `WINDROW_FAULT` names this place, or waits as long as a
/// slow disk if it says `wait:` and the name. Builds for users (without debug assertions) have
/// none of it.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if let Ok(fault) = std::env::var("WINDROW_FAULT") {
        if fault == name {
            use rustix::process::{Signal, getpid, kill_process};
            let _ = kill_process(getpid(), Signal::KILL);
        } else if fault.strip_prefix("wait:") == Some(name) {
            std::thread::sleep(std::time::Duration::from_secs(10));
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
