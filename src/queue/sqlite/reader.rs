//! The statements that read a queue in SQLite.

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::rows::{GROUP, JOB, place_of, query_rows, read_group, read_job};
use crate::limits::{AHEAD_COUNTED, CHANGES_READ};
use crate::queue::model::{GroupRow, JobFilter, JobName, JobRow, JobState, Priority, QueueDepth};

type Answer<T> = rusqlite::Result<T>;

pub(super) fn read_named_job(connection: &Connection, name: &JobName) -> Answer<Option<JobRow>> {
    let sql = format!("SELECT {JOB} WHERE g.name = ?1 AND j.number = ?2");
    let jobs = query_rows(connection, &sql, &[&name.group, &name.number], read_job)?;
    Ok(jobs.into_iter().next())
}

/// Counts the jobs of a smaller rank that may be claimed, up to [`AHEAD_COUNTED`].
pub(super) fn count_ahead(connection: &Connection, job: &JobRow, now: i64) -> Answer<u64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 0 AND due <= ?3 \
        AND (rank, id) < (?1, ?2) LIMIT ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    let count: i64 =
        statement.query_row((job.rank, job.id, now, AHEAD_COUNTED as i64), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

pub(super) fn list_jobs(connection: &Connection, filter: &JobFilter) -> Answer<Vec<JobRow>> {
    let mut conditions = vec!["1"];
    let mut params: Vec<(&str, &dyn ToSql)> = Vec::new();
    let state = filter.state.map(|state| place_of(&JobState::ALL, &state));
    if let Some(state) = &state {
        conditions.push("j.state = :state");
        params.push((":state", state));
    }
    if let Some(set) = &filter.set {
        conditions.push("j.set_name = :set");
        params.push((":set", set));
    }
    if let Some(symbol) = &filter.symbol {
        conditions.push("j.symbol = :symbol");
        params.push((":symbol", symbol));
    }
    if let Some(before) = &filter.before {
        conditions.push("j.id < :before");
        params.push((":before", before));
    }
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    params.push((":limit", &limit));
    let conditions = conditions.join(" AND ");
    let sql = format!("SELECT {JOB} WHERE {conditions} ORDER BY j.id DESC LIMIT :limit");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params.as_slice(), read_job)?;
    rows.collect()
}

pub(super) fn read_named_group(connection: &Connection, name: &str) -> Answer<Option<GroupRow>> {
    let sql = format!("SELECT {GROUP} WHERE name = ?1");
    Ok(query_rows(connection, &sql, &[&name], read_group)?.into_iter().next())
}

pub(super) fn list_group_jobs(connection: &Connection, group: i64) -> Answer<Vec<JobRow>> {
    let sql = format!("SELECT {JOB} WHERE j.group_id = ?1 ORDER BY j.number");
    query_rows(connection, &sql, &[&group], read_job)
}

/// Returns the next jobs that changed. A transaction may change more than [`CHANGES_READ`] of them: all jobs of one
/// change are returned together, so that a reader goes on behind a whole change.
pub(super) fn list_changed(connection: &Connection, group: i64, after: i64) -> Answer<Vec<JobRow>> {
    let last = "SELECT max(change) FROM (SELECT change FROM jobs WHERE group_id = ?1 AND change > ?2 \
        ORDER BY change LIMIT ?3)";
    let mut statement = connection.prepare_cached(last)?;
    let last: Option<i64> =
        statement.query_row((group, after, CHANGES_READ as i64), |row| row.get(0))?;
    let Some(last) = last else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {JOB} WHERE j.group_id = ?1 AND j.change > ?2 AND j.change <= ?3 \
         ORDER BY j.change, j.number"
    );
    query_rows(connection, &sql, &[&group, &after, &last], read_job)
}

pub(super) fn read_depth(connection: &Connection) -> Answer<QueueDepth> {
    let sql = "SELECT state, priority, jobs, cost FROM counts";
    let counts: Vec<(u8, u8, i64, i64)> = query_rows(connection, sql, &[], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let mut depth = QueueDepth::default();
    for (state, priority, jobs, cost) in counts {
        let jobs = jobs.unsigned_abs();
        match (JobState::ALL.get(usize::from(state)), Priority::ALL.get(usize::from(priority))) {
            (Some(JobState::Queued), Some(priority)) => {
                depth.queued.insert(*priority, (jobs, cost.unsigned_abs()));
            }
            (Some(JobState::Running), _) => depth.running += jobs,
            (Some(JobState::Dead), _) => depth.dead += jobs,
            _ => {}
        }
    }
    Ok(depth)
}

pub(super) fn read_rate(connection: &Connection) -> Answer<Option<f64>> {
    let sql = "SELECT value FROM numbers WHERE name = 'rate'";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}
