//! Manifests -> one committed state. A target is a directory, a prefix of an object store, a table
//! or a CSV file; each kind implements `TargetBackend`, and `OpenTarget` while one run has it to itself.
//! This room publishes exactly what manifests name and knows no batches; it knows neither feature
//! sets nor how rows got to where they were written aside.

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

/// One kind of target at one place.
#[async_trait]
pub trait TargetBackend: fmt::Debug + Send + Sync {
    /// Takes the target for one run of so many workers. It fails while another run holds it, cleans
    /// what runs that were killed left behind, and refuses a target whose contents windrow did not
    /// write.
    ///
    /// # Errors
    /// Another run, foreign contents, or a place that cannot be written.
    async fn acquire_target(&self, workers: usize) -> Result<Box<dyn OpenTarget>>;

    /// The record of the last run; None if there was none.
    ///
    /// # Errors
    /// A record that cannot be read.
    async fn latest(&self) -> Result<Option<Record>>;

    /// The committed runs, and what runs that died left behind.
    ///
    /// # Errors
    /// A target that cannot be read.
    async fn history(&self) -> Result<RunHistory>;

    /// The names of what runs that died left behind.
    ///
    /// # Errors
    /// A target that cannot be read.
    async fn list_leftovers(&self) -> Result<Vec<String>>;

    /// Whether what a run wrote is still there, as far as names, sizes and counts tell.
    ///
    /// # Errors
    /// A server that cannot be asked.
    async fn is_there(&self, record: &Record) -> Result<bool>;

    /// Removes what killed runs left behind; gives its names. It fails while a run is at work there.
    ///
    /// # Errors
    /// As [`TargetBackend::acquire_target`], or a target that no run wrote.
    async fn vacuum(&self) -> Result<Vec<String>>;

    /// What the target says of its columns, for [`OutputShape::notes`]: empty where it says nothing.
    ///
    /// # Errors
    /// A file that cannot be read.
    async fn notes(&self, _: &Record) -> Result<ColumnNotes> {
        Ok(ColumnNotes::new())
    }

    /// Refuses a source that a commit here would change, or that would read what a run writes.
    ///
    /// # Errors
    /// What meets what.
    fn check_source_apart(&self, source: &SourcePlace<'_>) -> Result<()>;
}

/// A target that one run has to itself. Dropped, it is given back as if the process had died.
#[async_trait]
pub trait OpenTarget: Send + Sync {
    /// The name of this run: when it began, and a number.
    fn run_id(&self) -> &str;

    /// The record of the last run when the target was taken.
    fn held_record(&self) -> Option<&Record>;

    /// Makes the place where one attempt writes aside, and refuses what the target cannot hold.
    ///
    /// # Errors
    /// Rows of the target that the run does not compute, columns that do not fit, or a place that
    /// cannot be written.
    async fn prepare_staging(
        &mut self,
        output: &OutputShape,
        publish: &PublishOptions,
        attempt: &Attempt,
    ) -> Result<Staging>;

    /// Makes what the manifests name the state of the target, in one step. `record` tells of it; what
    /// the commit has to say is added to its notices. If it fails the target is as it was, and what
    /// was written aside is gone.
    ///
    /// # Errors
    /// A place that cannot be written, another run, or being stopped before the step.
    async fn publish(
        &mut self,
        publish: &PublishOptions,
        manifests: &[Manifest],
        record: Record,
        stop: &Stop,
    ) -> Result<Record>;

    /// Removes what was written aside.
    async fn abandon_staging(&mut self);

    /// Gives the target back.
    async fn release(self: Box<Self>);
}

/// What a target holds, as far as a run has to know before it plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetContents {
    /// Parquet files: any number, with folders and compression, which rows can be added to.
    Parquet,
    /// One CSV file: its rows come in one stream.
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

/// Where a source is.
pub struct SourcePlace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its location as configured.
    pub location: &'a str,
    /// The files that it reads.
    pub files: Vec<&'a Path>,
    /// Whether it would read a file at a path.
    pub lists: &'a (dyn Fn(&Path) -> bool + Sync),
}

/// The error for a target that no run wrote.
pub fn never_written_error(target: &dyn fmt::Display) -> Error {
    let error = Error::target(format!("{target} holds nothing that windrow wrote"));
    match nested_target_names(Path::new(&target.to_string())) {
        Some(names) => error.hint(format!("name one of the targets in it: {names}")),
        None => error.hint("name a target of `windrow run`"),
    }
}

/// The first targets that lie in a directory, with commas between; None if there is none.
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
