//! Entries as rows of one table of a PostgreSQL database.
//!
//! Entries of one call are written by one statement, sorted by key, so that two writers of the same entries do not
//! wait for each other in a circle; entries that somebody writes are passed over where old ones are removed. All
//! times are those of the server's clock.

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_postgres::{Object, Pool};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::key::CacheKey;
use super::tier::{DurableTier, StoredEntry, temporary_name};
use crate::error::{Error, Result};
use crate::limits::CACHE_CONNECTIONS;
use crate::store::{PgLocation, acquire_connection};

/// The key of the advisory lock under which the table is created: `windrowc`.
const CREATION_LOCK: i64 = 0x7769_6e64_726f_7763;

/// Values are compressed already.
const TABLE: &str = r#"
CREATE SCHEMA IF NOT EXISTS windrow_cache;
CREATE TABLE windrow_cache.entries (
    key text COLLATE "C" PRIMARY KEY, written timestamptz NOT NULL, bytes bigint NOT NULL, value bytea NOT NULL
);
ALTER TABLE windrow_cache.entries ALTER COLUMN value SET STORAGE EXTERNAL;
"#;

const READ: &str = "SELECT value FROM windrow_cache.entries WHERE key = $1";

const WRITE: &str = "INSERT INTO windrow_cache.entries AS e (key, written, bytes, value) \
    SELECT n.key, clock_timestamp(), octet_length(n.value), n.value \
    FROM unnest($1::text[], $2::bytea[]) AS n (key, value) \
    ON CONFLICT (key) DO UPDATE SET written = excluded.written, bytes = excluded.bytes, value = excluded.value";

/// Keys are hexadecimal: `g` is behind each digit.
const LIST: &str = "SELECT key, (extract(epoch FROM written) * 1e6)::bigint, bytes FROM windrow_cache.entries \
    WHERE key >= $1 AND key < $1 || 'g'";

const REMOVE_UNCHANGED: &str = "DELETE FROM windrow_cache.entries AS e USING ( \
    SELECT e.key FROM windrow_cache.entries AS e JOIN unnest($1::text[], $2::bigint[]) AS n (key, written) \
    ON e.key = n.key AND (extract(epoch FROM e.written) * 1e6)::bigint = n.written \
    ORDER BY e.key FOR UPDATE OF e SKIP LOCKED) AS old WHERE e.key = old.key";

const REMOVE_DAMAGED: &str = "DELETE FROM windrow_cache.entries WHERE key = $1 AND value = $2";

/// Entries in a table.
pub(super) struct CacheTable {
    location: PgLocation,
    pool: Pool,
}

impl CacheTable {
    /// Opens the cache in a database; its table is created if it does not exist.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let location = PgLocation::parse_database(url)?;
        let pool = location.create_pool("windrow cache", CACHE_CONNECTIONS)?;
        let cache = Self { location, pool };
        let mut connection = cache.connect().await?;
        create_table(&mut connection).await.map_err(|error| cache.table_error(&error))?;
        Ok(cache)
    }

    async fn connect(&self) -> Result<Object> {
        acquire_connection(&self.pool, &self.location).await.map_err(|failed| {
            if failed.transient { failed.error.as_transient() } else { failed.error }
        })
    }

    async fn query_rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let rows = self.connect().await?.query(sql, params).await;
        rows.map_err(|error| self.table_error(&error))
    }

    async fn run_statement(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<()> {
        let done = self.connect().await?.execute(sql, params).await;
        done.map(|_| ()).map_err(|error| self.table_error(&error))
    }

    fn table_error(&self, error: &tokio_postgres::Error) -> Error {
        let failed = self.location.to_call_error("cannot use the cache", error);
        let full = error.code().is_some_and(|code| code.code() == "53100");
        match failed.error {
            error if full => error.as_disk_full(),
            error if failed.transient => error.as_transient(),
            error => error,
        }
    }
}

/// Creates the table unless it exists. Several processes may do so at the same time.
async fn create_table(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&CREATION_LOCK]).await?;
    let known = "SELECT to_regclass('windrow_cache.entries') IS NOT NULL";
    let known: bool = transaction.query_one(known, &[]).await?.try_get(0)?;
    if !known {
        transaction.batch_execute(TABLE).await?;
    }
    transaction.commit().await
}

/// Writes a row and reads it in a transaction that is rolled back.
async fn probe_table(client: &mut Client) -> Result<bool, tokio_postgres::Error> {
    let (name, text) = (temporary_name(), b"windrow".as_slice());
    let transaction = client.transaction().await?;
    transaction.execute(WRITE, &[&vec![&name], &vec![text]]).await?;
    let read = transaction.query_one(READ, &[&name]).await?;
    let same = read.try_get::<_, &[u8]>(0)? == text;
    transaction.rollback().await?;
    Ok(same)
}

#[async_trait]
impl DurableTier for CacheTable {
    fn place(&self) -> String {
        self.location.to_string()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn read(&self, key: &CacheKey) -> Result<Option<Bytes>> {
        let rows = self.query_rows(READ, &[&key.digits()]).await?;
        let value = rows.first().map(|row| row.try_get::<_, Vec<u8>>(0)).transpose();
        Ok(value.map_err(|error| self.table_error(&error))?.map(Bytes::from))
    }

    async fn write(&self, entries: Vec<(CacheKey, Bytes)>) -> Result<()> {
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.digits()).collect();
        let values: Vec<&[u8]> = entries.iter().map(|(_, bytes)| bytes.as_ref()).collect();
        self.run_statement(WRITE, &[&keys, &values]).await
    }

    async fn list_shelf(&self, shelf: String) -> Result<Vec<StoredEntry>> {
        let mut found = Vec::new();
        for row in self.query_rows(LIST, &[&shelf]).await? {
            let read = || -> Result<(String, i64, i64), tokio_postgres::Error> {
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            };
            let (key, written, bytes) = read().map_err(|error| self.table_error(&error))?;
            if let Some(key) = CacheKey::from_digits(&key) {
                found.push(StoredEntry { written, key, bytes: bytes.max(0).unsigned_abs() });
            }
        }
        Ok(found)
    }

    async fn remove_unchanged(&self, entries: Vec<StoredEntry>) -> Result<()> {
        let keys: Vec<&str> = entries.iter().map(|entry| entry.key.digits()).collect();
        let written: Vec<i64> = entries.iter().map(|entry| entry.written).collect();
        self.run_statement(REMOVE_UNCHANGED, &[&keys, &written]).await
    }

    async fn remove_damaged(&self, key: &CacheKey, bytes: Bytes) -> Result<()> {
        self.run_statement(REMOVE_DAMAGED, &[&key.digits(), &bytes.as_ref()]).await
    }

    async fn probe(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        let same = probe_table(&mut connection).await.map_err(|error| self.table_error(&error))?;
        match same {
            true => Ok(()),
            false => Err(Error::target(format!(
                "the cache {} does not return what was written",
                self.location
            ))),
        }
    }
}
