//! Manifests -> one committed state. A target is a directory, a prefix of an object store, a table or a
//! CSV file. Each kind implements `TargetBackend`, and `OpenTarget` while one run has exclusive use of
//! it. This room publishes exactly what the manifests name. It sees no batches, and knows neither
//! feature sets nor how rows got to the place where they were staged.

mod announced_folders;
mod bucket;
mod csv_file;
mod directory;
mod history;
mod publish_options;
mod stage;
mod table;
mod target;

use std::fmt;
use std::path::Path;

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::outside::files;
use crate::stop::Stop;
use crate::store::{RECORD_DIR, Record};
use crate::write::{Attempt, ColumnNotes, Manifest, OutputShape, Staging};

pub use history::{CommittedRun, RunHistory};
pub use publish_options::{PublishMode, PublishOptions, RetainedFiles, ScopeBounds};
pub use target::Target;

/// One target of one kind.
#[async_trait]
pub trait TargetBackend: fmt::Debug + Send + Sync {
    /// Takes the target for one run with `workers` workers. Fails while another run holds it, removes
    /// the leftovers of killed runs, and refuses a target whose contents windrow did not write.
    ///
    /// # Errors
    /// Another run holds the target, it has foreign contents, or it cannot be written.
    async fn acquire_target(&self, workers: usize) -> Result<Box<dyn OpenTarget>>;

    /// Returns the record of the last run; None if there was none.
    ///
    /// # Errors
    /// The record cannot be read.
    async fn latest(&self) -> Result<Option<Record>>;

    /// Returns the committed runs and the leftovers of failed runs.
    ///
    /// # Errors
    /// The target cannot be read.
    async fn history(&self) -> Result<RunHistory>;

    /// Lists the names of the leftovers of failed runs.
    ///
    /// # Errors
    /// The target cannot be read.
    async fn list_leftovers(&self) -> Result<Vec<String>>;

    /// Returns whether everything that a run wrote is still there, judged by names, sizes and counts.
    ///
    /// # Errors
    /// The server cannot be reached.
    async fn is_there(&self, record: &Record) -> Result<bool>;

    /// Removes the leftovers of killed runs and returns their names. Fails while a run is at work
    /// there.
    ///
    /// # Errors
    /// As [`TargetBackend::acquire_target`], or if no run wrote the target.
    async fn vacuum(&self) -> Result<Vec<String>>;

    /// Returns the notes that the target stores for its columns, for [`OutputShape::notes`]; empty if
    /// it stores none.
    ///
    /// # Errors
    /// A file cannot be read.
    async fn notes(&self, _: &Record) -> Result<ColumnNotes> {
        Ok(ColumnNotes::new())
    }

    /// Refuses a source that a commit here would change, or that would read what a run writes.
    ///
    /// # Errors
    /// The source and the target overlap.
    fn check_source_apart(&self, source: &SourcePlace<'_>) -> Result<()>;
}

/// A target that one run has to itself. Dropping it without `release` has the effect of a crash of the
/// process.
#[async_trait]
pub trait OpenTarget: Send + Sync {
    /// The name of this run: its start time and the process id.
    fn run_id(&self) -> &str;

    /// The record of the last run at the time when the target was taken.
    fn held_record(&self) -> Option<&Record>;

    /// Creates the staging place of one attempt, and refuses an output that the target cannot take.
    ///
    /// # Errors
    /// The target has rows that the run does not compute, columns do not fit, or the place cannot be
    /// written.
    async fn prepare_staging(
        &mut self,
        output: &OutputShape,
        publish: &PublishOptions,
        attempt: &Attempt,
    ) -> Result<Staging>;

    /// Makes what the manifests name the state of the target, in one step. `record` describes the run;
    /// the commit adds its own messages to the record's notices. On failure the target keeps its old
    /// state, and everything staged was removed.
    ///
    /// # Errors
    /// The place cannot be written, another run took over, or the run was stopped before that step.
    async fn publish(
        &mut self,
        publish: &PublishOptions,
        manifests: &[Manifest],
        record: Record,
        stop: &Stop,
    ) -> Result<Record>;

    /// Removes everything that was staged.
    async fn abandon_staging(&mut self);

    /// Releases the target.
    async fn release(self: Box<Self>);
}

/// The kind of contents of a target, which a run must know before it plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetContents {
    /// Parquet files: any number, with folders and compression; rows can be appended.
    Parquet,
    /// One CSV file, written as one stream of rows.
    CsvFile,
    /// A table of a server.
    Table,
}

impl fmt::Display for TargetContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "parquet",
            Self::CsvFile => "a CSV file",
            Self::Table => "a table",
        })
    }
}

/// The location of a source.
pub struct SourcePlace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its location as configured.
    pub location: &'a str,
    /// The files that it reads.
    pub files: Vec<&'a Path>,
    /// True if the source would read a file at the given path.
    pub lists: &'a (dyn Fn(&Path) -> bool + Sync),
}

/// Returns the error for a target that another run has to itself; `run` names that run.
fn target_held_error(target: &dyn fmt::Display, run: &str) -> Error {
    Error::target(format!("another run is writing {target} ({run})"))
        .hint("wait for it, or write to another target")
        .as_target_held()
}

/// Returns the error for a target that no run wrote.
pub fn never_written_error(target: &dyn fmt::Display) -> Error {
    let error = Error::target(format!("{target} holds nothing that windrow wrote"));
    match nested_target_names(Path::new(&target.to_string())) {
        Some(names) => error.hint(format!("name one of the targets in it: {names}")),
        None => error.hint("name a target of `windrow run`"),
    }
}

/// Returns the first targets that lie in a directory, separated by commas; None if there is none.
fn nested_target_names(folder: &Path) -> Option<String> {
    const TOLD: usize = 5;
    let entries = files::list_directory(folder).ok()?;
    let entries = entries.iter().map(std::fs::DirEntry::path);
    let mut targets: Vec<_> = entries.filter(|path| path.join(RECORD_DIR).is_dir()).collect();
    targets.sort();
    let names = targets.iter().take(TOLD).map(|path| path.display().to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then_some(names)
}
