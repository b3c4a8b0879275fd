//! windrow: a feature engine for market data.
//!
//! Feature sets are SQL files, indicators are window functions, and the output is exact and
//! checked. The rooms, and who may know whom, are drawn in `ARCHITECTURE.md`; a test holds the
//! arrows.

/// What a logical plan needs and leaks: lookback, look-ahead; reads plans, runs nothing.
pub mod analysis;
/// Source name -> table provider: partitioned parquet, CSV, committed targets.
pub mod catalog;
/// The command line: one file per subcommand; prints what the engine gives.
pub mod cli;
/// Manifests -> one committed state: directories, buckets, tables, CSV files.
pub mod commit;
/// `windrow.yaml`, the environment, and what they decide.
pub mod config;
/// Configuration -> session, plans, runs; knows no door.
pub mod engine;
/// One error for the whole program, sorted by who must act.
pub mod error;
/// Physical operators of our own.
pub mod exec;
/// The `.sql` file: header, template, parameters; pure text.
pub mod feature_set;
/// What DataFusion computes otherwise than SQL says, put right.
pub mod guards;
/// What the machine and the system say of this process.
pub mod host;
/// Digests of what is computed and of what, equal only where the bits are.
pub mod identity;
/// Bounds on what a user gives, each with its name.
pub mod limits;
/// What the program touches outside of itself: files, the clock, chance, processes.
pub mod outside;
/// Batches to text: tables, CSV, JSON, Markdown, charts; writes where it is told to.
pub mod render;
/// Line editor and commands over the engine.
pub mod repl;
/// What programs are told: one struct for each JSON document.
pub mod report;
/// Files and tables -> batches: parquet, CSV, rows of PostgreSQL; pruning, sortedness.
pub mod scan;
/// Rewrites of the parsed SQL before planning, and where a name stands in the text.
pub mod sql;
/// How work is told to stop.
pub mod stop;
/// Locations, listings and records: what catalog and commit share.
pub mod store;
/// Batches -> manifests: one trait for all that rows are written into.
pub mod write;

pub use engine::Engine;
