//! Source name -> table provider. The catalog knows files, servers and schemas; it knows neither
//! feature sets nor targets.

use std::path::Path;

use datafusion::catalog::TableProvider;

use crate::config::SourceConfig;
use crate::store::Input;

mod csv;
mod files;
mod footer;
mod order;
mod pages;
mod part;
mod periods;
mod postgres;
mod prune;
mod schema;
mod source;
mod splits;

pub use postgres::Table;
pub use schema::{Keys, standard};
pub use source::{FileSource, LeftOut, PeriodRows};
pub use splits::splits;

/// The column that holds the ordinal of a row's file, between scan and cleaning.
const ORDINAL: &str = "__file";

/// What is known of a source beside its rows.
pub trait Source: TableProvider {
    /// How it was opened.
    fn config(&self) -> &SourceConfig;

    /// The columns that name the entity and the time.
    fn keys(&self) -> &Keys;

    /// Where it is, for records.
    fn input(&self) -> Input;

    /// One line on where it is and what it holds.
    fn describe(&self) -> String;

    /// Files that could not be read and are left out, with the reason.
    fn left_out(&self) -> &[LeftOut] {
        &[]
    }

    /// The paths of its files.
    fn paths(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Whether files in a directory would be files of the source.
    fn lists(&self, _folder: &Path) -> bool {
        false
    }

    /// Rows, where they are known.
    fn rows(&self) -> Option<u64> {
        None
    }
}
