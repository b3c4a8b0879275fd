//! Prepares the materialization of a planned run: its ordered plan, audits, record and column metadata.
//!
//! The run holds the lock of its target (`run.rs`). These steps read sources and the target, and write to neither:
//!
//! 1. A target that holds the rows of another set is refused, unless the run replaces it.
//! 2. The audits are compiled: those that are checked row by row while writing, and those that look at all rows.
//! 3. The plan is restricted to the scope, and a query of its own checks the audits that look at all rows. If one
//!    fails, no row has been written.
//! 4. The physical plan is made. It puts the rows in the order of `partition_by`, entity and time.
//! 5. The record is drafted with everything that is known before the rows: definition, inputs, column identities.
//! 6. A merge into a target with rows refuses audits that look at all rows. Of a parquet target it then retains the
//!    files without rows of the scope, and plans the rewrite of the others.
//! 7. The parts become a `Materialization`, which `materialize.rs` writes and commits.
//!
//! A crash after any step leaves the target as it was: nothing is staged yet, and only the lock or lease of the run
//! remains, as after step 3 of `run.rs`. Queries that spilled may leave temporary files of DataFusion.

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::DataType;
use datafusion::physical_plan::ExecutionPlan;

use super::OutputColumn;
use super::audits::WholeAudit;
use super::materialize::Materialization;
use super::memory_pool::ObservedPool;
use super::planned_run::PlannedRun;
use super::symbol_rows::explain_in_file;
use crate::commit::{PublishMode, PublishOptions, ScopeBounds, TargetContents};
use crate::error::{Error, Result};
use crate::exec::cleaning_notices;
use crate::store::{COLUMN_ROLE_KEY, LABEL_ROLE, RECORD_FORMAT, Record};
use crate::write::{Attempt, AuditCheck, OutputShape, WriteJob};

impl PlannedRun<'_> {
    /// Prepares the run for a target whose last record is `held`. `attempt` names what the run stages.
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
        // A CSV file is one partition, in order; other files of rows in periods hold one period each.
        let apart = self.contents != TargetContents::CsvFile;
        let set = self.scoped_set();
        let ordered = set.order_rows(&logical, apart.then_some(entity), &order, apart);
        let plan = stop.run_until_stopped(ordered).await?;
        let record = stop.run_until_stopped(self.draft_record(left_out, &whole)).await?;
        let output = self.output_shape(&plan, (entity, time, partition_by), &record);
        let of_plan = Arc::clone(&plan);
        let job = self.write_job(plan, output, attempt, checks);
        let held_rows = held.iter().flat_map(|held| &held.watermarks);
        let removed = held_rows.map(|(symbol, range)| (symbol.clone(), range.rows)).collect();
        let (mode, rewrite) = match held.filter(|_| self.options.merge) {
            None => (PublishMode::Whole, None),
            Some(held) => {
                whole.first().map_or(Ok(()), |audit| Err(unmergeable_audit_error(audit)))?;
                let merge = stop.run_until_stopped(self.plan_merge(&held, &record, &job)).await?;
                (merge.mode, merge.rewrite)
            }
        };
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
            permit: self.options.permit.clone(),
            started,
        })
    }

    /// Returns the shape of the rows for sinks; the tuple holds the column indexes of entity, time and
    /// `partition_by`.
    fn output_shape(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        (entity, time, partition_by): (usize, usize, Vec<usize>),
        record: &Record,
    ) -> OutputShape {
        let config = self.engine.config();
        OutputShape {
            schema: plan.schema(),
            entity,
            time,
            partition_by,
            set: record.set.clone(),
            fingerprint: record.fingerprint.clone(),
            about: self.planned.set.header.description.clone(),
            notes: self.header_notes(),
            compression: config.compression,
            float32: config.float32 && self.contents == TargetContents::Parquet,
            side_by_side: self.engine.concurrent_writers(plan),
            memory_limited: config.memory_limit.is_some(),
        }
    }

    fn write_job(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        output: OutputShape,
        attempt: Attempt,
        checks: Vec<AuditCheck>,
    ) -> WriteJob {
        WriteJob {
            plan,
            context: ObservedPool::observe(
                &self.engine.context().task_ctx(),
                &self.options.progress,
            ),
            output: Arc::new(output),
            attempt,
            checks,
            after: None,
            explain: Arc::new(explain_in_file(self.planned.rendered.clone())),
            progress: Arc::clone(&self.options.progress),
            stop: self.options.stop.clone(),
        }
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

    /// Returns the scope in exact times.
    fn scope_bounds(&self) -> Result<ScopeBounds> {
        let header = &self.planned.set.header;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        self.options.scope.exact_bounds(time.map_or(&DataType::Null, |o| &o.data_type))
    }

    /// Drafts the record with everything that is known before the rows are computed.
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
            jobs: self.options.jobs.clone(),
            ..Record::default()
        })
    }

    /// Returns what the header declares for each output, as metadata of the columns.
    fn header_notes(&self) -> Vec<(String, Vec<(String, String)>)> {
        let note = |output: &OutputColumn| {
            let mut pairs = Vec::new();
            if let Some(text) = self.planned.output_description(&output.name) {
                pairs.push(("description".to_string(), text));
            }
            if output.label {
                pairs.push((COLUMN_ROLE_KEY.to_string(), LABEL_ROLE.to_string()));
            }
            (output.name.clone(), pairs)
        };
        self.planned.outputs.iter().map(note).collect()
    }
}

fn unmergeable_audit_error(audit: &WholeAudit) -> Error {
    Error::usage(format!(
        "--merge: the audit {} looks at all rows of the target, and a merge computes some of them",
        audit.text
    ))
    .hint("run the whole set, without --merge, --symbols, --from and --until")
    .at_place(audit.place.clone())
}

/// Returns the notice for an output without any value: most often there are fewer bars than its lookback.
fn null_output_notice(output: &OutputColumn) -> String {
    let name = &output.name;
    match output.need.lookback {
        0 => format!("output {name} is NULL on every row: check the columns that it reads"),
        rows => format!(
            "output {name} is NULL on every row: it takes {rows} rows before its first value"
        ),
    }
}
