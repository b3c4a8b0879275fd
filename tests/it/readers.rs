//! What other readers see of a target while a run commits into it: one state, or an error.

use std::fs::File;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::support::{Bars, ok};

const SET: &str = "/*\nparams: {state: 1}\npartition_by: [month]\n*/\n\
    SELECT symbol, ts, {{ state }}.0 AS state, date_part('month', ts) AS month FROM bars";

fn run(folder: &Path, state: usize, days: usize) {
    Bars::new(2, days).write(&folder.join("bars/all.parquet"));
    let set = format!("state={state}");
    ok(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "out", "--set", &set]);
}

/// Lists a directory folder by folder, as DuckDB, polars and pyarrow do, and takes a folder that is gone for an
/// empty one; `before` is called with the number of each listing.
fn list(folder: &Path, before: &mut dyn FnMut(), found: &mut Vec<PathBuf>) {
    before();
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list(&path, before, found);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
}

/// The rows of all files, by state; None if one cannot be opened.
fn read(files: &[PathBuf]) -> Option<Vec<f64>> {
    let mut states = Vec::new();
    for path in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let column = batch.column_by_name("state").unwrap().as_primitive::<Float64Type>();
            states.extend(column.values());
        }
    }
    Some(states)
}

/// A run adds folders. A reader that lists the target when they have been made finds all of the new state, or that a
/// file is gone, wherever in its listing the commit falls.
#[test]
fn new_folders_are_listed_before_they_have_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("s.sql"), SET).unwrap();
    let (few, many) = (40, 150);
    let out = folder.join("out");
    // The first two listings are of the target and of its records.
    for at in [3, 4, 5] {
        std::fs::remove_dir_all(&out).ok();
        run(folder, 1, few);
        let folders = || std::fs::read_dir(&out).unwrap().count();
        let before = folders();
        std::thread::scope(|scope| {
            let committing = scope.spawn(|| run(folder, 2, many));
            while folders() == before {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            // All of them are made at one go.
            std::thread::sleep(std::time::Duration::from_millis(200));
            let (mut listings, mut files, mut committing) = (0, Vec::new(), Some(committing));
            let mut wait = || {
                listings += 1;
                if listings == at {
                    committing.take().unwrap().join().unwrap();
                }
            };
            list(&out, &mut wait, &mut files);
            let rows = read(&files);
            assert_eq!(rows.is_some(), at == 3, "{at}");
            if let Some(rows) = rows {
                assert_eq!(rows.len(), 2 * many);
                assert!(rows.iter().all(|state| *state == 2.0));
            }
        });
    }
}
