//! Rewrites one source, whatever its layout, into files sorted by symbol and time, each with its own range of
//! symbols.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tokio::task::JoinSet;

use super::materialize::Materialization;
use super::range_repartition::{find_unordered_input, repartition_by_range, sample_symbol_counts};
use super::scope::exact_column;
use super::{CommitPermit, Engine, RunOutcome};
use crate::catalog::{FileTable, Source};
use crate::commit::{
    OpenTarget, PublishMode, PublishOptions, RetainedFiles, ScopeBounds, Target, TargetBackend,
    TargetContents,
};
use crate::error::{Error, Result};
use crate::exec::{cleaning_notices, ensure_order};
use crate::identity::digest_texts;
use crate::scan::choose_split_points;
use crate::sql::diagnose_error;
use crate::stop::Stop;
use crate::store::{Location, Record, RecordFile};
use crate::write::{Attempt, ColumnNotes, OutputShape, Progress, WriteJob};

/// The name of the set in the record of a compacted source.
const SET: &str = "compact";
/// The name of a source that the configuration does not name.
const SOURCE: &str = "source";

/// The source to compact, and its target.
#[derive(Clone, Debug)]
pub struct CompactOptions {
    /// A location, or the name of a configured source.
    pub source: String,
    /// The target. It may be the source itself if a run committed it: its files are then rewritten.
    pub target: Target,
    /// True to retain the rows of the target, and to add the rows after its watermarks.
    pub append: bool,
    /// The counter of rows.
    pub progress: Arc<Progress>,
    /// The signal to stop.
    pub stop: Stop,
}

impl Engine {
    /// Writes a source as files sorted by symbol and time, atomically.
    ///
    /// # Errors
    /// If the data or the target is at fault; the target is then as it was.
    pub async fn compact(&mut self, options: &CompactOptions) -> Result<RunOutcome> {
        let started = Instant::now();
        let target = options.target.clone().resolved()?;
        target.check_elsewhere()?;
        self.check_all_rules(&target)?;
        let at = target.to_backend(&self.access);
        if target.contents() != TargetContents::Parquet {
            return Err(Error::usage(format!("{target} is {}", target.contents()))
                .hint("name a directory: compact writes parquet"));
        }
        let in_place = self.is_target_location(&options.source, &target);
        if in_place && options.append {
            return Err(Error::usage(format!("{} cannot be added to itself", options.source))
                .hint("leave --append out to write its files anew"));
        }
        let name = match self.config.sources.contains_key(&options.source) {
            true => options.source.clone(),
            false => SOURCE.to_string(),
        };
        let stop = &options.stop;
        // A target that is compacted in place is listed under its lock, so that no commit happens in between.
        let early = match in_place {
            true => Some(self.open_target(at.as_ref(), stop).await?),
            false => None,
        };
        let opened = stop.run_until_stopped(self.add_source(&name, &options.source)).await;
        let mut open = match (opened, early) {
            (Ok(()), Some(open)) => open,
            (Ok(()), None) => {
                self.check_apart_from_sources(at.as_ref())?;
                self.open_target(at.as_ref(), stop).await?
            }
            (Err(error), early) => {
                if let Some(open) = early {
                    open.release().await;
                }
                return Err(error);
            }
        };
        let places = (at.as_ref(), open.as_mut());
        let done =
            self.compact_into_locked(&target, places, options, (name, in_place), started).await;
        open.release().await;
        done
    }

