//! A table taken for one run: its lock, what it looks like, and the connections to it.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::lock::application_name;
use super::shape::{Column, ExistingTable, TableChanges, TableShape};
use super::{TableUrl, connections};
use crate::commit::{CommittedRun, History};
use crate::error::{Error, Result};
use crate::identity::hexadecimal;
use crate::store::{Fault, PgLocation, Record, Retry, TableName, connection};
use crate::write::{Attempt, Copier};

/// The table of records, in the schema of the target.
pub(super) const RUNS: &str = "windrow_runs";

/// Exclusive use of a table by one run. The server releases it when its connection ends, however it
/// ends.
pub(super) struct Server {
    pub(super) location: PgLocation,
    pub(super) table: TableName,
    /// The target as `schema.table`, the same however it was named.
    pub(super) name: String,
    pub(super) pool: Pool,
    pub(super) retry: Arc<Retry>,
    /// The connection that holds the lock.
    pub(super) control: Mutex<Option<Object>>,
    pub(super) run: String,
    /// The key of its lock.
    pub(super) key: i64,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.location)
    }
}

/// What the name of a table beside a target begins with.
fn prefix(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    format!("_windrow_{}_", hexadecimal(&hash[..6]))
}

/// What follows: the letters and digits of the run's name.
fn suffix(run: &str) -> String {
    run.chars().filter(char::is_ascii_alphanumeric).collect()
}

impl Server {
    /// Takes the table of a target, drops what runs that were killed left beside it, and refuses a
    /// table with rows that windrow did not write.
    pub(super) async fn open(
        target: &TableUrl,
        run: String,
        workers: usize,
        limit: Option<Duration>,
    ) -> Result<Self> {
        // One more than those that copy: it holds the lock.
        let server = Self::at(target, run, connections(target, workers) + 1, limit).await?;
        let retry = Arc::clone(&server.retry);
        retry.call("taking the table", || server.take()).await?;
        retry.call("cleaning up", || server.clean()).await?;
        retry.call("looking at the table", || server.check_owner()).await?;
        Ok(server)
    }

    /// A table that nobody takes: to look at it.
    pub(super) async fn at(
        target: &TableUrl,
        run: String,
        most: usize,
        limit: Option<Duration>,
    ) -> Result<Self> {
        let location = target.location.clone();
        let pool = location.pool(&application_name(&run), most)?;
        let mut server = Self {
            name: String::new(),
            table: target.table.clone(),
            pool,
            retry: Arc::new(Retry::new(location.server(), limit)),
            control: Mutex::new(None),
            run,
            key: 0,
            location,
        };
        server.name = server.full_name().await?;
        let hash = Sha256::digest(server.name.as_bytes());
        server.key = i64::from_be_bytes(std::array::from_fn(|i| hash[i]));
        Ok(server)
    }

    /// The table where one attempt writes aside.
    pub(super) fn stage(&self, attempt: &Attempt) -> TableName {
        let (run, unit, number) = (suffix(&attempt.run), attempt.unit, attempt.number);
        self.table.beside(format!("{}{run}_{unit}_{number}", prefix(&self.name)))
    }

    /// The runs of the table, oldest first, and the tables that runs that died left beside it.
    pub(super) async fn history(&self) -> Result<History> {
        self.retry.call("asking for the runs", || self.seen()).await
    }

    /// The record of the last run of the table.
    pub(super) async fn latest(&self) -> Result<Option<Record>> {
        let text = self.retry.call("asking for the last run", || self.last()).await?;
        let broken = |error: serde_json::Error| {
            Error::target(format!("{}: the record of the last run: {error}", self.location))
                .hint("delete it from windrow_runs and run again")
        };
        text.map(|text| serde_json::from_str(&text).map_err(broken)).transpose()
    }

