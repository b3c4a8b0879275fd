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

#[test]
fn a_listing_folder_by_folder_never_mixes_two_states() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("s.sql"), SET).unwrap();
    // The second state has folders that the first has not.
    let (few, many) = (40, 150);
    for at in 1.. {
        std::fs::remove_dir_all(folder.join("out")).ok();
        run(folder, 1, few);
        let (mut listings, mut files) = (0, Vec::new());
        let mut before = || {
            listings += 1;
            if listings == at {
                run(folder, 2, many);
            }
        };
        list(&folder.join("out"), &mut before, &mut files);
        if listings < at {
            assert!(at > 3, "{at}");
            break;
        }
        let rows = read(&files).filter(|rows| !rows.is_empty());
        let whole = |rows: &Vec<f64>| {
            let expected = if rows[0] == 1.0 { 2 * few } else { 2 * many };
            rows.len() == expected && rows.iter().all(|state| *state == rows[0])
        };
        assert!(rows.as_ref().is_none_or(whole), "listing {at}: {} rows", rows.unwrap().len());
    }
}
