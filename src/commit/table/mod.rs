//! Tables of a PostgreSQL server: rows are copied into an unlogged table beside the target, by
//! several connections, and moved into it in one transaction.
//!
//! 1. The run takes a lock of the server, and drops the tables that dead runs left beside the target.
//! 2. It makes a staging table; its name carries run, unit and attempt.
//! 3. Rows are copied into that table.
//! 4. One transaction deletes the rows of the scope, moves the new ones in and leaves the record: its
//!    end is the commit.
//!
//! Whoever reads the table sees the old rows or the new ones. A crash before 4 ends leaves the old
//! rows and a staging table, which the next run drops; a crash after it leaves nothing.

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
use crate::outside;
use crate::stop::Stop;
use crate::store::{PgLocation, Record, RecordFile, StoreRegistry, TableName};
use crate::write::{Attempt, Manifest, OutputShape, Staging, TableLayout, TableStaging};
use session::TableSession;
use shape::{TableChanges, TableShape};

/// The URL of a table that a run writes to.
#[derive(Clone, PartialEq, Eq)]
pub struct TableUrl {
    /// Where it is.
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
    /// Reads the URL of a table.
    ///
    /// # Errors
    /// As [`PgLocation::parse`], or options that mean nothing.
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

/// Connections that copy at a time, where the URL does not say. The server has one process for each.
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

    /// The table, to look at it.
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
        // Of the long layout each row has many.
        Ok(match self.url.layout {
            TableLayout::Long => rows > 0,
            // Beside the rows of a scope there are others.
            TableLayout::Wide if record.is_unscoped() => rows == record.rows,
            TableLayout::Wide => rows >= record.rows,
        })
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let history = self.history().await?;
        if history.is_empty() {
            return Err(never_written_error(&self.url.location));
        }
        // Whoever opens a target cleans it.
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

/// A table beside the target.
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
        self.abandon_staging().await; // Of an attempt before.
        let (shape, encoding) = TableShape::from_output(&self.url, output)?;
        let table = self.server.staging_table(attempt);
        let changes = self.server.prepare_staging_table(&shape, &table).await?;
        outside::reach_failpoint("stage-made");
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
