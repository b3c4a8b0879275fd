//! The tables of a queue in SQLite, and opening a file that holds them.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::store_error;
use crate::error::{Error, Result};

/// The number in a file that says that it is a queue of windrow.
const APPLICATION: i32 = 0x77_6e_64_71;
/// The version of the tables. A file of another version is refused, unless this program can upgrade it.
const FORMAT: i32 = 1;

/// `state` and `priority` are the places in `JobState::ALL` and `Priority::ALL`; `counts` is kept by triggers.
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
        (0, 0) if is_empty(&connection).map_err(fail)? => {
            let create = format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; \
                 PRAGMA user_version = {FORMAT}; COMMIT;"
            );
            connection.execute_batch(&create).map_err(fail)?;
        }
        version => return Err(wrong_version(path, version)),
    }
    Ok(connection)
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
    if application == APPLICATION {
        return Error::usage(format!(
            "the queue {shown} has format {format}, and this program writes format {FORMAT}"
        ))
        .hint("use the version of windrow that wrote it, or name another file");
    }
    Error::usage(format!("{shown} is a database of another program"))
        .hint("name another file for the queue")
}
