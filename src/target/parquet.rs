//! Parquet directories: one file per partition at a time, built aside and exchanged whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use futures::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::after::After;
use super::audit::{Auditor, Findings, empty_columns, judge};
use super::part::{Destination, PartWriter, Shape};
use super::staging::{Lock, Stage};
use super::watermark::Watermarks;
use super::{Job, Notes, Target, check_scope, complete, fault, objects, unwritable};
use crate::error::{Error, Result};
use crate::store::{Access, Opened, RECORD_DIR, Record, RecordFile, latest, records};

/// Refuses a directory with files that no run wrote: a commit would remove them.
pub(super) fn check_owner(target: &Path) -> Result<()> {
    if target.is_file() {
        return Err(Error::target(format!("{} is a file", target.display()))
            .hint("name a directory, or a file that ends in .csv"));
    }
    if !target.exists() {
        return Ok(());
    }
    let ours: BTreeSet<PathBuf> = match latest(target)? {
        Some(record) => record.files.iter().map(|file| target.join(&file.path)).collect(),
        None => BTreeSet::new(),
    };
    match foreign(target, target, &ours).map_err(|error| unwritable(target, &error))? {
        None => Ok(()),
        Some(path) => Err(Error::target(format!(
            "{} holds files that windrow did not write, such as {}",
            target.display(),
            path.display()
        ))
        .hint("move them away, or name a new or an empty directory")),
    }
}

/// The first file below a directory that neither is in `ours` nor is a record.
fn foreign(
    target: &Path,
    folder: &Path,
    ours: &BTreeSet<PathBuf>,
) -> std::io::Result<Option<PathBuf>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    let records = target.join(RECORD_DIR);
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = foreign(target, &path, ours)? {
                return Ok(Some(found));
            }
        } else {
            let record = folder == records && path.extension().is_some_and(|e| e == "json");
            if !record && !ours.contains(&path) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

pub(super) async fn write(target: &Path, lock: &Lock, mut job: Job) -> Result<Record> {
    let held = latest(target)?;
    check_scope(&target.display().to_string(), held.as_ref(), &job)?;
    let held = held.filter(|_| job.append);
    let stage = Stage::new(target, lock);
    std::fs::create_dir_all(stage.path()).map_err(|error| unwritable(target, &error))?;
    fault::point("stage-made");
    if let Some(held) = &held {
        link(held, target, stage.path()).map_err(|error| unwritable(target, &error))?;
        fault::point("files-linked");
    }
    let destination = Destination::Folder(stage.path().to_path_buf());
    let place = target.display().to_string();
    let record = write_rows(&destination, &place, lock.run(), &mut job, held).await?;
    write_record(stage.path(), target, &record).map_err(|error| unwritable(target, &error))?;
    fault::point("record-written");
    stage.commit(&job.stop).await?;
    Ok(record)
}

/// Writes the rows of a job; gives the record of the run, with the files and watermarks of `held`
/// beside its own.
pub(super) async fn write_rows(
    destination: &Destination,
    place: &str,
    run: &str,
    job: &mut Job,
    held: Option<Record>,
) -> Result<Record> {
    let after = match &held {
        Some(held) => {
            let schema = job.plan.schema();
            let after = After::of(&held.watermarks, schema.field(job.time).data_type());
            Some(Arc::new(after.map_err(|error| Error::target(error.to_string()))?))
        }
        None => None,
    };
    let written = write_partitions(destination, run, job, after).await?;
    fault::point("rows-written");
    let (mut found, mut marks) = (Vec::new(), Watermarks::default());
    let mut record = std::mem::take(&mut job.record);
    let mut skipped = 0;
    for part in written {
        record.files.extend(part.files);
        marks.join(part.marks);
        found.push(part.found);
        skipped += part.skipped;
    }
    if skipped > 0 {
        record.notices.push(format!(
            "{skipped} rows left out because {place} holds their symbol up to their time or later"
        ));
    }
    record.audits.extend(judge(&job.checks, &found)?);
    record.notices.extend(empty_columns(&job.about_null, &found));
    if let Some(held) = &held {
        marks.join(Watermarks::from(held.watermarks.clone()));
    }
    record.watermarks = marks.into_ranges();
    complete(&mut record, run, job)?;
    record.files.extend(held.into_iter().flat_map(|held| held.files));
    record.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(record)
}

/// Takes the files of the target into the stage: they stay what they are.
fn link(held: &Record, target: &Path, stage: &Path) -> std::io::Result<()> {
    for file in &held.files {
        let to = stage.join(&file.path);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::hard_link(target.join(&file.path), to)?;
    }
    Ok(())
}

/// What the files of a target say of their columns, for [`Job::notes`].
///
/// # Errors
/// A file that cannot be read.
pub async fn notes(target: &Target, held: &Record, access: &Access) -> Result<Notes> {
    let Some(file) = held.files.first() else { return Ok(Vec::new()) };
    let path = Path::new(&target.to_string()).join(&file.path);
    let opened = match target {
        Target::Objects(url) => objects::tail(&url.below(&file.path), file.bytes, access).await?,
        _ => Opened::local(&path, 0).map_err(|error| unreadable(&path, &error))?,
    };
    let meta = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new());
    let meta = meta.map_err(|error| unreadable(&path, &error))?;
    let pairs = |field: &Arc<Field>| {
        let pairs = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone()));
        (field.name().clone(), pairs.collect())
    };
    Ok(meta.schema().fields().iter().map(pairs).collect())
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::target(format!("cannot read {}: {error}", path.display()))
        .hint("move the target away and run again")
}

