//! The lock of a table: an advisory lock of the server, which releases it when the connection of its
//! holder ends, however that ends.
//!
//! 1. The run asks for the lock. If no run holds it, the run has it. A crash of the run ends its
//!    connection: the server releases the lock, and nothing stays behind.
//! 2. A holder that is a process of this machine is at work: the run is refused. A
//!    crash leaves the lock with its holder.
//! 3. A holder of this machine whose process has ended is dead. The run ends its connection and waits
//!    up to [`LOCK_OF_A_DEAD_RUN`] for the server to release the lock. A crash meanwhile leaves the
//!    lock free, or held by the dead run until the server notices.
//! 4. The state of a holder on another machine is unknown here. The server notices within a second that
//!    its connection was closed, even in the middle of a statement (`KEEPALIVE_SETTINGS`). The run
//!    waits up to [`LOCK_OF_ANOTHER_MACHINE`] and is then refused. A crash meanwhile leaves the lock
//!    with its holder.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::Instant;

use super::super::target_held_error;
use super::application_name::machine_mark;
use super::session::TableSession;
use crate::error::Error;
use crate::limits::{LOCK_OF_A_DEAD_RUN, LOCK_OF_ANOTHER_MACHINE};
use crate::outside;
use crate::store::CallError;

/// The pause between two attempts to take the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Settings by which the server notices within seconds that the holder of the lock has died, even while
/// it runs a statement for it: by the closed connection, or by silence if the whole machine failed.
const KEEPALIVE_SETTINGS: [&str; 2] = [
    "SET client_connection_check_interval = '1s'",
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
];

/// The holder of a table's lock.
pub(super) struct LockHolder {
    /// The name of its connection.
    name: String,
    /// Its process at the server.
    process: i32,
    /// Its run; `mark` identifies the machine of the run.
    pub(super) run: Option<String>,
    mark: String,
}

/// The state of the holder of a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Liveness {
    /// It is a live process of this machine.
    Here,
    /// It cannot be determined from this machine.
    Elsewhere,
    /// Its process has ended, or it is this run, whose connection broke.
    Dead,
}

impl LockHolder {
    fn from_application_name(name: String, process: i32) -> Self {
        let mut words = name.split(' ').skip(1).map(str::to_string);
        let (run, mark) = (words.next(), words.next().unwrap_or_default());
        Self { run: run.filter(|_| name.starts_with("windrow ")), mark, name, process }
    }

    fn liveness(&self, mine: &str) -> Liveness {
        let Some(run) = self.run.as_deref().filter(|run| *run != mine) else {
            return if self.run.is_some() { Liveness::Dead } else { Liveness::Elsewhere };
        };
        let process = run.rsplit('-').next().and_then(|process| process.parse().ok());
        match process.filter(|_| !self.mark.is_empty() && self.mark == machine_mark()) {
            None => Liveness::Elsewhere,
            Some(process) if outside::is_process_gone(process) => Liveness::Dead,
            Some(_) => Liveness::Here,
        }
    }
}

impl TableSession {
    /// Takes the lock on a connection that stays open.
    pub(super) async fn acquire_lock(&self) -> Result<(), CallError> {
        let mut control = self.control.lock().await;
        if let Some(client) = control.take() {
            if !client.is_closed() {
                *control = Some(client); // It still holds the lock.
                return Ok(());
            }
            drop(Object::take(client));
        }
        let client = self.get_connection().await?;
        let fault = self.fault_during("taking the table");
        let since = Instant::now();
        let mut told = false;
        loop {
            let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&self.key]).await;
            if row.map_err(&fault)?.get::<_, bool>(0) {
                // A server before version 14 does not know the first setting. It then notices when it answers.
                for setting in KEEPALIVE_SETTINGS {
                    let _ = client.batch_execute(setting).await;
                }
                *control = Some(client);
                return Ok(());
            }
            let holder = self.query_lock_holder(&client).await.map_err(&fault)?;
            let lives = holder.as_ref().map_or(Liveness::Dead, |holder| holder.liveness(&self.run));
            let (patience, why) = match lives {
                Liveness::Here => (Duration::ZERO, ""),
                Liveness::Elsewhere => (LOCK_OF_ANOTHER_MACHINE, "may have died elsewhere"),
                Liveness::Dead => (LOCK_OF_A_DEAD_RUN, "died"),
            };
            let name = holder.as_ref().map_or("a run that just ended", |holder| &holder.name);
            if since.elapsed() >= patience {
                let process = holder.as_ref().map_or(0, |holder| holder.process);
                let mine =
                    holder.as_ref().is_none_or(|holder| holder.run.as_ref() == Some(&self.run));
                return Err(CallError {
                    error: self.lock_held_error(name, process),
                    transient: mine,
                });
            }
            if let Some(holder) = &holder {
                if !told {
                    told = true;
                    tracing::warn!(
                        "{} is held by {name}, which {why}: waiting up to {} s for the server to let go of it",
                        self.location,
                        patience.as_secs()
                    );
                }
                if lives == Liveness::Dead {
                    // If this user lacks the privilege, the server notices the dead connection without it.
                    let end = "SELECT pg_terminate_backend($1)";
                    let _ = client.execute(end, &[&holder.process]).await;
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the error for a table that another run writes.
    fn lock_held_error(&self, name: &str, process: i32) -> Error {
        target_held_error(&self.location, &format!("{name}, server process {process}"))
    }

    /// Returns the holder of the lock; None if no connection holds it.
    pub(super) async fn query_lock_holder(
        &self,
        client: &Object,
    ) -> Result<Option<LockHolder>, tokio_postgres::Error> {
        // The two halves of the key, as `pg_locks` shows them.
        let sql = "SELECT application_name, pg_locks.pid FROM pg_locks JOIN pg_stat_activity USING (pid) \
                   WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
                   AND (classid::bigint << 32) | objid::bigint = $1 \
                   AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let row = client.query_opt(sql, &[&self.key]).await?;
        Ok(row.map(|row| LockHolder::from_application_name(row.get(0), row.get(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_a_lock_lives_or_not() {
        let (mine, mark) = ("20261129T181553699789-1", machine_mark());
        let me = outside::process_id();
        let cases = [
            (format!("windrow 20261129T181553699700-{me} {mark}"), Liveness::Here),
            (format!("windrow 20261129T181553699700-4194305 {mark}"), Liveness::Dead),
            (format!("windrow 20261129T181553699700-{me} 00000000"), Liveness::Elsewhere),
            // A connection of a build that did not name its machine, and one of another program.
            (format!("windrow 20261129T181553699700-{me}"), Liveness::Elsewhere),
            ("psql".to_string(), Liveness::Elsewhere),
            (format!("windrow {mine} {mark}"), Liveness::Dead),
        ];
        for (name, lives) in cases {
            assert!(
                LockHolder::from_application_name(name.clone(), 1).liveness(mine) == lives,
                "{name}"
            );
        }
    }
}
