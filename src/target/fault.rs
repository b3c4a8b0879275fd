//! Places where tests kill the process: before and after every step of a commit.

/// Dies here if the environment variable `WINDROW_FAULT` names this place. Builds for users
/// (without debug assertions) have none of it.
pub(super) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("WINDROW_FAULT").is_ok_and(|fault| fault == name) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
