//! One batch: its jobs as one plan, into a target or into the cache.
//!
//! 1. The set is planned over the present rows of its sources.
//! 2. Jobs that are done already are left out: those whose rows the cache has, and, if an earlier worker may have
//!    committed some, those that a record of the target names.
//! 3. The rest is computed as one plan. Into the cache, the sources must have the same state afterwards as before, or
//!    the rows are computed again. Into a target, a run replaces the rows of these symbols and no others; right before
//!    its commit the worker asks the queue whether it still has the lease.
//! 4. Every job has an outcome, which the caller writes into the queue.
//!
//! A crash before the commit or the write into the cache leaves nothing; the lease ends, and the jobs are claimed
//! again. A crash after it leaves the rows; step 2 of the next worker then finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema};
use futures::FutureExt;
use metrics::counter;

use super::endpoints::Endpoints;
use super::metric_names::name;
use super::set_views::{LoadedSets, SetView, SetViews, changing_inputs_error};
use crate::cache::{CacheKey, CachedRows, ResultCache};
use crate::commit::{Target, TargetContents};
use crate::engine::{CommitPermit, Engine, RunOptions, Scope};
use crate::error::{Error, Kind, Result};
use crate::limits::{INPUTS_CHANGED, TARGET_HELD, TARGET_HELD_LOOK};
use crate::queue::{Batch, JobName, JobOutcome, JobRow};
use crate::stop::Stop;
use crate::traces::trace_step;
use crate::write::Progress;

/// The outcomes of the jobs of a batch.
pub(super) type Outcomes = BTreeMap<JobName, JobOutcome>;

/// Everything that the computation of batches needs.
pub(super) struct Computer {
    pub(super) views: Arc<SetViews>,
    pub(super) cache: Arc<ResultCache>,
    pub(super) endpoints: Arc<Endpoints>,
}

/// A batch that is being computed.
pub(super) struct RunningBatch<'a> {
    pub(super) batch: &'a Batch,
    pub(super) progress: Arc<Progress>,
    pub(super) permit: CommitPermit,
    pub(super) stop: Stop,
}

impl RunningBatch<'_> {
    /// Sets the number of rows that its progress is measured by.
    fn expect_rows(&self, jobs: &[&JobRow], view: &SetView) {
        let cost: u64 = jobs.iter().map(|job| job.cost).sum();
        self.progress.set_total(Some(cost / view.planned.outputs.len().max(1) as u64));
    }

    /// Returns the scope of some of its jobs.
    fn scope<'b>(&self, jobs: impl IntoIterator<Item = &'b JobRow>) -> Scope {
        let request = &self.batch.request;
        Scope {
            symbols: Some(jobs.into_iter().map(|job| job.symbol.clone()).collect()),
            from: request.from.clone(),
            until: request.until.clone(),
        }
    }
}

impl Computer {
    /// Computes a batch, and returns what became of each of its jobs.
    pub(super) async fn compute(&self, running: &RunningBatch<'_>) -> Outcomes {
        let done = match &running.batch.request.target {
            Some(target) => self.compute_into_target(running, target).boxed().await,
            None => self.compute_into_cache(running).boxed().await,
        };
        let outcome = match done {
            Ok(()) => JobOutcome::Done,
            Err(error) if error.kind() == Kind::Interrupted => JobOutcome::Returned,
            Err(error) => JobOutcome::Failed(error),
        };
        let jobs = running.batch.jobs.iter();
        jobs.map(|job| (job.name.clone(), outcome.clone())).collect()
    }

    async fn compute_into_cache(&self, running: &RunningBatch<'_>) -> Result<()> {
        let sets = self.views.loaded();
        for _ in 0..INPUTS_CHANGED {
            let view = running.stop.run_until_stopped(view_of(&sets, running.batch)).await?;
            let missing = self.missing_jobs(running.batch, &view).await?;
            if missing.is_empty() {
                return Ok(());
            }
            let scope = running.scope(missing.iter().copied());
            running.expect_rows(&missing, &view);
            let _turn = self.endpoints.acquire_sources(&view.source_names(), &running.stop).await?;
            let computed = view
                .session
                .compute_rows(&view.planned, &scope, &running.progress, &running.stop)
                .boxed()
                .await;
            if let Err(error) = &computed
                && error.kind() == Kind::Interrupted
            {
                return Err(error.clone());
            }
            // Inputs that change while they are read may look damaged: an error is then none of theirs.
            let current = sets.is_current(&view).await;
            if matches!(current, Ok(false)) {
                running.progress.reset();
                continue;
            }
            let computed = computed?;
            current?;
            for notice in &computed.notices {
                tracing::info!("{notice}");
            }
            let mut rows: BTreeMap<String, RecordBatch> =
                computed.symbols.into_iter().map(|rows| (rows.symbol, rows.batch)).collect();
            let empty = RecordBatch::new_empty(Arc::new(output_schema(&view)));
            let entries = missing.iter().map(|job| {
                let batch = rows.remove(&job.symbol).unwrap_or_else(|| empty.clone());
                let identity = view.identity.clone();
                let symbol = job.symbol.clone();
                (cache_key(&view, running.batch, job), CachedRows { identity, symbol, batch })
            });
            let write = self.cache.put(entries.collect());
            return trace_step("cache write", write).await;
        }
        Err(changing_inputs_error(&running.batch.set))
    }

