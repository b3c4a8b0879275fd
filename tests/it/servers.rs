//! Real servers for tests: PostgreSQL clusters in temporary directories, and a line to them that
//! can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

/// The directory of PostgreSQL's programs; None if there is none and nobody insists on it.
fn programs() -> Option<PathBuf> {
    let installed = glob::glob("/usr/lib/postgresql/*/bin").unwrap().map(Result::unwrap);
    let path = std::env::var("PATH").unwrap_or_default();
    let found = installed.chain(path.split(':').map(PathBuf::from));
    let found = found.filter(|folder| folder.join("initdb").is_file()).max();
    if found.is_none() {
        // `./test` installs it, and says so.
        assert!(std::env::var("WINDROW_TEST_SERVERS").is_err(), "no postgres found");
        eprintln!("skipped: no postgres found");
    }
    found
}

/// A cluster of its own, which ends with the test or with the process, however that ends.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    pub(crate) port: u16,
    /// Settings beside those of all clusters.
    settings: &'static str,
    running: Mutex<Option<Child>>,
    bases: AtomicU64,
}

impl Cluster {
    /// A new one; None if there are no programs.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("", |_| {})
    }

    /// A new one that keeps what it committed, also if it crashes.
    pub(crate) fn start_durable() -> Option<Self> {
        Self::start_with("-c synchronous_commit=on", |_| {})
    }

    /// A new one that speaks TLS, with a certificate for `localhost`; its authority is `ca.crt`.
    pub(crate) fn start_with_tls() -> Option<Self> {
        let tls = "-c ssl=on -c ssl_cert_file=../server.crt -c ssl_key_file=../server.key";
        Self::start_with(tls, |cluster| {
            let ssl = |args: &str| {
                let done = cluster.run(Command::new("openssl").args(args.split(' ')));
                assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            };
            let key = "-newkey rsa:2048 -nodes";
            ssl(&format!(
                "req -x509 {key} -days 30 -subj /CN=authority -keyout ca.key -out ca.crt"
            ));
            ssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
            std::fs::write(cluster.folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
            ssl("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
                 -extfile names -out server.crt");
        })
    }

    fn start_with(settings: &'static str, prepare: impl Fn(&Self)) -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap().keep();
        let cluster = Self {
            folder,
            programs,
            port: free_port(),
            settings,
            running: Mutex::new(None),
            bases: AtomicU64::new(0),
        };
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&cluster.folder, Some(user), Some(group)).unwrap();
        }
        let words = "-D data -U postgres -A trust -E UTF8 --no-locale -N".split(' ');
        let made = cluster.run(Command::new(cluster.programs.join("initdb")).args(words));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        prepare(&cluster);
        cluster.go_on();
        Some(cluster)
    }

    /// The one that tests share.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Runs a program in the cluster's folder, as the server's user.
    fn run(&self, command: &mut Command) -> std::process::Output {
        command.current_dir(&self.folder).env("HOME", &self.folder).stdin(Stdio::null());
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        command.output().unwrap()
    }

    /// A file in the cluster's folder.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_string()
    }

    /// Starts the server, again if it was stopped.
    pub(crate) fn go_on(&self) {
        // The shell ends the server and removes its files when this process lets go of its input.
        let script = format!(
            "'{0}/postgres' -D data -p {1} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{2}' \
             -c fsync=off -c synchronous_commit=off -c shared_buffers=32MB -c max_connections=40 \
             -c restart_after_crash=on {3} >>log 2>&1 & server=$!; echo $server; cat >/dev/null; \
             kill -INT $server 2>/dev/null; wait $server",
            self.programs.display(),
            self.port,
            self.folder.display(),
            self.settings
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(&self.folder).stdin(Stdio::piped());
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        *self.running.lock().unwrap() = Some(child);
        let until = Instant::now() + Duration::from_secs(30);
        while tokio().block_on(tokio_postgres::connect(&self.line("postgres"), NoTls)).is_err() {
            assert!(Instant::now() < until, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills the server as a power cut would.
    pub(crate) fn crash(&self) {
        let mut child = self.running.lock().unwrap().take().unwrap();
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    fn line(&self, base: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={base}", self.port)
    }

    /// A new, empty database.
    pub(crate) fn base(&self) -> Base<'_> {
        let name = format!("t{}", self.bases.fetch_add(1, Ordering::Relaxed));
        let base = Base { cluster: self, name: "postgres".to_string() };
        base.run(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        Base { cluster: self, name }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.lock().unwrap().take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One database of a cluster.
pub(crate) struct Base<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Base<'_> {
    /// Its URL.
    pub(crate) fn database(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.cluster.port, self.name)
    }

    /// The URL of a table in it.
    pub(crate) fn url(&self, table: &str) -> String {
        self.url_by(self.cluster.port, table)
    }

    /// The same, by another port.
    pub(crate) fn url_by(&self, port: u16, table: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}?table={table}", self.name)
    }

    /// Runs statements.
    pub(crate) fn run(&self, sql: &str) {
        tokio().block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.cluster.line(&self.name), NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
        });
    }

    /// The rows of a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        tokio().block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.cluster.line(&self.name), NoTls).await.unwrap();
            tokio::spawn(connection);
            client.query(sql, &[]).await.unwrap()
        })
    }

    /// The rows of a query as text, columns apart by a bar.
    pub(crate) fn text(&self, sql: &str) -> Vec<String> {
        let row = |row: &tokio_postgres::Row| {
            let cell = |i| row.get::<_, Option<String>>(i).unwrap_or_default();
            (0..row.len()).map(cell).collect::<Vec<_>>().join("|")
        };
        self.rows(sql).iter().map(row).collect()
    }
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// User and group of the server where this process is root, which it refuses to be.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
        Some((fields.next()?, fields.next()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A line to a server that is cut after some bytes.
pub(crate) struct Line {
    pub(crate) port: u16,
    /// Bytes until the next cut; below zero there is none.
    left: Arc<AtomicI64>,
    cuts: Arc<AtomicU64>,
}

impl Line {
    /// To a port of this machine.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            left: Arc::new(AtomicI64::new(-1)),
            cuts: Arc::new(AtomicU64::new(0)),
        };
        let (left, cuts) = (Arc::clone(&line.left), Arc::clone(&line.cuts));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (left, cuts) = (Arc::clone(&left), Arc::clone(&cuts));
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                let count = Arc::new(move |bytes: usize| {
                    if left.load(Ordering::SeqCst) < 0 {
                        return false;
                    }
                    let before = left.fetch_sub(bytes as i64, Ordering::SeqCst);
                    let cut = (0..bytes as i64).contains(&before);
                    if cut {
                        cuts.fetch_add(1, Ordering::SeqCst);
                    }
                    cut
                });
                let same = Arc::clone(&count);
                std::thread::spawn(move || pass(back.0, back.1, |bytes| same(bytes)));
                std::thread::spawn(move || pass(near, far, |bytes| count(bytes)));
            }
        });
        line
    }

    /// Cuts the connection that carries the last of so many bytes, either way.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Connections that were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Passes bytes on until one side ends or `cut` says so of a number of bytes.
fn pass(mut from: TcpStream, mut to: TcpStream, cut: impl Fn(usize) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        if cut(bytes) || to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
