//! `run --merge`: exactly the rows of a scope are replaced, and all others stay.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use datafusion::arrow::compute::concat_batches;

use super::support::{Bars, bits, leftovers, plain_read, run, write_parquet};

const SCOPE: [&str; 6] =
    ["--symbols", "S001,S004", "--from", "2019-04-24", "--until", "2019-05-04"];

/// Bars of six symbols over fifty days; other prices for another `seed`.
fn bars(folder: &Path, seed: u64) {
    let bars = Bars::new(6, 50);
    let batches: Vec<_> =
        bars.symbols.iter().zip(seed..).map(|(symbol, seed)| bars.batch(symbol, seed)).collect();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    write_parquet(&folder.join("bars.parquet"), &all);
}

/// The exit code and what was said.
fn run_to(folder: &Path, to: &str, more: &[&str]) -> (i32, String) {
    let args = ["run", "s.sql", "--source", "bars=bars.parquet", "--to", to];
    let done = run(folder, &[&args[..], more].concat());
    (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
}

fn last_record(folder: &Path, target: &str) -> serde_json::Value {
    serde_json::from_str(&super::support::last_record(&folder.join(target))).unwrap()
}

fn set(header: &str, n: usize) -> String {
    format!(
        "/*\n{header}\n*/\nSELECT symbol, ts, date_part('month', ts) AS month, \
         sma(close, {n}) OVER w AS s FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)"
    )
}

#[test]
fn a_merge_replaces_exactly_the_rows_of_its_scope() {
    // Of all layouts: files of symbols, a folder for each month, a folder for each symbol.
    for header in ["", "partition_by: [month]", "partition_by: [symbol]"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join("s.sql"), set(header, 3)).unwrap();
        bars(folder, 1);
        assert_eq!(run_to(folder, "out", &[]).0, 0);
        let before = bits(folder, "out", "s");
        // The bars are restated: all rows are others now, and the target takes some of them.
        bars(folder, 100);
        assert_eq!(run_to(folder, "all", &[]).0, 0);
        let after = bits(folder, "all", "s");
        assert_eq!(run_to(folder, "out", &SCOPE).0, 1);
        let (code, told) = run_to(folder, "out", &[&SCOPE[..], &["--merge"]].concat());
        assert_eq!(code, 0, "{told}");
        let merged = bits(folder, "out", "s");
        assert_eq!(merged.len(), 6 * 50, "{header}");
        assert_eq!(plain_read(&folder.join("out")).unwrap().unwrap().num_rows(), 6 * 50);
        let mut replaced = 0;
        for (key, value) in &merged {
            let new = ["S001", "S004"].contains(&key.0.as_str())
                && ("2019-04-24".."2019-05-04").contains(&key.1.as_str());
            replaced += usize::from(new);
            assert_eq!(*value, if new { after[key] } else { before[key] }, "{key:?} {header}");
        }
        assert_eq!(replaced, 20);
        let record = last_record(folder, "out");
        assert_eq!(record["rows"], 20);
        for (symbol, range) in record["watermarks"].as_object().unwrap() {
            let expected =
                serde_json::json!({"first": "2019-04-14", "last": "2019-06-02", "rows": 50});
            assert_eq!(*range, expected, "{symbol} {header}");
        }
        // The guard knows of all rows, and a run over everything replaces them.
        assert_eq!(run_to(folder, "out", &SCOPE).0, 1);
        assert_eq!(run_to(folder, "out", &[]).0, 0);
        assert_eq!(bits(folder, "out", "s"), after);
        assert!(leftovers(&folder.join("out")).is_empty());
    }
}

#[test]
fn files_without_rows_of_the_scope_are_kept_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("s.sql"), set("partition_by: [symbol]", 3)).unwrap();
    bars(folder, 1);
    assert_eq!(run_to(folder, "out", &[]).0, 0);
    let inodes = |symbol: &str| -> Vec<u64> {
        let files = std::fs::read_dir(folder.join("out").join(format!("symbol={symbol}")));
        let files = files.unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().ino()).collect()
    };
    let [one, two] = ["S001", "S002"].map(inodes);
    assert_eq!(run_to(folder, "out", &["--symbols", "S001", "--merge"]).0, 0);
    assert_ne!(inodes("S001"), one);
    assert_eq!(inodes("S002"), two);
    // Only what lies outside the time stays of the symbol's own file.
    let merge = ["--symbols", "S001", "--from", "2019-05-01", "--merge"];
    assert_eq!(run_to(folder, "out", &merge).0, 0);
    assert_eq!(inodes("S001").len(), 2);
    assert_eq!(inodes("S002"), two);
    assert_eq!(bits(folder, "out", "s").len(), 6 * 50);
}

#[test]
fn a_merge_names_a_file_that_somebody_removed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bars(folder, 1);
    std::fs::write(folder.join("s.sql"), set("partition_by: [symbol]", 3)).unwrap();
    assert_eq!(run_to(folder, "out", &[]).0, 0);
    std::fs::remove_dir_all(folder.join("out").join("symbol=S003")).unwrap();
    let (code, told) = run_to(folder, "out", &["--symbols", "S001", "--merge"]);
    assert_eq!(code, 1);
    assert!(told.contains("/symbol=S003/part-") && told.contains("is gone"), "{told}");
}

#[test]
fn rows_that_stay_are_not_audited_again_and_values_stay_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bars(folder, 1);
    // Rounded to 32 bits it fails the audit that it passed.
    let sql =
        "/*\naudits: [s < 1.0]\n*/\nSELECT symbol, ts, 0.99999999999 + 0 * close AS s FROM bars";
    std::fs::write(folder.join("s.sql"), sql).unwrap();
    assert_eq!(run_to(folder, "out", &["--float32"]).0, 0);
    let merge = ["--symbols", "S001", "--from", "2019-05-01", "--merge", "--float32"];
    let (code, told) = run_to(folder, "out", &merge);
    assert_eq!(code, 0, "{told}");
    // A symbol that looks like a missing one.
    let odd = "/*\npartition_by: [symbol]\n*/\nSELECT CASE symbol WHEN 'S002' THEN \
               '__HIVE_DEFAULT_PARTITION__' ELSE symbol END AS symbol, ts, close AS s FROM bars";
    std::fs::write(folder.join("s.sql"), odd).unwrap();
    assert_eq!(run_to(folder, "odd", &[]).0, 0);
    let all = bits(folder, "odd", "s");
    assert!(all.keys().any(|(symbol, _)| symbol == "__HIVE_DEFAULT_PARTITION__"));
    let merge = ["--symbols", "__HIVE_DEFAULT_PARTITION__", "--merge"];
    assert_eq!(run_to(folder, "odd", &merge).0, 0);
    assert_eq!(bits(folder, "odd", "s"), all);
}
