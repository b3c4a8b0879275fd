//! What runs a target has seen, and what those that died left behind.

use std::path::PathBuf;

use super::{Target, csv, objects, open, postgres, staging};
use crate::error::{Error, Result};
use crate::store::{Access, Instant, Record, records};

/// One committed run, as its record tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub run: String,
    /// When it was committed, RFC 3339 in UTC.
    pub committed: String,
    /// The feature set.
    pub set: String,
    /// Rows written.
    pub rows: u64,
    /// The first time among them.
    pub first: Option<Instant>,
    /// The last.
    pub last: Option<Instant>,
    /// Wall seconds.
    pub seconds: f64,
    /// The version of windrow.
    pub version: String,
}

impl From<Record> for Run {
    fn from(record: Record) -> Self {
        let (first, last) = (record.first(), record.last());
        Self {
            run: record.run,
            committed: record.committed,
            set: record.set,
            rows: record.rows,
            first,
            last,
            seconds: record.seconds,
            version: record.windrow,
        }
    }
}

/// The runs of a target, oldest first, and the names of what killed runs left beside it.
///
/// # Errors
/// A target that no run wrote, or that cannot be read.
pub async fn runs(target: &Target, access: &Access) -> Result<(Vec<Run>, Vec<String>)> {
    let (runs, left) = match target {
        Target::Parquet(path) => {
            let read = |path: &PathBuf| Record::read(path).map(Run::from);
            let runs = records(path).iter().map(read).collect::<Result<_>>()?;
            (runs, staging::leftovers(path))
        }
        Target::Csv(path) => {
            let record = csv::record(path)?;
            (record.into_iter().map(Run::from).collect(), staging::leftovers(path))
        }
        Target::Postgres(table) => postgres::runs(table, access.limit()).await?,
        Target::Objects(url) => objects::runs(url, access).await?,
    };
    if runs.is_empty() && left.is_empty() {
        return Err(nothing(target));
    }
    Ok((runs, left))
}

fn nothing(target: &Target) -> Error {
    Error::target(format!("{target} holds nothing that windrow wrote"))
        .hint("name a target of `windrow run`")
}

/// The record of the last run of a target; None if there was none.
///
/// # Errors
/// A record that cannot be read.
pub async fn latest(target: &Target, access: &Access) -> Result<Option<Record>> {
    match target {
        Target::Parquet(path) => crate::store::latest(path),
        Target::Csv(path) => csv::record(path),
        Target::Postgres(table) => postgres::latest(table, access.limit()).await,
        Target::Objects(url) => objects::latest(url, access).await,
    }
}

/// Whether what a run wrote is still there, as far as names, sizes and counts tell.
///
/// # Errors
/// A server that cannot be asked.
pub async fn holds(target: &Target, record: &Record, access: &Access) -> Result<bool> {
    let is = |path: PathBuf, bytes: u64| std::fs::metadata(path).is_ok_and(|m| m.len() == bytes);
    Ok(match target {
        Target::Parquet(path) => {
            record.files.iter().all(|file| is(path.join(&file.path), file.bytes))
        }
        Target::Csv(path) => record.files.iter().all(|file| is(path.clone(), file.bytes)),
        Target::Postgres(table) => {
            let rows = postgres::rows(table, access.limit()).await?;
            // Of the long layout each row has many.
            if table.is_long() { rows > 0 } else { rows == record.rows }
        }
        Target::Objects(url) => objects::holds(url, record, access).await?,
    })
}

/// Removes what killed runs left beside a target; gives its names. It fails while a run is at work
/// there.
///
/// # Errors
/// As [`runs`], or another run.
pub async fn vacuum(target: &Target, access: &Access) -> Result<Vec<String>> {
    if let Target::Objects(_) = target {
        let lock = open(target, 1, access).await?;
        let left = match lock.bucket() {
            Some(bucket) if bucket.is_target() => bucket.vacuum().await,
            _ => Err(nothing(target)),
        };
        lock.release().await;
        return left;
    }
    let (_, left) = runs(target, access).await?;
    // Whoever opens a target cleans it.
    drop(open(target, 1, access).await?);
    Ok(left)
}
