//! One run: a feature set, a scope, a target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use tracing::Instrument;

use super::query::locate;
use super::scope::exact;
use super::{Engine, Planned, Scope, shared};
use crate::catalog::Source;
use crate::error::{Error, Kind, Result};
use crate::exec::{by_periods, independent, ordered, reports};
use crate::feature_set::{Audit, FeatureSet};
use crate::sql::blame;
use crate::store::{Location, ObjectUrl, PgLocation, RECORD_FORMAT, Record};
use crate::target::{self, Bounds, Check, Job, Lock, Progress, Rule, Stop, Target};

/// How often a run begins anew because a server lost what it had.
const AGAIN: usize = 3;

/// How to run a feature set.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to.
    pub target: Target,
    /// What to compute.
    pub scope: Scope,
    /// Parameters, as `--set` gives them.
    pub params: BTreeMap<String, String>,
    /// Leave out symbols and files that cannot be computed, instead of failing whole.
    pub keep_going: bool,
    /// Where rows are counted.
    pub progress: Arc<Progress>,
    /// When to stop.
    pub stop: Stop,
}

/// What a committed run did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record that it left.
    pub record: Record,
    /// Where the rows are.
    pub target: Target,
}

impl Engine {
    /// Runs a feature set into a target, whole or not at all. Runs of one engine may be at work at the same time:
    /// each has a session of its own, and all share one memory pool.
    ///
    /// # Errors
    /// Of the set, the data, an audit or the target, which is then as it was. With `keep_going`,
    /// symbols and files at fault are left out and named in the outcome instead.
    pub async fn run(&self, set: FeatureSet, options: &RunOptions) -> Result<Outcome> {
        let run = tracing::field::Empty;
        let span =
            tracing::warn_span!("run", run, set = set.name, target = options.target.to_string());
        let mut session = self.session().await?;
        session.run_within(set, options).instrument(span).await
    }

    async fn run_within(&mut self, set: FeatureSet, options: &RunOptions) -> Result<Outcome> {
        let started = Instant::now();
        let options = &RunOptions { target: options.target.clone().resolved()?, ..options.clone() };
        self.check_apart(&options.target)?;
        let lock = self.open_target(&options.target, &options.stop).await?;
        tracing::Span::current().record("run", lock.run());
        tracing::info!("begins");
        let done = self.attempts(set, options, &lock, started).await;
        lock.release().await;
        done
    }

    /// Runs until it is committed, or fails for good.
    async fn attempts(
        &mut self,
        set: FeatureSet,
        options: &RunOptions,
        lock: &Lock,
        started: Instant,
    ) -> Result<Outcome> {
        let mut left_out: Vec<(String, String)> = Vec::new();
        let mut symbols = BTreeSet::new();
        let mut again = 0;
        loop {
            let stop = &options.stop;
            let planned = stop.or(self.plan_set(set.clone(), &options.params)).await?;
            let sources = self.sources().values().flat_map(|s| s.left_out().to_vec());
            let unread: Vec<_> = sources.collect();
            let all_left_out: Vec<_> = unread.iter().chain(&left_out).cloned().collect();
            let attempt = Attempt { engine: self, planned: &planned, options, without: &symbols };
            let error = match attempt.write(lock, started, all_left_out).await {
                Ok(record) => {
                    let Record { rows, seconds, retries, .. } = record;
                    tracing::info!(rows, seconds, retries, "committed");
                    return Ok(Outcome { record, target: options.target.clone() });
                }
                Err(error) => error,
            };
            if error.is_transient() && again < AGAIN {
                again += 1;
                // Not all at once: what failed may need a moment.
                let wait = Duration::from_secs(1 << again).mul_f64(fastrand::f64());
                let pause = async {
                    tokio::time::sleep(wait).await;
                    Ok(())
                };
                stop.or(pause).await?;
                tracing::warn!("{error}; running again");
                options.progress.reset();
                stop.or(self.open_sources_again()).await?;
                continue;
            }
            if !options.keep_going || !matches!(error.kind(), Kind::Data | Kind::Query) {
                return Err(error);
            }
            let file = error.bad_file().map(str::to_string);
            let found = match (&file, error.bad_symbol()) {
                (Some(_), _) => Vec::new(),
                (None, Some(symbol)) => vec![symbol.to_string()],
                (None, None) => stop.or(attempt.find_failing()).await?,
            };
            if let Some(file) = file {
                if !stop.or(self.leave_out_file(&file)).await? {
                    return Err(error);
                }
                left_out.push((file, error.to_string()));
            } else if found.is_empty() {
                return Err(error);
            }
            for symbol in found {
                left_out.push((symbol.clone(), error.to_string()));
                if !symbols.insert(symbol) {
                    return Err(error);
                }
            }
            options.progress.reset();
        }
    }

