//! The service as its callers see it: real processes, and HTTP over sockets.
//!
//! `stage.rs` has a folder with bars, sets and settings, `process.rs` the processes in it, `client.rs` the HTTP
//! client, `collector.rs` a collector of spans, and `rows.rs` what rows are compared by. Every other file is a theme.
//! `WINDROW_LONG=1` makes the random ones long, as `tests/long.sh service` does; `tests/service/` has what others
//! send.

mod client;
mod collector;
mod crashes;
mod errors;
mod features;
mod file_cache;
mod fresh;
mod groups;
mod jobs;
mod limits;
mod mixed;
mod observed;
mod process;
mod rows;
mod security;
mod servers;
mod shutdown;
mod stage;
mod traces;

/// A number of rounds: few in `./test`, many in `tests/long.sh`.
fn rounds(few: usize, many: usize) -> usize {
    if std::env::var_os("WINDROW_LONG").is_some() { many } else { few }
}

/// The seed of random tests, from `WINDROW_SEED`.
fn random() -> fastrand::Rng {
    let seed = std::env::var("WINDROW_SEED").ok().and_then(|seed| seed.parse().ok());
    fastrand::Rng::with_seed(seed.unwrap_or(1))
}
