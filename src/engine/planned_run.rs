//! A feature set on its way into a target: its plan, scope, record and what the columns say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::audits::WholeAudit;
use super::materialize::Materialization;
use super::query::locate_in_file;
use super::scope::exact_column;
use super::{Engine, PlannedSet, RunOptions, common_subplans};
use crate::commit::{PublishMode, PublishOptions, ScopeBounds, TargetContents};
use crate::error::{Error, Result};
use crate::exec::{cleaning_notices, ensure_order, period_keys};
use crate::sql::diagnose_error;
use crate::store::{COLUMN_ROLE_KEY, LABEL_ROLE, RECORD_FORMAT, Record};
use crate::write::{Attempt, OutputShape, WriteJob};

/// A set that is planned for a run, without the symbols that were left out.
pub(super) struct PlannedRun<'a> {
    pub(super) engine: &'a Engine,
    pub(super) planned: &'a PlannedSet,
    pub(super) options: &'a RunOptions,
    /// What the target holds.
    pub(super) contents: TargetContents,
    pub(super) without: &'a BTreeSet<String>,
}

impl PlannedRun<'_> {
    /// The run on its way into its target, which holds the state `held`: `attempt` names what it writes
    /// aside.
    pub(super) async fn prepare_materialization(
        &self,
        attempt: Attempt,
        started: Instant,
        (held, left_out): (Option<Record>, Vec<(String, String)>),
    ) -> Result<Materialization> {
        let planned = self.planned;
        self.check_same_set(held.as_ref())?;
        let header = &planned.set.header;
        let index = |name: &str| planned.outputs.iter().position(|o| o.name == name);
        let internal = || Error::internal("a key column went missing");
        let entity = index(&header.entity).ok_or_else(internal)?;
        let time = index(&header.time).ok_or_else(internal)?;
        let partition_by: Vec<usize> =
            header.partition_by.iter().filter_map(|c| index(c)).collect();
        let (checks, whole) = self.engine.compile_audits(planned, partition_by.is_empty())?;
        let logical = self.scoped_plan()?;
        let stop = &self.options.stop;
        stop.run_until_stopped(self.check_unique(&logical, &whole)).await?;
        let mut order = partition_by.clone();
        order.extend([entity, time].iter().filter(|key| !partition_by.contains(key)));
        let plan =
            stop.run_until_stopped(self.plan_ordered_output(&logical, entity, order)).await?;
        let config = self.engine.config();
        let record = stop.run_until_stopped(self.draft_record(left_out, &whole)).await?;
        let output = OutputShape {
            schema: plan.schema(),
            entity,
            time,
            partition_by,
            set: record.set.clone(),
            fingerprint: record.fingerprint.clone(),
            about: header.description.clone(),
            notes: self.header_notes(),
            compression: config.compression,
            float32: config.float32 && self.contents == TargetContents::Parquet,
            side_by_side: self.engine.concurrent_writers(&plan),
            memory_limited: config.memory_limit.is_some(),
        };
        let of_plan = Arc::clone(&plan);
        let text = planned.rendered.clone();
        let explain = move |error: &DataFusionError| {
            locate_in_file(diagnose_error(error, &text.sql, &[]), &text)
        };
        let job = WriteJob {
            plan,
            context: self.engine.context().task_ctx(),
            output: Arc::new(output),
            attempt,
            checks,
            after: None,
            explain: Arc::new(explain),
            progress: Arc::clone(&self.options.progress),
            stop: stop.clone(),
        };
        let (mut mode, mut rewrite) = (PublishMode::Whole, None);
        let held_rows = held.iter().flat_map(|held| &held.watermarks);
        let removed = held_rows.map(|(symbol, range)| (symbol.clone(), range.rows)).collect();
        if let Some(held) = held.filter(|_| self.options.merge) {
            if let Some(audit) = whole.first() {
                return Err(Error::usage(format!(
                    "--merge: the audit {} looks at all rows of the target, and a merge computes some of them",
                    audit.text
                ))
                .hint("run the whole set, without --merge, --symbols, --from and --until")
                .at_place(audit.place.clone()));
            }
            let merge = stop.run_until_stopped(self.plan_merge(&held, &record, &job)).await?;
            (mode, rewrite) = (merge.mode, merge.rewrite);
        }
        Ok(Materialization {
            job,
            rewrite,
            place: self.options.target.to_string(),
            publish: PublishOptions { mode, scope: self.scope_bounds()? },
            record,
            removed,
            requested_symbols: self.options.scope.symbols.clone().unwrap_or_default(),
            about_null: planned.outputs.iter().map(null_output_notice).collect(),
            expected_rows: None,
            notices: Arc::new(move || cleaning_notices(&of_plan)),
            access: Arc::clone(&self.engine.access),
            started,
        })
    }

    /// Refuses a target that holds the rows of another set.
    fn check_same_set(&self, held: Option<&Record>) -> Result<()> {
        let set = &self.planned.set.name;
        match held.filter(|held| held.set != *set && !self.options.replace) {
            None => Ok(()),
            Some(held) => Err(Error::target(format!(
                "{} holds the set {}, not {set}",
                self.options.target, held.set
            ))
            .hint("write to another target; `run --replace` takes its place")),
        }
    }

    /// The plan restricted to the scope. The condition sits on top: rows kept have the values of
    /// the unrestricted run, and the optimizer moves it down only where that stays true.
    pub(super) fn scoped_plan(&self) -> Result<LogicalPlan> {
        let header = &self.planned.set.header;
        let plan = &self.planned.plan;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        let ty = time.map_or(DataType::Null, |o| o.data_type.clone());
        let mut condition = self.options.scope.filter_expr(&header.entity, &header.time, &ty)?;
        if !self.without.is_empty() {
            let symbols = self.without.iter().map(|s| lit(s.as_str())).collect();
            let others = exact_column(&header.entity).in_list(symbols, true);
            condition = Some(condition.map_or(others.clone(), |c| c.and(others)));
        }
        self.filter_plan(plan, condition)
    }

    /// The scope in exact times.
    fn scope_bounds(&self) -> Result<ScopeBounds> {
        let header = &self.planned.set.header;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        self.options.scope.exact_bounds(time.map_or(&DataType::Null, |o| &o.data_type))
    }

    pub(super) fn filter_plan(
        &self,
        plan: &LogicalPlan,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let Some(condition) = condition else { return Ok(plan.clone()) };
        LogicalPlanBuilder::from(plan.clone())
            .filter(condition)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| self.explain_error(&error))
    }

    async fn plan_ordered_output(
        &self,
        plan: &LogicalPlan,
        entity: usize,
        order: Vec<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.engine.context().state();
        // A CSV file is one partition, in order.
        let entity = Some(entity).filter(|_| self.contents != TargetContents::CsvFile);
        let plan = common_subplans::plan_with_sharing(&state, plan)
            .await
            .map_err(|error| self.explain_error(&error))?;
        // Rows that are sorted period by period go to files of one period each.
        if let (Some(_), Some((entity, time))) = (entity, period_keys(&plan))
            && order == [entity, time]
        {
            return Ok(plan);
        }
        ensure_order(plan, entity, &order, state.config_options())
            .map_err(|error| self.explain_error(&error))
    }

    pub(super) fn explain_error(&self, error: &DataFusionError) -> Error {
        let text = &self.planned.rendered;
        locate_in_file(diagnose_error(error, &text.sql, &[]), text)
    }

    /// What is known of the run before its rows.
    pub(super) async fn draft_record(
        &self,
        left_out: Vec<(String, String)>,
        whole: &[WholeAudit],
    ) -> Result<Record> {
        let planned = self.planned;
        let header = &planned.set.header;
        let scope = &self.options.scope;
        let definition =
            self.engine.output_definition(planned, self.contents == TargetContents::Parquet);
        let names = planned.outputs.iter().map(|output| output.name.clone());
        Ok(Record {
            format: RECORD_FORMAT,
            windrow: env!("CARGO_PKG_VERSION").to_string(),
            set: planned.set.name.clone(),
            fingerprint: definition.digest(),
            entity: header.entity.clone(),
            time: header.time.clone(),
            symbols: scope.symbols.clone(),
            from: scope.from.clone(),
            until: scope.until.clone(),
            inputs: self.engine.read_input_states(planned).await?,
            column_identities: names.zip(self.engine.column_identities(planned)?).collect(),
            columns: definition.columns,
            compression: definition.compression,
            audits: whole.iter().map(|a| (a.text.clone(), "passed".to_string())).collect(),
            left_out,
            ..Record::default()
        })
    }

    /// What the header says of the outputs, for the metadata of the columns.
    fn header_notes(&self) -> Vec<(String, Vec<(String, String)>)> {
        let header = &self.planned.set.header;
        let note = |output: &super::OutputColumn| {
            // A family or a struct is described once, by what its names begin with.
            let of = |name: &str| {
                let rest = output.name.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
            };
            let described = header.outputs.iter().filter(|(name, _)| of(name));
            let text = described.max_by_key(|(name, _)| name.len());
            let mut pairs = Vec::new();
            if let Some((_, text)) = text {
                pairs.push(("description".to_string(), text.clone()));
            }
            if output.label {
                pairs.push((COLUMN_ROLE_KEY.to_string(), LABEL_ROLE.to_string()));
            }
            (output.name.clone(), pairs)
        };
        self.planned.outputs.iter().map(note).collect()
    }
}

/// What to say of an output without any value: most often the bars do not reach its lookback.
fn null_output_notice(output: &super::OutputColumn) -> String {
    let name = &output.name;
    match output.need.lookback {
        0 => format!("output {name} is NULL on every row: check the columns that it reads"),
        rows => format!(
            "output {name} is NULL on every row: it takes {rows} rows before its first value"
        ),
    }
}
