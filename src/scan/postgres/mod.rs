//! Reads rows of a PostgreSQL server as batches, and translates conditions to SQL.

mod copy_reader;
mod filter;

pub(crate) use copy_reader::{PostgresPartition, ServerColumn, Snapshot};
pub(crate) use filter::filter_to_sql;
