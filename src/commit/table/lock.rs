//! The lock of a table: an advisory lock of the server, which it gives back when the connection of its holder
//! ends, however that ends.
//!
//! 1. The run asks for the lock. If nobody has it, it is taken.
//! 2. A holder that is a process of this machine is at work: the run is refused.
//! 3. A holder of this machine whose process is gone has died: its connection is ended, and the run waits for the
//!    server to let go, for [`LOCK_OF_A_DEAD_RUN`].
//! 4. Of a holder elsewhere nobody here knows: the server sees within a second that its connection is closed, also
//!    in the middle of a statement (`KEEPALIVE_SETTINGS`), so the run waits for [`LOCK_OF_ANOTHER_MACHINE`] and is refused then.

use std::time::Duration;

use deadpool_postgres::Object;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::session::TableSession;
use crate::error::Error;
use crate::identity::encode_hex;
use crate::limits::{LOCK_OF_A_DEAD_RUN, LOCK_OF_ANOTHER_MACHINE};
use crate::outside;
use crate::store::CallError;

/// How often it looks meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Lets the server see within seconds that who holds the lock has died, also while it works for it: by the
/// connection, and where the machine is gone by the silence.
const KEEPALIVE_SETTINGS: [&str; 2] = [
    "SET client_connection_check_interval = '1s'",
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
];

/// How a run names itself at the server.
pub(super) fn application_name(run: &str) -> String {
    format!("windrow {run} {}", machine_mark())
}

/// What tells this machine from others, short enough for the name of a connection; empty where nothing does.
fn machine_mark() -> String {
    match outside::machine_id() {
        machine if machine.is_empty() => machine,
        machine => encode_hex(&Sha256::digest(machine.as_bytes())[..4]),
    }
}

/// Who holds the lock of a table.
pub(super) struct LockHolder {
    /// How it names itself at the server.
    name: String,
    /// Its process there.
    process: i32,
    /// Its run, and the mark of the machine where that is.
    pub(super) run: Option<String>,
    mark: String,
}

/// Whether who holds a lock is still at work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Liveness {
    /// It is a process of this machine.
    Here,
    /// Nobody here knows.
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
    /// Takes the lock on a connection that keeps it.
    pub(super) async fn acquire_lock(&self) -> Result<(), CallError> {
        let mut control = self.control.lock().await;
        if let Some(client) = control.take() {
            if !client.is_closed() {
                *control = Some(client); // It has the lock.
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
                // A server before 14 does not know the first; it then looks when it answers.
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
                    // Where this user may not, the server sees it by itself.
                    let end = "SELECT pg_terminate_backend($1)";
                    let _ = client.execute(end, &[&holder.process]).await;
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The error for a table that another run writes.
    fn lock_held_error(&self, name: &str, process: i32) -> Error {
        Error::target(format!(
            "another run is writing {} ({name}, server process {process})",
            self.location
        ))
        .hint("wait for it, or write to another table")
    }

    /// Who holds the lock.
    pub(super) async fn query_lock_holder(
        &self,
        client: &Object,
    ) -> Result<Option<LockHolder>, tokio_postgres::Error> {
        // The two halves of the key, as pg_locks shows them.
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
            // Of a build that said nothing of its machine, and of another program.
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
