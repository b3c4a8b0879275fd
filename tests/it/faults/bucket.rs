//! A prefix of an object store: every request of a command.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::Runtime;
use windrow::config::Config;
use windrow::outside::faults::FileFault;
use windrow::store::Record;

use super::commands::{Command, Rows, Scene, rows_of};
use super::{Place, all, every_call};
use crate::store::{Fate, Store};

/// A scene whose target is in an object store.
struct Bucket {
    scene: Scene,
    store: Store,
    seen: Arc<Mutex<Seen>>,
}

/// What was asked for since faults are planned.
#[derive(Default)]
struct Seen {
    calls: Vec<String>,
    is_dead: bool,
}

impl Place for Bucket {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn prepare(&self, runtime: &Runtime) {
        self.store.empty();
        runtime.block_on(self.scene.prepare());
    }

    fn arm(&self, faults: Vec<(u64, FileFault)>) {
        *self.seen.lock().unwrap() = Seen::default();
        let seen = Arc::clone(&self.seen);
        self.store.judge(move |method, path| {
            let mut seen = seen.lock().unwrap();
            if seen.is_dead {
                return Fate::Cut;
            }
            seen.calls.push(format!("{method} {}", path.split('?').next().unwrap()));
            let number = seen.calls.len() as u64;
            match faults.iter().find(|(at, _)| *at == number).map(|(_, fault)| fault) {
                None => Fate::Pass,
                Some(FileFault::Error) => Fate::Status(403, "AccessDenied"),
                Some(FileFault::Full) => Fate::Status(507, "InsufficientStorage"),
                Some(FileFault::Lost) => Fate::Lost,
                Some(FileFault::Slow) => Fate::Late(Duration::from_millis(20)),
                Some(FileFault::KilledBefore) => {
                    seen.is_dead = true;
                    Fate::Cut
                }
                Some(FileFault::KilledAfter) => {
                    seen.is_dead = true;
                    Fate::Lost
                }
            }
        });
    }

    fn is_dead(&self) -> bool {
        self.seen.lock().unwrap().is_dead
    }

    fn disarm(&self) -> Vec<String> {
        if self.is_dead() {
            self.store.bury_clients(); // What was on its way when the process died.
        } else {
            self.store.settle();
        }
        self.store.judge(|_, _| Fate::Pass);
        std::mem::take(&mut *self.seen.lock().unwrap()).calls
    }

    /// By the last record, as docs/object-stores.md says.
    fn read(&self) -> Result<Rows, String> {
        let out = self.store.bucket().join("out");
        let Some(record) = last_record(&out) else { return Ok(Rows::new()) };
        let mut rows = Rows::new();
        for file in &record.files {
            let path = out.join(&file.path);
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let opened = File::open(&path).map_err(|error| told(&error))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|b| b.build());
            for batch in reader.map_err(|error| told(&error))? {
                rows.extend(rows_of([&batch.unwrap()]));
            }
        }
        Ok(rows)
    }

    fn left(&self, record: &Record) -> Vec<String> {
        let known: BTreeSet<String> =
            record.files.iter().map(|file| format!("out/{}", file.path)).collect();
        let mut left = self.store.keys("out");
        left.retain(|key| {
            let is_record = key.starts_with("out/_windrow/") && key.ends_with(".json");
            !is_record && !known.contains(key)
        });
        left.extend((0..self.store.uploads()).map(|_| "an upload".to_string()));
        left
    }

    fn faults(&self, number: u64, call: &str) -> Vec<FileFault> {
        if all() {
            return FileFault::ALL.to_vec();
        }
        let changes = !call.starts_with("GET") && !call.starts_with("HEAD");
        match (number + self.scene.command as u64) % 3 {
            _ if number == 1 => vec![FileFault::KilledBefore],
            0 => vec![FileFault::Error],
            1 if changes => vec![FileFault::KilledAfter],
            2 if changes => vec![FileFault::Lost],
            _ => Vec::new(),
        }
    }
}

/// The last record below a folder.
fn last_record(out: &Path) -> Option<Record> {
    let records = std::fs::read_dir(out.join("_windrow")).ok()?;
    let records = records.map(|entry| entry.unwrap().path());
    let is_record = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".json") && !name.starts_with('.') && name != "000000.json"
    };
    let last = records.filter(is_record).max()?;
    Some(serde_json::from_slice(&std::fs::read(last).unwrap()).unwrap())
}

fn bucket(command: Command) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    std::fs::write(folder.path().join("windrow.yaml"), store.yaml()).unwrap();
    let config = Config::load(folder.path(), &|_| None).unwrap();
    let scene = Scene {
        command,
        folder: folder.path().join("scene"),
        target: "s3://bucket/out".to_string(),
        partition_by: "",
        config: Config { parallel_workers: 1, ..config },
    };
    every_call(&Bucket { scene, store, seen: Arc::default() }, &format!("{command:?} into Bucket"));
}

#[test]
fn first_run_into_a_bucket() {
    bucket(Command::First);
}

#[test]
fn merge_into_a_bucket() {
    bucket(Command::Merge);
}

#[test]
fn append_to_a_bucket() {
    bucket(Command::Append);
}

#[test]
fn compact_a_bucket() {
    bucket(Command::Compact);
}

#[test]
fn export_to_a_bucket() {
    bucket(Command::Export);
}