    /// Writes a source into a target that is already locked.
    async fn compact_into_locked(
        &self,
        target: &Target,
        (at, open): (&dyn TargetBackend, &mut (dyn OpenTarget + 'static)),
        options: &CompactOptions,
        (name, in_place): (String, bool),
        started: Instant,
    ) -> Result<RunOutcome> {
        let stop = &options.stop;
        let source = self.sources().remove(&name);
        let source = source.ok_or_else(|| Error::internal("a source went missing"))?;
        if let Some(other) =
            open.held_record().filter(|held| !in_place && !options.append && held.set != SET)
        {
            return Err(Error::target(format!(
                "{target} holds the set {}, which compact would replace by a source",
                other.set
            ))
            .hint("write to another directory"));
        }
        let held = open.held_record().cloned().filter(|_| in_place || options.append);
        let mut columns: Vec<usize> = (0..source.schema().fields().len()).collect();
        if let Some(held) = held.as_ref().filter(|_| options.append) {
            columns = stop
                .run_until_stopped(self.match_target_columns(source.as_ref(), held, target))
                .await?;
        }
        let notes = match &held {
            Some(held) => stop.run_until_stopped(at.notes(held)).await?,
            None => ColumnNotes::new(),
        };
        let work = Compaction { engine: self, name, source, columns, options };
        let attempt = Attempt { run: open.run_id().to_string(), unit: 0, number: 0 };
        let place = target.to_string();
        let compacted =
            work.prepare_materialization(attempt, place, (held, notes), started).await?;
        let record = compacted.commit_into(open).await?;
        Ok(RunOutcome { record, target: target.clone() })
    }

    /// Returns whether a location is the target itself.
    fn is_target_location(&self, source: &str, target: &Target) -> bool {
        let real = |path: &Path| -> Option<PathBuf> { path.canonicalize().ok() };
        let location = match self.config.sources.get(source) {
            Some(named) if !Path::new(source).exists() => named.location.as_str(),
            _ => source,
        };
        match (target, Location::parse(location)) {
            (Target::Bucket(target), Ok(Location::Bucket(source))) => source == *target,
            (Target::Directory(target), Ok(Location::Local(source))) => {
                real(&source).is_some_and(|source| real(target) == Some(source))
            }
            _ => false,
        }
    }

    /// Returns the columns of the source in the order of the target. Both must have the same columns.
    async fn match_target_columns(
        &self,
        source: &dyn Source,
        held: &Record,
        target: &Target,
    ) -> Result<Vec<usize>> {
        let path = target.to_string();
        if held.set != SET {
            return Err(Error::target(format!("{path} was written by `run {}`", held.set))
                .hint("compact adds to what it wrote itself: name another directory"));
        }
        let config = crate::config::SourceConfig::new(path.as_str());
        let threads = self.config.parallel_workers;
        let skip = Default::default();
        let (access, footers) = (&self.access, &self.footers);
        let opened = FileTable::open("target", &config, access, footers, threads, (&skip, false));
        let known = opened.await?;
        let differ = |what: String| {
            Error::data(format!(
                "the columns of {} and {path} differ: {what}",
                source.config().location
            ))
            .hint("compact everything again, without --append")
        };
        if known.key_columns() != source.key_columns() {
            let text =
                |s: &dyn Source| format!("{}, {}", s.key_columns().entity, s.key_columns().time);
            return Err(differ(format!("the keys are {} and {}", text(source), text(&known))));
        }
        let (new, old) = (source.schema(), known.schema());
        let missing = |a: &Schema, b: &Schema| {
            a.fields().iter().find(|f| b.index_of(f.name()).is_err()).map(|f| f.name().clone())
        };
        if let Some(column) = missing(&new, &old) {
            return Err(differ(format!("{path} has no {column}")));
        }
        if let Some(column) = missing(&old, &new) {
            return Err(differ(format!("{} has no {column}", source.config().location)));
        }
        let mut columns = Vec::new();
        for field in old.fields() {
            let at = new.index_of(field.name()).map_err(|error| differ(error.to_string()))?;
            let (ours, theirs) = (new.field(at).data_type(), field.data_type());
            if ours != theirs {
                return Err(differ(format!("{} is {ours} and {theirs}", field.name())));
            }
            columns.push(at);
        }
        Ok(columns)
    }
}

/// A source that is compacted into a target.
struct Compaction<'a> {
    engine: &'a Engine,
    name: String,
    source: Arc<dyn Source>,
    columns: Vec<usize>,
    options: &'a CompactOptions,
}

impl Compaction<'_> {
    /// Prepares the materialization of the source. The tuple has the record and the column notes of a target that
    /// is rewritten or appended to.
    async fn prepare_materialization(
        &self,
        attempt: Attempt,
        place: String,
        (held, notes): (Option<Record>, ColumnNotes),
        started: Instant,
    ) -> Result<Materialization> {
        let schema = self.source.schema();
        let keys = self.source.key_columns();
        let index = |name: &String| {
            let found = self.columns.iter().position(|column| schema.field(*column).name() == name);
            found.ok_or_else(|| {
                let location = &self.source.config().location;
                Error::data(format!("{location} has no column {name}")).hint(
                    "name its key columns in windrow.yaml: `sources: {bars: {location: ..., entity: ..., time: ...}}`",
                )
            })
        };
        let (entity, time) = (index(&keys.entity)?, index(&keys.time)?);
        let stop = &self.options.stop;
        let plan = stop.run_until_stopped(self.plan_sorted_ranges(entity, time)).await?;
        let of_plan = Arc::clone(&plan);
        let config = self.engine.config();
        let (anew, mode) = match held {
            Some(held) if self.options.append => (
                None,
                PublishMode::Append(RetainedFiles {
                    files: held.files,
                    watermarks: held.watermarks,
                }),
            ),
            held => (held, PublishMode::Whole),
        };
        let exactly = anew.as_ref().map(|held| held.files.iter().map(|file| file.rows).sum());
        let record = self.draft_record(&plan, anew);
        let output = OutputShape {
            set: record.set.clone(),
            fingerprint: record.fingerprint.clone(),
            notes,
            compression: config.compression,
            side_by_side: self.engine.concurrent_writers(&plan),
            memory_limited: config.memory_limit.is_some(),
            ..OutputShape::new(plan.schema(), entity, time)
        };
        let job = WriteJob {
            plan,
            context: self.engine.context().task_ctx(),
            output: Arc::new(output),
            attempt,
            checks: Vec::new(),
            after: None,
            explain: Arc::new(|error: &DataFusionError| explain_compact_error(error)),
            progress: Arc::clone(&self.options.progress),
            stop: stop.clone(),
        };
        Ok(Materialization {
            job,
            rewrite: None,
            place,
            publish: PublishOptions { mode, scope: ScopeBounds::default() },
            record,
            removed: BTreeMap::new(),
            requested_symbols: Vec::new(),
            about_null: Vec::new(),
            expected_rows: exactly,
            notices: Arc::new(move || cleaning_notices(&of_plan)),
            access: Arc::clone(&self.engine.access),
            permit: CommitPermit::default(),
            started,
        })
    }

