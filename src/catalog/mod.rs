//! Source name -> table provider. The catalog knows files, servers and schemas; it knows neither
//! feature sets nor targets.

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

/// A file or table of a source: its place, its bytes, and what tells those from others; None if nothing does.
pub type InputState = (String, u64, Option<String>);

/// What is known of a source beside its rows.
pub trait Source: TableProvider {
    /// How it was opened.
    fn config(&self) -> &SourceConfig;

    /// The columns that name the entity and the time.
    fn key_columns(&self) -> &KeyColumns;

    /// Where it is, for records.
    fn input_summary(&self) -> RecordInput;

    /// Its files or tables, each with its state.
    ///
    /// # Errors
    /// Bytes that cannot be read, or a server that does not answer.
    fn input_states(&self) -> BoxFuture<'_, Result<Vec<InputState>>>;

    /// One line on where it is and what it holds.
    fn summary_line(&self) -> String;

    /// Files that could not be read and are left out, with the reason.
    fn skipped_files(&self) -> &[SkippedFile] {
        &[]
    }

    /// True if somebody may replace its rows while it is open.
    fn may_change(&self) -> bool {
        true
    }

    /// The paths of its files.
    fn file_paths(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Whether files in a directory would be files of the source.
    fn covers_folder(&self, _folder: &Path) -> bool {
        false
    }

    /// Whether a run wrote a column as a label.
    fn is_label(&self, _column: &str) -> bool {
        false
    }

    /// Rows, where they are known.
    fn row_count(&self) -> Option<u64> {
        None
    }
}

/// The columns of a scan that are wanted, in their order; `wanted` are indices of `schema`.
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

/// What a source says that has no such key: it is a plain table.
const NO_KEY: &str = "none";

/// Refuses keys that were chosen and that no column has.
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
