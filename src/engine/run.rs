//! One run: a feature set, a scope and a target.
//!
//! 1. The run forks a session from the engine, follows the links of the target path, and checks the options.
//! 2. It opens the sources of the set. It refuses a target that holds a source or the working directory, and one
//!    that lies in a source. A crash up to here leaves the target untouched.
//! 3. It acquires the target: the file lock of a directory or a CSV file, the lease of a prefix, the advisory lock
//!    of a table. Acquiring removes leftovers of failed runs. A crash after it leaves the data as it was. The
//!    system releases a file lock with the process, the server an advisory lock with the connection; a lease counts
//!    as dead after [`LEASE_DEAD`](crate::limits::LEASE_DEAD).
//! 4. An attempt plans the set, prepares a materialization (`prepare_run.rs`), and writes and commits it
//!    (`materialize.rs`). A crash before the commit leaves the old state and staged rows, a crash after it leaves
//!    the new state.
//! 5. A failed attempt has removed what it staged. After a transient failure the run waits, opens its sources again
//!    and starts the next attempt, up to [`RUN_AGAIN`] times. With `keep_going` the next attempt goes without the
//!    file or the symbols at fault. A crash between attempts leaves what a crash after step 3 leaves.
//! 6. The run releases the target. A crash before that leaves the new state, and the lock or lease as in step 3.
//!
//! The next run into the target removes all that a crash left; `src/commit` has the protocol of each kind of
//! target.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tracing::Instrument;

use super::Engine;
use super::planned_run::PlannedRun;
use super::run_options::{RunOptions, RunOutcome};
use crate::commit::{OpenTarget, SourcePlace, TargetBackend, TargetContents};
use crate::error::{Error, Kind, Result};
use crate::exec::has_independent_partitions;
use crate::feature_set::FeatureSet;
use crate::limits::RUN_AGAIN;
use crate::outside;
use crate::stop::Stop;
use crate::store::Record;
use crate::traces::trace_step;
use crate::write::Attempt;

/// The target of a run while the run holds its lock.
struct LockedTarget<'a> {
    backend: &'a dyn TargetBackend,
    open: &'a mut (dyn OpenTarget + 'static),
    contents: TargetContents,
}

/// The attempts of a run so far.
#[derive(Default)]
struct Attempts {
    count: u32,
    /// The number of attempts that followed a transient failure.
    retries: usize,
    /// The files and symbols that `--keep-going` left out, each with the reason.
    left_out: Vec<(String, String)>,
    /// The symbols in `left_out`.
    symbols: BTreeSet<String>,
}

