//! Streams of batches -> somewhere, whole or not at all. This room knows stores and records; it
//! knows neither feature sets nor where the batches come from.

mod after;
mod audit;
mod csv;
mod fault;
mod file;
mod floats;
mod groups;
mod objects;
mod parquet;
mod part;
mod postgres;
mod press;
mod progress;
mod runs;
mod staging;
mod watermark;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use tokio::sync::watch;

use crate::config::Compression;
use crate::error::{Error, Kind, Result};
use crate::store::{FileKind, Location, ObjectUrl, PgLocation, Record, SymbolRange, records};

pub use audit::{Check, Rule};
pub use file::{Kept, ParquetFile};
pub use parquet::notes;
pub use postgres::PgTarget;
pub use progress::Progress;
pub use runs::{Run, holds, latest, runs, vacuum};
pub use staging::Lock;

pub use crate::store::{Access, Instant, Instants, password};

/// Where a run writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory of parquet files.
    Parquet(PathBuf),
    /// One CSV file.
    Csv(PathBuf),
    /// A table of a PostgreSQL server.
    Postgres(Box<PgTarget>),
    /// Parquet files below a prefix of an object store.
    Objects(ObjectUrl),
}

impl fmt::Display for Target {
    /// Where it is, without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parquet(path) | Self::Csv(path) => path.display().fmt(f),
            Self::Postgres(table) => table.location.fmt(f),
            Self::Objects(url) => url.fmt(f),
        }
    }
}

impl Target {
    /// Reads a target as typed: `postgres://...?table=t` is a table, `s3://bucket/prefix/` parquet in
    /// an object store, `out.csv` a CSV file, everything else a parquet directory.
    ///
    /// # Errors
    /// A scheme that is not supported, or the name of a single parquet file.
    pub fn parse(text: &str) -> Result<Self> {
        if PgLocation::is(text.trim()) {
            return Ok(Self::Postgres(Box::new(PgTarget::parse(text.trim())?)));
        }
        let path = match Location::parse(text)? {
            Location::Local(path) => path,
            Location::Objects(url) if url.key().is_empty() => {
                return Err(Error::usage(format!("{url} is a whole bucket"))
                    .hint(format!("name a prefix, such as {url}features/")));
            }
            Location::Objects(url) if url.is_glob() => {
                return Err(Error::usage(format!("{url} is a glob"))
                    .hint("name a prefix without *, ? and ["));
            }
            Location::Objects(url) if FileKind::of(Path::new(url.key())).is_some() => {
                return Err(Error::usage(format!("{url} is one file"))
                    .hint("name a prefix: parquet targets hold one file per worker"));
            }
            Location::Objects(url) => {
                url.path()?;
                return Ok(Self::Objects(url));
            }
            web @ Location::Web(_) => {
                return Err(Error::usage(format!(
                    "{web} is on a web server, which takes no files"
                ))
                .hint("name a directory, or a prefix with s3://, gs:// or az://"));
            }
        };
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        match extension.as_deref() {
            Some("csv") => Ok(Self::Csv(path)),
            Some("parquet") => Err(Error::usage(format!("{text} is one file")).hint(
                "name a directory: parquet targets hold one file per worker, or a .csv file",
            )),
            _ => Ok(Self::Parquet(path)),
        }
    }

    /// The target with its links followed: what is exchanged is the directory, not its name.
    ///
    /// # Errors
    /// A link that leads nowhere, or a place within a target that a run committed.
    pub fn resolved(self) -> Result<Self> {
        let Some(path) = self.path() else { return Ok(self) };
        let mut real = std::path::absolute(path).map_err(|error| unwritable(path, &error))?;
        // The part that exists is followed; what is to be made stands below it.
        let mut below = Vec::new();
        while !real.exists() {
            if real.is_symlink() {
                return Err(Error::target(format!("{} is a link to nothing", real.display()))
                    .hint("remove the link, or make what it leads to"));
            }
            let Some(name) = real.file_name().map(std::ffi::OsStr::to_os_string) else { break };
            below.push(name);
            real.pop();
        }
        let mut real = real.canonicalize().map_err(|error| unwritable(path, &error))?;
        real.extend(below.iter().rev());
        if let Some(outer) = real.ancestors().skip(1).find(|a| !records(a).is_empty()) {
            return Err(Error::target(format!(
                "{} lies within the target {}, whose next run would remove it",
                path.display(),
                outer.display()
            ))
            .hint("write to a directory of its own"));
        }
        // Messages keep the name that was given where it means the same.
        let same = std::path::absolute(path).is_ok_and(|absolute| absolute == real);
        Ok(match self {
            Self::Parquet(_) if !same => Self::Parquet(real),
            Self::Csv(_) if !same => Self::Csv(real),
            _ => self,
        })
    }

    /// The path, of a target on the local file system.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Parquet(path) | Self::Csv(path) => Some(path),
            Self::Postgres(_) | Self::Objects(_) => None,
        }
    }
}

