//! Rows of a PostgreSQL server as batches, and conditions as SQL.

mod filter;
mod read;

pub(crate) use filter::sql;
pub(crate) use read::{Described, Reader, Snapshot};