    /// Returns the jobs whose rows the cache does not have; the first of several jobs of one symbol stands for all.
    async fn missing_jobs<'b>(&self, batch: &'b Batch, view: &SetView) -> Result<Vec<&'b JobRow>> {
        let mut missing = Vec::new();
        let mut seen = BTreeSet::new();
        for job in &batch.jobs {
            if seen.insert(&job.symbol)
                && self.cache.get(&cache_key(view, batch, job)).await?.is_none()
            {
                missing.push(job);
            }
        }
        Ok(missing)
    }

    async fn compute_into_target(&self, running: &RunningBatch<'_>, place: &str) -> Result<()> {
        let batch = running.batch;
        let sets = self.views.loaded();
        let target = open_target(sets.engine(), place, &batch.set)?;
        let _turn = self.endpoints.acquire_target(place, &running.stop).await?;
        let committed = match batch.retried {
            true => committed_jobs(sets.engine(), &target).await?,
            false => BTreeSet::new(),
        };
        let rest = batch.jobs.iter().filter(|job| !committed.contains(&job.name.to_string()));
        let rest: Vec<&JobRow> = rest.collect();
        if rest.is_empty() {
            return Ok(());
        }
        let view = running.stop.run_until_stopped(view_of(&sets, batch)).await?;
        let sources = view.source_names();
        let _sources = self.endpoints.acquire_sources(&sources, &running.stop).await?;
        running.expect_rows(&rest, &view);
        let options = RunOptions {
            scope: running.scope(rest.iter().copied()),
            params: batch.request.params.clone(),
            merge: true,
            progress: Arc::clone(&running.progress),
            jobs: rest.iter().map(|job| job.name.to_string()).collect(),
            permit: running.permit.clone(),
            ..RunOptions::new(target, running.stop.clone())
        };
        let waits_until = Instant::now() + TARGET_HELD;
        loop {
            let run = view.session.run(view.planned.set.clone(), &options).boxed();
            match self.endpoints.call_target(place, run).await {
                Err(error) if error.is_target_held() && Instant::now() < waits_until => {}
                Err(error) if error.is_target_held() => return Err(error.as_transient()),
                done => {
                    let outcome = done?;
                    counter!(name::RETRIES).increment(outcome.record.retries);
                    return Ok(());
                }
            }
            let pause = async {
                tokio::time::sleep(TARGET_HELD_LOOK).await;
                Ok(())
            };
            running.stop.run_until_stopped(pause).await?;
        }
    }
}

/// Returns the set of a batch over the present rows of its sources.
async fn view_of(sets: &LoadedSets, batch: &Batch) -> Result<Arc<SetView>> {
    sets.view(&batch.set, &batch.request.params).await
}

/// Returns the jobs that the records of a target name.
async fn committed_jobs(engine: &Engine, target: &Target) -> Result<BTreeSet<String>> {
    let history = engine.commit(target).history().await?;
    Ok(history.runs.into_iter().flat_map(|run| run.jobs).collect())
}

/// Returns the target of this name for a set.
///
/// # Errors
/// If there is no such target, or if it takes no rows of single symbols.
pub fn open_target(engine: &Engine, name: &str, set: &str) -> Result<Target> {
    let config = engine.config();
    if !config.targets.contains_key(name) {
        let known = config.targets.keys().map(String::as_str);
        let hint = crate::error::did_you_mean(name, "targets", known);
        return Err(Error::usage(format!("there is no target {name}")).hint(hint));
    }
    let target = Target::parse(&config.resolve_set_target(name, Some(set))?)?;
    if target.contents() == TargetContents::CsvFile {
        let error =
            format!("the target {name} is a CSV file, whose rows can only be replaced as a whole");
        return Err(Error::usage(error).hint("name a directory, a bucket or a table"));
    }
    Ok(target)
}

/// Returns the key of the rows of a job.
fn cache_key(view: &SetView, batch: &Batch, job: &JobRow) -> CacheKey {
    let request = &batch.request;
    CacheKey::new(&view.identity, &job.symbol, request.from.as_deref(), request.until.as_deref())
}

/// Returns the columns of a set, for a symbol without rows.
fn output_schema(view: &SetView) -> Schema {
    let outputs = view.planned.outputs.iter();
    let fields: Vec<Field> =
        outputs.map(|output| Field::new(&output.name, output.data_type.clone(), true)).collect();
    Schema::new(fields)
}
