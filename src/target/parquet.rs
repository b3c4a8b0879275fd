//! Parquet directories: one file per partition at a time, built aside and exchanged whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use tokio::task::JoinSet;

use super::audit::{Auditor, Findings, empty_columns, judge};
use super::part::{PartWriter, Shape};
use super::staging::{Lock, Stage};
use super::watermark::Watermarks;
use super::{Job, check_scope, complete, fault, unwritable};
use crate::error::{Error, Result};
use crate::store::{RECORD_DIR, Record, RecordFile, latest, records};

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
    check_scope(target, latest(target)?.as_ref(), &job)?;
    let stage = Stage::new(target, lock);
    std::fs::create_dir_all(stage.path()).map_err(|error| unwritable(target, &error))?;
    fault::point("stage-made");
    let written = write_partitions(stage.path(), lock, &mut job).await?;
    fault::point("rows-written");
    let (mut found, mut marks) = (Vec::new(), Watermarks::default());
    let mut record = std::mem::take(&mut job.record);
    for part in written {
        record.files.extend(part.files);
        marks.join(part.marks);
        found.push(part.found);
    }
    record.files.sort_by(|a, b| a.path.cmp(&b.path));
    record.audits.extend(judge(&job.checks, &found)?);
    record.notices.extend(empty_columns(&job.about_null, &found));
    record.watermarks = marks.into_ranges();
    complete(&mut record, lock, &job)?;
    write_record(stage.path(), target, &record).map_err(|error| unwritable(target, &error))?;
    fault::point("record-written");
    stage.commit(&job.stop).await?;
    Ok(record)
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
}

async fn write_partitions(stage: &Path, lock: &Lock, job: &mut Job) -> Result<Vec<Part>> {
    use datafusion::physical_plan::ExecutionPlanProperties;
    let partitions = job.plan.output_partitioning().partition_count();
    let mut tasks = JoinSet::new();
    let shape = Arc::new(Shape::of(job, lock));
    for number in 0..partitions {
        let stream = job
            .plan
            .execute(number, Arc::clone(&job.context))
            .map_err(|error| (job.explain)(&error))?;
        let mut auditor = Auditor::new(job.checks.clone(), job.entity, job.time);
        let mut writer = PartWriter::new(stage, number, Arc::clone(&shape));
        let progress = Arc::clone(&job.progress);
        let explain = Arc::clone(&job.explain);
        let stop = job.stop.clone();
        let (entity, time) = (job.entity, job.time);
        tasks.spawn(async move {
            let mut stream = stream;
            let mut marks = Watermarks::default();
            let run = async {
                while let Some(batch) = stream.try_next().await.map_err(|e| explain(&e))? {
                    stop.check()?;
                    auditor.check(&batch).map_err(|e| explain(&e))?;
                    marks.add(&batch, entity, time).map_err(|e| Error::internal(e.to_string()))?;
                    writer.write(&batch)?;
                    progress.add(batch.num_rows());
                }
                writer.finish()
            };
            let files = run.await?;
            Ok::<Part, Error>(Part { files, marks, found: auditor.finish() })
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
