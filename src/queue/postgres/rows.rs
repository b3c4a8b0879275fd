//! Rows of PostgreSQL to jobs and groups.

use tokio_postgres::Row;

use super::super::model::{GroupRow, JobName, JobRow, JobState, Priority};
use crate::error::{Error, Result};

/// The columns of a job, in the order in which [`read_job`] reads them.
pub(super) const JOB: &str = "j.id, j.group_id, g.name, j.number, j.client, j.set_name, j.symbol, j.work, \
    j.priority, j.state, j.rank, j.due, j.attempts, j.deaths, j.batch_limit, j.token, j.lease_until, \
    j.worker, j.progress, j.cost, j.created, j.started, j.finished, j.cancels, j.errors, j.change \
    FROM windrow_queue.jobs AS j JOIN windrow_queue.groups AS g ON g.id = j.group_id";

/// The columns of a group, in the order in which [`read_group`] reads them.
pub(super) const GROUP: &str = "id, name, created, client, request, trace, total, open, done, cancelled, \
    finished, request_id FROM windrow_queue.groups";

fn damaged(what: &str, text: &str) -> Error {
    Error::target(format!("the queue holds a job whose {what} is {text}"))
        .hint("restore the schema windrow_queue from a backup")
}

fn small(row: &Row, column: usize) -> u32 {
    u32::try_from(row.get::<_, i64>(column)).unwrap_or_default()
}

pub(super) fn read_job(row: &Row) -> Result<JobRow> {
    let (priority, state, errors): (&str, &str, &str) = (row.get(8), row.get(9), row.get(24));
    let known = Priority::ALL.into_iter().find(|one| one.name() == priority);
    Ok(JobRow {
        id: row.get(0),
        group_id: row.get(1),
        name: JobName { group: row.get(2), number: small(row, 3) },
        client: row.get(4),
        set: row.get(5),
        symbol: row.get(6),
        work: row.get(7),
        priority: known.ok_or_else(|| damaged("priority", priority))?,
        state: JobState::from_name(state).ok_or_else(|| damaged("state", state))?,
        rank: row.get(10),
        due: row.get(11),
        attempts: small(row, 12),
        deaths: small(row, 13),
        batch_limit: small(row, 14),
        token: row.get(15),
        lease_until: row.get(16),
        worker: row.get(17),
        progress: row.get(18),
        cost: row.get::<_, i64>(19).unsigned_abs(),
        created: row.get(20),
        started: row.get(21),
        finished: row.get(22),
        cancels: row.get(23),
        errors: match errors {
            "" => Vec::new(),
            text => serde_json::from_str(text).map_err(|_| damaged("list of errors", text))?,
        },
        change: row.get(25),
    })
}

pub(super) fn read_group(row: &Row) -> Result<GroupRow> {
    let request: &str = row.get(4);
    Ok(GroupRow {
        id: row.get(0),
        name: row.get(1),
        created: row.get(2),
        client: row.get(3),
        request: serde_json::from_str(request).map_err(|_| damaged("request", request))?,
        trace: row.get(5),
        total: small(row, 6),
        open: small(row, 7),
        done: small(row, 8),
        cancelled: small(row, 9),
        finished: row.get(10),
        request_id: row.get(11),
    })
}
