//! Exports many feature sets into their targets, several at a time. A set runs after the sets that it reads; a
//! failing set stops only its readers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::planned_run::PlannedRun;
use super::{Engine, RunOptions, RunOutcome};
use crate::commit::Target;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::feature_set::FeatureSet;
use crate::sql::parse;
use crate::stop::Stop;
use crate::store::{RECORD_FORMAT, Record};
use crate::write::Progress;

/// One feature set and its target.
#[derive(Clone, Debug)]
pub struct Export {
    /// The set.
    pub set: FeatureSet,
    /// The target to write.
    pub target: Target,
}

/// The outcome of one export.
#[derive(Clone, Debug)]
pub enum ExportOutcome {
    /// It was computed and committed.
    Committed(Box<RunOutcome>),
    /// The target already holds exactly what a run would write: the same plan over the same files.
    Current,
    /// It failed; its target is as it was.
    Failed(Error),
    /// It reads a set that failed.
    LeftOut(String),
}

/// The options of an export.
pub struct ExportOptions {
    /// The settings; threads and memory are divided among the sets.
    pub config: Config,
    /// Sources by name, in addition to those of the configuration.
    pub sources: Vec<(String, String)>,
    /// True to skip sets whose targets are current.
    pub resume: bool,
    /// The counter of rows.
    pub progress: Arc<Progress>,
    /// The signal to stop.
    pub stop: Stop,
}

/// Exports sets; calls `done` for each as it ends.
///
/// # Errors
/// Only if all sets are concerned: a source cannot be opened, or the export is stopped.
pub async fn export_feature_sets(
    sets: &[Export],
    options: &ExportOptions,
    mut done: impl FnMut(&Export, &ExportOutcome),
) -> Result<Vec<ExportOutcome>> {
    let stop = &options.stop;
    let engine = &stop.run_until_stopped(options.open_engine()).await?;
    for export in sets {
        // Each source is opened once for all sets. The sets that read a source report that it cannot be opened.
        let opened = async { Ok(engine.open_set_sources(&export.set).await.ok()) };
        stop.run_until_stopped(opened).await?;
    }
    let rows = engine.sources().get("bars").and_then(|bars| bars.row_count());
    options.progress.set_total(rows.map(|rows| rows * sets.len() as u64));
    let mut results: Vec<Option<ExportOutcome>> = vec![None; sets.len()];
    let reads = sets.iter().map(|export| engine.find_dependencies(&export.set, sets));
    let reads: Vec<BTreeSet<usize>> = reads.collect();
    let side_by_side = options.config.parallel_workers.min(sets.len()).max(1);
    let mut running = FuturesUnordered::new();
    let mut started = vec![false; sets.len()];
    loop {
        while running.len() < side_by_side {
            let Some(next) = claim_ready_set(&reads, &mut started, &results) else { break };
            let failed = reads[next].iter().find(|read| blocks_readers(results[**read].as_ref()));
            let failed = failed.map(|read| sets[*read].set.name.clone());
            running.push(async move {
                let exported = match failed {
                    Some(name) => ExportOutcome::LeftOut(name),
                    None => options.run_export(engine, &sets[next], side_by_side).await,
                };
                (next, exported)
            });
        }
        let Some((number, exported)) = running.next().await else { break };
        if let ExportOutcome::Failed(error) = &exported
            && matches!(error.kind(), Kind::Interrupted | Kind::Timeout)
        {
            return Err(error.clone());
        }
        done(&sets[number], &exported);
        results[number] = Some(exported);
    }
    // Sets that read each other in a cycle have not started; running them yields that error.
    for (number, result) in results.iter_mut().enumerate().filter(|(_, r)| r.is_none()) {
        let exported = options.run_export(engine, &sets[number], 1).await;
        done(&sets[number], &exported);
        *result = Some(exported);
    }
    Ok(results.into_iter().flatten().collect())
}

/// Claims the first set that has not started and whose dependencies have all ended.
fn claim_ready_set(
    reads: &[BTreeSet<usize>],
    started: &mut [bool],
    results: &[Option<ExportOutcome>],
) -> Option<usize> {
    let ready = |number: &usize| {
        !started[*number] && reads[*number].iter().all(|read| results[*read].is_some())
    };
    let found = (0..reads.len()).find(ready)?;
    started[found] = true;
    Some(found)
}

/// Returns whether this outcome of a set blocks the sets that read it.
fn blocks_readers(exported: Option<&ExportOutcome>) -> bool {
    matches!(exported, Some(ExportOutcome::Failed(_) | ExportOutcome::LeftOut(_)))
}

