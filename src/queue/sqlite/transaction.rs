//! The statements that change a queue in SQLite. A transaction of SQLite holds those of several callers; each has a
//! savepoint of its own.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{GROUP, JOB, place_of, query_rows, read_group, read_job};
use super::store_error;
use crate::error::{Error, Result};
use crate::limits::MEASURED_WORKS;
use crate::queue::QueueClock;
use crate::queue::model::{GroupRow, JobName, JobRow, JobState, Priority, error_texts};
use crate::queue::transaction::{GroupInsert, KeyedGroup, OpenJobs, QueueTransaction};
use crate::queue::transitions::far_ahead;

/// The part of one caller in a transaction.
pub(super) struct SqliteTransaction<'a> {
    /// Exclusive, so that a transaction may move between threads.
    pub(super) connection: &'a mut Connection,
    pub(super) path: &'a Path,
    pub(super) clock: &'a QueueClock,
    /// The change that this transaction writes.
    pub(super) change: i64,
}

impl SqliteTransaction<'_> {
    fn fail(&self, error: &rusqlite::Error) -> Error {
        store_error(self.path, error)
    }

    fn jobs(&self, condition: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<JobRow>> {
        let sql = format!("SELECT {JOB} WHERE {condition}");
        query_rows(self.connection, &sql, params, read_job).map_err(|error| self.fail(&error))
    }

    fn execute(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<usize> {
        let statement = self.connection.prepare_cached(sql);
        statement
            .and_then(|mut statement| statement.execute(params))
            .map_err(|error| self.fail(&error))
    }

    /// Counts jobs that were inserted; triggers count all later changes.
    fn count_inserted(&self, jobs: &[JobRow]) -> Result<()> {
        let mut counts = BTreeMap::<(i64, i64), (i64, i64)>::new();
        for job in jobs {
            let key =
                (place_of(&JobState::ALL, &job.state), place_of(&Priority::ALL, &job.priority));
            let (number, cost) = counts.entry(key).or_default();
            *number += 1;
            *cost = cost.saturating_add_unsigned(job.cost);
        }
        let sql = "UPDATE counts SET jobs = jobs + ?3, cost = cost + ?4 WHERE state = ?1 AND priority = ?2";
        for ((state, priority), (number, cost)) in counts {
            self.execute(sql, &[&state, &priority, &number, &cost])?;
        }
        Ok(())
    }

    fn number<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        params: &[&dyn rusqlite::ToSql],
    ) -> Result<Option<T>> {
        let statement = self.connection.prepare_cached(sql);
        let value = statement
            .and_then(|mut statement| statement.query_row(params, |row| row.get(0)).optional());
        value.map_err(|error| self.fail(&error))
    }
}

