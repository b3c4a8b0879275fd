//! Maps the name of a source to its table provider. The catalog knows files, servers and schemas;
//! it knows neither feature sets nor targets.

mod file_scan;
mod file_table;
mod footer_cache;
mod input_state;
mod postgres_table;
mod raw_scan;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::common::Result as PlanResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use futures::future::BoxFuture;

use crate::config::SourceConfig;
use crate::error::{Error, Result, did_you_mean};
use crate::scan::KeyColumns;
use crate::store::RecordInput;

pub use file_table::{FileTable, SkippedFile};
pub use footer_cache::FooterCache;
pub use postgres_table::PostgresTable;

/// A file or table of a source: its location, its size in bytes, and what tells its bytes from
/// others; None if nothing does.
pub type InputState = (String, u64, Option<String>);

/// The facts known of a source besides its rows.
pub trait Source: TableProvider {
    /// Returns the configuration with which it was opened.
    fn config(&self) -> &SourceConfig;

    /// Returns the columns that name the entity and the time.
    fn key_columns(&self) -> &KeyColumns;

    /// Returns its location and size, for records.
    fn input_summary(&self) -> RecordInput;

    /// Returns its files or tables, each with its state.
    ///
    /// # Errors
    /// Bytes cannot be read, or a server does not answer.
    fn input_states(&self) -> BoxFuture<'_, Result<Vec<InputState>>>;

    /// Describes in one line where the source is and what it holds.
    fn summary_line(&self) -> String;

    /// Returns the files that could not be read and are left out, with the reason.
    fn skipped_files(&self) -> &[SkippedFile] {
        &[]
    }

    /// Returns whether a writer may replace its rows while it is open.
    fn may_change(&self) -> bool {
        true
    }

    /// Returns the paths of its files.
    fn file_paths(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Returns whether files in a directory would be files of the source.
    fn covers_folder(&self, _folder: &Path) -> bool {
        false
    }

    /// Returns whether a run wrote a column as a label.
    fn is_label(&self, _column: &str) -> bool {
        false
    }

    /// Returns the number of rows, if it is known.
    fn row_count(&self) -> Option<u64> {
        None
    }
}

/// Returns the columns of a scan that are wanted, in their order; `wanted` are indices of `schema`.
fn project_scan(
    plan: Arc<dyn ExecutionPlan>,
    schema: &Schema,
    wanted: &[usize],
) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let has = plan.schema();
    let names = || wanted.iter().map(|column| schema.field(*column).name());
    if has.fields().len() == wanted.len() && names().eq(has.fields().iter().map(|f| f.name())) {
        return Ok(plan);
    }
    let columns = names().map(|name| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, has.index_of(name)?));
        Ok((column, name.clone()))
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<PlanResult<Vec<_>>>()?, plan)?))
}

/// The key name of a source that has no such key, because it is a plain table.
const NO_KEY: &str = "none";

/// Refuses keys that the configuration names and no column has.
fn check_key_columns(schema: &Schema, config: &SourceConfig, name: &str) -> Result<()> {
    let keys = [("entity", &config.entity, "symbol"), ("time", &config.time, "ts")];
    for (key, column, default) in keys {
        if column != default && column != NO_KEY && schema.field_with_name(column).is_err() {
            let known = schema.fields().iter().map(|f| f.name().as_str());
            return Err(Error::data(format!("{name}: {key} is {column}, which is no column"))
                .hint(did_you_mean(column, "columns", known)));
        }
    }
    Ok(())
}
