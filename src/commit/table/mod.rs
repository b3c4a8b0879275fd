//! Tables of a PostgreSQL server: several connections copy rows into a staging table next to the
//! target, and one transaction moves them into the target.
//!
//! 1. The run takes the lock of the table (see `lock`), and drops the staging tables of dead runs. A
//!    crash leaves the old rows; the server releases the lock.
//! 2. It creates a staging table, whose name carries run, unit and attempt, and the table of records if
//!    there is none. A crash leaves the old rows and the staging table. The staging table is unlogged,
//!    unless it is to become the target.
//! 3. The workers copy rows into the staging table. A crash leaves the same.
//! 4. One transaction deletes the rows of the scope, moves the new ones in, drops the staging table and
//!    inserts the record (see `transaction`). A new table without partitions is the staging table,
//!    renamed. The end of the transaction is the commit. A crash before it leaves the old rows and the
//!    staging table; a crash after it leaves the new rows and no leftovers.
//!
//! A reader of the table sees the old rows or the new ones. Step 1 of the next run drops staging tables
//! that were left behind.

mod application_name;
mod lock;
mod session;
mod shape;
mod transaction;

use std::sync::Arc;

use async_trait::async_trait;

use super::stage::run_name;
use super::{
    OpenTarget, PublishMode, PublishOptions, RunHistory, SourcePlace, TargetBackend,
    never_written_error,
};
use crate::error::{Error, Result};
use crate::outside::{self, FailPoint};
use crate::stop::Stop;
use crate::store::{PgLocation, Record, RecordFile, StoreRegistry, TableName};
use crate::write::{Attempt, Manifest, OutputShape, Staging, TableLayout, TableStaging};
use session::TableSession;
use shape::{TableChanges, TableShape};

/// The URL of a table that a run writes to.
#[derive(Clone, PartialEq, Eq)]
pub struct TableUrl {
    /// The server and the table.
    pub location: PgLocation,
    /// The URL as it was given, with its password.
    pub(super) text: String,
    table: TableName,
    layout: TableLayout,
    partition: Option<PartitionSpan>,
    connections: Option<usize>,
}

impl std::fmt::Debug for TableUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableUrl({})", self.location)
    }
}

/// The time that one partition of a table spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartitionSpan {
    /// A year.
    Year,
    /// A month.
    Month,
    /// A day.
    Day,
}

impl TableUrl {
    /// Parses the URL of a table.
    ///
    /// # Errors
    /// As [`PgLocation::parse`], or if the URL names a query, a table of windrow's own, or an option
    /// with an invalid value.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let location = PgLocation::parse(text)?;
        let Some(table) = location.table().cloned() else {
            return Err(Error::usage(format!("{location} is a query, which cannot be written to"))
                .hint("name a table with table=NAME"));
        };
        if table.table == session::RUNS || table.table.starts_with("_windrow_") {
            return Err(Error::usage(format!(
                "{location}: the table {} is windrow's own",
                table.table
            ))
            .hint("name another table"));
        }
        let wrong = |name: &str, value: &str, expected: &str| {
            Error::usage(format!("{location}: {name} is {value}, expected {expected}"))
        };
        let layout = match location.option("layout") {
            None | Some("wide") => TableLayout::Wide,
            Some("long") => TableLayout::Long,
            Some(other) => return Err(wrong("layout", other, "wide or long")),
        };
        let partition = match location.option("partition") {
            None => None,
            Some("year") => Some(PartitionSpan::Year),
            Some("month") => Some(PartitionSpan::Month),
            Some("day") => Some(PartitionSpan::Day),
            Some(other) => return Err(wrong("partition", other, "year, month or day")),
        };
        let connections = match location.option("connections") {
            None => None,
            Some(text) => match text.parse().ok().filter(|n| (1..=64).contains(n)) {
                Some(number) => Some(number),
                None => return Err(wrong("connections", text, "1 to 64")),
            },
        };
        Ok(Self { location, text: text.to_string(), table, layout, partition, connections })
    }
}

/// Returns the number of connections that copy at a time, which the URL may set. Each is a process at
/// the server.
fn connection_count(target: &TableUrl, workers: usize) -> usize {
    target.connections.unwrap_or(workers.clamp(2, 8))
}

/// A table that runs write to.
#[derive(Debug)]
pub(super) struct TableTarget {
    url: TableUrl,
    access: Arc<StoreRegistry>,
}

impl TableTarget {
    pub(super) fn new(url: &TableUrl, access: Arc<StoreRegistry>) -> Self {
        Self { url: url.clone(), access }
    }

