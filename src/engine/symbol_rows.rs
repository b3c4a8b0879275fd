//! The rows of some symbols in memory: what the service computes for its callers and its cache.
//!
//! They pass through the same steps as the rows of a run: the scope on top of the plan, the audits, the stop signal.
//! Only their sink differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::audits::WholeAudit;
use super::memory_pool::ObservedPool;
use super::planned_run::ScopedSet;
use super::scope::exact_column;
use super::{Engine, PlannedSet, Scope, TimeRange};
use crate::error::{Error, Result};
use crate::exec::cleaning_notices;
use crate::feature_set::RenderedSql;
use crate::stop::Stop;
use crate::traces::trace_step;
use crate::write::{
    Attempt, AuditCheck, OutputShape, Progress, RowCollector, Staging, SymbolRows, WriteJob,
    write_job,
};

/// The computed rows of some symbols.
#[derive(Debug, Default)]
pub struct ComputedRows {
    /// The rows by symbol. A symbol without rows in the scope is not among them.
    pub symbols: Vec<SymbolRows>,
    /// The notices of cleaning, one sentence each.
    pub notices: Vec<String>,
}

impl Engine {
    /// Computes the rows of a planned set within a scope and keeps them in memory, which the engine's memory limit
    /// bounds. The rows of a symbol are sorted by time and have the bits of a run over everything.
    ///
    /// # Errors
    /// If the data or an audit is at fault, if the rows do not fit into memory, or if the work is stopped.
    pub async fn compute_rows(
        &self,
        planned: &PlannedSet,
        scope: &Scope,
        progress: &Arc<Progress>,
        stop: &Stop,
    ) -> Result<ComputedRows> {
        let set = ScopedSet { engine: self, planned, scope };
        let (checks, whole) = self.compile_audits(planned, true)?;
        if let Some(audit) = whole.first() {
            return Err(partial_audit_error(planned, audit));
        }
        let keys = planned.key_columns()?;
        let logical = set.rows_without(&Default::default())?;
        let ordered = set.order_rows(&logical, Some(keys[0]), &keys, false);
        let plan = trace_step("prepare", stop.run_until_stopped(ordered)).await?;
        let job = set.write_job(&plan, keys, checks, progress, stop);
        let collector = Arc::new(RowCollector::default());
        let staging = Staging::Memory(Arc::clone(&collector));
        let manifest = trace_step("execute", write_job(&job, &staging)).await?;
        manifest.check_audits(&job.checks)?;
        Ok(ComputedRows { symbols: collector.take_rows(), notices: cleaning_notices(&plan) })
    }

    /// Returns the symbols of a set, each with its number of rows.
    ///
    /// # Errors
    /// If the data is at fault, or the work is stopped.
    pub async fn count_symbol_rows(
        &self,
        planned: &PlannedSet,
        stop: &Stop,
    ) -> Result<BTreeMap<String, u64>> {
        let set = ScopedSet { engine: self, planned, scope: &Scope::default() };
        let count = datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("rows");
        let entity = exact_column(&planned.set.header.entity);
        let counted = async {
            let plan = LogicalPlanBuilder::from(planned.plan.clone())
                .aggregate([entity.clone()], [count])?
                .project([entity, exact_column("rows")])?
                .build()?;
            self.context().execute_logical_plan(plan).await?.collect().await
        };
        let explained = async { counted.await.map_err(|error| set.explain_error(&error)) };
        let mut symbols = BTreeMap::new();
        for batch in stop.run_until_stopped(explained).await? {
            let names = cast(batch.column(0), &DataType::Utf8);
            let names = names.map_err(|error| Error::from_arrow_error(&error))?;
            let rows = batch.column(1).as_primitive::<Int64Type>();
            for (name, rows) in names.as_string::<i32>().iter().zip(rows.values()) {
                if let Some(name) = name {
                    symbols.insert(name.to_string(), (*rows).try_into().unwrap_or(0));
                }
            }
        }
        Ok(symbols)
    }
}

impl PlannedSet {
    /// Returns the positions of the entity and the time among the outputs.
    ///
    /// # Errors
    /// None for a set that was planned.
    pub fn key_columns(&self) -> Result<[usize; 2]> {
        let header = &self.set.header;
        let index = |name: &str| {
            let found = self.outputs.iter().position(|output| output.name == name);
            found.ok_or_else(|| Error::internal("a key column went missing"))
        };
        Ok([index(&header.entity)?, index(&header.time)?])
    }
}

impl PlannedSet {
    /// Returns the times of a scope in the type of the set's time.
    ///
    /// # Errors
    /// If one of them is no time.
    pub fn time_range(&self, scope: &Scope) -> Result<TimeRange> {
        let [_, time] = self.key_columns()?;
        let ty = self.outputs.get(time).map_or(DataType::Null, |output| output.data_type.clone());
        TimeRange::parse(scope, &ty)
    }
}

impl ScopedSet<'_> {
    fn write_job(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        [entity, time]: [usize; 2],
        checks: Vec<AuditCheck>,
        progress: &Arc<Progress>,
        stop: &Stop,
    ) -> WriteJob {
        let output = OutputShape {
            set: self.planned.set.name.clone(),
            side_by_side: self.engine.concurrent_writers(plan),
            memory_limited: self.engine.config().memory_limit.is_some(),
            ..OutputShape::new(plan.schema(), entity, time)
        };
        WriteJob {
            plan: Arc::clone(plan),
            context: ObservedPool::observe(&self.engine.context().task_ctx(), progress),
            output: Arc::new(output),
            attempt: Attempt { run: String::new(), unit: 0, number: 0 },
            checks,
            after: None,
            explain: Arc::new(explain_in_file(self.planned.rendered.clone())),
            progress: Arc::clone(progress),
            stop: stop.clone(),
        }
    }
}

/// Returns a function that explains errors of a plan with their positions in the file of its set.
pub(super) fn explain_in_file(text: RenderedSql) -> impl Fn(&DataFusionError) -> Error {
    move |error| {
        let error = crate::sql::diagnose_error(error, &text.sql, &[]);
        super::query::locate_in_file(error, &text)
    }
}

fn partial_audit_error(planned: &PlannedSet, audit: &WholeAudit) -> Error {
    Error::usage(format!(
        "{}: the audit {} looks at all rows of the set, and a job computes some symbols",
        planned.set.name, audit.text
    ))
    .hint("run the whole set into a target with `windrow run` or `windrow export`")
    .at_place(audit.place.clone())
}
