//! One CSV file, written aside and renamed over the old one; its record stands beside it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::stage::{FileLock, Stage, blocking, check_local_source, clean, leftovers};
use super::{Commit, CommittedRun, History, Mode, OpenTarget, Publish, SourcePlace, nothing};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::stop::Stop;
use crate::store::Record;
use crate::write::{Attempt, Manifest, Output, Staging, unwritable};

/// The way out of a scope that is narrower than the file.
const WHOLE: &str = "run without --symbols, --from and --until, or write to another target";

/// A CSV file that runs write to.
#[derive(Clone, Debug)]
pub(super) struct CsvFileTarget {
    path: PathBuf,
}

impl CsvFileTarget {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    fn past(&self) -> Result<History> {
        let runs = record(&self.path)?.into_iter().map(CommittedRun::from).collect();
        Ok(History { runs, leftovers: leftovers(&self.path) })
    }

    fn take(&self) -> Result<OpenCsvFile> {
        let path = self.path.clone();
        let lock = FileLock::take(&path)?;
        clean(&path)?;
        check_owner(&path)?;
        let held = record(&path)?.filter(|_| path.exists());
        Ok(OpenCsvFile { path, lock, held, stage: None })
    }
}

#[async_trait]
impl Commit for CsvFileTarget {
    async fn open(&self, _: usize) -> Result<Box<dyn OpenTarget>> {
        let this = self.clone();
        let open = blocking(move || this.take()).await?;
        Ok(Box::new(open))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        let path = self.path.clone();
        blocking(move || record(&path)).await
    }

    async fn history(&self) -> Result<History> {
        let this = self.clone();
        blocking(move || this.past()).await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let bytes = std::fs::metadata(&self.path).ok().map(|meta| meta.len());
        Ok(record.files.iter().all(|file| Some(file.bytes) == bytes))
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let history = self.history().await?;
        if history.is_empty() {
            return Err(nothing(&self.path.display()));
        }
        // Whoever opens a target cleans it.
        drop(self.open(1).await?);
        Ok(history.leftovers)
    }

    fn check_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        check_local_source(&self.path, source)
    }
}

/// The record of a CSV target stands beside it: the file itself is only rows.
fn record_path(target: &Path) -> PathBuf {
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.windrow.json"))
}

/// The record of the run that wrote a file.
fn record(target: &Path) -> Result<Option<Record>> {
    let path = record_path(target);
    if path.exists() { Record::read(&path).map(Some) } else { Ok(None) }
}

/// Refuses a file that no run wrote.
fn check_owner(target: &Path) -> Result<()> {
    if !target.exists() || record_path(target).exists() {
        return Ok(());
    }
    Err(Error::target(format!("{} was not written by windrow", target.display()))
        .hint("name a new file, or remove this one first"))
}

/// A CSV file that one run has to itself.
struct OpenCsvFile {
    path: PathBuf,
    lock: FileLock,
    held: Option<Record>,
    stage: Option<Stage>,
}

#[async_trait]
impl OpenTarget for OpenCsvFile {
    fn run(&self) -> &str {
        self.lock.run()
    }

    fn held(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    async fn stage(&mut self, output: &Output, publish: &Publish, _: &Attempt) -> Result<Staging> {
        let target = self.path.display();
        match publish.mode {
            Mode::Whole => {}
            Mode::Append(_) => {
                let what = format!("{target} is a CSV file, which no rows are added to");
                return Err(Error::target(what));
            }
            Mode::Scope(_) => {
                let what = format!("{target} is a CSV file, of which no part is replaced");
                return Err(Error::target(what).hint(WHOLE));
            }
        }
        if !output.partition_by.is_empty() {
            return Err(Error::target("a CSV target is one file and cannot be partitioned")
                .hint("write to a directory, or take partition_by out of the header"));
        }
        publish.check_scope(&target, self.held.as_ref(), WHOLE)?;
        self.stage = None; // Of an attempt before.
        let stage = self.stage.insert(Stage::new(&self.path, &self.lock));
        Ok(Staging::CsvFile { path: stage.path().to_path_buf(), target: self.path.clone() })
    }

    async fn publish(
        &mut self,
        _: &Publish,
        _: &[Manifest],
        record: Record,
        stop: &Stop,
    ) -> Result<Record> {
        let missing = || Error::internal("a CSV file is published that was not staged");
        let stage = self.stage.take().ok_or_else(missing)?;
        let target = self.path.clone();
        let record = blocking(move || {
            // The record goes first: it claims a superset of rows until the file follows.
            let path = record_path(&target);
            let aside = path.with_extension("json.new");
            std::fs::write(&aside, record.to_json()?)
                .and_then(|()| std::fs::rename(&aside, &path))
                .map_err(|error| unwritable(&target, &error))?;
            failpoint::point("record-written");
            Ok(record)
        })
        .await?;
        stage.commit(stop).await?;
        self.held = Some(record.clone());
        Ok(record)
    }

    async fn abandon(&mut self) {
        self.stage = None;
    }

    async fn release(self: Box<Self>) {}
}
