//! A session with the server of a table: the lock, the present columns, and the connections of one run.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::application_name::application_name;
use super::shape::{ExistingTable, TableChanges, TableColumn, TableShape};
use super::{TableUrl, connection_count};
use crate::commit::{CommittedRun, RunHistory};
use crate::error::{Error, Result};
use crate::identity::encode_hex;
use crate::store::{CallError, PgLocation, Record, Retry, TableName, acquire_connection};
use crate::write::{Attempt, Copier};

/// The table of records, in the schema of the target.
pub(super) const RUNS: &str = "windrow_runs";

/// Exclusive use of a table by one run, once the session has taken the lock. The server releases it
/// when the connection ends, however it ends.
pub(super) struct TableSession {
    pub(super) location: PgLocation,
    pub(super) table: TableName,
    /// The target as `schema.table`, independent of how the URL names it.
    pub(super) name: String,
    pub(super) pool: Pool,
    pub(super) retry: Arc<Retry>,
    /// The connection that holds the lock.
    pub(super) control: Mutex<Option<Object>>,
    pub(super) run: String,
    /// The key of the advisory lock.
    pub(super) key: i64,
}

impl std::fmt::Debug for TableSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.location)
    }
}

/// Returns the prefix of the names of a target's staging tables.
fn stage_prefix(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    format!("_windrow_{}_", encode_hex(&hash[..6]))
}

/// Returns the part of the name after the prefix: the letters and digits of the run's name.
fn run_suffix(run: &str) -> String {
    run.chars().filter(char::is_ascii_alphanumeric).collect()
}

impl TableSession {
    /// Takes the table of a target, drops the staging tables of killed runs, and refuses a table with
    /// rows that windrow did not write.
    pub(super) async fn open_locked(
        target: &TableUrl,
        run: String,
        workers: usize,
        limit: Option<Duration>,
    ) -> Result<Self> {
        // One connection more than those that copy: it holds the lock.
        let server =
            Self::open_unlocked(target, run, connection_count(target, workers) + 1, limit).await?;
        let retry = Arc::clone(&server.retry);
        retry.call_with_retries("taking the table", || server.acquire_lock()).await?;
        retry.call_with_retries("cleaning up", || server.drop_stale_tables()).await?;
        retry.call_with_retries("looking at the table", || server.check_owner()).await?;
        Ok(server)
    }