    /// Opens the table for reading only, without its lock.
    async fn unlocked_session(&self) -> Result<TableSession> {
        TableSession::open_unlocked(&self.url, "runs".to_string(), 1, self.access.time_limit())
            .await
    }
}

#[async_trait]
impl TargetBackend for TableTarget {
    async fn acquire_target(&self, workers: usize) -> Result<Box<dyn OpenTarget>> {
        let server =
            TableSession::open_locked(&self.url, run_name(), workers, self.access.time_limit())
                .await?;
        let held = server.fetch_last_record().await?;
        Ok(Box::new(OpenTable { url: self.url.clone(), server, held, staged: None }))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        self.unlocked_session().await?.fetch_last_record().await
    }

    async fn history(&self) -> Result<RunHistory> {
        self.unlocked_session().await?.fetch_history().await
    }

    async fn list_leftovers(&self) -> Result<Vec<String>> {
        self.unlocked_session().await?.fetch_leftover_tables().await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let rows = self.unlocked_session().await?.count_rows().await?;
        // In the long layout an output row has many table rows.
        Ok(match self.url.layout {
            TableLayout::Long => rows > 0,
            // A table also holds rows outside the scope of the last run.
            TableLayout::Wide if record.is_unscoped() => rows == record.rows,
            TableLayout::Wide => rows >= record.rows,
        })
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let history = self.history().await?;
        if history.is_empty() {
            return Err(never_written_error(&self.url.location));
        }
        // Acquiring a target removes the leftovers.
        self.acquire_target(1).await?.release().await;
        Ok(history.leftovers)
    }

    fn check_source_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        let location = PgLocation::parse(source.location);
        if !location.is_ok_and(|source| source.is_same_table(&self.url.location)) {
            return Ok(());
        }
        Err(Error::target(format!("{} is the source {}", self.url.location, source.name))
            .hint("write to another table"))
    }
}

/// A table that one run has to itself.
struct OpenTable {
    url: TableUrl,
    server: TableSession,
    held: Option<Record>,
    staged: Option<StagedTable>,
}

/// The staging table of an attempt, and its way into the target.
struct StagedTable {
    shape: TableShape,
    changes: TableChanges,
    table: TableName,
}

#[async_trait]
impl OpenTarget for OpenTable {
    fn run_id(&self) -> &str {
        &self.server.run
    }

    fn held_record(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    async fn prepare_staging(
        &mut self,
        output: &OutputShape,
        publish: &PublishOptions,
        attempt: &Attempt,
    ) -> Result<Staging> {
        if let PublishMode::Append(_) = publish.mode {
            let what = format!("{} is a table, which compact does not write", self.url.location);
            return Err(Error::target(what));
        }
        if !output.partition_by.is_empty() {
            return Err(Error::target("partition_by makes directories, and a table has none")
                .hint(
                    "take it out of the header, or partition the table by time: &partition=month",
                ));
        }
        self.abandon_staging().await; // Drops the table of an earlier attempt.
        let (shape, encoding) = TableShape::from_output(&self.url, output)?;
        let table = self.server.staging_table(attempt);
        let changes = self.server.prepare_staging_table(&shape, &table).await?;
        outside::reach_fail_point(FailPoint::StageMade);
        let copier = self.server.copier(&table);
        let columns = shape.column_list();
        self.staged = Some(StagedTable { shape, changes, table });
        Ok(Staging::Table(Arc::new(TableStaging { copier, encoding, columns })))
    }

    async fn publish(
        &mut self,
        publish: &PublishOptions,
        manifests: &[Manifest],
        mut record: Record,
        stop: &Stop,
    ) -> Result<Record> {
        let missing = || Error::internal("a table is published that was not staged");
        let staged = self.staged.as_ref().ok_or_else(missing)?;
        let rows = manifests.iter().filter_map(|manifest| manifest.staged.as_ref());
        let (copied, bytes) =
            rows.fold((0, 0), |(copied, bytes), s| (copied + s.copied, bytes + s.bytes));
        let path = staged.shape.table.to_string();
        record.files = vec![RecordFile { path, rows: record.rows, bytes }];
        record.notices.extend(staged.changes.notices());
        let commit = self.server.commit_staged(staged, &publish.scope, copied, &mut record);
        match stop.run_until_stopped(commit).await {
            Ok(()) => {
                self.staged = None;
                self.held = Some(record.clone());
                Ok(record)
            }
            Err(error) => {
                self.abandon_staging().await;
                Err(error)
            }
        }
    }

    async fn abandon_staging(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.server.drop_stage(&staged.table).await;
        }
    }

    async fn release(self: Box<Self>) {
        self.server.release_lock().await;
    }
}