impl ExportOptions {
    /// Opens the engine that all sets share, so that each source is opened once.
    async fn open_engine(&self) -> Result<Engine> {
        let mut engine = Engine::new(self.config.clone())?;
        for (name, location) in &self.sources {
            engine.add_source(name, location).await?;
        }
        engine.add_configured_sources();
        Ok(engine)
    }

    async fn run_export(
        &self,
        engine: &Engine,
        export: &Export,
        side_by_side: usize,
    ) -> ExportOutcome {
        let options = RunOptions {
            progress: Arc::clone(&self.progress),
            ..RunOptions::new(export.target.clone(), self.stop.clone())
        };
        let work = async {
            let session =
                self.stop.run_until_stopped(engine.fork_concurrent_session(side_by_side)).await?;
            if self.resume
                && self.stop.run_until_stopped(session.is_current(export, &options)).await?
            {
                return Ok(ExportOutcome::Current);
            }
            let outcome = session.run(export.set.clone(), &options).await?;
            Ok(ExportOutcome::Committed(Box::new(outcome)))
        };
        work.await.unwrap_or_else(ExportOutcome::Failed)
    }
}

impl Engine {
    /// Returns the indexes of the sets in `all` that a set reads by name. A set that cannot be rendered or found is
    /// skipped here, and fails when it runs.
    fn find_dependencies(&self, set: &FeatureSet, all: &[Export]) -> BTreeSet<usize> {
        // With every optional column and with none, because the sources are not known here.
        let mut names = BTreeSet::new();
        for has in [true, false] {
            let rendered = set.render(&BTreeMap::new(), &move |_| has);
            if let Ok(sql) = rendered.and_then(|rendered| parse(&rendered.sql)) {
                names.extend(sql.referenced_tables().into_iter().map(|(name, _)| name));
            }
        }
        let reader = set.lookup_origin();
        let real = |set: &FeatureSet| Path::new(&set.path).canonicalize().ok();
        let mut found = BTreeSet::new();
        for name in names {
            if self.lazy_sources.contains_key(&name) || self.sources().contains_key(&name) {
                continue;
            }
            let Ok(Some(read)) = self.look_for_set(&name, reader) else { continue };
            let same = |export: &Export| {
                export.set.name == read.name
                    && export.set.shipped == read.shipped
                    && (read.shipped || real(&export.set) == real(&read))
            };
            found.extend(all.iter().position(same).filter(|at| all[*at].set.name != set.name));
        }
        found
    }

    /// Returns whether a target holds exactly what a run would write: its last record has the same identity, and
    /// the files or rows of that run exist.
    async fn is_current(&self, export: &Export, options: &RunOptions) -> Result<bool> {
        let target = export.target.clone().resolved()?;
        let at = target.to_backend(&self.access);
        let Some(held) = at.latest().await? else {
            return Ok(false);
        };
        if held.format < RECORD_FORMAT {
            tracing::warn!(
                "{target} was written by a windrow that noted no state of its inputs: nobody can tell whether they changed, so {} is computed again",
                export.set.name
            );
            return Ok(false);
        }
        let planned = self.plan_set(export.set.clone(), &options.params).await?;
        let without = BTreeSet::new();
        let contents = target.contents();
        let run =
            PlannedRun { engine: self, planned: &planned, options, contents, without: &without };
        let would = run.draft_record(Vec::new(), &[]).await?;
        if !is_same_output(&held, &would) {
            return Ok(false);
        }
        let is_there = at.is_there(&held).await?;
        if is_there && !at.list_leftovers().await?.is_empty() {
            // No run removes them as long as nothing changes.
            match at.vacuum().await {
                Ok(removed) => tracing::info!("removed {} of runs that died", removed.join(", ")),
                Err(error) => tracing::info!("{target} has leftovers of runs that died: {error}"),
            }
        }
        Ok(is_there)
    }
}

/// Returns whether a run would write what the record describes.
fn is_same_output(held: &Record, would: &Record) -> bool {
    let states = |record: &Record| -> Vec<(String, Option<String>)> {
        record.inputs.iter().map(|(name, input)| (name.clone(), input.state.clone())).collect()
    };
    held.left_out.is_empty()
        && held.fingerprint == would.fingerprint
        && held.is_unscoped()
        && would.inputs.values().all(|input| input.state.is_some())
        && states(held) == states(would)
}
