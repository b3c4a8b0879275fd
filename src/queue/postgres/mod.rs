//! The driver for PostgreSQL: any number of processes share one queue.
//!
//! Each transaction that writes takes one advisory lock first, so that operations follow each other as in SQLite: no
//! two workers see the same job, no deadlock is possible, and changes become visible in the order of their numbers.
//! The lock is held for the statements of one operation, some milliseconds. The server ends a session that stops in
//! the middle of one after [`STOPPED_WRITER`]; what it did is rolled back. All times are those of the server's clock.

mod rows;
mod schema;
mod transaction;

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool};
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::batch::wait_reason;
use super::driver::QueueDriver;
use super::model::{GroupRow, JobFilter, JobName, JobRow, JobState, Priority, QueueDepth};
use super::transaction::QueueTransaction;
use super::{JobStatus, QueueBounds, QueueClock, QueueReads};
use crate::error::{Error, Result};
use crate::limits::{
    AHEAD_COUNTED, CHANGES_READ, QUEUE_CONNECTIONS, STOPPED_WRITER, WRITER_PATIENCE,
};
use crate::store::{PgLocation, acquire_connection};
use rows::{GROUP, JOB, read_group, read_job};
use transaction::PgTransaction;

/// The statement that reads the measured rate.
const RATE: &str = "SELECT value FROM windrow_queue.numbers WHERE name = 'rate'";

/// A queue in a PostgreSQL database.
pub struct PgQueue {
    location: PgLocation,
    pool: Pool,
    bounds: QueueBounds,
    clock: QueueClock,
    arrived: watch::Sender<u64>,
}

impl PgQueue {
    /// Opens the queue in a database; its tables are created if they do not exist.
    ///
    /// # Errors
    /// If the server cannot be reached, if the user may not create a schema, or if the tables have another version.
    pub async fn open(url: &str, bounds: QueueBounds, clock: QueueClock) -> Result<Self> {
        let location = PgLocation::parse_database(url)?;
        let pool = location.create_pool("windrow queue", QUEUE_CONNECTIONS)?;
        let queue = Self { location, pool, bounds, clock, arrived: watch::Sender::new(0) };
        let mut connection = queue.connect().await?;
        let known = schema::prepare_tables(&mut connection)
            .await
            .map_err(|error| store_error(&queue.location, &error))?;
        if known.format < schema::FORMAT {
            return Err(Error::usage(format!(
                "the schema windrow_queue at {} is none of a queue",
                queue.location.server()
            ))
            .hint("use another database"));
        }
        queue.check_format(known.least)?;
        Ok(queue)
    }

    async fn connect(&self) -> Result<Object> {
        acquire_connection(&self.pool, &self.location).await.map_err(|failed| {
            if failed.transient { failed.error.as_transient() } else { failed.error }
        })
    }

    /// Refuses to write a queue that a newer windrow upgraded so that this one does not know its tables.
    fn check_format(&self, least: i64) -> Result<()> {
        if least <= schema::FORMAT {
            return Ok(());
        }
        Err(Error::usage(format!(
            "the queue at {} was upgraded for format {least}, and this program writes format {}",
            self.location.server(),
            schema::FORMAT
        ))
        .hint("start the windrow that upgraded it in place of this one, or use another database"))
    }

    async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let connection = self.connect().await?;
        let rows = connection.query(sql, params).await;
        rows.map_err(|error| store_error(&self.location, &error))
    }

    async fn query_jobs(
        &self,
        condition: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<JobRow>> {
        let rows = self.query(&format!("SELECT {JOB} WHERE {condition}"), params).await?;
        rows.iter().map(read_job).collect()
    }
}

/// Returns the time of the queue's clock, in microseconds since 1970.
async fn read_now<C: GenericClient>(
    clock: &QueueClock,
    client: &C,
) -> std::result::Result<i64, tokio_postgres::Error> {
    if let QueueClock::Stepped(_) = clock {
        return Ok(clock.now());
    }
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint";
    Ok(client.query_one(now, &[]).await?.get(0))
}

/// Returns the error of a queue that cannot be read or written.
fn store_error(location: &PgLocation, error: &tokio_postgres::Error) -> Error {
    let failed = location.to_call_error("cannot use the queue", error);
    let full = error.code().is_some_and(|code| code.code() == "53100");
    match failed.error {
        error if full => error.as_disk_full(),
        error if failed.transient => error.as_transient(),
        error => error,
    }
}

impl QueueDriver for PgQueue {
    fn bounds(&self) -> &QueueBounds {
        &self.bounds
    }

    fn clock(&self) -> &QueueClock {
        &self.clock
    }

