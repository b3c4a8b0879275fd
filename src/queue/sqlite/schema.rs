//! The tables of a queue in SQLite, and opening a file that holds them.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::store_error;
use crate::error::{Error, Result};

/// The number in a file that says that it is a queue of windrow.
const APPLICATION: i32 = 0x77_6e_64_71;
/// The version of the tables. A file of another version is refused, unless this program can upgrade it.
const FORMAT: i32 = 2;
/// The statements that make a file of one version one of the next: the first is that of version 1. Jobs that wait
/// stay as they are. Since version 2, inserted jobs are counted by the statement that inserts them, and the index of
/// open jobs has short keys: both halve the time of an insert.
const UPGRADES: [&str; 1] = ["
ALTER TABLE groups ADD COLUMN request_id TEXT;
CREATE TABLE measured (work TEXT PRIMARY KEY, bytes_per_cost REAL NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX measured_used ON measured (used);
DROP INDEX jobs_open;
CREATE INDEX jobs_same ON jobs (symbol || substr(work, 1, 6)) WHERE state < 2;
DROP TRIGGER jobs_inserted;
"];

/// The tables of version 1. `state` and `priority` are the places in `JobState::ALL` and `Priority::ALL`; `counts` is
/// kept by triggers.
const TABLES: &str = "
CREATE TABLE numbers (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO numbers VALUES ('token', 0);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, client TEXT NOT NULL,
    key TEXT, digest TEXT, request TEXT NOT NULL, trace TEXT, total INTEGER NOT NULL, open INTEGER NOT NULL,
    done INTEGER NOT NULL, cancelled INTEGER NOT NULL, finished INTEGER
);
CREATE UNIQUE INDEX groups_key ON groups (client, key) WHERE key IS NOT NULL;
CREATE INDEX groups_finished ON groups (finished) WHERE finished IS NOT NULL;
CREATE TABLE clients (name TEXT PRIMARY KEY, open INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, group_id INTEGER NOT NULL, number INTEGER NOT NULL, client TEXT NOT NULL,
    set_name TEXT NOT NULL, symbol TEXT NOT NULL, work TEXT NOT NULL, priority INTEGER NOT NULL,
    state INTEGER NOT NULL, rank INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL,
    deaths INTEGER NOT NULL, batch_limit INTEGER NOT NULL, token INTEGER NOT NULL, lease_until INTEGER NOT NULL,
    worker TEXT NOT NULL, progress REAL NOT NULL, cost INTEGER NOT NULL, created INTEGER NOT NULL,
    started INTEGER, finished INTEGER, cancels INTEGER NOT NULL, errors TEXT NOT NULL, change INTEGER NOT NULL
);
CREATE UNIQUE INDEX jobs_name ON jobs (group_id, number);
CREATE INDEX jobs_change ON jobs (group_id, change);
CREATE INDEX jobs_waiting ON jobs (rank, id) WHERE state = 0;
CREATE INDEX jobs_work ON jobs (work, rank, id) WHERE state = 0;
CREATE INDEX jobs_open ON jobs (work, symbol) WHERE state < 2;
CREATE INDEX jobs_running ON jobs (token) WHERE state = 1;
CREATE TABLE counts (
    state INTEGER, priority INTEGER, jobs INTEGER NOT NULL, cost INTEGER NOT NULL, PRIMARY KEY (state, priority)
) WITHOUT ROWID;
WITH RECURSIVE states (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM states WHERE n < 5)
INSERT INTO counts SELECT a.n, b.n, 0, 0 FROM states AS a, states AS b WHERE b.n < 3;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    UPDATE counts SET jobs = jobs + 1, cost = cost + NEW.cost WHERE state = NEW.state AND priority = NEW.priority;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1, cost = cost - OLD.cost WHERE state = OLD.state AND priority = OLD.priority;
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state BEGIN
    UPDATE counts SET jobs = jobs - 1, cost = cost - OLD.cost WHERE state = OLD.state AND priority = OLD.priority;
    UPDATE counts SET jobs = jobs + 1, cost = cost + NEW.cost WHERE state = NEW.state AND priority = NEW.priority;
END;
";

/// Opens the connection that writes, and creates the tables in an empty file.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let fail = |error: rusqlite::Error| store_error(path, &error);
    let connection = Connection::open(path).map_err(fail)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(fail)?;
    // A power failure may otherwise take back a commit that somebody was told of.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .map_err(fail)?;
    connection.set_prepared_statement_cache_capacity(64);
    match read_version(&connection).map_err(fail)? {
        (APPLICATION, FORMAT) => {}
        (APPLICATION, format @ 1..FORMAT) => {
            upgrade_tables(&connection, format, "").map_err(fail)?;
            tracing::info!("upgraded the queue {} from format {format}", path.display());
        }
        (0, 0) if is_empty(&connection).map_err(fail)? => {
            upgrade_tables(&connection, 1, TABLES).map_err(fail)?;
        }
        version => return Err(wrong_version(path, version)),
    }
    Ok(connection)
}

/// Runs statements, and those that lead from a version to this one, in one transaction.
fn upgrade_tables(connection: &Connection, format: i32, first: &str) -> rusqlite::Result<()> {
    let done = usize::try_from(format - 1).unwrap_or_default();
    let upgrades = UPGRADES.iter().skip(done).copied().collect::<String>();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {first} {upgrades} PRAGMA application_id = {APPLICATION}; \
         PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let fail = |error: rusqlite::Error| store_error(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(fail)?;
    connection.set_prepared_statement_cache_capacity(64);
    match read_version(&connection).map_err(fail)? {
        (APPLICATION, FORMAT) => Ok(connection),
        version => Err(wrong_version(path, version)),
    }
}

fn read_version(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    let read = |name: &str| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((read("application_id")?, read("user_version")?))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn wrong_version(path: &Path, (application, format): (i32, i32)) -> Error {
    let shown = path.display();
    if application == APPLICATION && format < FORMAT {
        return Error::usage(format!(
            "the queue {shown} has format {format}, and this program reads format {FORMAT}"
        ))
        .hint("start `windrow serve` with this queue once, which upgrades it in place");
    }
    if application == APPLICATION {
        return Error::usage(format!(
            "the queue {shown} has format {format}, and this program writes format {FORMAT}"
        ))
        .hint("use the newer windrow that upgraded it, or name another file");
    }
    Error::usage(format!("{shown} is a database of another program"))
        .hint("name another file for the queue")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_version_1_is_upgraded_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let first = Connection::open(&path).unwrap();
        let job = "INSERT INTO groups VALUES (1, 'g', 5, 'ann', NULL, NULL, '{}', NULL, 1, 1, 0, 0, NULL); \
            INSERT INTO jobs (group_id, number, client, set_name, symbol, work, priority, state, rank, due, attempts, \
            deaths, batch_limit, token, lease_until, worker, progress, cost, created, cancels, errors, change) \
            VALUES (1, 0, 'ann', 'trend', 'A', 'w', 1, 0, 5, 5, 0, 0, 0, 0, 0, '', 0, 10, 5, 0, '', 1);";
        first
            .execute_batch(&format!(
                "{TABLES} {job} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1;"
            ))
            .unwrap();
        drop(first);
        // A reader changes nothing, and says how to go on.
        let told = open_reader(&path).unwrap_err().to_string();
        assert!(told.contains("has format 1, and this program reads format 2"), "{told}");
        assert!(told.contains("upgrades it in place"), "{told}");
        for _ in 0..2 {
            let connection = open_writer(&path).unwrap();
            assert_eq!(read_version(&connection).unwrap(), (APPLICATION, FORMAT));
            let read = "SELECT j.symbol, g.name, g.request_id, (SELECT count(*) FROM measured), \
                (SELECT jobs FROM counts WHERE state = 0 AND priority = 1) \
                FROM jobs AS j JOIN groups AS g ON g.id = j.group_id";
            let row: (String, String, Option<String>, i64, i64) = connection
                .query_row(read, [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
                .unwrap();
            assert_eq!(row, ("A".to_string(), "g".to_string(), None, 0, 1));
        }
        // Each request that shares jobs looks one up.
        let connection = open_writer(&path).unwrap();
        let plan = "EXPLAIN QUERY PLAN SELECT j.id FROM jobs AS j WHERE j.symbol || substr(j.work, 1, 6) = ?2 || \
            substr(?1, 1, 6) AND +j.work = ?1 AND +j.symbol = ?2 AND j.state < 2 ORDER BY +j.id LIMIT 1";
        let step: String = connection.query_row(plan, ["w", "A"], |row| row.get("detail")).unwrap();
        assert!(step.starts_with("SEARCH j USING INDEX jobs_same"), "{step}");
        drop(connection);
        // A later version is refused.
        let later = Connection::open(&path).unwrap();
        later.execute_batch("PRAGMA user_version = 3").unwrap();
        let told = open_writer(&path).unwrap_err().to_string();
        assert!(told.contains("has format 3, and this program writes format 2"), "{told}");
    }
}
