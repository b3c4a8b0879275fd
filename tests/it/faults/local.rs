//! Targets on the local disk: a directory, one with folders, a CSV file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use tokio::runtime::Runtime;
use windrow::config::Config;
use windrow::outside::faults::{FaultGuard, FileFault};
use windrow::store::Record;

use super::commands::{Command, Rows, Scene, names, rows_of};
use super::{Place, all, every_call};
use crate::support::{plain_glob, plain_read};

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    Folders,
    Csv,
}

fn scene(folder: &Path, command: Command, kind: Kind) -> Scene {
    let name = if kind == Kind::Csv { "out.csv" } else { "out" };
    Scene {
        command,
        folder: folder.to_path_buf(),
        target: folder.join(name).to_str().unwrap().to_string(),
        partition_by: if kind == Kind::Folders { "symbol" } else { "" },
        config: Config { parallel_workers: 1, ..Config::default() },
    }
}

/// The rows that a reader finds who knows nothing of windrow.
fn read(scene: &Scene) -> Result<Rows, String> {
    let path = Path::new(&scene.target);
    if path.extension().is_some() {
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(Rows::new()) };
        let cells = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        let row = |cells: Vec<&str>| {
            let state: f64 = cells[2].parse().unwrap();
            ((cells[0].to_string(), cells[1].to_string()), state.to_bits())
        };
        return Ok(cells.map(row).collect());
    }
    if scene.partition_by.is_empty() {
        return plain_read(path).map(|batch| rows_of(batch.iter()));
    }
    // The symbol is in the name of the folder.
    let mut rows = Rows::new();
    for path in plain_glob(path) {
        let folder = path.parent().unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap().strip_prefix("symbol=").unwrap();
        let batch = plain_read(folder)?.unwrap();
        let symbol = Arc::new(StringArray::from(vec![name; batch.num_rows()])) as ArrayRef;
        let column = |name: &str| ArrayRef::clone(batch.column_by_name(name).unwrap());
        let named = [("symbol", symbol), ("ts", column("ts")), ("state", column("state"))];
        rows.extend(rows_of([&RecordBatch::try_from_iter(named).unwrap()]));
    }
    Ok(rows)
}

/// What is in the folder of a scene that belongs to no state.
fn left(scene: &Scene, files: &[String]) -> Vec<String> {
    let name = Path::new(&scene.target).file_name().unwrap().to_str().unwrap();
    // The record of a CSV file, until the next run gives it its name.
    let number = std::fs::metadata(&scene.target).map(|file| file.ino()).unwrap_or_default();
    let pending = format!(".json.{number}");
    let known = |path: &str| {
        let below = path.strip_prefix(&format!("{name}/"));
        let beside = path.strip_prefix(&format!(".{name}.windrow"));
        ["bars.parquet", "s.sql", name].contains(&path)
            || below.is_some_and(|below| {
                below.starts_with("_windrow/") || files.iter().any(|file| file == below)
            })
            || beside.is_some_and(|beside| {
                let record = beside.strip_prefix("-records/").and_then(|r| r.strip_suffix(".json"));
                beside == "-lock"
                    || beside == ".json"
                    || beside == pending
                    || record.is_some_and(|record| {
                        Path::new(&scene.target).join(format!("_windrow/{record}.json")).exists()
                    })
            })
    };
    names(&scene.folder, &known)
}

/// Whether a call changes what outlasts the process.
fn changes(call: &str) -> bool {
    let name = call.split(' ').next().unwrap_or_default();
    ["create", "write", "truncate", "mkdir", "link", "rename", "exchange", "remove"].contains(&name)
}

/// A kill before a call that reads leaves what a kill after the last one that writes leaves, and of what only reads
/// nothing is done whether its answer is lost or not.
fn kinds(number: u64, call: &str) -> Vec<FileFault> {
    if all() {
        return FileFault::ALL.to_vec();
    }
    let mut kinds = vec![FileFault::Error];
    if changes(call) {
        kinds.extend([FileFault::Full, FileFault::Lost, FileFault::KilledAfter]);
    } else if call.starts_with("sync") {
        kinds.extend([FileFault::Full]);
    }
    if number == 1 {
        kinds.push(FileFault::KilledBefore);
    }
    if number.is_multiple_of(16) {
        kinds.push(FileFault::Slow);
    }
    kinds
}

/// A scene on the local disk.
struct Local {
    scene: Scene,
    faults: Mutex<Option<FaultGuard>>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

impl Place for Local {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    /// The second time, a copy of what it was.
    fn prepare(&self, runtime: &Runtime) {
        let folder = &self.scene.folder;
        let template = folder.with_file_name("template");
        let _ = std::fs::remove_dir_all(folder);
        if template.exists() {
            return copy(&template, folder);
        }
        runtime.block_on(self.scene.prepare());
        copy(folder, &template);
    }

    fn arm(&self, faults: Vec<(u64, FileFault)>) {
        *self.faults.lock().unwrap() = Some(FaultGuard::inject_below(&self.scene.folder, faults));
    }

    fn is_dead(&self) -> bool {
        self.faults.lock().unwrap().as_ref().is_some_and(FaultGuard::is_dead)
    }

    fn disarm(&self) -> Vec<String> {
        self.faults.lock().unwrap().take().map(|faults| faults.call_log()).unwrap_or_default()
    }

    fn read(&self) -> Result<Rows, String> {
        read(&self.scene)
    }

    fn left(&self, record: &Record) -> Vec<String> {
        let files: Vec<String> = record.files.iter().map(|file| file.path.clone()).collect();
        left(&self.scene, &files)
    }

    fn faults(&self, number: u64, call: &str) -> Vec<FileFault> {
        kinds(number, call)
    }
}

fn local(command: Command, kind: Kind) {
    if command == Command::Again && !all() {
        return; // An export does the same, and heals in another way.
    }
    let folder = tempfile::tempdir().unwrap();
    let scene = scene(&folder.path().join("scene"), command, kind);
    let place = Local { scene, faults: Mutex::default() };
    every_call(&place, &format!("{command:?} into {kind:?}"));
}

macro_rules! local {
    ($($test:ident: $command:ident $kind:ident,)*) => {
        $(#[test]
        fn $test() {
            local(Command::$command, Kind::$kind);
        })*
    };
}

local! {
    first_run_into_a_directory: First Directory,
    run_over_a_directory: Again Directory,
    merge_into_a_directory: Merge Directory,
    append_to_a_directory: Append Directory,
    compact_a_directory: Compact Directory,
    export_to_a_directory: Export Directory,
    first_run_into_folders: First Folders,
    run_over_folders: Again Folders,
    merge_into_folders: Merge Folders,
    export_to_folders: Export Folders,
    first_run_into_a_csv_file: First Csv,
    run_over_a_csv_file: Again Csv,
    export_to_a_csv_file: Export Csv,
}