/// Tells a run to stop: a clone of it goes into every run, the original stays with the door.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Kind>>);

/// The sending half of [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Kind>>);

impl Stopper {
    /// A pair.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Stop(receiver))
    }

    /// Stops every run that holds the other half: by the user or by the time limit.
    pub fn stop(&self, why: Kind) {
        self.0.send_replace(Some(why));
    }
}

impl Stop {
    /// What `work` gives, or the error to end with if it is stopped first; `work` is then dropped.
    ///
    /// # Errors
    /// Of `work`, or [`Stop::stopped`].
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut stop = self.clone();
        tokio::select! {
            done = work => done,
            error = stop.stopped() => Err(error),
        }
    }

    /// The error to end with, if it is stopped: for work that hardly ever waits.
    ///
    /// # Errors
    /// As [`Stop::stopped`].
    pub fn check(&self) -> Result<()> {
        match *self.0.borrow() {
            Some(why) => Err(stopped(why)),
            None => Ok(()),
        }
    }

    /// Resolves with the error to end with, once stopped; never if the other half is gone.
    pub async fn stopped(&mut self) -> Error {
        let why = match self.0.wait_for(Option::is_some).await {
            Ok(why) => *why,
            Err(_) => std::future::pending().await,
        };
        stopped(why.unwrap_or(Kind::Interrupted))
    }
}

fn stopped(why: Kind) -> Error {
    match why {
        Kind::Timeout => Error::new(Kind::Timeout, "the time limit has passed")
            .hint("raise timeout_seconds; the target is as it was"),
        _ => Error::new(Kind::Interrupted, "interrupted; the target is as it was"),
    }
}

/// Text for the metadata of columns: name, then pairs.
pub type Notes = Vec<(String, Vec<(String, String)>)>;

/// What a run computes, in exact times. None is all.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// The symbols.
    pub symbols: Option<Vec<String>>,
    /// The first time, inclusive.
    pub from: Option<Instant>,
    /// The end, exclusive.
    pub until: Option<Instant>,
}

impl Bounds {
    /// Whether all rows of a symbol, whose times lie in this range, are within.
    fn cover(&self, symbol: &str, range: &SymbolRange) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.iter().any(|s| s == symbol))
            && self.from.is_none_or(|from| range.first >= from)
            && self.until.is_none_or(|until| range.last < until)
    }
}

/// One run's output on its way to a target.
pub struct Job {
    /// Every partition is sorted by `partition_by`, entity and time, or by entity and time period
    /// after period; a symbol is in one partition.
    pub plan: Arc<dyn ExecutionPlan>,
    /// What the plan runs in.
    pub context: Arc<TaskContext>,
    /// Partitions that are written at the same time: all, if rows change partitions in the plan.
    pub side_by_side: usize,
    /// The entity column.
    pub entity: usize,
    /// The time column.
    pub time: usize,
    /// Columns whose values become directories, outermost first.
    pub partition_by: Vec<usize>,
    /// Conditions on the rows, checked while they are written.
    pub checks: Vec<Check>,
    /// What is known of the run before it starts; the rest is filled in.
    pub record: Record,
    /// What the set is for.
    pub about: Option<String>,
    /// Text for the metadata of the columns.
    pub notes: Notes,
    /// What the run computes.
    pub scope: Bounds,
    /// The symbols that were asked for; each should have rows.
    pub asked: Vec<String>,
    /// For each column, what to say if it is NULL on every row.
    pub about_null: Vec<String>,
    /// Keep what a parquet target holds and add the rows after its watermarks.
    pub append: bool,
    /// How many rows the target must hold in the end, where its own are written anew.
    pub exactly: Option<u64>,
    /// What the plan has to say of its inputs once it has run.
    pub notices: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Puts an error of the plan into words, with its place.
    pub explain: Arc<dyn Fn(&DataFusionError) -> Error + Send + Sync>,
    /// How a parquet target is compressed.
    pub compression: Compression,
    /// Whether a parquet target holds 64-bit floats as 32-bit ones. Audits see all bits.
    pub float32: bool,
    /// How servers are reached, which counts what was tried again.
    pub access: Arc<Access>,
    /// When the run started.
    pub started: std::time::Instant,
    /// Where rows are counted.
    pub progress: Arc<Progress>,
    /// When to stop.
    pub stop: Stop,
}

/// Takes the target for one run of so many threads. It fails while another run holds it, cleans what runs that were
/// killed left behind, and refuses a target whose files windrow did not write.
///
/// # Errors
/// Another run, foreign files, or a place that cannot be written.
pub async fn open(target: &Target, workers: usize, access: &Access) -> Result<Lock> {
    let path = match target {
        Target::Parquet(path) | Target::Csv(path) => path,
        Target::Postgres(table) => return Lock::of_server(table, workers, access.limit()).await,
        Target::Objects(url) => return Lock::of_bucket(url, workers, access).await,
    };
    let lock = Lock::take(path)?;
    staging::clean(path)?;
    match target {
        Target::Csv(path) => csv::check_owner(path)?,
        _ => parquet::check_owner(path)?,
    }
    Ok(lock)
}

