//! The statements that change a queue in PostgreSQL.

use async_trait::async_trait;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::rows::{GROUP, JOB, read_group, read_job};
use crate::error::{Error, Result};
use crate::limits::MEASURED_WORKS;
use crate::queue::QueueClock;
use crate::queue::model::{GroupRow, JobName, JobRow, Priority, error_texts};
use crate::queue::transaction::{GroupInsert, KeyedGroup, OpenJobs, QueueTransaction};
use crate::queue::transitions::far_ahead;
use crate::store::PgLocation;

type SqlParams<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The operation of one caller. It holds the lock of the queue, so that operations follow each other, and changes
/// become visible in the order of their numbers.
pub(super) struct PgTransaction<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) location: &'a PgLocation,
    pub(super) clock: &'a QueueClock,
    /// The change that this transaction writes.
    pub(super) change: i64,
}

fn as_bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl PgTransaction<'_> {
    fn fail(&self, error: &tokio_postgres::Error) -> Error {
        super::store_error(self.location, error)
    }

    async fn rows(&self, sql: &str, params: SqlParams<'_>) -> Result<Vec<tokio_postgres::Row>> {
        self.transaction.query(sql, params).await.map_err(|error| self.fail(&error))
    }

    async fn execute(&self, sql: &str, params: SqlParams<'_>) -> Result<u64> {
        self.transaction.execute(sql, params).await.map_err(|error| self.fail(&error))
    }

    async fn jobs(&self, condition: &str, params: SqlParams<'_>) -> Result<Vec<JobRow>> {
        let rows = self.rows(&format!("SELECT {JOB} WHERE {condition}"), params).await?;
        rows.iter().map(read_job).collect()
    }

    async fn group(&self, condition: &str, params: SqlParams<'_>) -> Result<Option<GroupRow>> {
        let rows = self.rows(&format!("SELECT {GROUP} WHERE {condition}"), params).await?;
        rows.first().map(read_group).transpose()
    }

    async fn number(&self, sql: &str, params: SqlParams<'_>) -> Result<Option<i64>> {
        let rows = self.rows(sql, params).await?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }
}

