//! The whole program from outside: one test binary, one module per theme.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod any_store;
mod buckets;
mod compact;
mod export;
mod faults;
mod files;
mod identity;
mod jobs;
mod kill;
mod layouts;
mod meanings;
mod merge;
mod messages;
mod needs;
mod opening;
mod plans;
mod postgres;
mod progress;
mod readers;
mod refused;
mod repl;
mod report;
mod rooms;
mod runs;
mod servers;
mod sets;
mod settings;
mod shared;
mod slt;
mod store;
mod support;
mod tree;
mod unsupported;
mod windows;
mod writer;
