//! Files and tables -> batches: parquet, CSV, rows of PostgreSQL; what can be left out, and what is
//! sorted. This room knows places and bytes; it knows no source by name.

mod csv;
mod csv_text;
mod file_slice;
mod footer;
mod page_reader;
mod parquet_local;
mod parquet_remote;
mod parser_panic;
mod period_plan;
pub(crate) mod postgres;
mod prune;
mod schema;
mod sortedness;
mod split_points;

pub(crate) use csv::CsvPartition;
pub(crate) use file_slice::FileSlice;
pub(crate) use footer::{FileInfo, corrupt_file_error, read_footers};
pub(crate) use parquet_local::LocalParquetPartition;
pub(crate) use parquet_remote::{RemoteParquetPartition, RowGroupPruner};
pub(crate) use period_plan::{PeriodPlan, plan_periods};
pub(crate) use prune::{ContainerStatistics, are_types_comparable};
pub use schema::{KeyColumns, standard_bar_fields};
pub(crate) use schema::{canonical_type, partition_type, reconcile_schemas};
pub(crate) use sortedness::{EntityRanges, KeyedFile, RowSlice, prove_entity_ranges};
pub use split_points::choose_split_points;

/// The column that holds the ordinal of a row's file, between scan and cleaning.
pub(crate) const ORDINAL: &str = "__file";
