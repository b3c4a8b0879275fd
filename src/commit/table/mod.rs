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
mod publish;
mod server;
mod shape;

use std::sync::Arc;

use async_trait::async_trait;

use super::stage::run_name;
use super::{Commit, History, Mode, OpenTarget, Publish, SourcePlace, nothing};
use crate::error::{Error, Result};
use crate::outside;
use crate::stop::Stop;
use crate::store::{Access, PgLocation, Record, RecordFile, TableName};
use crate::write::{Attempt, Layout, Manifest, Output, Staging, TableStaging};
use server::Server;
use shape::{TableChanges, TableShape};

/// The URL of a table that a run writes to.
#[derive(Clone, PartialEq, Eq)]
pub struct TableUrl {
    /// Where it is.
    pub location: PgLocation,
    /// The URL as it was given, with its password.
    pub(super) text: String,
    table: TableName,
    layout: Layout,
    partition: Option<Span>,
    connections: Option<usize>,
}

impl std::fmt::Debug for TableUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableUrl({})", self.location)
    }
}

/// The time that one partition of a table spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
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
        if table.table == server::RUNS || table.table.starts_with("_windrow_") {
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
            None | Some("wide") => Layout::Wide,
            Some("long") => Layout::Long,
            Some(other) => return Err(wrong("layout", other, "wide or long")),
        };
        let partition = match location.option("partition") {
            None => None,
            Some("year") => Some(Span::Year),
            Some("month") => Some(Span::Month),
            Some("day") => Some(Span::Day),
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
fn connections(target: &TableUrl, workers: usize) -> usize {
    target.connections.unwrap_or(workers.clamp(2, 8))
}

/// A table that runs write to.
#[derive(Debug)]
pub(super) struct TableTarget {
    url: TableUrl,
    access: Arc<Access>,
}

impl TableTarget {
    pub(super) fn new(url: &TableUrl, access: Arc<Access>) -> Self {
        Self { url: url.clone(), access }
    }

    /// The table, to look at it.
    async fn server(&self) -> Result<Server> {
        Server::at(&self.url, "runs".to_string(), 1, self.access.limit()).await
    }
}

#[async_trait]
impl Commit for TableTarget {
    async fn open(&self, workers: usize) -> Result<Box<dyn OpenTarget>> {
        let server = Server::open(&self.url, run_name(), workers, self.access.limit()).await?;
        let held = server.latest().await?;
        Ok(Box::new(OpenTable { url: self.url.clone(), server, held, staged: None }))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        self.server().await?.latest().await
    }

    async fn history(&self) -> Result<History> {
        self.server().await?.history().await
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        self.server().await?.leftovers().await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let rows = self.server().await?.rows().await?;
        // Of the long layout each row has many.
        Ok(match self.url.layout {
            Layout::Long => rows > 0,
            // Beside the rows of a scope there are others.
            Layout::Wide if record.is_of_all() => rows == record.rows,
            Layout::Wide => rows >= record.rows,
        })
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let history = self.history().await?;
        if history.is_empty() {
            return Err(nothing(&self.url.location));
        }
        // Whoever opens a target cleans it.
        self.open(1).await?.release().await;
        Ok(history.leftovers)
    }

    fn check_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
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
    server: Server,
    held: Option<Record>,
    staged: Option<Staged>,
}

/// A table beside the target.
struct Staged {
    shape: TableShape,
    changes: TableChanges,
    table: TableName,
}

#[async_trait]
impl OpenTarget for OpenTable {
    fn run(&self) -> &str {
        &self.server.run
    }

    fn held(&self) -> Option<&Record> {
        self.held.as_ref()
    }

    async fn stage(
        &mut self,
        output: &Output,
        publish: &Publish,
        attempt: &Attempt,
    ) -> Result<Staging> {
        if let Mode::Append(_) = publish.mode {
            let what = format!("{} is a table, which compact does not write", self.url.location);
            return Err(Error::target(what));
        }
        if !output.partition_by.is_empty() {
            return Err(Error::target("partition_by makes directories, and a table has none")
                .hint(
                    "take it out of the header, or partition the table by time: &partition=month",
                ));
        }
        self.abandon().await; // Of an attempt before.
        let (shape, encoding) = TableShape::of(&self.url, output)?;
        let table = self.server.stage(attempt);
        let changes = self.server.prepare(&shape, &table).await?;
        outside::step("stage-made");
        let copier = self.server.copier(&table);
        let columns = shape.names();
        self.staged = Some(Staged { shape, changes, table });
        Ok(Staging::Table(Arc::new(TableStaging { copier, encoding, columns })))
    }

    async fn publish(
        &mut self,
        publish: &Publish,
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
        let commit = self.server.commit(staged, &publish.scope, copied, &mut record);
        match stop.or(commit).await {
            Ok(()) => {
                self.staged = None;
                self.held = Some(record.clone());
                Ok(record)
            }
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    async fn abandon(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.server.drop_stage(&staged.table).await;
        }
    }

    async fn release(self: Box<Self>) {
        self.server.release().await;
    }
}
