//! Files and tables -> batches: parquet, CSV, rows of PostgreSQL; what can be left out, and what is
//! sorted. This room knows places and bytes; it knows no source by name.

mod csv;
mod csv_text;
mod file_slice;
mod footer;
mod foreign;
mod page_reader;
mod parquet_local;
mod parquet_remote;
pub(crate) mod postgres;
mod prune;
mod schema;
mod sortedness;
mod split_points;
mod time_buckets;

pub(crate) use csv::CsvPartition;
pub(crate) use file_slice::FileSlice;
pub(crate) use footer::{FileInfo, corrupt, read_all};
pub(crate) use parquet_local::Files;
pub(crate) use parquet_remote::{Prune, RemoteFiles};
pub(crate) use prune::{FileStatistics, comparable};
pub use schema::{Keys, standard};
pub(crate) use schema::{canonical, merge, partition_type};
pub(crate) use sortedness::{Candidate, EntityRanges, RowSlice, ranges};
pub use split_points::splits;
pub(crate) use time_buckets::{Periods, periods};

/// The column that holds the ordinal of a row's file, between scan and cleaning.
pub(crate) const ORDINAL: &str = "__file";
