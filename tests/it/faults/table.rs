//! A table of PostgreSQL: everything that a command sends to the server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use windrow::config::Config;
use windrow::outside::faults::FileFault;
use windrow::store::Record;

use super::commands::{Command, Rows, Scene, check_record};
use super::{Place, all, every_call};
use crate::servers::{Base, Cluster};

/// How long the server takes at the most for what it is told last.
const DONE: Duration = Duration::from_millis(20);

/// A line to a server on which each piece that is sent may get lost, with its connection.
struct Gate {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    faults: Vec<(u64, FileFault)>,
    calls: Vec<String>,
    is_dead: bool,
    open: Vec<TcpStream>,
}

impl State {
    /// Counts a piece on its way to the server.
    fn next(&mut self, bytes: &[u8]) -> Option<FileFault> {
        self.calls.push(about(bytes));
        let number = self.calls.len() as u64;
        self.faults.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault)
    }

    fn die(&mut self) {
        self.is_dead = true;
        for socket in self.open.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// The first words of what is sent, for messages.
fn about(bytes: &[u8]) -> String {
    let printable = bytes.iter().map(|byte| match byte {
        b' '..=b'~' => *byte as char,
        _ => ' ',
    });
    let words: String = printable.collect();
    words.split_whitespace().take(6).collect::<Vec<_>>().join(" ")
}

impl Gate {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if shared.lock().unwrap().is_dead {
                    continue; // It is closed.
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let open = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                shared.lock().unwrap().open.extend(open);
                let lost = Arc::new(Mutex::new(false));
                let (back, drop_answers) =
                    ((far.try_clone().unwrap(), near.try_clone().unwrap()), Arc::clone(&lost));
                std::thread::spawn(move || answers(back.0, back.1, &drop_answers));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || sends(near, far, &state, &lost));
            }
        });
        Self { port: own, state }
    }
}

/// Passes on what the client sends, with its faults.
fn sends(mut near: TcpStream, mut far: TcpStream, state: &Mutex<State>, lost: &Mutex<bool>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(bytes @ 1..) = near.read(&mut buffer) {
        let piece = &buffer[..bytes];
        let fault = state.lock().unwrap().next(piece);
        match fault {
            Some(FileFault::Error | FileFault::Full) => break,
            Some(FileFault::KilledBefore) => {
                state.lock().unwrap().die();
                break;
            }
            Some(FileFault::Slow) => std::thread::sleep(Duration::from_millis(20)),
            Some(FileFault::Lost) => *lost.lock().unwrap() = true,
            Some(FileFault::KilledAfter) => {
                state.lock().unwrap().is_dead = true;
                *lost.lock().unwrap() = true;
            }
            None => {}
        }
        if far.write_all(piece).is_err() {
            break;
        }
        if fault == Some(FileFault::KilledAfter) {
            // The server does what it was told.
            std::thread::sleep(DONE);
            state.lock().unwrap().die();
            break;
        }
    }
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}

/// Passes on what the server answers, until an answer is to get lost.
fn answers(mut far: TcpStream, mut near: TcpStream, lost: &Mutex<bool>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(bytes @ 1..) = far.read(&mut buffer) {
        if *lost.lock().unwrap() || near.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}

/// A scene whose target is a table.
struct Table<'a> {
    scene: Scene,
    base: Base<'a>,
    gate: Gate,
}

impl Place for Table<'_> {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn prepare(&self, runtime: &Runtime) {
        self.base.run("DROP TABLE IF EXISTS f; DROP TABLE IF EXISTS windrow_runs");
        runtime.block_on(self.scene.prepare());
    }

    fn arm(&self, faults: Vec<(u64, FileFault)>) {
        let mut state = self.gate.state.lock().unwrap();
        (state.faults, state.calls) = (faults, Vec::new());
    }

    fn is_dead(&self) -> bool {
        self.gate.state.lock().unwrap().is_dead
    }

    fn disarm(&self) -> Vec<String> {
        if self.is_dead() {
            std::thread::sleep(2 * DONE);
        }
        std::mem::take(&mut *self.gate.state.lock().unwrap()).calls
    }

    fn read(&self) -> Result<Rows, String> {
        if self.base.text("SELECT to_regclass('f')::text") == [""] {
            return Ok(Rows::new());
        }
        let row = |row: &tokio_postgres::Row| {
            let state: f64 = row.get(2);
            ((row.get(0), row.get(1)), state.to_bits())
        };
        let rows = self.base.rows("SELECT symbol, ts::text, state FROM f");
        let count = rows.len();
        let rows: Rows = rows.iter().map(row).collect();
        if rows.len() == count { Ok(rows) } else { Err("a row is there twice".into()) }
    }

    /// The record of a scope tells of that scope.
    fn check(&self, record: Option<&Record>, rows: &Rows) -> Result<(), String> {
        let scope = record.and_then(|record| record.symbols.as_ref());
        let within = |symbol: &String| scope.is_none_or(|symbols| symbols.contains(symbol));
        let rows = rows.iter().filter(|((symbol, _), _)| within(symbol));
        check_record(record, &rows.map(|(key, state)| (key.clone(), *state)).collect())
    }

    fn left(&self, _: &Record) -> Vec<String> {
        self.base.text("SELECT relname::text FROM pg_class WHERE relname LIKE '\\_windrow%'")
    }

    fn faults(&self, number: u64, _: &str) -> Vec<FileFault> {
        match (number + self.scene.command as u64) % 6 {
            _ if all() => FileFault::ALL.to_vec(),
            _ if number == 1 => vec![FileFault::KilledBefore],
            0 => vec![FileFault::KilledAfter],
            3 => vec![FileFault::Lost],
            _ => Vec::new(),
        }
    }
}

fn table(command: Command) {
    let Some(cluster) = Cluster::shared() else { return };
    let base = cluster.base();
    let gate = Gate::to(cluster.port);
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene {
        command,
        folder: folder.path().join("scene"),
        target: base.url_by(gate.port, "f") + "&connections=1",
        partition_by: "",
        config: Config { parallel_workers: 1, ..Config::default() },
    };
    every_call(&Table { scene, base, gate }, &format!("{command:?} into Table"));
}

#[test]
fn first_run_into_a_table() {
    table(Command::First);
}

#[test]
fn run_over_a_table() {
    table(Command::Again);
}

#[test]
fn run_over_a_part_of_a_table() {
    table(Command::Merge);
}

#[test]
fn export_to_a_table() {
    table(Command::Export);
}
