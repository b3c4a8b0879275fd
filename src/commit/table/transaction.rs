//! The transaction that moves the rows of a run into the table.
//!
//! 1. It applies the changes that the table needs before the rows, and creates partitions.
//! 2. If the target is new and not partitioned, it renames the staging table to the target. Otherwise
//!    it locks the table against writers, deletes the rows of the scope, inserts those of the staging
//!    table and drops it.
//! 3. It adds the primary key to a new table.
//! 4. It compares the number of rows with the number copied, since a crash of the server may have
//!    emptied an unlogged staging table.
//! 5. It writes the comments and inserts the record.
//! 6. It commits. After a lost answer the next attempt takes the lock again, and looks for the record
//!    to learn whether the transaction was committed.
//!
//! A crash of the run or the server before step 6 leaves the old rows, and the staging table for the
//! next run to drop. After step 6 it leaves the new rows and their record.

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::StagedTable;
use super::session::{RUNS, TableSession};
use crate::commit::ScopeBounds;
use crate::error::{Error, Result};
use crate::outside::{self, FailPoint};
use crate::store::{CallError, Record, TimePoint, quote_ident};

impl TableSession {
    /// Replaces the rows of the run's scope with those of the staging table, and inserts the record.
    pub(super) async fn commit_staged(
        &self,
        staged: &StagedTable,
        scope: &ScopeBounds,
        copied: u64,
        record: &mut Record,
    ) -> Result<()> {
        let partitions = match (record.first_time(), record.last_time()) {
            (Some(first), Some(last)) => staged.shape.partitions_sql(first, last)?,
            _ => Vec::new(),
        };
        record.retries += self.retry.retries_so_far();
        let work = TableCommit { server: self, staged, scope, copied, record, partitions };
        let mut again = false;
        let work = &work;
        self.retry
            .call_with_retries("moving the rows", || {
                let second = std::mem::replace(&mut again, true);
                async move {
                    if second {
                        // The lock was lost with the connection. If another run has held it since, that run
                        // dropped the staging table, and this run fails.
                        self.acquire_lock().await?;
                        if work.was_committed().await? {
                            return Ok(());
                        }
                    }
                    work.try_commit().await
                }
            })
            .await
    }
}

/// The parameters of the transaction, kept for further attempts.
struct TableCommit<'a> {
    server: &'a TableSession,
    staged: &'a StagedTable,
    scope: &'a ScopeBounds,
    copied: u64,
    record: &'a Record,
    partitions: Vec<String>,
}

