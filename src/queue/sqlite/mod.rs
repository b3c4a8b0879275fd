//! The driver for SQLite: one file, one process that writes.
//!
//! One thread owns the connection that writes. It runs what callers ask for in the order in which they ask.
//! Everything that waits when a transaction begins is part of it: one sync of the disk serves many callers. A
//! caller gets its answer after the commit. A crash before the commit leaves nothing of the transaction, and
//! nobody was answered.

mod reader;
mod rows;
mod schema;
mod transaction;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::BoxFuture;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::batch::wait_reason;
use super::driver::QueueDriver;
use super::model::{GroupRow, JobFilter, JobName, JobRow, QueueDepth};
use super::operations;
use super::transaction::QueueTransaction;
use super::{JobStatus, QueueBounds, QueueClock, QueueReads};
use crate::error::{Error, Result};
use crate::limits::{WRITES_TOGETHER, WRITES_WAITING};
use crate::outside::files;
use transaction::SqliteTransaction;

/// The statements of a caller; they return its error.
type WritePart = Box<dyn FnOnce(&mut SqliteTransaction<'_>) -> Option<Error> + Send>;

/// The part of a caller in the next transaction.
struct Write {
    /// Runs the part of the caller and keeps its result. Returns its error; the part is rolled back then.
    run: Option<WritePart>,
    /// Sends the result, or the error of the commit.
    answer: Box<dyn FnOnce(Result<()>) + Send>,
}

/// A queue in a SQLite file.
pub struct SqliteQueue {
    /// The thread that writes; None in a queue that is only read.
    writes: Option<mpsc::Sender<Write>>,
    reader: Arc<Mutex<Connection>>,
    path: PathBuf,
    bounds: QueueBounds,
    clock: QueueClock,
    arrived: watch::Sender<u64>,
    /// The lock that keeps a second process out.
    _lock: Option<files::LocalFile>,
}

impl SqliteQueue {
    /// Opens the queue in a file, which is created if it does not exist. Batches that run are those of an earlier
    /// process, which has ended: their jobs wait again at once. The second value is the number of these batches.
    ///
    /// # Errors
    /// If another process has the queue, if the file is none of a queue, or cannot be written.
    pub async fn open(path: &Path, bounds: QueueBounds, clock: QueueClock) -> Result<(Self, u64)> {
        let lock = lock_queue(path)?;
        let connection = schema::open_writer(path)?;
        let reader = schema::open_reader(path)?;
        let (writes, asked) = mpsc::channel(WRITES_WAITING);
        let writer = QueueWriter::new(connection, path, clock.clone())?;
        let spawned = std::thread::Builder::new().name("queue".to_string());
        spawned.spawn(move || writer.serve(asked)).map_err(|error| {
            Error::data(format!("cannot start the thread of the queue: {error}"))
                .hint("raise the limits of this user (ulimit -u, -v)")
        })?;
        let queue = Self {
            writes: Some(writes),
            reader: Arc::new(Mutex::new(reader)),
            path: path.to_path_buf(),
            bounds,
            clock,
            arrived: watch::Sender::new(0),
            _lock: Some(lock),
        };
        let returned =
            queue.write(|tx| Box::pin(async { operations::return_all_batches(tx).await })).await?;
        Ok((queue, returned))
    }

    /// Opens the queue in a file for reading, while another process may work with it.
    ///
    /// # Errors
    /// If the file is none of a queue, or cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Self> {
        if !files::path_exists(path).unwrap_or(false) {
            return Err(Error::usage(format!("there is no queue {}", path.display()))
                .hint("name the file of --queue of a `windrow serve`"));
        }
        Ok(Self {
            writes: None,
            reader: Arc::new(Mutex::new(schema::open_reader(path)?)),
            path: path.to_path_buf(),
            bounds: QueueBounds::default(),
            clock: QueueClock::System,
            arrived: watch::Sender::new(0),
            _lock: None,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reader, path) = (Arc::clone(&self.reader), self.path.clone());
        let read = move || {
            let connection = reader.lock().unwrap_or_else(PoisonError::into_inner);
            read(&connection).map_err(|error| store_error(&path, &error))
        };
        let panicked = |error| Error::internal(format!("reading the queue panicked: {error}"));
        tokio::task::spawn_blocking(read).await.map_err(panicked)?
    }
}

/// The thread that writes.
struct QueueWriter {
    connection: Connection,
    path: PathBuf,
    clock: QueueClock,
    change: i64,
}

impl QueueWriter {
    fn new(connection: Connection, path: &Path, clock: QueueClock) -> Result<Self> {
        let last = "SELECT coalesce(max(change), 0) FROM jobs";
        let change = connection
            .query_row(last, [], |row| row.get(0))
            .map_err(|error| store_error(path, &error))?;
        Ok(Self { connection, path: path.to_path_buf(), clock, change })
    }

    /// Writes until all callers are gone.
    fn serve(mut self, mut asked: mpsc::Receiver<Write>) {
        while let Some(first) = asked.blocking_recv() {
            let mut together = vec![first];
            while together.len() < WRITES_TOGETHER
                && let Ok(next) = asked.try_recv()
            {
                together.push(next);
            }
            let committed = self.write_together(&mut together);
            for write in together {
                (write.answer)(committed.clone());
            }
        }
    }

    /// Runs the parts of several callers in one transaction.
    fn write_together(&mut self, together: &mut [Write]) -> Result<()> {
        let fail = |error: rusqlite::Error| store_error(&self.path, &error);
        self.change += 1;
        let connection = &mut self.connection;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
        let mut all = || {
            for run in together.iter_mut().filter_map(|write| write.run.take()) {
                connection.execute_batch("SAVEPOINT part").map_err(fail)?;
                let (path, clock, change) = (self.path.as_path(), &self.clock, self.change);
                let mut tx = SqliteTransaction { connection, path, clock, change };
                if let Some(error) = run(&mut tx) {
                    // A full disk ends the whole transaction.
                    connection.execute_batch("ROLLBACK TO part").map_err(|_| error)?;
                }
                connection.execute_batch("RELEASE part").map_err(fail)?;
            }
            connection.execute_batch("COMMIT").map_err(fail)
        };
        let committed = all();
        if committed.is_err() {
            // Some errors end the transaction by themselves: this fails then.
            let _ = connection.execute_batch("ROLLBACK");
        }
        committed
    }
}

impl QueueDriver for SqliteQueue {
    fn bounds(&self) -> &QueueBounds {
        &self.bounds
    }

    fn clock(&self) -> &QueueClock {
        &self.clock
    }

    fn arrived(&self) -> &watch::Sender<u64> {
        &self.arrived
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl for<'a> FnOnce(&'a mut dyn QueueTransaction) -> BoxFuture<'a, Result<T>>
        + Send
        + 'static,
    ) -> Result<T> {
        let (sender, answered) = oneshot::channel();
        let kept = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&kept);
        let run = move |tx: &mut SqliteTransaction<'_>| {
            // No statement of SQLite waits for anything but the disk.
            let result = futures::executor::block_on(operation(tx));
            let error = result.as_ref().err().cloned();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            error
        };
        let answer = move |committed: Result<()>| {
            let result = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            let lost = || Err(Error::internal("the queue did not run a statement"));
            let _ = sender.send(committed.and_then(|()| result.unwrap_or_else(lost)));
        };
        let write = Write { run: Some(Box::new(run)), answer: Box::new(answer) };
        let gone = || Error::internal("the thread of the queue has ended");
        let writes = self.writes.as_ref().ok_or_else(gone)?;
        writes.send(write).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl QueueReads for SqliteQueue {
    async fn job(&self, name: &JobName) -> Result<Option<JobStatus>> {
        let (name, now) = (name.clone(), self.clock.now());
        self.read(move |connection| {
            let Some(job) = reader::read_named_job(connection, &name)? else { return Ok(None) };
            let ahead = reader::count_ahead(connection, &job, now)?;
            Ok(Some(JobStatus { waits: wait_reason(&job, now, ahead), job }))
        })
        .await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRow>> {
        self.read(move |connection| reader::list_jobs(connection, &filter)).await
    }

    async fn group(&self, name: &str) -> Result<Option<GroupRow>> {
        let name = name.to_string();
        self.read(move |connection| reader::read_named_group(connection, &name)).await
    }

    async fn group_jobs(&self, group: &GroupRow) -> Result<Vec<JobRow>> {
        let id = group.id;
        self.read(move |connection| reader::list_group_jobs(connection, id)).await
    }

    async fn changes(&self, group: &GroupRow, after: i64) -> Result<Vec<JobRow>> {
        let id = group.id;
        self.read(move |connection| reader::list_changed(connection, id, after)).await
    }

    async fn depth(&self) -> Result<QueueDepth> {
        self.read(reader::read_depth).await
    }

    async fn rate(&self) -> Result<Option<f64>> {
        self.read(reader::read_rate).await
    }
}

/// Takes the lock of a queue file, whose directory is created.
fn lock_queue(path: &Path) -> Result<files::LocalFile> {
    let shown = path.display();
    let fail = |error: std::io::Error| {
        Error::usage(format!("cannot open the queue {shown}: {error}"))
            .hint("name a file in a directory that this user may write")
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        files::create_folder(folder).map_err(fail)?;
        refuse_network_file_system(folder)?;
    }
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let file = files::open_or_create(Path::new(&lock)).map_err(fail)?;
    if !file.try_lock().map_err(fail)? {
        return Err(Error::usage(format!("another process has the queue {shown}")).hint(
            "stop it first, name another file, or use a PostgreSQL queue for several processes",
        ));
    }
    Ok(file)
}

/// Refuses a folder of a network file system, on which SQLite's locks and shared memory do not hold.
fn refuse_network_file_system(folder: &Path) -> Result<()> {
    const NETWORK: [(i64, &str); 4] =
        [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x0102_1997, "9P")];
    let Ok(found) = rustix::fs::statfs(folder) else { return Ok(()) };
    let magic = found.f_type & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        None => Ok(()),
        Some((_, name)) => Err(Error::usage(format!(
            "{} is on a network file system ({name}), where a SQLite queue is not safe",
            folder.display()
        ))
        .hint("name a file on a local disk, or use a PostgreSQL queue")),
    }
}

/// Returns the error of a queue that cannot be read or written.
fn store_error(path: &Path, error: &rusqlite::Error) -> Error {
    let shown = path.display();
    let code = error.sqlite_error_code();
    let full = code == Some(ErrorCode::DiskFull)
        || (code == Some(ErrorCode::SystemIoFailure) && has_no_space(path));
    let told = Error::target(format!("cannot use the queue {shown}: {error}"));
    match code {
        _ if full => Error::target(format!("no space is left for the queue {shown}"))
            .hint("free some space; what the queue holds is safe")
            .as_disk_full(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => told.as_transient(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            told.hint("restore the file from a backup, or move it away")
        }
        _ => told,
    }
}

/// Returns whether the file system of a file has less than a mebibyte left.
fn has_no_space(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let found = rustix::fs::statvfs(folder.unwrap_or(Path::new(".")));
    found.is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < 1 << 20)
}
