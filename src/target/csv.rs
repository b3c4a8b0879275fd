//! One CSV file, written aside and renamed over the old one.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use datafusion::arrow::csv::WriterBuilder;
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;

use super::audit::{Auditor, empty_columns, judge};
use super::staging::{Lock, Stage};
use super::watermark::Watermarks;
use super::{Job, check_scope, complete, fault, unwritable};
use crate::error::{Error, Result};
use crate::store::{Record, RecordFile};

/// The record of a CSV target stands beside it: the file itself is only rows.
fn record_path(target: &Path) -> PathBuf {
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.windrow.json"))
}

/// The record of the run that wrote a file.
pub(super) fn record(target: &Path) -> Result<Option<Record>> {
    let path = record_path(target);
    if path.exists() { Record::read(&path).map(Some) } else { Ok(None) }
}

/// Refuses a file that no run wrote.
pub(super) fn check_owner(target: &Path) -> Result<()> {
    if !target.exists() || record_path(target).exists() {
        return Ok(());
    }
    Err(Error::target(format!("{} was not written by windrow", target.display()))
        .hint("name a new file, or remove this one first"))
}

pub(super) async fn write(target: &Path, lock: &Lock, mut job: Job) -> Result<Record> {
    if !job.partition_by.is_empty() {
        return Err(Error::target("a CSV target is one file and cannot be partitioned")
            .hint("write to a directory, or take partition_by out of the header"));
    }
    let path = record_path(target);
    let held = record(target)?;
    let held = held.filter(|_| target.exists());
    check_scope(&target.display().to_string(), held.as_ref(), &job)?;
    let stage = Stage::new(target, lock);
    let mut record = std::mem::take(&mut job.record);
    let rows = write_rows(stage.path(), target, &mut job, &mut record).await?;
    fault::point("rows-written");
    let bytes = std::fs::metadata(stage.path()).map_err(|error| unwritable(target, &error))?.len();
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    record.files = vec![RecordFile { path: name, rows, bytes }];
    complete(&mut record, lock.run(), &job)?;
    // The record goes first: it claims a superset of rows until the file follows.
    let aside = path.with_extension("json.new");
    std::fs::write(&aside, record.to_json()?)
        .and_then(|()| std::fs::rename(&aside, &path))
        .map_err(|error| unwritable(target, &error))?;
    fault::point("record-written");
    stage.commit(&job.stop).await?;
    Ok(record)
}

async fn write_rows(path: &Path, target: &Path, job: &mut Job, record: &mut Record) -> Result<u64> {
    let file = File::create(path).map_err(|error| unwritable(target, &error))?;
    let mut writer =
        WriterBuilder::new().with_header(true).build(BufWriter::with_capacity(1 << 20, file));
    let plan = std::sync::Arc::clone(&job.plan);
    let mut stream = execute_stream(plan, std::sync::Arc::clone(&job.context))
        .map_err(|error| (job.explain)(&error))?;
    let mut auditor = Auditor::new(job.checks.clone(), job.entity, job.time);
    let mut marks = Watermarks::default();
    let mut rows = 0;
    loop {
        let next = tokio::select! {
            next = stream.try_next() => next,
            error = job.stop.stopped() => return Err(error),
        };
        let Some(batch) = next.map_err(|error| (job.explain)(&error))? else { break };
        auditor.check(&batch).map_err(|error| (job.explain)(&error))?;
        marks
            .add(&batch, job.entity, job.time)
            .map_err(|error| Error::internal(error.to_string()))?;
        writer.write(&batch).map_err(|error| unwritable(target, &error))?;
        rows += batch.num_rows() as u64;
        job.progress.add(batch.num_rows());
    }
    let mut buffer = writer.into_inner();
    std::io::Write::flush(&mut buffer).map_err(|error| unwritable(target, &error))?;
    let found = [auditor.finish()];
    record.audits.extend(judge(&job.checks, &found)?);
    record.notices.extend(empty_columns(&job.about_null, &found));
    record.watermarks = marks.into_ranges();
    Ok(rows)
}