    /// Takes the target for one run.
    pub(super) async fn open_target(&self, target: &Target, stop: &Stop) -> Result<Lock> {
        stop.or(target::open(target, self.config().parallel_workers, &self.access)).await
    }

    /// Opens the sources again without a file; false if it was left out already.
    async fn leave_out_file(&mut self, file: &str) -> Result<bool> {
        if !self.skip_files.insert(file.to_string()) {
            return Ok(false);
        }
        self.open_sources_again().await?;
        Ok(true)
    }

    async fn open_sources_again(&mut self) -> Result<()> {
        for (name, source) in self.sources().clone() {
            self.open_source(&name, source.config().clone()).await?;
        }
        Ok(())
    }

    /// How many partitions of a plan are written at the same time: each holds rows back, so no
    /// more than there are threads, unless rows change partitions.
    pub(super) fn side_by_side(&self, plan: &Arc<dyn ExecutionPlan>) -> usize {
        match independent(plan) {
            true => self.config().parallel_workers,
            false => plan.output_partitioning().partition_count(),
        }
    }

    /// A target that holds files of a source would remove at its commit what the run reads.
    pub(super) fn check_apart(&self, target: &Target) -> Result<()> {
        if let Target::Postgres(table) = target {
            let location = |source: &Arc<dyn Source>| PgLocation::parse(&source.config().location);
            let same = |source: &Arc<dyn Source>| {
                location(source).is_ok_and(|source| source.is_same_table(&table.location))
            };
            return match self.sources().iter().find(|(_, source)| same(source)) {
                None => Ok(()),
                Some((name, _)) => Err(Error::target(format!("{target} is the source {name}"))
                    .hint("write to another table")),
            };
        }
        if let Target::Objects(url) = target {
            let below = url.below("part.parquet");
            let within = |source: &Arc<dyn Source>| {
                let Ok(Location::Objects(from)) = Location::parse(&source.config().location) else {
                    return false;
                };
                let names = source.paths().into_iter().filter_map(Path::to_str);
                let mut read = names.filter_map(|name| ObjectUrl::parse(name).ok().flatten());
                // What it reads lies in the target, or what the target gets it would read.
                let lists = from.bucket_url() == url.bucket_url()
                    && from.matcher().is_ok_and(|matches| matches(below.key()));
                lists || read.any(|file| file.meets(url))
            };
            return match self.sources().iter().find(|(_, source)| within(source)) {
                None => Ok(()),
                Some((name, _)) => Err(Error::target(format!(
                    "{target} lies in the source {name}, or the other way round"
                ))
                .hint("write to another prefix")),
            };
        }
        let Some(path) = target.path() else { return Ok(()) };
        let shown = path.display();
        let to = real(path);
        for (name, source) in self.sources() {
            let folders: BTreeSet<_> =
                source.paths().into_iter().filter_map(Path::parent).map(real).collect();
            let why = if folders.iter().any(|folder| folder.starts_with(&to)) {
                format!("{shown} holds the source {name}: a commit would remove what it reads")
            } else if source.lists(&to) {
                format!("{shown} lies in the source {name}, which would read it the next time")
            } else {
                continue;
            };
            return Err(Error::target(why).hint("write to another directory"));
        }
        Ok(())
    }
}

/// The path without links; what does not exist yet stands below what does.
fn real(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut known = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut below = Vec::new();
    while known.canonicalize().is_err()
        && let Some(name) = known.file_name().map(std::ffi::OsStr::to_os_string)
    {
        below.push(name);
        known.pop();
    }
    let mut real = known.canonicalize().unwrap_or(known);
    real.extend(below.iter().rev());
    real
}

