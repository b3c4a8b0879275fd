//! `--merge`: replaces exactly the rows of a scope, and retains all other rows of the target. Files without rows of
//! the scope stay as they are; the other files are rewritten without those rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, cast};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use futures::TryStreamExt;

use super::Scope;
use super::planned_run::PlannedRun;
use crate::catalog::FileTable;
use crate::commit::{PublishMode, RetainedFiles, TargetContents};
use crate::config::SourceConfig;
use crate::error::{Error, Result};
use crate::sql::diagnose_error;
use crate::store::{Record, RecordFile, SymbolRange};
use crate::write::{Attempt, OutputShape, Watermarks, WriteJob};

/// The part of a merge that concerns rows outside the scope.
pub(super) struct MergePlan {
    /// The effect of the commit on the rows that the target holds.
    pub(super) mode: PublishMode,
    /// The job that rewrites the retained rows of files that hold rows of the scope.
    pub(super) rewrite: Option<WriteJob>,
}

impl PlannedRun<'_> {
    /// Plans which files and rows of a target are retained. `job` writes the rows of the scope, and `record`
    /// describes them.
    pub(super) async fn plan_merge(
        &self,
        held: &Record,
        record: &Record,
        job: &WriteJob,
    ) -> Result<MergePlan> {
        let target = &self.options.target;
        if held.fingerprint != record.fingerprint {
            return Err(Error::target(format!(
                "--merge: the rows of {target} that stay were computed by another definition, {}, than those that come, {}",
                held.fingerprint, record.fingerprint
            ))
            .hint("run the set once without --merge, --symbols, --from and --until"));
        }
        self.check_symbols_independent()?;
        if self.contents != TargetContents::Parquet {
            // The commit of a table deletes only the rows of the scope; a CSV file reports that it cannot be merged
            // into.
            return Ok(MergePlan {
                mode: PublishMode::Scope(RetainedFiles::default()),
                rewrite: None,
            });
        }
        let location = SourceConfig::new(target.location());
        let (threads, none) = (self.engine.config().parallel_workers, BTreeSet::new());
        let opened = FileTable::open(
            "target",
            &location,
            &self.engine.access,
            &self.engine.footers,
            threads,
            (&none, false),
        );
        let stay = RetainedRows { run: self, source: opened.await?, held, job };
        let scope = &self.options.scope;
        let met = stay.files_in_scope(scope)?;
        let is_met = |file: &RecordFile| met.iter().any(|name| name.ends_with(&file.path));
        let kept: Vec<_> = held.files.iter().filter(|file| !is_met(file)).cloned().collect();
        if kept.len() + met.len() != held.files.len() {
            return Err(Error::target(format!(
                "--merge: the files of {target} are not those of its record"
            ))
            .hint("run the set once without --merge, --symbols, --from and --until"));
        }
        let rewrite = match met.is_empty() {
            true => None,
            false => Some(stay.rewrite_job(&met)?),
        };
        let mut watermarks = held.watermarks.clone();
        watermarks.retain(|symbol, _| !scope.contains_symbol(symbol));
        if scope.from.is_some() || scope.until.is_some() {
            watermarks.extend(stay.retained_watermarks(&met).await?);
        }
        Ok(MergePlan {
            mode: PublishMode::Scope(RetainedFiles { files: kept, watermarks }),
            rewrite,
        })
    }
}

impl PlannedRun<'_> {
    /// Refuses to replace the rows of some symbols if rows of other symbols are computed from them too.
    fn check_symbols_independent(&self) -> Result<()> {
        if self.options.scope.symbols.is_none() {
            return Ok(());
        }
        match self.planned.outputs.iter().find(|output| output.need.crosses) {
            None => Ok(()),
            Some(output) => Err(Error::query(format!(
                "--merge --symbols: {} of other symbols may depend on the rows of these, and would stay as it was",
                output.name
            ))
            .hint("merge a range of time, with --from and --until, or run the whole set")),
        }
    }
}

/// The rows of a target that are retained.
struct RetainedRows<'a> {
    run: &'a PlannedRun<'a>,
    /// The files of the target.
    source: FileTable,
    held: &'a Record,
    /// The job that writes the new rows.
    job: &'a WriteJob,
}