#[async_trait]
impl QueueTransaction for SqliteTransaction<'_> {
    async fn now(&mut self) -> Result<i64> {
        Ok(self.clock.now())
    }

    async fn chance(&mut self) -> Result<f64> {
        Ok(self.clock.chance())
    }

    async fn next_token(&mut self) -> Result<i64> {
        let sql = "UPDATE numbers SET value = value + 1 WHERE name = 'token' RETURNING value";
        let lost = || Error::internal("the queue has no counter of tokens");
        self.number(sql, &[])?.ok_or_else(lost)
    }

    async fn find_keyed_group(&mut self, client: &str, key: &str) -> Result<Option<KeyedGroup>> {
        let sql = format!("SELECT {GROUP} WHERE client = ?1 AND key = ?2");
        let groups = query_rows(self.connection, &sql, &[&client, &key], read_group)
            .map_err(|error| self.fail(&error))?;
        let Some(group) = groups.into_iter().next() else { return Ok(None) };
        let digest = self.number("SELECT digest FROM groups WHERE id = ?1", &[&group.id])?;
        Ok(Some(KeyedGroup { digest: digest.unwrap_or_default(), group }))
    }

    async fn find_open_job(&mut self, work: &str, symbol: &str) -> Result<Option<JobRow>> {
        // The first condition is that of the index. A plus keeps SQLite from putting a value into it, and from
        // reading all jobs in the order of their ids.
        let condition = "j.symbol || substr(j.work, 1, 6) = ?2 || substr(?1, 1, 6) AND +j.work = ?1 \
            AND +j.symbol = ?2 AND j.state < 2 AND NOT j.cancels ORDER BY +j.id LIMIT 1";
        Ok(self.jobs(condition, &[&work, &symbol])?.into_iter().next())
    }

    async fn count_open(&mut self, client: &str) -> Result<OpenJobs> {
        let all = self.number::<i64>("SELECT sum(jobs) FROM counts WHERE state < 2", &[])?;
        let own = self.number::<i64>("SELECT open FROM clients WHERE name = ?1", &[&client])?;
        let count = |jobs: Option<i64>| jobs.unwrap_or_default().unsigned_abs();
        Ok(OpenJobs { all: count(all), client: count(own) })
    }

    async fn sum_cost_ahead(&mut self, priority: Priority) -> Result<u64> {
        let sql = "SELECT sum(cost) FROM counts WHERE state = 0 AND priority <= ?1";
        let cost = self.number::<i64>(sql, &[&place_of(&Priority::ALL, &priority)])?;
        Ok(cost.unwrap_or_default().unsigned_abs())
    }

    async fn insert_group(&mut self, new: &GroupInsert) -> Result<i64> {
        let group = &new.group;
        let (key, digest) = new.key.clone().unzip();
        let request = serde_json::to_string(&group.request).unwrap_or_default();
        self.execute(
            "INSERT INTO groups (name, created, client, key, digest, request, trace, total, open, \
             done, cancelled, finished, request_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                group.name,
                group.created,
                group.client,
                key,
                digest,
                request,
                group.trace,
                group.total,
                group.open,
                group.done,
                group.cancelled,
                group.finished,
                group.request_id
            ],
        )?;
        let id = self.connection.last_insert_rowid();
        self.execute(
            "INSERT INTO clients VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET open = open + ?2",
            &[&group.client, &group.total],
        )?;
        Ok(id)
    }

    async fn insert_jobs(&mut self, jobs: &[JobRow]) -> Result<()> {
        let sql = "INSERT INTO jobs (group_id, number, client, set_name, symbol, work, priority, \
            state, rank, due, attempts, deaths, batch_limit, token, lease_until, worker, progress, \
            cost, created, cancels, errors, change) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
            ?10, 0, 0, 0, 0, 0, '', 0, ?11, ?12, 0, '', ?13)";
        let mut insert = self.connection.prepare_cached(sql).map_err(|error| self.fail(&error))?;
        for job in jobs {
            let inserted = insert.execute(params![
                job.group_id,
                job.name.number,
                job.client,
                job.set,
                job.symbol,
                job.work,
                place_of(&Priority::ALL, &job.priority),
                place_of(&JobState::ALL, &job.state),
                job.rank,
                job.due,
                i64::try_from(job.cost).unwrap_or(i64::MAX),
                job.created,
                self.change
            ]);
            inserted.map_err(|error| self.fail(&error))?;
        }
        drop(insert);
        self.count_inserted(jobs)
    }

    async fn find_expired(&mut self, now: i64) -> Result<Vec<i64>> {
        let sql = "SELECT DISTINCT token FROM jobs \
            WHERE state = 1 AND (lease_until < ?1 OR lease_until > ?2)";
        query_rows(self.connection, sql, &[&now, &far_ahead(now)], |row| row.get(0))
            .map_err(|error| self.fail(&error))
    }

    async fn find_running(&mut self) -> Result<Vec<i64>> {
        let sql = "SELECT DISTINCT token FROM jobs WHERE state = 1";
        query_rows(self.connection, sql, &[], |row| row.get(0)).map_err(|error| self.fail(&error))
    }

    async fn find_claimable(&mut self, now: i64, most: usize) -> Result<Vec<JobRow>> {
        let far = far_ahead(now);
        let first = "SELECT work FROM jobs WHERE state = 0 AND (due <= ?1 OR due > ?2) \
            ORDER BY rank, id LIMIT 1";
        let work = self.number::<String>(first, &[&now, &far])?;
        let Some(work) = work else { return Ok(Vec::new()) };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let condition = "j.state = 0 AND j.work = ?1 AND (j.due <= ?2 OR j.due > ?4) \
            ORDER BY j.rank, j.id LIMIT ?3";
        self.jobs(condition, &[&work, &now, &most, &far])
    }

    async fn load_batch(&mut self, token: i64) -> Result<Vec<JobRow>> {
        self.jobs("j.state = 1 AND j.token = ?1 ORDER BY j.rank, j.id", &[&token])
    }

    async fn load_job(&mut self, name: &JobName) -> Result<Option<JobRow>> {
        let condition = "g.name = ?1 AND j.number = ?2";
        Ok(self.jobs(condition, &[&name.group, &name.number])?.into_iter().next())
    }

    async fn load_open_jobs(&mut self, group: &str) -> Result<Vec<JobRow>> {
        self.jobs("g.name = ?1 AND j.state < 2 ORDER BY j.number", &[&group])
    }

    async fn load_group(&mut self, id: i64) -> Result<Option<GroupRow>> {
        let sql = format!("SELECT {GROUP} WHERE id = ?1");
        let groups = query_rows(self.connection, &sql, &[&id], read_group)
            .map_err(|error| self.fail(&error))?;
        Ok(groups.into_iter().next())
    }

    async fn extend_lease(&mut self, token: i64, until: i64, progress: f64) -> Result<Vec<JobRow>> {
        self.execute(
            "UPDATE jobs SET lease_until = ?2, progress = ?3, change = ?4 \
             WHERE state = 1 AND token = ?1",
            &[&token, &until, &progress, &self.change],
        )?;
        self.load_batch(token).await
    }

    async fn save_jobs(&mut self, jobs: &[JobRow]) -> Result<()> {
        let sql = "UPDATE jobs SET state = ?2, due = ?3, attempts = ?4, deaths = ?5, \
            batch_limit = ?6, token = ?7, lease_until = ?8, worker = ?9, progress = ?10, \
            started = ?11, finished = ?12, cancels = ?13, errors = ?14, change = ?15 WHERE id = ?1";
        let mut update = self.connection.prepare_cached(sql).map_err(|error| self.fail(&error))?;
        for job in jobs {
            let updated = update.execute(params![
                job.id,
                place_of(&JobState::ALL, &job.state),
                job.due,
                job.attempts,
                job.deaths,
                job.batch_limit,
                job.token,
                job.lease_until,
                job.worker,
                job.progress,
                job.started,
                job.finished,
                job.cancels,
                error_texts(job),
                self.change
            ]);
            updated.map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    async fn save_group(&mut self, group: &GroupRow, ended: u32) -> Result<()> {
        self.execute(
            "UPDATE groups SET open = ?2, done = ?3, cancelled = ?4, finished = ?5 WHERE id = ?1",
            &[&group.id, &group.open, &group.done, &group.cancelled, &group.finished],
        )?;
        self.execute(
            "UPDATE clients SET open = open - ?2 WHERE name = ?1",
            &[&group.client, &ended],
        )?;
        self.execute("DELETE FROM clients WHERE name = ?1 AND open <= 0", &[&group.client])?;
        Ok(())
    }

    async fn load_rate(&mut self) -> Result<Option<f64>> {
        self.number("SELECT value FROM numbers WHERE name = 'rate'", &[])
    }

    async fn save_rate(&mut self, rate: f64) -> Result<()> {
        let sql = "INSERT INTO numbers VALUES ('rate', ?1) \
            ON CONFLICT (name) DO UPDATE SET value = ?1";
        self.execute(sql, &[&rate]).map(|_| ())
    }

    async fn load_measured(&mut self, work: &str) -> Result<Option<f64>> {
        self.number("SELECT bytes_per_cost FROM measured WHERE work = ?1", &[&work])
    }

    async fn save_measured(&mut self, work: &str, bytes_per_cost: f64, now: i64) -> Result<()> {
        let sql = "INSERT INTO measured VALUES (?1, ?2, ?3) \
            ON CONFLICT (work) DO UPDATE SET bytes_per_cost = ?2, used = ?3";
        self.execute(sql, &[&work, &bytes_per_cost, &now])?;
        let sql = "DELETE FROM measured WHERE work IN (SELECT work FROM measured ORDER BY used LIMIT \
            max(0, (SELECT count(*) FROM measured) - ?1))";
        self.execute(sql, &[&(MEASURED_WORKS as i64)]).map(|_| ())
    }

    async fn prune_history(
        &mut self,
        before: i64,
        most_jobs: u64,
        most_groups: u64,
    ) -> Result<u64> {
        let most_groups = i64::try_from(most_groups).unwrap_or(i64::MAX);
        let sql = "SELECT sum(jobs) FROM counts WHERE state > 1";
        let mut ended = self.number::<i64>(sql, &[])?.unwrap_or_default().unsigned_abs();
        let sql = "SELECT id, finished, total FROM groups WHERE finished IS NOT NULL \
            ORDER BY finished, id LIMIT ?1";
        let oldest: Vec<(i64, i64, u64)> =
            query_rows(self.connection, sql, &[&most_groups], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)?.into()))
            })
            .map_err(|error| self.fail(&error))?;
        let mut pruned = 0;
        for (id, finished, total) in oldest {
            if finished >= before && ended <= most_jobs {
                break;
            }
            self.execute("DELETE FROM jobs WHERE group_id = ?1", &[&id])?;
            self.execute("DELETE FROM groups WHERE id = ?1", &[&id])?;
            ended = ended.saturating_sub(total);
            pruned += total;
        }
        Ok(pruned)
    }
}
