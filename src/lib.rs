//! windrow: a feature engine for market data.
//!
//! Feature sets are SQL files, indicators are window functions, and the output is exact and
//! checked. `ARCHITECTURE.md` lists the modules (rooms) and which ones each may use; a test
//! enforces that list.

/// Lookback and look-ahead of logical plans; reads plans, runs nothing.
pub mod analysis;
/// Exact results by key: in memory, and in a directory, a bucket or a table.
#[cfg(feature = "serve")]
pub mod cache;
/// Source name -> table provider: partitioned parquet, CSV, committed targets.
pub mod catalog;
/// The command line: one file per subcommand; prints what the engine returns.
pub mod cli;
/// Manifests -> one committed state: directories, buckets, tables, CSV files.
pub mod commit;
/// `windrow.yaml`, the environment, and the settings that they give.
pub mod config;
/// Configuration -> session, plans, runs; does not depend on the command line or the REPL.
pub mod engine;
/// The error type of the whole program, sorted by who must act.
pub mod error;
/// Physical operators and optimizer rules of our own.
pub mod exec;
/// The `.sql` file: header, template, parameters; pure text.
pub mod feature_set;
/// Corrections of DataFusion's deviations from SQL.
pub mod guards;
/// The memory and file limits of this process, as the system reports them.
pub mod host;
/// Digests of computations and of their inputs, equal only if the bits are.
pub mod identity;
/// Every limit that a user may meet, with its name.
pub mod limits;
/// Everything that the program touches outside of itself: files, the clock, random numbers, processes.
pub mod outside;
/// Durable jobs: claimed by lease and token, finished once.
#[cfg(feature = "serve")]
pub mod queue;
/// Batches -> text: tables, CSV, JSON, Markdown, charts; writes into a given `Write`.
pub mod render;
/// A line editor and commands on top of the engine.
pub mod repl;
/// The JSON documents for programs: one struct each.
pub mod report;
/// Files and tables -> batches: parquet, CSV, rows of PostgreSQL; pruning, sortedness.
pub mod scan;
/// HTTP in front of the queue, the cache and the workers, and the page.
#[cfg(feature = "serve")]
pub mod service;
/// Rewrites of the parsed SQL before planning, and the positions of names in its text.
pub mod sql;
/// Stop requests to running work.
pub mod stop;
/// Locations, listings and records, shared by catalog and commit.
pub mod store;
/// Spans of a request, from its answer to the commit of its jobs, and their way to a collector.
pub mod traces;
/// Batches of jobs -> runs and cached rows: claims, leases, limits.
#[cfg(feature = "serve")]
pub mod worker;
/// Batches -> manifests: one trait for everything that rows are written into.
pub mod write;

pub use engine::Engine;
