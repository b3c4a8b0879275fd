//! Rows of SQLite to jobs and groups, and back.

use rusqlite::types::Type;
use rusqlite::{Row, ToSql, params_from_iter};

use super::super::model::{GroupRow, JobName, JobRow, JobState, Priority};

/// The columns of a job, in the order in which [`read_job`] reads them.
pub(super) const JOB: &str = "j.id, j.group_id, g.name, j.number, j.client, j.set_name, j.symbol, \
    j.work, j.priority, j.state, j.rank, j.due, j.attempts, j.deaths, j.batch_limit, j.token, \
    j.lease_until, j.worker, j.progress, j.cost, j.created, j.started, j.finished, j.cancels, \
    j.errors, j.change FROM jobs AS j JOIN groups AS g ON g.id = j.group_id";

/// The columns of a group, in the order in which [`read_group`] reads them.
pub(super) const GROUP: &str = "id, name, created, client, request, trace, total, open, done, \
    cancelled, finished, request_id FROM groups";

fn damaged(column: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

pub(super) fn read_job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let (priority, state): (u8, u8) = (row.get(8)?, row.get(9)?);
    let errors: String = row.get(24)?;
    Ok(JobRow {
        id: row.get(0)?,
        group_id: row.get(1)?,
        name: JobName { group: row.get(2)?, number: row.get(3)? },
        client: row.get(4)?,
        set: row.get(5)?,
        symbol: row.get(6)?,
        work: row.get(7)?,
        priority: *Priority::ALL
            .get(usize::from(priority))
            .ok_or_else(|| damaged(8, format!("priority {priority}")))?,
        state: *JobState::ALL
            .get(usize::from(state))
            .ok_or_else(|| damaged(9, format!("state {state}")))?,
        rank: row.get(10)?,
        due: row.get(11)?,
        attempts: row.get(12)?,
        deaths: row.get(13)?,
        batch_limit: row.get(14)?,
        token: row.get(15)?,
        lease_until: row.get(16)?,
        worker: row.get(17)?,
        progress: row.get(18)?,
        cost: row.get::<_, i64>(19)?.unsigned_abs(),
        created: row.get(20)?,
        started: row.get(21)?,
        finished: row.get(22)?,
        cancels: row.get(23)?,
        errors: match errors.as_str() {
            "" => Vec::new(),
            text => serde_json::from_str(text).map_err(|error| damaged(24, error.to_string()))?,
        },
        change: row.get(25)?,
    })
}

pub(super) fn read_group(row: &Row<'_>) -> rusqlite::Result<GroupRow> {
    let request: String = row.get(4)?;
    Ok(GroupRow {
        id: row.get(0)?,
        name: row.get(1)?,
        created: row.get(2)?,
        client: row.get(3)?,
        request: serde_json::from_str(&request).map_err(|error| damaged(4, error.to_string()))?,
        trace: row.get(5)?,
        total: row.get(6)?,
        open: row.get(7)?,
        done: row.get(8)?,
        cancelled: row.get(9)?,
        finished: row.get(10)?,
        request_id: row.get(11)?,
    })
}

/// Returns the position of a value in a list that has it.
pub(super) fn place_of<T: PartialEq>(all: &[T], value: &T) -> i64 {
    all.iter().position(|one| one == value).unwrap_or_default() as i64
}

/// Runs a prepared statement that returns rows.
pub(super) fn query_rows<T>(
    connection: &rusqlite::Connection,
    sql: &str,
    params: &[&dyn ToSql],
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(params), read)?;
    rows.collect()
}