impl TableCommit<'_> {
    /// Returns whether an attempt whose answer was lost was committed.
    async fn was_committed(&self) -> Result<bool, CallError> {
        let mut control = self.server.control.lock().await;
        let Some(client) = control.as_mut() else { return Ok(false) };
        let runs = self.server.table.sibling_table(RUNS);
        let sql = format!("SELECT 1 FROM {runs} WHERE run = $1");
        let found = client.query_opt(&sql, &[&self.record.run]).await;
        Ok(found.map_err(self.server.fault_during("asking for the run"))?.is_some())
    }

    async fn try_commit(&self) -> Result<(), CallError> {
        let mut control = self.server.control.lock().await;
        let Some(client) = control.as_mut() else {
            let error = Error::target(format!("{}: the lock is lost", self.server.location));
            return Err(CallError { error, transient: true });
        };
        let wrong = self.server.fault_during("moving the rows");
        let work = client.transaction().await.map_err(&wrong)?;
        self.apply_in_transaction(&work).await?;
        outside::reach_fail_point(FailPoint::BeforeCommit);
        work.commit().await.map_err(&wrong)?;
        outside::reach_fail_point(FailPoint::AfterCommit);
        Ok(())
    }

    async fn apply_in_transaction(&self, work: &Transaction<'_>) -> Result<(), CallError> {
        let (shape, server) = (&self.staged.shape, self.server);
        let wrong = server.fault_during("moving the rows");
        let run = async |sql: &str| work.batch_execute(sql).await.map_err(&wrong);
        // A forgotten session may lock the table forever: time out, warn and try again.
        run("SET LOCAL lock_timeout = '5s'").await?;
        for statement in self.staged.changes.before.iter().chain(&self.partitions) {
            run(statement).await?;
        }
        let moved = match self.staged.changes.becomes {
            true => {
                run(&shape.rename_stage_sql(&self.staged.table)).await?;
                None
            }
            false => Some(self.replace_rows(work).await?),
        };
        for statement in &self.staged.changes.after {
            work.batch_execute(statement)
                .await
                .map_err(|error| self.explain_rejected_rows(&error))?;
        }
        let moved = match moved {
            Some(rows) => rows,
            None => self.count_new_rows(work).await?,
        };
        if moved != self.copied {
            // After a crash of the server an unlogged table is empty, and chunks whose commits did not wait
            // for the disk may be missing.
            let error = Error::target(format!(
                "{}: the server lost rows that were copied: it has {moved} of {}",
                server.location, self.copied
            ));
            return Err(CallError::from(
                error.hint("run again; the table is as it was").as_transient(),
            ));
        }
        for statement in shape.comments_sql() {
            run(&statement).await?;
        }
        self.insert_record(work).await.map_err(&wrong)
    }

    /// Counts the rows of a new table once it has its key.
    async fn count_new_rows(&self, work: &Transaction<'_>) -> Result<u64, CallError> {
        let wrong = self.server.fault_during("counting the rows");
        // Building the index of the key counts the rows. The count is exact as far as its 32-bit float
        // allows.
        let noted = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)";
        let noted =
            work.query_one(noted, &[&self.staged.shape.table.to_string()]).await.map_err(&wrong)?;
        let noted = u64::try_from(noted.get::<_, i64>(0)).unwrap_or_default();
        if noted == self.copied && noted < 1 << f32::MANTISSA_DIGITS {
            return Ok(noted);
        }
        let count = format!("SELECT count(*) FROM {}", self.staged.shape.table);
        let rows: i64 = work.query_one(&count, &[]).await.map_err(&wrong)?.get(0);
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    /// Deletes the rows of the scope and inserts the new ones; returns the number of new rows.
    async fn replace_rows(&self, work: &Transaction<'_>) -> Result<u64, CallError> {
        let (shape, server) = (&self.staged.shape, self.server);
        let wrong = server.fault_during("moving the rows");
        // Readers continue; writers wait.
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", shape.table);
        work.batch_execute(&lock).await.map_err(&wrong)?;
        self.delete_scope(work).await?;
        let (table, names, stage) = (&shape.table, shape.column_list(), &self.staged.table);
        let moved = format!("INSERT INTO {table} ({names}) SELECT {names} FROM {stage}");
        let moved =
            work.execute(&moved, &[]).await.map_err(|error| self.explain_rejected_rows(&error))?;
        work.batch_execute(&format!("DROP TABLE {stage}")).await.map_err(&wrong)?;
        Ok(moved)
    }

    /// Returns the type of a column of the run's rows.
    fn type_of(&self, name: &str) -> &str {
        let column = self.staged.shape.columns.iter().find(|column| column.name == name);
        column.map_or("text", |column| column.ty.as_str())
    }

    /// Deletes the rows of the scope.
    async fn delete_scope(&self, work: &Transaction<'_>) -> Result<(), CallError> {
        let (entity, time) =
            (quote_ident(&self.staged.shape.entity), quote_ident(&self.staged.shape.time));
        let mut conditions: Vec<String> = Vec::new();
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::new();
        if let Some(symbols) = &self.scope.symbols {
            values.push(symbols);
            // Compares byte by byte, even if the collation treats symbols as equal; the first condition can
            // use an index.
            let (number, ty) = (values.len(), self.type_of(&self.staged.shape.entity));
            conditions.push(format!("{entity} = ANY(${number}::text[]::{ty}[])"));
            conditions.push(format!("{entity}::text COLLATE \"C\" = ANY(${number}::text[])"));
        }
        let ty = self.type_of(&self.staged.shape.time);
        let bounds = [(self.scope.from, ">="), (self.scope.until, "<")];
        let bounds = bounds.map(|(bound, operator)| Some((bound?.to_string(), operator)));
        for (bound, operator) in bounds.iter().flatten() {
            values.push(bound);
            conditions.push(format!("{time} {operator} ${}::text::{ty}", values.len()));
        }
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let sql = format!("DELETE FROM {}{condition}", self.staged.shape.table);
        let deleted = work.execute(&sql, &values).await;
        deleted.map(|_| ()).map_err(self.server.fault_during("deleting the rows of the scope"))
    }

    /// Inserts the record of the run. Its time is the latest of all runs of the target, whatever the
    /// server's clock says.
    async fn insert_record(&self, work: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        let record = self.record;
        let runs = self.server.table.sibling_table(RUNS);
        let sql = format!(
            "INSERT INTO {runs} (run, target, set, committed, rows, first, last, seconds, version, record) \
             VALUES ($1, $2, $3, \
                GREATEST(now(), (SELECT max(committed) FROM {runs} WHERE target = $2) + interval '1 us'), \
                $4, $5, $6, $7, $8, $9::text::jsonb)"
        );
        let text = |time: Option<TimePoint>| time.map(|time| time.to_string());
        let (first, last) = (text(record.first_time()), text(record.last_time()));
        let rows = i64::try_from(record.rows).unwrap_or(i64::MAX);
        let text = serde_json::to_string(record).unwrap_or_else(|_| "{}".to_string());
        let values: [&(dyn ToSql + Sync); 9] = [
            &record.run,
            &self.server.name,
            &record.set,
            &rows,
            &first,
            &last,
            &record.seconds,
            &record.windrow,
            &text,
        ];
        work.execute(&sql, &values).await.map(|_| ())
    }

    /// Explains an error of rows that the table does not accept.
    fn explain_rejected_rows(&self, error: &tokio_postgres::Error) -> CallError {
        let fault = self.server.location.to_call_error("moving the rows", error);
        let code = error.code().map(|code| code.code().to_string());
        let hint = match code.as_deref() {
            Some("23505") => format!(
                "two rows have the same {}: an audit of the set, unique: [{}, {}], names them; the table is as it was",
                self.staged.shape.key.join(", "), self.staged.shape.entity, self.staged.shape.time
            ),
            Some("23502") => "the set has rows with NULL where the table or its key allows none; the table is as it was".to_string(),
            Some("23514") => "rows lie in no partition of the table, or break one of its conditions; the table is as it was".to_string(),
            _ => return fault,
        };
        let message = fault.error.message().to_string();
        CallError::from(Error::data(message).hint(hint))
    }
}
