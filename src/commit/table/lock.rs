//! The lock of a table: an advisory lock of the server, which it gives back when the connection of its holder
//! ends, however that ends.
//!
//! 1. The run asks for the lock. If nobody has it, it is taken.
//! 2. A holder that is a process of this machine is at work: the run is refused.
//! 3. A holder of this machine whose process is gone has died: its connection is ended, and the run waits for the
//!    server to let go, for [`LOCK_OF_A_DEAD_RUN`].
//! 4. Of a holder elsewhere nobody here knows: the server sees within a second that its connection is closed, also
//!    in the middle of a statement (`WATCHED`), so the run waits for [`LOCK_OF_ANOTHER_MACHINE`] and is refused then.

use std::time::Duration;

use deadpool_postgres::Object;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::server::Server;
use crate::error::Error;
use crate::identity::hexadecimal;
use crate::limits::{LOCK_OF_A_DEAD_RUN, LOCK_OF_ANOTHER_MACHINE};
use crate::outside;
use crate::store::Fault;

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// Lets the server see within seconds that who holds the lock has died, also while it works for it: by the
/// connection, and where the machine is gone by the silence.
const WATCHED: [&str; 2] = [
    "SET client_connection_check_interval = '1s'",
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
];

/// How a run names itself at the server.
pub(super) fn application_name(run: &str) -> String {
    format!("windrow {run} {}", mark())
}

/// What tells this machine from others, short enough for the name of a connection; empty where nothing does.
fn mark() -> String {
    match outside::machine() {
        machine if machine.is_empty() => machine,
        machine => hexadecimal(&Sha256::digest(machine.as_bytes())[..4]),
    }
}

/// Who holds the lock of a table.
pub(super) struct Holder {
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
enum Lives {
    /// It is a process of this machine.
    Here,
    /// Nobody here knows.
    Elsewhere,
    /// Its process has ended, or it is this run, whose connection broke.
    No,
}

impl Holder {
    fn of(name: String, process: i32) -> Self {
        let mut words = name.split(' ').skip(1).map(str::to_string);
        let (run, mark) = (words.next(), words.next().unwrap_or_default());
        Self { run: run.filter(|_| name.starts_with("windrow ")), mark, name, process }
    }

    fn lives(&self, mine: &str) -> Lives {
        let Some(run) = self.run.as_deref().filter(|run| *run != mine) else {
            return if self.run.is_some() { Lives::No } else { Lives::Elsewhere };
        };
        let process = run.rsplit('-').next().and_then(|process| process.parse().ok());
        match process.filter(|_| !self.mark.is_empty() && self.mark == mark()) {
            None => Lives::Elsewhere,
            Some(process) if outside::is_gone(process) => Lives::No,
            Some(_) => Lives::Here,
        }
    }
}

impl Server {
    /// Takes the lock on a connection that keeps it.
    pub(super) async fn take(&self) -> Result<(), Fault> {
        let mut control = self.control.lock().await;
        if let Some(client) = control.take() {
            if !client.is_closed() {
                *control = Some(client); // It has the lock.
                return Ok(());
            }
            drop(Object::take(client));
        }
        let client = self.connection().await?;
        let fault = self.fault("taking the table");
        let since = Instant::now();
        let mut told = false;
        loop {
            let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&self.key]).await;
            if row.map_err(&fault)?.get::<_, bool>(0) {
                // A server before 14 does not know the first; it then looks when it answers.
                for setting in WATCHED {
                    let _ = client.batch_execute(setting).await;
                }
                *control = Some(client);
                return Ok(());
            }
            let holder = self.holder(&client).await.map_err(&fault)?;
            let lives = holder.as_ref().map_or(Lives::No, |holder| holder.lives(&self.run));
            let (patience, why) = match lives {
                Lives::Here => (Duration::ZERO, ""),
                Lives::Elsewhere => (LOCK_OF_ANOTHER_MACHINE, "may have died elsewhere"),
                Lives::No => (LOCK_OF_A_DEAD_RUN, "died"),
            };
            let name = holder.as_ref().map_or("a run that just ended", |holder| &holder.name);
            if since.elapsed() >= patience {
                let process = holder.as_ref().map_or(0, |holder| holder.process);
                let mine =
                    holder.as_ref().is_none_or(|holder| holder.run.as_ref() == Some(&self.run));
                return Err(Fault { error: self.taken(name, process), transient: mine });
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
                if lives == Lives::No {
                    // Where this user may not, the server sees it by itself.
                    let end = "SELECT pg_terminate_backend($1)";
                    let _ = client.execute(end, &[&holder.process]).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The error for a table that another run writes.
    fn taken(&self, name: &str, process: i32) -> Error {
        Error::target(format!(
            "another run is writing {} ({name}, server process {process})",
            self.location
        ))
        .hint("wait for it, or write to another table")
    }

    /// Who holds the lock.
    pub(super) async fn holder(
        &self,
        client: &Object,
    ) -> Result<Option<Holder>, tokio_postgres::Error> {
        // The two halves of the key, as pg_locks shows them.
        let sql = "SELECT application_name, pg_locks.pid FROM pg_locks JOIN pg_stat_activity USING (pid) \
                   WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
                   AND (classid::bigint << 32) | objid::bigint = $1 \
                   AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let row = client.query_opt(sql, &[&self.key]).await?;
        Ok(row.map(|row| Holder::of(row.get(0), row.get(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_a_lock_lives_or_not() {
        let (mine, mark) = ("20261129T181553699789-1", mark());
        let me = outside::process();
        let cases = [
            (format!("windrow 20261129T181553699700-{me} {mark}"), Lives::Here),
            (format!("windrow 20261129T181553699700-4194305 {mark}"), Lives::No),
            (format!("windrow 20261129T181553699700-{me} 00000000"), Lives::Elsewhere),
            // Of a build that said nothing of its machine, and of another program.
            (format!("windrow 20261129T181553699700-{me}"), Lives::Elsewhere),
            ("psql".to_string(), Lives::Elsewhere),
            (format!("windrow {mine} {mark}"), Lives::No),
        ];
        for (name, lives) in cases {
            assert!(Holder::of(name.clone(), 1).lives(mine) == lives, "{name}");
        }
    }
}