    /// Plans the rows so that every partition is sorted by symbol and time, and has its own range of symbols.
    async fn plan_sorted_ranges(
        &self,
        entity: usize,
        time: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.engine.context().state();
        let options = state.config_options();
        self.options.progress.set_total(self.source.row_count());
        let plan = self.plan_column_scan(&self.columns).await?;
        let (key, order) = (&self.source.key_columns().entity, [entity, time]);
        let sorted = ensure_order(Arc::clone(&plan), Some(entity), &order, options);
        let mut sorted = sorted.map_err(|error| explain_compact_error(&error))?;
        // This is the last step, because the planner replaces exchanges that it finds by hash exchanges.
        if self.engine.config().parallel_workers > 1 && find_unordered_input(&sorted, key).is_some()
        {
            let splits = self.sample_split_points().await?;
            sorted = repartition_by_range(sorted, key, &splits)
                .map_err(|error| explain_compact_error(&error))?;
        }
        match sorted.output_partitioning() {
            Partitioning::Range(_) => Ok(sorted),
            other if other.partition_count() == 1 => Ok(sorted),
            // The ranges of symbols of the partitions overlap, so one partition takes all rows.
            _ => ensure_order(plan, None, &order, options)
                .map_err(|error| explain_compact_error(&error)),
        }
    }