#[async_trait]
impl QueueTransaction for PgTransaction<'_> {
    async fn now(&mut self) -> Result<i64> {
        super::read_now(self.clock, self.transaction).await.map_err(|error| self.fail(&error))
    }

    async fn chance(&mut self) -> Result<f64> {
        Ok(self.clock.chance())
    }

    async fn next_token(&mut self) -> Result<i64> {
        let token = self.number("SELECT nextval('windrow_queue.tokens')", &[]).await?;
        token.ok_or_else(|| Error::internal("the queue has no counter of tokens"))
    }

    async fn find_keyed_group(&mut self, client: &str, key: &str) -> Result<Option<KeyedGroup>> {
        let Some(group) = self.group("client = $1 AND key = $2", &[&client, &key]).await? else {
            return Ok(None);
        };
        let digest = "SELECT digest FROM windrow_queue.groups WHERE id = $1";
        let digest = self.rows(digest, &[&group.id]).await?;
        let digest = digest.first().and_then(|row| row.get::<_, Option<String>>(0));
        Ok(Some(KeyedGroup { digest: digest.unwrap_or_default(), group }))
    }

    async fn find_open_job(&mut self, work: &str, symbol: &str) -> Result<Option<JobRow>> {
        let condition = "j.work = $1 AND j.symbol = $2 AND j.state IN ('queued', 'running') \
            AND NOT j.cancels ORDER BY j.id LIMIT 1";
        Ok(self.jobs(condition, &[&work, &symbol]).await?.into_iter().next())
    }

    async fn count_open(&mut self, client: &str) -> Result<OpenJobs> {
        let sql = "SELECT coalesce(sum(open), 0)::bigint, \
            coalesce(sum(open) FILTER (WHERE name = $1), 0)::bigint FROM windrow_queue.clients";
        let rows = self.rows(sql, &[&client]).await?;
        let count =
            |column| rows.first().map_or(0, |row| row.get::<_, i64>(column)).max(0).unsigned_abs();
        Ok(OpenJobs { all: count(0), client: count(1) })
    }

    async fn sum_cost_ahead(&mut self, priority: Priority) -> Result<u64> {
        let higher = Priority::ALL.into_iter().filter(|other| *other <= priority);
        let higher: Vec<&str> = higher.map(Priority::name).collect();
        let sql = "SELECT least(sum(cost), 9e18)::bigint FROM windrow_queue.counts \
            WHERE state = 'queued' AND priority = ANY ($1)";
        Ok(self.number(sql, &[&higher]).await?.unwrap_or_default().max(0).unsigned_abs())
    }

    async fn insert_group(&mut self, new: &GroupInsert) -> Result<i64> {
        let group = &new.group;
        let (key, digest) = new.key.clone().unzip();
        let request = serde_json::to_string(&group.request).unwrap_or_default();
        let (total, open) = (i64::from(group.total), i64::from(group.open));
        let sql = "INSERT INTO windrow_queue.groups (name, created, client, key, digest, request, trace, \
            total, open, done, cancelled, request_id) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10) RETURNING id";
        let params: SqlParams<'_> = &[
            &group.name,
            &group.created,
            &group.client,
            &key,
            &digest,
            &request,
            &group.trace,
            &total,
            &open,
            &group.request_id,
        ];
        let lost = || Error::internal("the queue gave a group no number");
        let id = self.number(sql, params).await?.ok_or_else(lost)?;
        let sql = "INSERT INTO windrow_queue.clients AS c VALUES ($1, $2) \
            ON CONFLICT (name) DO UPDATE SET open = c.open + $2";
        self.execute(sql, &[&group.client, &open]).await?;
        Ok(id)
    }

    async fn insert_jobs(&mut self, jobs: &[JobRow]) -> Result<()> {
        let Some(first) = jobs.first() else { return Ok(()) };
        let numbers: Vec<i64> = jobs.iter().map(|job| job.name.number.into()).collect();
        let sets: Vec<&str> = jobs.iter().map(|job| job.set.as_str()).collect();
        let symbols: Vec<&str> = jobs.iter().map(|job| job.symbol.as_str()).collect();
        let works: Vec<&str> = jobs.iter().map(|job| job.work.as_str()).collect();
        let costs: Vec<i64> = jobs.iter().map(|job| as_bigint(job.cost)).collect();
        let sql = "INSERT INTO windrow_queue.jobs (group_id, number, client, set_name, symbol, work, priority, \
            state, rank, due, cost, created, change) \
            SELECT $1, n.number, $2, n.set_name, n.symbol, n.work, $3, 'queued', $4, $5, n.cost, $6, $7 \
            FROM unnest($8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[]) \
            AS n (number, set_name, symbol, work, cost)";
        let params: SqlParams<'_> = &[
            &first.group_id,
            &first.client,
            &first.priority.name(),
            &first.rank,
            &first.due,
            &first.created,
            &self.change,
            &numbers,
            &sets,
            &symbols,
            &works,
            &costs,
        ];
        self.execute(sql, params).await.map(|_| ())
    }

    async fn find_expired(&mut self, now: i64) -> Result<Vec<i64>> {
        let sql = "SELECT DISTINCT token FROM windrow_queue.jobs \
            WHERE state = 'running' AND (lease_until < $1 OR lease_until > $2) ORDER BY token";
        Ok(self.rows(sql, &[&now, &far_ahead(now)]).await?.iter().map(|row| row.get(0)).collect())
    }

    async fn find_running(&mut self) -> Result<Vec<i64>> {
        let sql =
            "SELECT DISTINCT token FROM windrow_queue.jobs WHERE state = 'running' ORDER BY token";
        Ok(self.rows(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    async fn find_claimable(&mut self, now: i64, most: usize) -> Result<Vec<JobRow>> {
        let condition = "j.state = 'queued' AND (j.due <= $1 OR j.due > $3) AND j.work = \
            (SELECT work FROM windrow_queue.jobs WHERE state = 'queued' AND (due <= $1 OR due > $3) \
            ORDER BY rank, id LIMIT 1) ORDER BY j.rank, j.id LIMIT $2";
        self.jobs(condition, &[&now, &as_bigint(most as u64), &far_ahead(now)]).await
    }

    async fn load_batch(&mut self, token: i64) -> Result<Vec<JobRow>> {
        self.jobs("j.state = 'running' AND j.token = $1 ORDER BY j.rank, j.id", &[&token]).await
    }

    async fn load_job(&mut self, name: &JobName) -> Result<Option<JobRow>> {
        let number = i64::from(name.number);
        let jobs = self.jobs("g.name = $1 AND j.number = $2", &[&name.group, &number]).await?;
        Ok(jobs.into_iter().next())
    }

    async fn load_open_jobs(&mut self, group: &str) -> Result<Vec<JobRow>> {
        let condition = "g.name = $1 AND j.state IN ('queued', 'running') ORDER BY j.number";
        self.jobs(condition, &[&group]).await
    }

    async fn load_group(&mut self, id: i64) -> Result<Option<GroupRow>> {
        self.group("id = $1", &[&id]).await
    }

    async fn extend_lease(&mut self, token: i64, until: i64, progress: f64) -> Result<Vec<JobRow>> {
        let sql = "UPDATE windrow_queue.jobs SET lease_until = $2, progress = $3, change = $4 \
            WHERE state = 'running' AND token = $1";
        self.execute(sql, &[&token, &until, &progress, &self.change]).await?;
        self.load_batch(token).await
    }

    async fn save_jobs(&mut self, jobs: &[JobRow]) -> Result<()> {
        let all = |number: fn(&JobRow) -> i64| jobs.iter().map(number).collect::<Vec<i64>>();
        let states: Vec<&str> = jobs.iter().map(|job| job.state.name()).collect();
        let workers: Vec<&str> = jobs.iter().map(|job| job.worker.as_str()).collect();
        let progress: Vec<f64> = jobs.iter().map(|job| job.progress).collect();
        let started: Vec<Option<i64>> = jobs.iter().map(|job| job.started).collect();
        let finished: Vec<Option<i64>> = jobs.iter().map(|job| job.finished).collect();
        let cancels: Vec<bool> = jobs.iter().map(|job| job.cancels).collect();
        let errors = jobs.iter().map(error_texts).collect::<Vec<String>>();
        let sql = "UPDATE windrow_queue.jobs AS j SET state = n.state, due = n.due, attempts = n.attempts, \
            deaths = n.deaths, batch_limit = n.batch_limit, token = n.token, lease_until = n.lease_until, \
            worker = n.worker, progress = n.progress, started = n.started, finished = n.finished, \
            cancels = n.cancels, errors = n.errors, change = $1 \
            FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
            $8::bigint[], $9::bigint[], $10::text[], $11::double precision[], $12::bigint[], $13::bigint[], \
            $14::boolean[], $15::text[]) AS n (id, state, due, attempts, deaths, batch_limit, token, \
            lease_until, worker, progress, started, finished, cancels, errors) WHERE j.id = n.id";
        let params: SqlParams<'_> = &[
            &self.change,
            &all(|job| job.id),
            &states,
            &all(|job| job.due),
            &all(|job| job.attempts.into()),
            &all(|job| job.deaths.into()),
            &all(|job| job.batch_limit.into()),
            &all(|job| job.token),
            &all(|job| job.lease_until),
            &workers,
            &progress,
            &started,
            &finished,
            &cancels,
            &errors,
        ];
        self.execute(sql, params).await.map(|_| ())
    }

    async fn save_group(&mut self, group: &GroupRow, ended: u32) -> Result<()> {
        let sql = "UPDATE windrow_queue.groups SET open = $2, done = $3, cancelled = $4, finished = $5 \
            WHERE id = $1";
        let [open, done, cancelled] = [group.open, group.done, group.cancelled].map(i64::from);
        self.execute(sql, &[&group.id, &open, &done, &cancelled, &group.finished]).await?;
        let sql = "UPDATE windrow_queue.clients SET open = open - $2 WHERE name = $1";
        self.execute(sql, &[&group.client, &i64::from(ended)]).await?;
        let sql = "DELETE FROM windrow_queue.clients WHERE name = $1 AND open <= 0";
        self.execute(sql, &[&group.client]).await.map(|_| ())
    }

    async fn load_rate(&mut self) -> Result<Option<f64>> {
        let rows = self.rows(super::RATE, &[]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    async fn save_rate(&mut self, rate: f64) -> Result<()> {
        let sql = "INSERT INTO windrow_queue.numbers VALUES ('rate', $1) \
            ON CONFLICT (name) DO UPDATE SET value = $1";
        self.execute(sql, &[&rate]).await.map(|_| ())
    }

    async fn load_measured(&mut self, work: &str) -> Result<Option<f64>> {
        let sql = "SELECT bytes_per_cost FROM windrow_queue.measured WHERE work = $1";
        Ok(self.rows(sql, &[&work]).await?.first().map(|row| row.get(0)))
    }

    async fn save_measured(&mut self, work: &str, bytes_per_cost: f64, now: i64) -> Result<()> {
        let sql = "INSERT INTO windrow_queue.measured VALUES ($1, $2, $3) \
            ON CONFLICT (work) DO UPDATE SET bytes_per_cost = $2, used = $3";
        self.execute(sql, &[&work, &bytes_per_cost, &now]).await?;
        let sql = "DELETE FROM windrow_queue.measured WHERE work IN (SELECT work \
            FROM windrow_queue.measured ORDER BY used DESC OFFSET $1)";
        self.execute(sql, &[&(MEASURED_WORKS as i64)]).await.map(|_| ())
    }

    async fn prune_history(
        &mut self,
        before: i64,
        most_jobs: u64,
        most_groups: u64,
    ) -> Result<u64> {
        let sql = "SELECT coalesce(sum(jobs), 0)::bigint FROM windrow_queue.counts \
            WHERE state NOT IN ('queued', 'running')";
        let mut ended = self.number(sql, &[]).await?.unwrap_or_default().max(0).unsigned_abs();
        let sql = "SELECT id, finished, total FROM windrow_queue.groups WHERE finished IS NOT NULL \
            ORDER BY finished, id LIMIT $1";
        let (mut pruned, mut groups) = (0, Vec::new());
        for row in self.rows(sql, &[&as_bigint(most_groups)]).await? {
            let (id, finished, total): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
            if finished >= before && ended <= most_jobs {
                break;
            }
            ended = ended.saturating_sub(total.unsigned_abs());
            pruned += total.unsigned_abs();
            groups.push(id);
        }
        if !groups.is_empty() {
            let sql = "DELETE FROM windrow_queue.jobs WHERE group_id = ANY ($1)";
            self.execute(sql, &[&groups]).await?;
            self.execute("DELETE FROM windrow_queue.groups WHERE id = ANY ($1)", &[&groups])
                .await?;
        }
        Ok(pruned)
    }
}
