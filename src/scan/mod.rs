//! Reads files and tables as batches: parquet, CSV, rows of PostgreSQL; finds what can be skipped
//! and what is sorted. This room knows locations and bytes; it knows no source by name.

mod csv;
mod csv_text;
mod file_errors;
mod file_slice;
mod footer;
mod page_reader;
mod parquet_local;
mod parquet_remote;
mod period_plan;
pub(crate) mod postgres;
mod prune;
mod schema;
mod sortedness;
mod split_points;

pub(crate) use csv::CsvPartition;
pub(crate) use file_errors::corrupt_file_error;
pub(crate) use file_slice::FileSlice;
pub(crate) use footer::{FileInfo, read_footers};
pub(crate) use parquet_local::LocalParquetPartition;
pub(crate) use parquet_remote::{RemoteParquetPartition, RowGroupPruner};
pub(crate) use period_plan::{PeriodPlan, plan_periods};
pub(crate) use prune::{ContainerStatistics, are_types_comparable};
pub use schema::{KeyColumns, standard_bar_fields};
pub(crate) use schema::{canonical_type, partition_type, reconcile_schemas};
pub(crate) use sortedness::{EntityRanges, KeyedFile, RowSlice, prove_entity_ranges};
pub use split_points::choose_split_points;

/// The column that holds the ordinal of a row's file, from the scan to cleaning.
pub(crate) const ORDINAL: &str = "__file";