/// Writes the record behind those of earlier runs, which stay.
fn write_record(stage: &Path, target: &Path, record: &Record) -> std::io::Result<()> {
    let folder = stage.join(RECORD_DIR);
    std::fs::create_dir_all(&folder)?;
    let earlier = records(target);
    let mut last = 0;
    for path in &earlier {
        if let Some(name) = path.file_name() {
            std::fs::hard_link(path, folder.join(name))?;
        }
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        last = last.max(number.unwrap_or(0));
    }
    let text = record.to_json().map_err(std::io::Error::other)?;
    std::fs::write(folder.join(format!("{:06}.json", last + 1)), text)
}

/// What one partition wrote.
struct Part {
    files: Vec<RecordFile>,
    marks: Watermarks,
    found: Findings,
    /// Rows that the target held already.
    skipped: u64,
}

async fn write_partitions(
    destination: &Destination,
    run: &str,
    job: &mut Job,
    after: Option<Arc<After>>,
) -> Result<Vec<Part>> {
    use datafusion::physical_plan::ExecutionPlanProperties;
    let partitions = job.plan.output_partitioning().partition_count();
    let mut tasks = JoinSet::new();
    let shape = Arc::new(Shape::of(job, run));
    let _room = shape.reserve(job.side_by_side.min(partitions))?;
    let turns = Arc::new(Semaphore::new(job.side_by_side.clamp(1, Semaphore::MAX_PERMITS)));
    for number in 0..partitions {
        let (plan, context) = (Arc::clone(&job.plan), Arc::clone(&job.context));
        let turns = Arc::clone(&turns);
        let mut auditor = Auditor::new(job.checks.clone(), job.entity, job.time);
        let mut writer = PartWriter::new(destination, number, Arc::clone(&shape));
        let progress = Arc::clone(&job.progress);
        let explain = Arc::clone(&job.explain);
        let stop = job.stop.clone();
        let (entity, time) = (job.entity, job.time);
        let after = after.clone();
        tasks.spawn(async move {
            let turn = turns.acquire().await;
            let mut stream = plan.execute(number, context).map_err(|error| explain(&error))?;
            let mut skipped = 0;
            let internal = |error: ArrowError| Error::internal(error.to_string());
            let mut marks = Watermarks::default();
            let run = async {
                while let Some(batch) = stream.try_next().await.map_err(|e| explain(&e))? {
                    stop.check()?;
                    progress.add(batch.num_rows());
                    let batch = match &after {
                        None => batch,
                        Some(after) => {
                            let (rest, held) = after.rest(batch, entity, time).map_err(internal)?;
                            skipped += held;
                            rest
                        }
                    };
                    auditor.check(&batch).map_err(|e| explain(&e))?;
                    marks.add(&batch, entity, time).map_err(internal)?;
                    writer.write(&batch)?;
                    writer.settle().await?;
                }
                writer.finish()
            };
            let written = run.await?;
            drop(turn); // The next partition is computed while the files of this one reach the disk.
            let files = written.whole().await?;
            Ok::<Part, Error>(Part { files, marks, found: auditor.finish(), skipped })
        });
    }
    let mut parts = Vec::new();
    loop {
        let joined = tokio::select! {
            joined = tasks.join_next() => joined,
            error = job.stop.stopped() => {
                tasks.shutdown().await;
                return Err(error);
            }
        };
        match joined {
            None => return Ok(parts),
            Some(Ok(Ok(part))) => parts.push(part),
            Some(Ok(Err(error))) => {
                tasks.shutdown().await;
                return Err(error);
            }
            Some(Err(error)) => {
                tasks.shutdown().await;
                return Err(Error::internal(format!("a writer panicked: {error}")));
            }
        }
    }
}