impl RetainedRows<'_> {
    /// Compiles a condition on the columns of the files.
    fn compile_filter(&self, condition: Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = DFSchema::try_from(self.source.schema());
        let state = self.run.engine.context().state();
        let built = schema.and_then(|schema| state.create_physical_expr(condition, &schema));
        built.map_err(|error| explain_merge_error(&error))
    }

    /// Returns the condition for rows of the files that are in a scope; None for all.
    fn scope_filter(&self, scope: &Scope) -> Result<Option<Expr>> {
        let Record { entity, time, .. } = self.held;
        let schema = self.source.schema();
        let field = schema.field_with_name(time);
        let field = field.map_err(|error| Error::internal(error.to_string()))?;
        scope.filter_expr(entity, time, field.data_type())
    }

    /// Returns the files that may hold rows of a scope.
    fn files_in_scope(&self, scope: &Scope) -> Result<BTreeSet<String>> {
        match self.scope_filter(scope)? {
            None => Ok(self.source.file_names()),
            Some(condition) => {
                Ok(self.source.file_names_matching(&self.compile_filter(condition)?))
            }
        }
    }

    /// Returns the job that rewrites the rows outside the scope, for the files in `met`.
    fn rewrite_job(&self, met: &BTreeSet<String>) -> Result<WriteJob> {
        let output = &self.job.output;
        let schema = self.source.schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut plan =
            self.source.scan_raw_files(met, &all).map_err(|error| explain_merge_error(&error))?;
        if let Some(condition) = self.scope_filter(&self.run.options.scope)? {
            // A row with a NULL key is in no scope.
            let beside = self.compile_filter(condition.is_not_true())?;
            plan = Arc::new(
                FilterExec::try_new(beside, plan).map_err(|error| explain_merge_error(&error))?,
            );
        }
        let columns = output.schema.fields().iter().map(|field| {
            let stored = Column::new_with_schema(field.name(), &schema)?;
            let stored: Arc<dyn PhysicalExpr> = Arc::new(stored);
            Ok((cast(stored, &schema, field.data_type().clone())?, field.name().clone()))
        });
        let columns = columns.collect::<datafusion::common::Result<Vec<_>>>();
        let plan = columns.and_then(|columns| ProjectionExec::try_new(columns, plan));
        let Attempt { run, unit, number } = self.job.attempt.clone();
        let side_by_side = self.run.engine.config().parallel_workers;
        Ok(WriteJob {
            plan: Arc::new(plan.map_err(|error| explain_merge_error(&error))?),
            context: Arc::clone(&self.job.context),
            output: Arc::new(OutputShape { side_by_side, ..output.as_ref().clone() }),
            attempt: Attempt { run, unit: unit + 1, number },
            checks: Vec::new(), // The same definition checked them when they were written.
            after: None,
            explain: Arc::new(explain_merge_error),
            progress: Arc::clone(&self.job.progress),
            stop: self.job.stop.clone(),
        })
    }

    /// Returns the first and last time and the rows of the scope's symbols in the files that stay as they are.
    async fn retained_watermarks(
        &self,
        met: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, SymbolRange>> {
        let scope = &self.run.options.scope;
        let symbols = Scope { symbols: scope.symbols.clone(), ..Scope::default() };
        let mut files = self.files_in_scope(&symbols)?;
        files.retain(|file| !met.contains(file));
        let mut marks = Watermarks::default();
        if files.is_empty() {
            return Ok(BTreeMap::new());
        }
        let schema = self.source.schema();
        let index = |name: &String| {
            schema.index_of(name).map_err(|error| Error::internal(error.to_string()))
        };
        let keys = [index(&self.held.entity)?, index(&self.held.time)?];
        let plan = self
            .source
            .scan_raw_files(&files, &keys)
            .map_err(|error| explain_merge_error(&error))?;
        let rows = execute_stream(plan, self.run.engine.context().task_ctx());
        let mut rows = rows.map_err(|error| explain_merge_error(&error))?;
        while let Some(batch) =
            rows.try_next().await.map_err(|error| explain_merge_error(&error))?
        {
            let added = marks.track_batch(&batch, 0, 1);
            added.map_err(|error| Error::internal(error.to_string()))?;
        }
        let mut marks = marks.into_ranges();
        marks.retain(|symbol, _| scope.contains_symbol(symbol));
        Ok(marks)
    }
}

fn explain_merge_error(error: &DataFusionError) -> Error {
    diagnose_error(error, "", &[])
}