    /// The rows of the table.
    pub(super) async fn rows(&self) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", self.table);
        let call = || async {
            let client = self.connection().await?;
            let row = client.query_one(&sql, &[]).await.map_err(self.fault("counting the rows"))?;
            Ok::<i64, Fault>(row.get(0))
        };
        let rows = self.retry.call("counting the rows", call).await?;
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    async fn last(&self) -> Result<Option<String>, Fault> {
        let client = self.connection().await?;
        let fault = self.fault("asking for the last run");
        let (records, table) = (self.table.beside(RUNS), &self.table);
        for needed in [&records, table] {
            if !self.exists(&client, needed).await.map_err(&fault)? {
                return Ok(None);
            }
        }
        let sql = format!(
            "SELECT record::text FROM {records} WHERE target = $1 ORDER BY committed DESC LIMIT 1"
        );
        let row = client.query_opt(&sql, &[&self.name]).await.map_err(&fault)?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn seen(&self) -> Result<History, Fault> {
        let client = self.connection().await?;
        let fault = self.fault("asking for the runs");
        let records = self.table.beside(RUNS);
        let mut runs = Vec::new();
        if self.exists(&client, &records).await.map_err(&fault)? {
            let sql = format!(
                "SELECT run, to_char(committed AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
                 set, rows, first, last, seconds, version FROM {records} WHERE target = $1 ORDER BY committed"
            );
            let time = |row: &tokio_postgres::Row, column: usize| {
                row.get::<_, Option<&str>>(column).and_then(|text| text.parse().ok())
            };
            let run = |row: &tokio_postgres::Row| CommittedRun {
                run: row.get(0),
                committed: row.get(1),
                set: row.get(2),
                rows: u64::try_from(row.get::<_, i64>(3)).unwrap_or_default(),
                first: time(row, 4),
                last: time(row, 5),
                seconds: row.get(6),
                version: row.get(7),
            };
            let rows = client.query(&sql, &[&self.name]).await.map_err(&fault)?;
            runs = rows.iter().map(run).collect();
        }
        Ok(History { runs, leftovers: self.left(&client).await? })
    }

    /// The tables that runs which died left beside it.
    pub(super) async fn leftovers(&self) -> Result<Vec<String>> {
        let call = || async { self.left(&self.connection().await?).await };
        self.retry.call("asking for tables of runs that died", call).await
    }

    async fn left(&self, client: &Object) -> Result<Vec<String>, Fault> {
        let fault = self.fault("asking for tables of runs that died");
        let holder = self.holder(client).await.map_err(&fault)?;
        let at_work = holder.and_then(|holder| holder.run).map(|run| suffix(&run));
        let stages = self.stages(client).await.map_err(&fault)?;
        let dead =
            |stage: &String| at_work.as_ref().is_none_or(|run| !stage.contains(run.as_str()));
        Ok(stages.into_iter().filter(dead).collect())
    }

    async fn exists(
        &self,
        client: &Object,
        table: &TableName,
    ) -> Result<bool, tokio_postgres::Error> {
        let sql = "SELECT to_regclass($1) IS NOT NULL";
        Ok(client.query_one(sql, &[&table.to_string()]).await?.get(0))
    }

    /// The tables beside the target.
    async fn stages(&self, client: &Object) -> Result<Vec<String>, tokio_postgres::Error> {
        let (schema, _) = self.name.split_once('.').unwrap_or(("public", ""));
        let sql = "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
                   WHERE nspname = $1 AND starts_with(relname::text, $2) AND relkind = 'r'";
        let rows = client.query(sql, &[&schema, &prefix(&self.name)]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// What an error of this server means.
    pub(super) fn fault(&self, what: &str) -> impl Fn(tokio_postgres::Error) -> Fault {
        let (location, what) = (self.location.clone(), what.to_string());
        move |error| location.fault(&what, &error)
    }

    /// A connection of the pool.
    pub(super) async fn connection(&self) -> Result<Object, Fault> {
        connection(&self.pool, &self.location).await
    }

    /// The table's name as the server knows it: the search path decides where none is given.
    async fn full_name(&self) -> Result<String> {
        let table = &self.table;
        let call = || async {
            let client = self.connection().await?;
            let fault = self.fault("looking for the schema");
            let schema = match &table.schema {
                Some(schema) => {
                    let sql = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
                    client.query_opt(sql, &[schema]).await.map_err(&fault)?.map(|_| schema.clone())
                }
                None => {
                    let sql = "SELECT current_schema()::text";
                    client.query_one(sql, &[]).await.map_err(&fault)?.get(0)
                }
            };
            schema.ok_or_else(|| {
                let named = table.schema.as_deref().unwrap_or("public");
                let error = Error::target(format!("{}: there is no schema {named}", self.location));
                Fault::from(
                    error.hint(format!("create it: CREATE SCHEMA {}", crate::store::quoted(named))),
                )
            })
        };
        let schema = self.retry.call("connecting", call).await?;
        Ok(format!("{schema}.{}", table.table))
    }

    /// Drops the tables of runs that died: nobody else has one here, for this run has the lock.
    async fn clean(&self) -> Result<(), Fault> {
        let client = self.connection().await?;
        let fault = self.fault("dropping what a dead run left");
        for stage in self.stages(&client).await.map_err(&fault)? {
            let table = self.table.beside(stage);
            client.batch_execute(&format!("DROP TABLE IF EXISTS {table}")).await.map_err(&fault)?;
            tracing::info!("dropped {table}, which a run that died left");
        }
        Ok(())
    }

    /// Refuses a table that holds rows and that no run wrote.
    async fn check_owner(&self) -> Result<(), Fault> {
        let client = self.connection().await?;
        let fault = self.fault("looking at the table");
        if self.held_by(&client).await.map_err(&fault)?.is_none() {
            return Ok(());
        }
        let runs = self.table.beside(RUNS);
        if self.exists(&client, &runs).await.map_err(&fault)? {
            let sql = format!("SELECT 1 FROM {runs} WHERE target = $1 LIMIT 1");
            if client.query_opt(&sql, &[&self.name]).await.map_err(&fault)?.is_some() {
                return Ok(());
            }
        }
        let sql = format!("SELECT 1 FROM {} LIMIT 1", self.table);
        match client.query_opt(&sql, &[]).await.map_err(&fault)? {
            None => Ok(()),
            Some(_) => Err(Fault::from(
                Error::target(format!(
                    "{} holds rows that windrow did not write, which a run would replace",
                    self.location
                ))
                .hint("name a new table, or an empty one"),
            )),
        }
    }

    /// What the table looks like; None if there is none.
    async fn held_by(
        &self,
        client: &Object,
    ) -> Result<Option<ExistingTable>, tokio_postgres::Error> {
        let table = self.table.to_string();
        let sql = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)";
        let Some(row) = client.query_opt(sql, &[&table]).await? else { return Ok(None) };
        let partitioned = row.get::<_, String>(0) == "p";
        let sql = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
                   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let columns = client.query(sql, &[&table]).await?;
        let column = |row: &tokio_postgres::Row| Column { name: row.get(0), ty: row.get(1) };
        Ok(Some(ExistingTable { columns: columns.iter().map(column).collect(), partitioned }))
    }

    /// Makes the table beside, and says what it takes to bring the target into shape.
    pub(super) async fn prepare(
        &self,
        shape: &TableShape,
        stage: &TableName,
    ) -> Result<TableChanges> {
        let call = || async {
            self.take().await?; // The lock, if it went with its connection.
            let client = self.connection().await?;
            let fault = self.fault("preparing the table");
            let held = self.held_by(&client).await.map_err(&fault)?;
            let changes = shape.changes(held.as_ref())?;
            let sql =
                format!("DROP TABLE IF EXISTS {stage}; {}", shape.create_stage(stage, &changes));
            client.batch_execute(&sql).await.map_err(&fault)?;
            let runs = self.table.beside(RUNS);
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {runs} (run text PRIMARY KEY, target text NOT NULL, \
                 set text NOT NULL, committed timestamptz NOT NULL, rows bigint NOT NULL, \
                 first text, last text, seconds double precision NOT NULL, version text NOT NULL, \
                 record jsonb NOT NULL)"
            );
            if let Err(error) = client.batch_execute(&sql).await {
                // Two runs that make it at once: the other has made it.
                let made = error.code().is_some_and(|code| code.code() == "23505");
                if !made {
                    return Err(fault(error));
                }
            }
            Ok(changes)
        };
        self.retry.call("preparing the table", call).await
    }

    /// What copies rows into the table beside.
    pub(super) fn copier(&self, stage: &TableName) -> Copier {
        Copier {
            pool: self.pool.clone(),
            location: self.location.clone(),
            retry: Arc::clone(&self.retry),
            stage: stage.clone(),
        }
    }

    /// Lets go of the table, so that the next run need not wait until the server sees that this one is
    /// gone.
    pub(super) async fn release(&self) {
        let work = async {
            let control = self.control.lock().await;
            let client = control.as_ref()?;
            client.execute("SELECT pg_advisory_unlock($1)", &[&self.key]).await.ok()
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), work).await;
    }

    /// Drops the table beside, if the server can be asked; else the next run does it.
    pub(super) async fn drop_stage(&self, stage: &TableName) {
        let work = async {
            // Whoever was interrupted may wait for a lock at the server.
            let token = self.control.try_lock().ok()?.as_ref().map(|client| client.cancel_token());
            if let Some(token) = token {
                self.location.cancel(token).await;
            }
            let client = self.connection().await.ok()?;
            // A COPY that was cut off holds the table for a moment.
            let sql = format!(
                "SET lock_timeout = '1s'; DROP TABLE IF EXISTS {stage}; RESET lock_timeout"
            );
            client.batch_execute(&sql).await.ok()
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), work).await;
    }
}