    fn arrived(&self) -> &watch::Sender<u64> {
        &self.arrived
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl for<'a> FnOnce(&'a mut dyn QueueTransaction) -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T> {
        let fail = |error: tokio_postgres::Error| store_error(&self.location, &error);
        let mut connection = self.connect().await?;
        let transaction = connection.transaction().await.map_err(fail)?;
        let (stopped, patience) = (STOPPED_WRITER.as_millis(), WRITER_PATIENCE.as_millis());
        let begin = format!(
            "SET LOCAL idle_in_transaction_session_timeout = {stopped}; SET LOCAL lock_timeout = {patience}; \
             SELECT pg_advisory_xact_lock({})",
            schema::QUEUE_LOCK
        );
        transaction.batch_execute(&begin).await.map_err(fail)?;
        let change = "SELECT nextval('windrow_queue.changes'), coalesce((SELECT value::bigint \
            FROM windrow_queue.numbers WHERE name = 'least_format'), 1)";
        let change = transaction.query_one(change, &[]).await.map_err(fail)?;
        self.check_format(change.get(1))?;
        let change = change.get(0);
        let (location, clock) = (&self.location, &self.clock);
        let mut own = PgTransaction { transaction: &transaction, location, clock, change };
        let result = operation(&mut own).await?;
        transaction.commit().await.map_err(fail)?;
        Ok(result)
    }
}

#[async_trait]
impl QueueReads for PgQueue {
    fn connections(&self) -> Option<(usize, usize)> {
        let status = self.pool.status();
        Some((status.size.saturating_sub(status.available), status.size))
    }

    async fn job(&self, name: &JobName) -> Result<Option<JobStatus>> {
        let number = i64::from(name.number);
        let jobs =
            self.query_jobs("g.name = $1 AND j.number = $2", &[&name.group, &number]).await?;
        let Some(job) = jobs.into_iter().next() else { return Ok(None) };
        let connection = self.connect().await?;
        let now = read_now(&self.clock, &**connection)
            .await
            .map_err(|error| store_error(&self.location, &error))?;
        drop(connection);
        let sql = "SELECT count(*) FROM (SELECT 1 FROM windrow_queue.jobs WHERE state = 'queued' \
            AND due <= $3 AND (rank, id) < ($1, $2) LIMIT $4) AS ahead";
        let most = AHEAD_COUNTED as i64;
        let ahead = self.query(sql, &[&job.rank, &job.id, &now, &most]).await?;
        let ahead = ahead.first().map_or(0, |row| row.get::<_, i64>(0)).unsigned_abs();
        Ok(Some(JobStatus { waits: wait_reason(&job, now, ahead), job }))
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRow>> {
        let state = filter.state.map(JobState::name);
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let condition = "($1::text IS NULL OR j.state = $1) AND ($2::text IS NULL OR j.set_name = $2) \
            AND ($3::text IS NULL OR j.symbol = $3) AND ($4::bigint IS NULL OR j.id < $4) \
            ORDER BY j.id DESC LIMIT $5";
        self.query_jobs(condition, &[&state, &filter.set, &filter.symbol, &filter.before, &limit])
            .await
    }

    async fn group(&self, name: &str) -> Result<Option<GroupRow>> {
        let rows = self.query(&format!("SELECT {GROUP} WHERE name = $1"), &[&name]).await?;
        rows.first().map(read_group).transpose()
    }

    async fn group_jobs(&self, group: &GroupRow) -> Result<Vec<JobRow>> {
        self.query_jobs("j.group_id = $1 ORDER BY j.number", &[&group.id]).await
    }

    async fn changes(&self, group: &GroupRow, after: i64) -> Result<Vec<JobRow>> {
        // All jobs of one change come together, so that a reader goes on behind a whole change.
        let condition = "j.group_id = $1 AND j.change > $2 AND j.change <= (SELECT max(change) FROM \
            (SELECT change FROM windrow_queue.jobs WHERE group_id = $1 AND change > $2 \
            ORDER BY change LIMIT $3) AS next) ORDER BY j.change, j.number";
        self.query_jobs(condition, &[&group.id, &after, &(CHANGES_READ as i64)]).await
    }

    async fn depth(&self) -> Result<QueueDepth> {
        let sql =
            "SELECT state, priority, jobs, least(cost, 9e18)::bigint FROM windrow_queue.counts";
        let mut depth = QueueDepth::default();
        for row in self.query(sql, &[]).await? {
            let jobs = row.get::<_, i64>(2).max(0).unsigned_abs();
            let priority =
                Priority::ALL.into_iter().find(|one| one.name() == row.get::<_, &str>(1));
            match (JobState::from_name(row.get(0)), priority) {
                (Some(JobState::Queued), Some(priority)) => {
                    let cost = row.get::<_, i64>(3).max(0).unsigned_abs();
                    depth.queued.insert(priority, (jobs, cost));
                }
                (Some(JobState::Running), _) => depth.running += jobs,
                (Some(JobState::Dead), _) => depth.dead += jobs,
                _ => {}
            }
        }
        Ok(depth)
    }

    async fn rate(&self) -> Result<Option<f64>> {
        Ok(self.query(RATE, &[]).await?.first().map(|row| row.get(0)))
    }
}