/// One attempt at a run.
pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine,
    pub(super) planned: &'a Planned,
    pub(super) options: &'a RunOptions,
    pub(super) without: &'a BTreeSet<String>,
}

impl Attempt<'_> {
    async fn write(
        &self,
        lock: &Lock,
        started: Instant,
        left_out: Vec<(String, String)>,
    ) -> Result<Record> {
        let planned = self.planned;
        let header = &planned.set.header;
        let index = |name: &str| planned.outputs.iter().position(|o| o.name == name);
        let internal = || Error::internal("a key column went missing");
        let entity = index(&header.entity).ok_or_else(internal)?;
        let time = index(&header.time).ok_or_else(internal)?;
        let partition_by: Vec<usize> =
            header.partition_by.iter().filter_map(|c| index(c)).collect();
        let checks = self.checks(partition_by.is_empty())?;
        let logical = self.scoped()?;
        let stop = &self.options.stop;
        stop.or(self.check_unique(&logical, &checks.1)).await?;
        let mut order = partition_by.clone();
        order.extend([entity, time].iter().filter(|key| !partition_by.contains(key)));
        let plan = stop.or(self.physical(&logical, entity, order)).await?;
        let of_plan = Arc::clone(&plan);
        let text = planned.rendered.clone();
        let explain = move |error: &DataFusionError| locate(blame(error, &text.sql, &[]), &text);
        let job = Job {
            side_by_side: self.engine.side_by_side(&plan),
            plan,
            context: self.engine.context().task_ctx(),
            entity,
            time,
            partition_by,
            record: stop.or(self.record(left_out, &checks.1)).await?,
            about: planned.set.header.description.clone(),
            notes: self.notes(),
            scope: self.bounds()?,
            asked: self.options.scope.symbols.clone().unwrap_or_default(),
            about_null: planned.outputs.iter().map(about_null).collect(),
            checks: checks.0,
            append: false,
            exactly: None,
            notices: Arc::new(move || reports(&of_plan)),
            explain: Arc::new(explain),
            compression: self.engine.config().compression,
            float32: self.engine.config().float32 && self.is_parquet(),
            access: Arc::clone(&self.engine.access),
            started,
            progress: Arc::clone(&self.options.progress),
            stop: self.options.stop.clone(),
        };
        target::write(&self.options.target, lock, job).await
    }

    /// The plan restricted to the scope. The condition sits on top: rows kept have the values of
    /// the unrestricted run, and the optimizer moves it down only where that stays true.
    fn scoped(&self) -> Result<LogicalPlan> {
        let header = &self.planned.set.header;
        let plan = &self.planned.plan;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        let ty = time.map_or(DataType::Null, |o| o.data_type.clone());
        let mut condition = self.options.scope.condition(&header.entity, &header.time, &ty)?;
        if !self.without.is_empty() {
            let symbols = self.without.iter().map(|s| lit(s.as_str())).collect();
            let others = exact(&header.entity).in_list(symbols, true);
            condition = Some(condition.map_or(others.clone(), |c| c.and(others)));
        }
        self.filtered(plan, condition)
    }

    /// The scope in exact times.
    fn bounds(&self) -> Result<Bounds> {
        let header = &self.planned.set.header;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        self.options.scope.bounds(time.map_or(&DataType::Null, |o| &o.data_type))
    }

    fn filtered(&self, plan: &LogicalPlan, condition: Option<Expr>) -> Result<LogicalPlan> {
        let Some(condition) = condition else { return Ok(plan.clone()) };
        LogicalPlanBuilder::from(plan.clone())
            .filter(condition)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| self.explain(&error))
    }

    async fn physical(
        &self,
        plan: &LogicalPlan,
        entity: usize,
        order: Vec<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.engine.context().state();
        // A CSV file is one partition, in order.
        let entity = Some(entity).filter(|_| !matches!(self.options.target, Target::Csv(_)));
        let plan =
            shared::physical_plan(&state, plan).await.map_err(|error| self.explain(&error))?;
        // Rows that are sorted period by period go to files of one period each.
        if let (Some(_), Some((entity, time))) = (entity, by_periods(&plan))
            && order == [entity, time]
        {
            return Ok(plan);
        }
        ordered(plan, entity, &order, state.config_options()).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &DataFusionError) -> Error {
        let text = &self.planned.rendered;
        locate(blame(error, &text.sql, &[]), text)
    }

    /// The audits that are checked row by row while writing, and those that need a look at all
    /// rows first.
    fn checks(&self, neighbours: bool) -> Result<(Vec<Check>, Vec<WholeAudit>)> {
        let planned = self.planned;
        let header = &planned.set.header;
        let schema = planned.plan.schema();
        let (mut checks, mut whole) = (Vec::new(), Vec::new());
        let column = |name: &String, place: &crate::error::Place| {
            planned.outputs.iter().position(|o| o.name == *name).ok_or_else(|| {
                let names = planned.outputs.iter().map(|o| o.name.as_str());
                Error::query(format!("audits: there is no output {name}"))
                    .hint(crate::error::did_you_mean(name, "outputs", names))
                    .at(place.clone())
            })
        };
        for audit in &header.audits {
            let told = audit.text();
            match audit {
                Audit::Condition { text, place } => {
                    let state = self.engine.context().state();
                    let condition = state
                        .create_logical_expr(text, schema)
                        .and_then(|expr| state.create_physical_expr(expr, schema));
                    let condition = condition.map_err(|error| {
                        let error = blame(&error, text, &[]);
                        error.relocate(|_| place.clone()).at(place.clone())
                    })?;
                    let ty = condition.data_type(schema.as_arrow());
                    if !matches!(ty, Ok(DataType::Boolean)) {
                        return Err(Error::query(format!("the audit {text} is no condition"))
                            .hint("write a comparison, such as rsi_14 BETWEEN 0 AND 100")
                            .at(place.clone()));
                    }
                    let rule = Rule::Condition(condition);
                    checks.push(Check { text: text.clone(), place: place.clone(), rule });
                }
                Audit::NotNull { columns, place } => {
                    let rule =
                        columns.iter().map(|c| column(c, place)).collect::<Result<Vec<_>>>()?;
                    let rule = Rule::NotNull(rule);
                    checks.push(Check { text: told, place: place.clone(), rule });
                }
                Audit::Unique { columns, place } => {
                    for name in columns {
                        column(name, place)?;
                    }
                    let key: BTreeSet<&String> = [&header.entity, &header.time].into();
                    if neighbours && columns.iter().collect::<BTreeSet<_>>() == key {
                        let rule = Rule::UniqueKey;
                        checks.push(Check { text: told, place: place.clone(), rule });
                    } else {
                        whole.push(WholeAudit {
                            text: told,
                            columns: columns.clone(),
                            place: place.clone(),
                        });
                    }
                }
            }
        }
        Ok((checks, whole))
    }

    /// Uniqueness of columns that the rows are not sorted by: counted by a query of its own.
    async fn check_unique(&self, plan: &LogicalPlan, audits: &[WholeAudit]) -> Result<()> {
        for audit in audits {
            let keys: Vec<Expr> = audit.columns.iter().map(|c| exact(c)).collect();
            let count = datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("rows");
            let repeated = LogicalPlanBuilder::from(plan.clone())
                .aggregate(keys, [count])
                .and_then(|b| b.filter(exact("rows").gt(lit(1))))
                .and_then(|b| b.limit(0, Some(1)))
                .and_then(LogicalPlanBuilder::build);
            let found = async {
                let frame = self.engine.context().execute_logical_plan(repeated?).await?;
                frame.collect().await
            };
            let found = found.await.map_err(|error| self.explain(&error))?;
            if let Some(batch) = found.iter().find(|batch| batch.num_rows() > 0) {
                let options = datafusion::arrow::util::display::FormatOptions::default();
                let text = |i: usize| {
                    let column = batch.column(i);
                    datafusion::arrow::util::display::ArrayFormatter::try_new(column, &options)
                        .map(|f| f.value(0).to_string())
                        .unwrap_or_default()
                };
                let key: Vec<String> = (0..audit.columns.len()).map(text).collect();
                return Err(Error::data(format!(
                    "audit failed: {}, repeated for example at {}",
                    audit.text,
                    key.join(" ")
                ))
                .hint("correct the data or the audit; the target is as it was")
                .at(audit.place.clone()));
            }
        }
        Ok(())
    }

    /// Whether the target is of parquet files, which have a compression and floats of two sizes.
    fn is_parquet(&self) -> bool {
        matches!(self.options.target, Target::Parquet(_) | Target::Objects(_))
    }

    /// What is known of the run before its rows.
    pub(super) async fn record(
        &self,
        left_out: Vec<(String, String)>,
        whole: &[WholeAudit],
    ) -> Result<Record> {
        let planned = self.planned;
        let header = &planned.set.header;
        let scope = &self.options.scope;
        let definition = self.engine.definition(planned, self.is_parquet());
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
            inputs: self.engine.inputs(planned).await?,
            columns: definition.columns,
            compression: definition.compression,
            audits: whole.iter().map(|a| (a.text.clone(), "passed".to_string())).collect(),
            left_out,
            ..Record::default()
        })
    }

    /// What the header says of the outputs, for the metadata of the columns.
    fn notes(&self) -> Vec<(String, Vec<(String, String)>)> {
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
                pairs.push(("windrow.role".to_string(), "label".to_string()));
            }
            (output.name.clone(), pairs)
        };
        self.planned.outputs.iter().map(note).collect()
    }

    /// The symbols on which the plan fails, found by halving; empty if it fails on all of them,
    /// for then the symbols are not to blame.
    async fn find_failing(&self) -> Result<Vec<String>> {
        let entity = &self.planned.set.header.entity;
        let names = LogicalPlanBuilder::from(self.scoped()?)
            .project([exact(entity)])
            .and_then(LogicalPlanBuilder::distinct)
            .and_then(LogicalPlanBuilder::build);
        let listed = async {
            let frame = self.engine.context().execute_logical_plan(names?).await?;
            frame.collect().await
        };
        let Ok(listed) = listed.await else { return Ok(Vec::new()) };
        let mut symbols = BTreeSet::new();
        for batch in listed {
            let text = datafusion::arrow::compute::cast(batch.column(0), &DataType::Utf8);
            let text = text.map_err(|error| Error::internal(error.to_string()))?;
            symbols.extend(text.as_string::<i32>().iter().flatten().map(str::to_string));
        }
        let all: Vec<String> = symbols.into_iter().collect();
        let mut failing = Vec::new();
        let mut parts = vec![all.clone()];
        while let Some(part) = parts.pop() {
            if self.runs(&part).await? {
                continue;
            }
            match part.len() {
                0 => {}
                1 => failing.extend(part),
                n => {
                    parts.push(part[..n / 2].to_vec());
                    parts.push(part[n / 2..].to_vec());
                }
            }
        }
        Ok(if failing.len() == all.len() { Vec::new() } else { failing })
    }

    /// Whether the plan runs on these symbols.
    async fn runs(&self, symbols: &[String]) -> Result<bool> {
        let symbols = symbols.iter().map(|s| lit(s.as_str())).collect();
        let only = exact(&self.planned.set.header.entity).in_list(symbols, false);
        let plan = self.filtered(&self.scoped()?, Some(only))?;
        let drained = async {
            let frame = self.engine.context().execute_logical_plan(plan).await?;
            let mut stream = frame.execute_stream().await?;
            while stream.try_next().await?.is_some() {}
            Ok::<_, DataFusionError>(())
        };
        Ok(drained.await.is_ok())
    }
}

/// What to say of an output without any value: most often the bars do not reach its lookback.
fn about_null(output: &super::OutputColumn) -> String {
    let name = &output.name;
    match output.need.lookback {
        0 => format!("output {name} is NULL on every row: check the columns that it reads"),
        rows => format!(
            "output {name} is NULL on every row: it takes {rows} rows before its first value"
        ),
    }
}

/// An audit over all rows.
pub(super) struct WholeAudit {
    text: String,
    columns: Vec<String>,
    place: crate::error::Place,
}
