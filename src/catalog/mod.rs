//! Source name -> table provider. The catalog knows files, servers and schemas; it knows neither
//! feature sets nor targets.

mod file_scan;
mod file_table;
mod footer_cache;
mod postgres;
mod state;
mod stored;

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
use crate::scan::Keys;
use crate::store::Input;

pub use file_table::{FileTable, LeftOut};
pub use footer_cache::FooterCache;
pub use postgres::PostgresTable;

/// A file or table of a source: its place, its bytes, and what tells those from others; None if nothing does.
pub type InputState = (String, u64, Option<String>);

/// What is known of a source beside its rows.
pub trait Source: TableProvider {
    /// How it was opened.
    fn config(&self) -> &SourceConfig;

    /// The columns that name the entity and the time.
    fn keys(&self) -> &Keys;

    /// Where it is, for records.
    fn input(&self) -> Input;

    /// Its files or tables, each with its state.
    ///
    /// # Errors
    /// Bytes that cannot be read, or a server that does not answer.
    fn state(&self) -> BoxFuture<'_, Result<Vec<InputState>>>;

    /// One line on where it is and what it holds.
    fn describe(&self) -> String;

    /// Files that could not be read and are left out, with the reason.
    fn left_out(&self) -> &[LeftOut] {
        &[]
    }

    /// True if somebody may replace its rows while it is open.
    fn may_change(&self) -> bool {
        true
    }

    /// The paths of its files.
    fn paths(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Whether files in a directory would be files of the source.
    fn lists(&self, _folder: &Path) -> bool {
        false
    }

    /// Whether a run wrote a column as a label.
    fn is_label(&self, _column: &str) -> bool {
        false
    }

    /// Rows, where they are known.
    fn rows(&self) -> Option<u64> {
        None
    }
}

/// The columns of a scan that are wanted, in their order; `wanted` are indices of `schema`.
fn only(
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
fn keys_exist(schema: &Schema, config: &SourceConfig, name: &str) -> Result<()> {
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