impl Attempts {
    /// Leaves symbols out of the next attempt. Returns the error if there are none, or if one was left out before.
    fn leave_out(&mut self, symbols: Vec<String>, error: Error) -> Result<()> {
        if symbols.is_empty() {
            return Err(error);
        }
        for symbol in symbols {
            self.left_out.push((symbol.clone(), error.to_string()));
            if !self.symbols.insert(symbol) {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// An attempt that did not commit.
struct FailedAttempt {
    error: Error,
    cause: FailureCause,
}

/// The cause of a failed attempt, as far as the next attempt can avoid it.
enum FailureCause {
    /// A transient failure of the network or of a server.
    Moment,
    /// One file, which `--keep-going` leaves out.
    File(String),
    /// Some symbols, which `--keep-going` leaves out.
    Symbols(Vec<String>),
    Unknown,
}

impl Engine {
    /// Runs a feature set into a target, atomically. Runs of one engine may work concurrently: each has its own
    /// session, and all share one memory pool.
    ///
    /// # Errors
    /// If the set, the data, an audit or the target is at fault; the target is then as it was. With `keep_going`,
    /// symbols and files at fault are left out, and the outcome names them.
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
        self.check_all_rules(&options.target)?;
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
        // Planning the set reports a source that cannot be opened, with its position in the file.
        let opened = async { Ok(self.open_set_sources(&set).await.is_ok()) };
        options.stop.run_until_stopped(opened).await?;
        self.check_apart_from_sources(target.as_ref())?;
        options.target.check_elsewhere()?;
        let mut open = self.open_target(target.as_ref(), &options.stop).await?;
        tracing::Span::current().record("run", open.run_id());
        tracing::info!("begins");
        let contents = options.target.contents();
        let locked = LockedTarget { backend: target.as_ref(), open: open.as_mut(), contents };
        let done = self.run_until_committed(set, options, locked, started).await;
        open.release().await;
        done
    }

    /// Makes attempts until one commits, or fails for good.
    async fn run_until_committed(
        &mut self,
        set: FeatureSet,
        options: &RunOptions,
        mut target: LockedTarget<'_>,
        started: Instant,
    ) -> Result<RunOutcome> {
        let mut attempts = Attempts::default();
        loop {
            let failed = match self.attempt(&set, options, &mut target, &attempts, started).await? {
                Ok(record) => {
                    let Record { rows, seconds, retries, .. } = record;
                    tracing::info!(rows, seconds, retries, "committed");
                    return Ok(RunOutcome { record, target: options.target.clone() });
                }
                Err(failed) => failed,
            };
            attempts.count += 1;
            match failed.cause {
                FailureCause::Moment if attempts.retries < RUN_AGAIN => {
                    attempts.retries += 1;
                    self.wait_before_retry(&failed.error, attempts.retries, options).await?;
                }
                FailureCause::File(file) => {
                    if !options.stop.run_until_stopped(self.leave_out_file(&file)).await? {
                        return Err(failed.error);
                    }
                    attempts.left_out.push((file, failed.error.to_string()));
                }
                FailureCause::Symbols(symbols) => attempts.leave_out(symbols, failed.error)?,
                FailureCause::Moment | FailureCause::Unknown => return Err(failed.error),
            }
            options.progress.reset();
        }
    }

    /// Plans the set and writes it once. The outer error ends the run, the inner one only the attempt.
    async fn attempt(
        &self,
        set: &FeatureSet,
        options: &RunOptions,
        target: &mut LockedTarget<'_>,
        before: &Attempts,
        started: Instant,
    ) -> Result<std::result::Result<Record, FailedAttempt>> {
        let stop = &options.stop;
        let planned = stop.run_until_stopped(self.plan_set(set.clone(), &options.params));
        let planned = trace_step("plan", planned).await?;
        self.check_apart_from_sources(target.backend)?;
        let sources = self.sources();
        let unread = sources.values().flat_map(|source| source.skipped_files());
        let left_out = unread.chain(&before.left_out).cloned().collect();
        let planned = PlannedRun {
            engine: self,
            planned: &planned,
            options,
            contents: target.contents,
            without: &before.symbols,
        };
        let attempt =
            Attempt { run: target.open.run_id().to_string(), unit: 0, number: before.count };
        let held = target.open.held_record().cloned();
        let done = async {
            let run = planned.prepare_materialization(attempt, started, (held, left_out));
            let run = trace_step("prepare", run).await?;
            run.commit_into(target.open).await
        };
        let error = match done.await {
            Ok(record) => return Ok(Ok(record)),
            Err(error) => error,
        };
        // A server that stays away is no reason to leave out symbols.
        let cause = if error.is_transient() {
            FailureCause::Moment
        } else if !options.keep_going || !matches!(error.kind(), Kind::Data | Kind::Query) {
            FailureCause::Unknown
        } else if let Some(file) = error.bad_file() {
            FailureCause::File(file.to_string())
        } else if let Some(symbol) = error.bad_symbol() {
            FailureCause::Symbols(vec![symbol.to_string()])
        } else {
            let found = stop.run_until_stopped(planned.find_failing_symbols()).await?;
            FailureCause::Symbols(found)
        };
        Ok(Err(FailedAttempt { error, cause }))
    }

    /// Waits, with a bound that doubles each time, and opens the sources again.
    async fn wait_before_retry(
        &mut self,
        error: &Error,
        retry: usize,
        options: &RunOptions,
    ) -> Result<()> {
        // The wait is random, so that runs that failed together do not retry together.
        let wait = outside::random_jitter(Duration::from_secs(1 << retry));
        let pause = async {
            tokio::time::sleep(wait).await;
            Ok(())
        };
        options.stop.run_until_stopped(pause).await?;
        tracing::warn!("{error}; running again");
        options.stop.run_until_stopped(self.reopen_sources()).await
    }

    /// Acquires the target for one run.
    pub(super) async fn open_target(
        &self,
        target: &dyn TargetBackend,
        stop: &Stop,
    ) -> Result<Box<dyn OpenTarget>> {
        stop.run_until_stopped(target.acquire_target(self.config().parallel_workers)).await
    }

    /// Opens the sources again without a file; returns false if the file was left out already.
    async fn leave_out_file(&mut self, file: &str) -> Result<bool> {
        if !self.skip_files.insert(file.to_string()) {
            return Ok(false);
        }
        self.reopen_sources().await?;
        Ok(true)
    }

    /// Returns how many partitions of a plan are written at once. Each buffers rows, so there are no more than
    /// threads, unless the plan exchanges rows between partitions.
    pub(super) fn concurrent_writers(&self, plan: &Arc<dyn ExecutionPlan>) -> usize {
        match has_independent_partitions(plan) {
            true => self.config().parallel_workers,
            false => plan.output_partitioning().partition_count(),
        }
    }

    /// Refuses a target that holds files of a source, because its commit would remove what the run reads, and a
    /// target that lies in a source, which would read it the next time.
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
