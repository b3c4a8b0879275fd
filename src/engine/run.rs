//! One run: a feature set, a scope, a target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tracing::Instrument;

use super::planned_run::PlannedRun;
use super::{Engine, Scope};
use crate::commit::{OpenTarget, SourcePlace, Target, TargetBackend, TargetContents};
use crate::error::{Error, Kind, Result};
use crate::exec::has_independent_partitions;
use crate::feature_set::FeatureSet;
use crate::limits::RUN_AGAIN;
use crate::outside;
use crate::stop::Stop;
use crate::store::Record;
use crate::write::{Attempt, Progress};

/// How to run a feature set.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to.
    pub target: Target,
    /// What to compute.
    pub scope: Scope,
    /// Parameters, as `--set` gives them.
    pub params: BTreeMap<String, String>,
    /// Take the place of another set that the target holds.
    pub replace: bool,
    /// Replace just the rows of the scope, and keep all others that the target holds.
    pub merge: bool,
    /// Leave out symbols and files that cannot be computed, instead of failing whole.
    pub keep_going: bool,
    /// Where rows are counted.
    pub progress: Arc<Progress>,
    /// When to stop.
    pub stop: Stop,
}

/// What a committed run did.
#[derive(Clone, Debug)]
pub struct RunOutcome {
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
    pub async fn run(&self, set: FeatureSet, options: &RunOptions) -> Result<RunOutcome> {
        let run = tracing::field::Empty;
        let span =
            tracing::warn_span!("run", run, set = set.name, target = options.target.to_string());
        let mut session = self.fork_session().await?;
        session.run_in_session(set, options).instrument(span).await
    }

    async fn run_in_session(
        &mut self,
        set: FeatureSet,
        options: &RunOptions,
    ) -> Result<RunOutcome> {
        let started = Instant::now();
        let options = &RunOptions { target: options.target.clone().resolved()?, ..options.clone() };
        if options.merge && options.keep_going {
            return Err(Error::usage(
                "--merge replaces all rows of its scope, and --keep-going would leave some of them out",
            )
            .hint("leave one of the two out"));
        }
        if options.merge && options.scope.is_all() {
            return Err(Error::usage("--merge replaces the rows of a scope, and none is given")
                .hint("give --symbols, --from or --until, or leave --merge out"));
        }
        let target = options.target.to_backend(&self.access);
        // What cannot be opened is told when the set is planned, with its place.
        let opened = async { Ok(self.open_set_sources(&set).await.is_ok()) };
        options.stop.run_until_stopped(opened).await?;
        self.check_apart_from_sources(target.as_ref())?;
        options.target.check_elsewhere()?;
        let mut open = self.open_target(target.as_ref(), &options.stop).await?;
        tracing::Span::current().record("run", open.run_id());
        tracing::info!("begins");
        let contents = options.target.contents();
        let places = (target.as_ref(), open.as_mut(), contents);
        let done = self.run_until_committed(set, options, places, started).await;
        open.release().await;
        done
    }

    /// Runs until it is committed, or fails for good.
    async fn run_until_committed(
        &mut self,
        set: FeatureSet,
        options: &RunOptions,
        (at, target, contents): (
            &dyn TargetBackend,
            &mut (dyn OpenTarget + 'static),
            TargetContents,
        ),
        started: Instant,
    ) -> Result<RunOutcome> {
        let mut left_out: Vec<(String, String)> = Vec::new();
        let mut symbols = BTreeSet::new();
        let (mut again, mut number) = (0, 0);
        loop {
            let stop = &options.stop;
            let planned =
                stop.run_until_stopped(self.plan_set(set.clone(), &options.params)).await?;
            self.check_apart_from_sources(at)?;
            let sources = self.sources();
            let unread: Vec<_> =
                sources.values().flat_map(|source| source.skipped_files().to_vec()).collect();
            let all_left_out: Vec<_> = unread.iter().chain(&left_out).cloned().collect();
            let planned = PlannedRun {
                engine: self,
                planned: &planned,
                options,
                contents,
                without: &symbols,
            };
            let attempt = Attempt { run: target.run_id().to_string(), unit: 0, number };
            let held = target.held_record().cloned();
            number += 1;
            let done = async {
                let run =
                    planned.prepare_materialization(attempt, started, (held, all_left_out)).await?;
                run.commit_into(target).await
            };
            let error = match done.await {
                Ok(record) => {
                    let Record { rows, seconds, retries, .. } = record;
                    tracing::info!(rows, seconds, retries, "committed");
                    return Ok(RunOutcome { record, target: options.target.clone() });
                }
                Err(error) => error,
            };
            if error.is_transient() && again < RUN_AGAIN {
                again += 1;
                // Not all at once: what failed may need a moment.
                let wait = outside::random_jitter(Duration::from_secs(1 << again));
                let pause = async {
                    tokio::time::sleep(wait).await;
                    Ok(())
                };
                stop.run_until_stopped(pause).await?;
                tracing::warn!("{error}; running again");
                options.progress.reset();
                stop.run_until_stopped(self.reopen_sources()).await?;
                continue;
            }
            if !options.keep_going || !matches!(error.kind(), Kind::Data | Kind::Query) {
                return Err(error);
            }
            let file = error.bad_file().map(str::to_string);
            let found = match (&file, error.bad_symbol()) {
                (Some(_), _) => Vec::new(),
                (None, Some(symbol)) => vec![symbol.to_string()],
                (None, None) => stop.run_until_stopped(planned.find_failing_symbols()).await?,
            };
            if let Some(file) = file {
                if !stop.run_until_stopped(self.leave_out_file(&file)).await? {
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
    pub(super) async fn open_target(
        &self,
        target: &dyn TargetBackend,
        stop: &Stop,
    ) -> Result<Box<dyn OpenTarget>> {
        stop.run_until_stopped(target.acquire_target(self.config().parallel_workers)).await
    }

    /// Opens the sources again without a file; false if it was left out already.
    async fn leave_out_file(&mut self, file: &str) -> Result<bool> {
        if !self.skip_files.insert(file.to_string()) {
            return Ok(false);
        }
        self.reopen_sources().await?;
        Ok(true)
    }

    /// How many partitions of a plan are written at the same time: each holds rows back, so no
    /// more than there are threads, unless rows change partitions.
    pub(super) fn concurrent_writers(&self, plan: &Arc<dyn ExecutionPlan>) -> usize {
        match has_independent_partitions(plan) {
            true => self.config().parallel_workers,
            false => plan.output_partitioning().partition_count(),
        }
    }

    /// A target that holds files of a source would remove at its commit what the run reads.
    pub(super) fn check_apart_from_sources(&self, target: &dyn TargetBackend) -> Result<()> {
        for (name, source) in self.sources() {
            let lists = |path: &Path| source.covers_folder(path);
            let location = &source.config().location;
            let place =
                SourcePlace { name: &name, location, files: source.file_paths(), lists: &lists };
            target.check_source_apart(&place)?;
        }
        Ok(())
    }
}
