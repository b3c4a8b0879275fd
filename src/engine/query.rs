//! Ad-hoc queries: one statement in, a stream of batches out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::{TryStreamExt, stream};

use super::overlay::{TablesByName, overlay_views};
use super::plan_checks::check_plan;
use super::write_access::StagedCopy;
use super::{Engine, LookupOrigin, common_subplans};
use crate::error::{Error, Result};
use crate::exec::cleaning_notices;
use crate::feature_set::RenderedSql;
use crate::sql::{Sql, diagnose_error, parse};

/// A statement that is ready to run.
pub struct Query {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    text: Arc<RenderedSql>,
    copy: Option<Arc<StagedCopy>>,
}

impl Query {
    /// Returns the columns of the result.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Returns the physical plan.
    pub fn execution_plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// Starts the query. Dropping the stream cancels it.
    ///
    /// # Errors
    /// If the plan cannot start. The stream itself yields errors of the data, which [`Query::explain_error`] turns
    /// into messages.
    pub fn stream(&self) -> Result<SendableRecordBatchStream> {
        let stream =
            execute_stream(Arc::clone(&self.plan), Arc::clone(&self.context)).map_err(|error| {
                locate_in_file(diagnose_error(&error, &self.text.sql, &[]), &self.text)
            })?;
        let text = Arc::clone(&self.text);
        let worded = stream.map_err(move |error| {
            let error = locate_in_file(diagnose_error(&error, &text.sql, &[]), &text);
            datafusion::common::DataFusionError::External(Box::new(error))
        });
        let Some(copy) = self.copy.clone() else {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), worded)));
        };
        // The row count of COPY is returned only after the output is complete and has its final name.
        let counted = async move {
            let batches: Vec<_> = worded.try_collect().await?;
            copy.publish_file().map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
        };
        let counted = stream::once(counted).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
    }

    /// Turns an error of the stream into a message with its position.
    pub fn explain_error(&self, error: &datafusion::common::DataFusionError) -> Error {
        locate_in_file(diagnose_error(error, &self.text.sql, &[]), &self.text)
    }

    /// Returns what cleaning did to the sources, one sentence each. Complete after the stream has ended.
    pub fn cleaning_reports(&self) -> Vec<String> {
        cleaning_notices(&self.plan)
    }
}

/// Maps positions in rendered text to positions in the file that it was rendered from.
pub(super) fn locate_in_file(error: Error, text: &RenderedSql) -> Error {
    error.relocate(|place| {
        if place.file.is_empty() { text.place_of(place.line, place.column) } else { place.clone() }
    })
}

impl Engine {
    /// Plans one statement. Positions in errors read `SQL:line:column`.
    ///
    /// # Errors
    /// If the statement cannot be parsed or planned.
    pub async fn query(&self, sql: &str) -> Result<Query> {
        self.query_text(RenderedSql::from_plain_sql("SQL", sql), None).await
    }

    /// Plans the query of a file, or of a feature set by its name, with its parameters.
    ///
    /// # Errors
    /// If the file cannot be read, rendered, parsed or planned.
    pub async fn query_file(&self, path: &Path, set: &BTreeMap<String, String>) -> Result<Query> {
        let file = match path.is_file() {
            true => crate::feature_set::FeatureSet::read(path)?,
            false => self.find_set(&path.to_string_lossy())?,
        };
        // Parameters are set for a whole session: a file takes those that its header declares.
        let known = set.iter().filter(|(name, _)| file.header.params.contains_key(*name));
        let known = known.map(|(name, value)| (name.clone(), value.clone())).collect();
        let columns = self.visible_columns(&file, &known, &mut vec![file.name.clone()]).await?;
        let rendered = file.render(&known, &|column| columns.contains(column))?;
        self.query_text(rendered, Some(path)).await
    }

    async fn query_text(&self, text: RenderedSql, path: Option<&Path>) -> Result<Query> {
        let text = Arc::new(text);
        let planned = self.plan_query(&text.sql, path).await;
        let (plan, copy) = planned.map_err(|error| locate_in_file(error, &text))?;
        Ok(Query { plan, context: self.context().task_ctx(), text, copy: copy.map(Arc::new) })
    }

    /// Refuses clauses that the planner would silently drop, and forms that it would misread.
    pub(super) fn check_statement_forms(&self, sql: &Sql) -> Result<()> {
        let state = self.context().state();
        sql.refuse_dropped_clauses(&|name| state.scalar_functions().contains_key(name))?;
        sql.refuse_misread_forms()
    }

    async fn plan_query(
        &self,
        text: &str,
        path: Option<&Path>,
    ) -> Result<(Arc<dyn ExecutionPlan>, Option<StagedCopy>)> {
        let mut sql = parse(text)?;
        self.check_statement_forms(&sql)?;
        self.check_writing(&sql)?;
        let copy = self.stage_copy(&mut sql);
        self.open_statement_sources(&sql).await?;
        let reader = path.map_or(LookupOrigin::Nobody, LookupOrigin::File);
        let views = self.resolve_sets(&sql, reader, &mut Vec::new()).await?.views;
        sql.rewrite_statement()?;
        let names: Vec<String> =
            self.list_tables().into_iter().chain(views.keys().cloned()).collect();
        let planned = async {
            let state = overlay_views(self.context().state(), views, TablesByName::new())?;
            let plan = state.statement_to_plan(sql.into_statement()).await?;
            check_plan(&plan).map_err(|error| DataFusionError::External(Box::new(error)))?;
            let frame = self.context().execute_logical_plan(plan).await?;
            let (state, plan) = frame.into_parts();
            common_subplans::plan_with_sharing(&state, &plan).await
        };
        let plan = planned.await.map_err(|error| diagnose_error(&error, text, &names))?;
        Ok((plan, copy))
    }
}