    async fn plan_column_scan(&self, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.source.schema();
        let names = columns.iter().map(|column| exact_column(schema.field(*column).name()));
        let table = provider_as_source(Arc::clone(&self.source) as Arc<dyn TableProvider>);
        let logical = LogicalPlanBuilder::scan(self.name.as_str(), table, None)
            .and_then(|scan| scan.project(names))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| explain_compact_error(&error))?;
        let state = self.engine.context().state();
        state.create_physical_plan(&logical).await.map_err(|error| explain_compact_error(&error))
    }

    /// Returns the first symbols of ranges with about equal rows, from a sample of the unsorted symbols.
    async fn sample_split_points(&self) -> Result<Vec<String>> {
        let entity = &self.source.key_columns().entity;
        let schema = self.source.schema();
        let column = schema.index_of(entity).map_err(|e| Error::internal(e.to_string()))?;
        let keys = self.plan_column_scan(&[column]).await?;
        let mut counts = BTreeMap::new();
        let mut rows = 0;
        if let Some((found, column)) = find_unordered_input(&keys, entity) {
            let mut tasks = JoinSet::new();
            for number in 0..found.output_partitioning().partition_count() {
                let stream = found.execute(number, self.engine.context().task_ctx());
                tasks.spawn(sample_symbol_counts(
                    stream.map_err(|error| explain_compact_error(&error))?,
                    column,
                ));
            }
            while let Some(counted) = tasks.join_next().await {
                let panicked = |error| Error::internal(format!("counting panicked: {error}"));
                let (some, all) =
                    counted.map_err(panicked)?.map_err(|error| explain_compact_error(&error))?;
                rows += all;
                for (symbol, n) in some {
                    *counts.entry(symbol).or_insert(0) += n;
                }
            }
            self.options.progress.set_total(Some(rows));
        }
        Ok(choose_split_points(&counts, self.engine.config().parallel_workers))
    }

    /// Drafts the record with everything that is known before the rows. A target that is rewritten keeps the
    /// identity of its record.
    fn draft_record(&self, plan: &Arc<dyn ExecutionPlan>, held: Option<Record>) -> Record {
        let keys = self.source.key_columns();
        let schema = plan.schema();
        let columns = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().to_string()));
        let columns: Vec<_> = columns.collect();
        let fresh = || Record {
            set: SET.to_string(),
            fingerprint: columns_fingerprint(&columns),
            entity: keys.entity.clone(),
            time: keys.time.clone(),
            inputs: BTreeMap::from([(self.name.clone(), self.source.input_summary())]),
            ..Record::default()
        };
        let compression = self.engine.config().compression.to_string();
        // If the files were in folders or had another compression, the definition no longer describes them.
        let same = |held: &Record| {
            let flat = |file: &RecordFile| !file.path.contains('/');
            held.compression == compression && held.files.iter().all(flat)
        };
        let of = |held: Record| Record {
            fingerprint: match same(&held) {
                true => held.fingerprint.clone(),
                false => digest_texts(&[SET, &held.fingerprint, &compression]),
            },
            files: Vec::new(),
            notices: Vec::new(),
            watermarks: BTreeMap::new(),
            ..held
        };
        Record {
            windrow: env!("CARGO_PKG_VERSION").to_string(),
            compression: compression.clone(),
            columns: columns.clone(),
            ..held.map_or_else(fresh, of)
        }
    }
}

fn explain_compact_error(error: &DataFusionError) -> Error {
    diagnose_error(error, "", &[])
}

fn columns_fingerprint(columns: &[(String, String)]) -> String {
    digest_texts(&[SET, &format!("{columns:?}")])
}