    /// Opens a table for reading only, without its lock.
    pub(super) async fn open_unlocked(
        target: &TableUrl,
        run: String,
        most: usize,
        limit: Option<Duration>,
    ) -> Result<Self> {
        let location = target.location.clone();
        let pool = location.create_pool(&application_name(&run), most)?;
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

    /// Returns the staging table of one attempt.
    pub(super) fn staging_table(&self, attempt: &Attempt) -> TableName {
        let (run, unit, number) = (run_suffix(&attempt.run), attempt.unit, attempt.number);
        self.table.sibling_table(format!("{}{run}_{unit}_{number}", stage_prefix(&self.name)))
    }

    /// Fetches the runs of the table, oldest first, and the staging tables of dead runs.
    pub(super) async fn fetch_history(&self) -> Result<RunHistory> {
        self.retry.call_with_retries("asking for the runs", || self.query_history()).await
    }

    /// Fetches the record of the last run of the table.
    pub(super) async fn fetch_last_record(&self) -> Result<Option<Record>> {
        let text = self
            .retry
            .call_with_retries("asking for the last run", || self.query_last_record())
            .await?;
        let broken = |error: serde_json::Error| {
            Error::target(format!("{}: the record of the last run: {error}", self.location))
                .hint("delete it from windrow_runs and run again")
        };
        text.map(|text| serde_json::from_str(&text).map_err(broken)).transpose()
    }

    /// Counts the rows of the table.
    pub(super) async fn count_rows(&self) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", self.table);
        let call = || async {
            let client = self.get_connection().await?;
            let row = client
                .query_one(&sql, &[])
                .await
                .map_err(self.fault_during("counting the rows"))?;
            Ok::<i64, CallError>(row.get(0))
        };
        let rows = self.retry.call_with_retries("counting the rows", call).await?;
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    async fn query_last_record(&self) -> Result<Option<String>, CallError> {
        let client = self.get_connection().await?;
        let fault = self.fault_during("asking for the last run");
        let (records, table) = (self.table.sibling_table(RUNS), &self.table);
        for needed in [&records, table] {
            if !self.table_exists(&client, needed).await.map_err(&fault)? {
                return Ok(None);
            }
        }
        let sql = format!(
            "SELECT record::text FROM {records} WHERE target = $1 ORDER BY committed DESC LIMIT 1"
        );
        let row = client.query_opt(&sql, &[&self.name]).await.map_err(&fault)?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn query_history(&self) -> Result<RunHistory, CallError> {
        let client = self.get_connection().await?;
        let fault = self.fault_during("asking for the runs");
        let records = self.table.sibling_table(RUNS);
        let mut runs = Vec::new();
        if self.table_exists(&client, &records).await.map_err(&fault)? {
            let sql = format!(
                "SELECT run, to_char(committed AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
                 set, rows, first, last, seconds, version, (record -> 'jobs')::text, \
                 (record -> 'audits')::text, \
                 (SELECT count(*) FROM jsonb_object_keys(record -> 'watermarks')) FROM {records} WHERE target = $1 ORDER BY committed"
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
                symbols: u64::try_from(row.get::<_, i64>(10)).unwrap_or_default(),
                audits: read_json(row, 9),
                jobs: read_json(row, 8),
            };
            let rows = client.query(&sql, &[&self.name]).await.map_err(&fault)?;
            runs = rows.iter().map(run).collect();
        }
        Ok(RunHistory { runs, leftovers: self.query_leftover_tables(&client).await? })
    }

    /// Lists the staging tables of dead runs.
    pub(super) async fn fetch_leftover_tables(&self) -> Result<Vec<String>> {
        let call = || async { self.query_leftover_tables(&self.get_connection().await?).await };
        self.retry.call_with_retries("asking for tables of runs that died", call).await
    }

    async fn query_leftover_tables(&self, client: &Object) -> Result<Vec<String>, CallError> {
        let fault = self.fault_during("asking for tables of runs that died");
        let holder = self.query_lock_holder(client).await.map_err(&fault)?;
        let at_work = holder.and_then(|holder| holder.run).map(|run| run_suffix(&run));
        let stages = self.query_staging_tables(client).await.map_err(&fault)?;
        let dead =
            |stage: &String| at_work.as_ref().is_none_or(|run| !stage.contains(run.as_str()));
        Ok(stages.into_iter().filter(dead).collect())
    }

    async fn table_exists(
        &self,
        client: &Object,
        table: &TableName,
    ) -> Result<bool, tokio_postgres::Error> {
        let sql = "SELECT to_regclass($1) IS NOT NULL";
        Ok(client.query_one(sql, &[&table.to_string()]).await?.get(0))
    }

    /// Lists all staging tables of the target.
    async fn query_staging_tables(
        &self,
        client: &Object,
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        let (schema, _) = self.name.split_once('.').unwrap_or(("public", ""));
        let sql = "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
                   WHERE nspname = $1 AND starts_with(relname::text, $2) AND relkind = 'r'";
        let rows = client.query(sql, &[&schema, &stage_prefix(&self.name)]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Returns a function that explains an error of this server during the action `what`.
    pub(super) fn fault_during(&self, what: &str) -> impl Fn(tokio_postgres::Error) -> CallError {
        let (location, what) = (self.location.clone(), what.to_string());
        move |error| location.to_call_error(&what, &error)
    }

    /// Takes a connection from the pool.
    pub(super) async fn get_connection(&self) -> Result<Object, CallError> {
        acquire_connection(&self.pool, &self.location).await
    }

    /// Returns the table's name as the server knows it. The search path decides the schema if the URL
    /// names none.
    async fn full_name(&self) -> Result<String> {
        let table = &self.table;
        let call = || async {
            let client = self.get_connection().await?;
            let fault = self.fault_during("looking for the schema");
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
                CallError::from(
                    error.hint(format!(
                        "create it: CREATE SCHEMA {}",
                        crate::store::quote_ident(named)
                    )),
                )
            })
        };
        let schema = self.retry.call_with_retries("connecting", call).await?;
        Ok(format!("{schema}.{}", table.table))
    }

    /// Drops the staging tables of dead runs. No live run has one: this run holds the lock.
    async fn drop_stale_tables(&self) -> Result<(), CallError> {
        let client = self.get_connection().await?;
        let fault = self.fault_during("dropping what a dead run left");
        for stage in self.query_staging_tables(&client).await.map_err(&fault)? {
            let table = self.table.sibling_table(stage);
            client.batch_execute(&format!("DROP TABLE IF EXISTS {table}")).await.map_err(&fault)?;
            tracing::info!("dropped {table}, which a run that died left");
        }
        Ok(())
    }

    /// Refuses a table that holds rows and that no run wrote.
    async fn check_owner(&self) -> Result<(), CallError> {
        let client = self.get_connection().await?;
        let fault = self.fault_during("looking at the table");
        if self.query_existing_table(&client).await.map_err(&fault)?.is_none() {
            return Ok(());
        }
        let runs = self.table.sibling_table(RUNS);
        if self.table_exists(&client, &runs).await.map_err(&fault)? {
            let sql = format!("SELECT 1 FROM {runs} WHERE target = $1 LIMIT 1");
            if client.query_opt(&sql, &[&self.name]).await.map_err(&fault)?.is_some() {
                return Ok(());
            }
        }
        let sql = format!("SELECT 1 FROM {} LIMIT 1", self.table);
        match client.query_opt(&sql, &[]).await.map_err(&fault)? {
            None => Ok(()),
            Some(_) => Err(CallError::from(
                Error::target(format!(
                    "{} holds rows that windrow did not write, which a run would replace",
                    self.location
                ))
                .hint("name a new table, or an empty one"),
            )),
        }
    }

    /// Reads the columns of the table; None if the table does not exist.
    async fn query_existing_table(
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
        let column = |row: &tokio_postgres::Row| TableColumn { name: row.get(0), ty: row.get(1) };
        Ok(Some(ExistingTable { columns: columns.iter().map(column).collect(), partitioned }))
    }

    /// Creates the staging table, and returns the changes that bring the target into shape.
    pub(super) async fn prepare_staging_table(
        &self,
        shape: &TableShape,
        stage: &TableName,
    ) -> Result<TableChanges> {
        let call = || async {
            self.acquire_lock().await?; // Again, if the lock was lost with its connection.
            let client = self.get_connection().await?;
            let fault = self.fault_during("preparing the table");
            let held = self.query_existing_table(&client).await.map_err(&fault)?;
            let changes = shape.required_changes(held.as_ref())?;
            let sql = format!(
                "DROP TABLE IF EXISTS {stage}; {}",
                shape.create_stage_sql(stage, &changes)
            );
            client.batch_execute(&sql).await.map_err(&fault)?;
            let runs = self.table.sibling_table(RUNS);
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {runs} (run text PRIMARY KEY, target text NOT NULL, \
                 set text NOT NULL, committed timestamptz NOT NULL, rows bigint NOT NULL, \
                 first text, last text, seconds double precision NOT NULL, version text NOT NULL, \
                 record jsonb NOT NULL)"
            );
            if let Err(error) = client.batch_execute(&sql).await {
                // Two runs created it at the same time: the other one won.
                let made = error.code().is_some_and(|code| code.code() == "23505");
                if !made {
                    return Err(fault(error));
                }
            }
            Ok(changes)
        };
        self.retry.call_with_retries("preparing the table", call).await
    }

    /// Returns the copier of rows into the staging table.
    pub(super) fn copier(&self, stage: &TableName) -> Copier {
        Copier {
            pool: self.pool.clone(),
            location: self.location.clone(),
            retry: Arc::clone(&self.retry),
            stage: stage.clone(),
        }
    }

    /// Releases the lock, so that the next run need not wait until the server notices that this run has
    /// ended.
    pub(super) async fn release_lock(&self) {
        let work = async {
            let control = self.control.lock().await;
            let client = control.as_ref()?;
            client.execute("SELECT pg_advisory_unlock($1)", &[&self.key]).await.ok()
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), work).await;
    }

    /// Drops the staging table if the server can be reached; otherwise the next run drops it.
    pub(super) async fn drop_stage(&self, stage: &TableName) {
        let work = async {
            // An interrupted statement may still wait for a lock at the server: cancel it.
            let token = self.control.try_lock().ok()?.as_ref().map(|client| client.cancel_token());
            if let Some(token) = token {
                self.location.cancel_request(token).await;
            }
            let client = self.get_connection().await.ok()?;
            // A COPY that was cut off holds the table for a moment.
            let sql = format!(
                "SET lock_timeout = '1s'; DROP TABLE IF EXISTS {stage}; RESET lock_timeout"
            );
            client.batch_execute(&sql).await.ok()
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), work).await;
    }
}

/// Reads a column of a record's part as JSON; a part that is absent or of another form is empty.
fn read_json<T: Default + serde::de::DeserializeOwned>(row: &tokio_postgres::Row, at: usize) -> T {
    let text = row.get::<_, Option<&str>>(at);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