/// Writes a job into a target that [`open`] took, and commits it.
///
/// # Errors
/// Of the plan, of an audit, or of the place; the target is then as it was.
pub async fn write(target: &Target, lock: &Lock, job: Job) -> Result<Record> {
    job.progress.watch(&job.plan);
    let (started, access) = (job.started, Arc::clone(&job.access));
    let written = match target {
        Target::Parquet(path) => parquet::write(path, lock, job).await,
        Target::Csv(path) if job.append => Err(Error::target(format!(
            "{} is a CSV file, which no rows are added to",
            path.display()
        ))),
        Target::Csv(path) => csv::write(path, lock, job).await,
        Target::Postgres(table) if job.append => Err(Error::target(format!(
            "{} is a table, which compact does not write",
            table.location
        ))),
        Target::Postgres(table) => {
            let server =
                lock.server().ok_or_else(|| Error::internal("a table without its lock"))?;
            postgres::write(table, server, lock.run(), job).await
        }
        Target::Objects(url) => {
            let without = || Error::internal(format!("{url} without its lease"));
            lock.bucket().ok_or_else(without)?.write(lock.run(), job).await
        }
    };
    // The record itself cannot tell how its commit went.
    written.map(|record| Record {
        seconds: started.elapsed().as_secs_f64(),
        retries: record.retries.max(access.retries()),
        ..record
    })
}

/// Refuses to replace rows that this run does not compute. `held` is the record of the target.
fn check_scope(place: &str, held: Option<&Record>, job: &Job) -> Result<()> {
    let mut held = held.into_iter().flat_map(|record| &record.watermarks);
    match held.find(|(symbol, range)| !job.scope.cover(symbol, range)) {
        Some((symbol, range)) => Err(Error::target(format!(
            "{place} holds rows outside the scope of this run, such as {symbol} from {} to {}",
            range.first, range.last
        ))
        .hint("run without --symbols, --from and --until, or write to another target")),
        None => Ok(()),
    }
}

/// Fills in what is known of a run once its rows are written.
fn complete(record: &mut Record, run: &str, job: &Job) -> Result<()> {
    record.rows = record.files.iter().map(|f| f.rows).sum();
    if record.rows == 0 && !job.append {
        return Err(Error::data("the result is empty: no row matches").hint(
            "check --symbols, --from, --until and the WHERE of the set; the target is as it was",
        ));
    }
    if let Some(rows) = job.exactly.filter(|rows| *rows != record.rows) {
        return Err(Error::data(format!(
            "of {rows} rows that the target holds only {} would stay: others have the same {} and {}",
            record.rows, record.entity, record.time
        ))
        .hint("write to another directory; the target is as it was"));
    }
    record.run = run.to_string();
    record.retries += job.access.retries();
    let missing = job.asked.iter().filter(|symbol| !record.watermarks.contains_key(*symbol));
    record.notices.extend(missing.map(|symbol| format!("there is no row of {symbol}")));
    record.notices.extend((job.notices)());
    record.committed = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    record.seconds = job.started.elapsed().as_secs_f64();
    record.peak_memory = peak_memory();
    Ok(())
}

/// The error for a place that cannot be written, such as a full disk.
fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let hint = if text.contains("No space left") || text.contains("os error 28") {
        "free some space and run again; the target is as it was"
    } else {
        "check that the directory exists and may be written; the target is as it was"
    };
    Error::target(format!("cannot write {}: {text}", path.display())).hint(hint)
}

/// Peak resident memory of this process in bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_what_lies_in_it() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let within = |scope: &Bounds, symbol: &str, first: &str, last: &str| {
            scope.cover(symbol, &SymbolRange { first: at(first), last: at(last), rows: 2 })
        };
        let scope = Bounds {
            symbols: Some(vec!["A".into()]),
            from: Some(at("2024-01-01T00:00:00Z")),
            until: Some(at("2024-02-01T00:00:00Z")),
        };
        let cases = [
            ("A", "2024-01-01T00:00:00Z", "2024-01-31T23:59:59.999Z", true),
            ("A", "2024-01-01T00:00:00.500Z", "2024-01-31T00:00:00Z", true),
            ("A", "2023-12-31T23:59:59.500Z", "2024-01-31T00:00:00Z", false),
            ("A", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", false),
            // The same moments on other clocks.
            ("A", "2023-12-31T19:00:00-05:00", "2024-02-01T08:59:59+09:00", true),
            ("A", "2024-01-01T08:00:00+09:00", "2024-01-31T00:00:00Z", false),
            ("A", "2024-01-01T00:00:00Z", "2024-01-31T19:00:00-05:00", false),
            ("B", "2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z", false),
        ];
        for (symbol, first, last, expected) in cases {
            assert_eq!(within(&scope, symbol, first, last), expected, "{symbol} {first} {last}");
        }
        assert!(within(&Bounds::default(), "B", "1900-01-01", "2100-01-01"));
    }
}
