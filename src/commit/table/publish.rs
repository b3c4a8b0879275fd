//! The transaction that moves the rows of a run into the table.

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::Staged;
use super::server::{RUNS, Server};
use crate::commit::Bounds;
use crate::error::{Error, Result};
use crate::outside;
use crate::store::{Fault, Instant, Record, quoted};

impl Server {
    /// Replaces the rows of the run's scope by those of the table beside, and leaves the record.
    pub(super) async fn commit(
        &self,
        staged: &Staged,
        scope: &Bounds,
        copied: u64,
        record: &mut Record,
    ) -> Result<()> {
        let partitions = match (record.first(), record.last()) {
            (Some(first), Some(last)) => staged.shape.partitions(first, last)?,
            _ => Vec::new(),
        };
        record.retries += self.retry.count();
        let work = Work { server: self, staged, scope, copied, record, partitions };
        let mut again = false;
        let work = &work;
        self.retry
            .call("moving the rows", || {
                let second = std::mem::replace(&mut again, true);
                async move {
                    if second {
                        // The lock went with the connection. While another run had it, the table
                        // beside was dropped, which ends this one.
                        self.take().await?;
                        if work.committed().await? {
                            return Ok(());
                        }
                    }
                    work.attempt().await
                }
            })
            .await
    }
}

/// What is to be moved.
struct Work<'a> {
    server: &'a Server,
    staged: &'a Staged,
    scope: &'a Bounds,
    copied: u64,
    record: &'a Record,
    partitions: Vec<String>,
}

impl Work<'_> {
    /// Whether an attempt whose end nobody heard of was committed.
    async fn committed(&self) -> Result<bool, Fault> {
        let mut control = self.server.control.lock().await;
        let Some(client) = control.as_mut() else { return Ok(false) };
        let runs = self.server.table.beside(RUNS);
        let sql = format!("SELECT 1 FROM {runs} WHERE run = $1");
        let found = client.query_opt(&sql, &[&self.record.run]).await;
        Ok(found.map_err(self.server.fault("asking for the run"))?.is_some())
    }

    async fn attempt(&self) -> Result<(), Fault> {
        let mut control = self.server.control.lock().await;
        let Some(client) = control.as_mut() else {
            let error = Error::target(format!("{}: the lock is lost", self.server.location));
            return Err(Fault { error, transient: true });
        };
        let wrong = self.server.fault("moving the rows");
        let work = client.transaction().await.map_err(&wrong)?;
        self.within(&work).await?;
        outside::step("before-commit");
        work.commit().await.map_err(&wrong)?;
        outside::step("after-commit");
        Ok(())
    }

    async fn within(&self, work: &Transaction<'_>) -> Result<(), Fault> {
        let (shape, server) = (&self.staged.shape, self.server);
        let wrong = server.fault("moving the rows");
        let run = async |sql: &str| work.batch_execute(sql).await.map_err(&wrong);
        // Whoever holds the table may hold it for ever, such as a session that somebody forgot: it is
        // tried again, and said.
        run("SET LOCAL lock_timeout = '5s'").await?;
        for statement in self.staged.changes.before.iter().chain(&self.partitions) {
            run(statement).await?;
        }
        let moved = match self.staged.changes.becomes {
            true => {
                run(&shape.rename(&self.staged.table)).await?;
                None
            }
            false => Some(self.replace(work).await?),
        };
        for statement in &self.staged.changes.after {
            work.batch_execute(statement).await.map_err(|error| self.explain(&error))?;
        }
        let moved = match moved {
            Some(rows) => rows,
            None => self.rows(work).await?,
        };
        if moved != self.copied {
            // After a crash of the server an unlogged table is empty, and chunks may be missing whose
            // commits did not wait for the disk.
            let error = Error::target(format!(
                "{}: the server lost rows that were copied: it has {moved} of {}",
                server.location, self.copied
            ));
            return Err(Fault::from(error.hint("run again; the table is as it was").transient()));
        }
        for statement in shape.comment() {
            run(&statement).await?;
        }
        self.leave_record(work).await.map_err(&wrong)
    }

    /// The rows of a new table, when it has its key.
    async fn rows(&self, work: &Transaction<'_>) -> Result<u64, Fault> {
        let wrong = self.server.fault("counting the rows");
        // Who makes the index of a key counts the rows, exactly, as far as its 32-bit float goes.
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

    /// Deletes the rows of the scope and moves the new ones in; gives their number.
    async fn replace(&self, work: &Transaction<'_>) -> Result<u64, Fault> {
        let (shape, server) = (&self.staged.shape, self.server);
        let wrong = server.fault("moving the rows");
        // Readers go on; who writes waits.
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", shape.table);
        work.batch_execute(&lock).await.map_err(&wrong)?;
        self.delete(work).await?;
        let (table, names, stage) = (&shape.table, shape.names(), &self.staged.table);
        let moved = format!("INSERT INTO {table} ({names}) SELECT {names} FROM {stage}");
        let moved = work.execute(&moved, &[]).await.map_err(|error| self.explain(&error))?;
        work.batch_execute(&format!("DROP TABLE {stage}")).await.map_err(&wrong)?;
        Ok(moved)
    }

    /// The type of a column of the run's rows.
    fn type_of(&self, name: &str) -> &str {
        let column = self.staged.shape.columns.iter().find(|column| column.name == name);
        column.map_or("text", |column| column.ty.as_str())
    }

    /// Deletes the rows of the scope.
    async fn delete(&self, work: &Transaction<'_>) -> Result<(), Fault> {
        let (entity, time) = (quoted(&self.staged.shape.entity), quoted(&self.staged.shape.time));
        let mut conditions: Vec<String> = Vec::new();
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::new();
        if let Some(symbols) = &self.scope.symbols {
            values.push(symbols);
            // Byte by byte, whatever the collation takes for equal; an index serves the rest.
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
        deleted.map(|_| ()).map_err(self.server.fault("deleting the rows of the scope"))
    }

    /// Notes the run; the last one has the latest time, whatever the server's clock does.
    async fn leave_record(&self, work: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        let record = self.record;
        let runs = self.server.table.beside(RUNS);
        let sql = format!(
            "INSERT INTO {runs} (run, target, set, committed, rows, first, last, seconds, version, record) \
             VALUES ($1, $2, $3, \
                GREATEST(now(), (SELECT max(committed) FROM {runs} WHERE target = $2) + interval '1 us'), \
                $4, $5, $6, $7, $8, $9::text::jsonb)"
        );
        let text = |time: Option<Instant>| time.map(|time| time.to_string());
        let (first, last) = (text(record.first()), text(record.last()));
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

    /// Rows that the table does not take.
    fn explain(&self, error: &tokio_postgres::Error) -> Fault {
        let fault = self.server.location.fault("moving the rows", error);
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
        Fault::from(Error::data(message).hint(hint))
    }
}
