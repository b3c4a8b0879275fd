//! `windrow compact`: every layout becomes files that need no sort, whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::layouts::{bars, filter_rows, shuffled, write_layouts};
use windrow::outside::FailPoint;

use super::kill::is_committed_at;
use super::support::{
    Bars, leftovers, ok, plain_glob, rows, run, run_json, windrow, write_parquet,
};

const ALL: &str = "SELECT * FROM f ORDER BY symbol, ts";
const SMA: &str =
    "EXPLAIN SELECT symbol, ts, sma(close, 5) OVER (PARTITION BY symbol ORDER BY ts) FROM f";

fn table(folder: &Path, location: &str) -> Vec<String> {
    let source = format!("f={location}");
    ok(folder, &["sql", ALL, "--source", &source, "--format", "csv"])
        .lines()
        .map(str::to_string)
        .collect()
}

/// A plan over a target that needs neither a sort nor an exchange, on any number of threads.
fn needs_no_sort(folder: &Path, target: &str) {
    let source = format!("f={target}");
    for threads in ["1", "2", "3", "8", "16"] {
        let words = ["sql", SMA, "--source", &source, "--format", "csv", "--threads", threads];
        let plan = ok(folder, &words);
        let work = plan.contains("SortExec") || plan.contains("RepartitionExec");
        assert!(!work, "{target}, {threads} threads\n{plan}");
    }
}

/// The symbols of each row group of each file, as they stand there.
fn groups(target: &Path) -> Vec<Vec<Vec<String>>> {
    let group = |path: &Path, number: usize| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let mut symbols: Vec<String> = Vec::new();
        for batch in reader.with_row_groups(vec![number]).build().unwrap() {
            let batch = batch.unwrap();
            let column = cast(batch.column_by_name("symbol").unwrap(), &DataType::Utf8).unwrap();
            for symbol in column.as_string::<i32>().iter().flatten() {
                if symbols.last().is_none_or(|last| last != symbol) {
                    symbols.push(symbol.to_string());
                }
            }
        }
        symbols
    };
    let file = |path: &std::path::PathBuf| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        (0..reader.metadata().num_row_groups()).map(|number| group(path, number)).collect()
    };
    plain_glob(target).iter().map(file).collect()
}

#[test]
fn every_layout_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for layout in write_layouts(folder, &bars()) {
        for threads in ["1", "3"] {
            let told = run_json(folder, &["compact", layout, "dst", "--threads", threads]);
            assert_eq!((&told["set"], &told["rows"]), (&"compact".into(), &720.into()), "{layout}");
            assert_eq!(told["symbols"], 6);
            assert_eq!(table(folder, "dst"), table(folder, layout), "{layout}");
            let files = groups(&folder.join("dst"));
            let symbols: Vec<String> = files.into_iter().flatten().flatten().collect();
            let expected = ["S000", "S001", "S002", "S003", "S004", "S005"];
            assert_eq!(symbols, expected, "{layout}: one range of symbols after the other");
        }
        needs_no_sort(folder, "dst");
    }
}

#[test]
fn types_and_partition_columns_stay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_layouts(folder, &bars());
    let types = |location: &str| {
        let sql =
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'f'";
        rows(folder, sql, &[&format!("f={location}")])
    };
    for layout in ["by_date", "by_symbol", "by_year", "ts_ns", "ts_zone", "typed", "bars.csv"] {
        ok(folder, &["compact", layout, "dst"]);
        assert_eq!(types("dst"), types(layout), "{layout}");
    }
    ok(folder, &["compact", "by_date", "dst"]);
    assert!(types("dst").contains(&"date,Date32".to_string()), "{:?}", types("dst"));
}

#[test]
fn row_groups_hold_whole_symbols() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut all = Bars::new(7, 60_000);
    all.symbols.reverse();
    write_parquet(&folder.join("src/a.parquet"), &shuffled(&all.all()));
    let told =
        run_json(folder, &["compact", "src", "dst", "--threads", "2", "--compression", "lz4"]);
    assert_eq!(told["rows"], 420_000);
    let files = groups(&folder.join("dst"));
    assert!(files.len() > 1, "one worker wrote everything");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for group in files.iter().flatten() {
        assert!(group.len() <= 2, "{group:?}");
        group.iter().for_each(|symbol| *seen.entry(symbol.clone()).or_default() += 1);
    }
    assert!(seen.len() == 7 && seen.values().all(|n| *n == 1), "{seen:?}");
    let symbols: Vec<String> = files.into_iter().flatten().flatten().collect();
    assert!(symbols.is_sorted(), "{symbols:?}");
    for path in plain_glob(&folder.join("dst")) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        for group in reader.metadata().row_groups() {
            let by = group.sorting_columns().unwrap();
            assert_eq!(by.iter().map(|c| c.column_idx).collect::<Vec<_>>(), [0, 1]);
            assert!(format!("{:?}", group.column(2).compression()).starts_with("LZ4_RAW"));
        }
    }
    needs_no_sort(folder, "dst");
}

#[test]
fn what_cleaning_did_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = bars();
    write_parquet(&folder.join("src/a.parquet"), &all);
    write_parquet(&folder.join("src/b.parquet"), &all.slice(0, 5));
    let told = run_json(folder, &["compact", "src", "dst"]);
    assert_eq!(told["rows"], 720);
    assert_eq!(told["notices"][0], "source: 5 duplicate rows counted once");
    // A named source brings its name, its keys and what it does with duplicates.
    let yaml = "sources:\n  ticks: {location: src, entity: symbol, duplicates: first}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let told = run_json(folder, &["compact", "ticks", "dst"]);
    assert_eq!(told["notices"][0], "ticks: 5 duplicate rows counted once");
    assert_eq!(told["inputs"][0]["name"], "ticks");
}

/// The days from one on, up to another.
fn days(all: &RecordBatch, from: i32, to: i32) -> RecordBatch {
    let day = all.column(1).as_primitive::<datafusion::arrow::datatypes::Date32Type>().clone();
    filter_rows(all, |i| (18_000 + from..18_000 + to).contains(&day.value(i)))
}

#[test]
fn dates_are_added_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = bars();
    let append = |location: &str| {
        run_json(folder, &["compact", location, "dst", "--append", "--threads", "2"])
    };
    write_parquet(&folder.join("src/a.parquet"), &shuffled(&days(&all, 0, 60)));
    assert_eq!(append("src")["rows"], 360, "nothing is there yet: all of it");
    let first = plain_glob(&folder.join("dst"));
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let inodes: Vec<u64> = first.iter().map(|path| inode(path)).collect();

    // The whole source again, with the days behind.
    write_parquet(&folder.join("src/b.parquet"), &shuffled(&days(&all, 60, 100)));
    let told = append("src");
    assert_eq!(told["rows"], 240);
    assert_eq!(
        told["notices"][0],
        "360 rows left out because dst holds their symbol up to their time or later"
    );
    assert_eq!(
        first.iter().map(|path| inode(path)).collect::<Vec<_>>(),
        inodes,
        "kept, not copied"
    );
    assert_eq!(table(folder, "dst"), table(folder, "src"));

    // Only the new days, and a symbol that was not there, with days long past.
    write_parquet(&folder.join("new/a.parquet"), &days(&all, 100, 120));
    let other = Bars::new(1, 30).batch("NEW", 9);
    write_parquet(&folder.join("new/b.parquet"), &other);
    let told = append("new");
    assert_eq!((&told["rows"], &told["symbols"]), (&150.into(), &7.into()));
    let told = append("new");
    assert_eq!((&told["rows"], &told["symbols"]), (&0.into(), &7.into()), "nothing is new");
    let before = table(folder, "dst");
    assert_eq!(before.len(), 1 + 720 + 30);

    // What was added is merged by writing the target anew.
    let files = plain_glob(&folder.join("dst")).len();
    let told = run_json(folder, &["compact", "dst", "dst", "--threads", "1"]);
    assert_eq!((&told["rows"], &told["symbols"]), (&750.into(), &7.into()));
    assert!(plain_glob(&folder.join("dst")).len() < files);
    assert_eq!(table(folder, "dst"), before);
    needs_no_sort(folder, "dst");
    // Watermarks hold on.
    assert_eq!(append("new")["rows"], 0);
    let records = std::fs::read_dir(folder.join("dst/_windrow")).unwrap().count();
    assert_eq!(records, 6, "each commit leaves its record");
}

#[test]
fn a_target_of_a_run_is_written_anew_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_layouts(folder, &bars());
    let text = "/*\nlabels: [next]\noutputs: {c: the close}\n*/\nSELECT symbol, ts, close AS c, \
        lead(close, 1) OVER (PARTITION BY symbol ORDER BY ts) AS next FROM bars";
    std::fs::write(folder.join("s.sql"), text).unwrap();
    let made = run_json(folder, &["run", "s.sql", "--source", "bars=shuffled", "--to", "out"]);
    let before = table(folder, "out");
    let told = run_json(folder, &["compact", "out", "./out"]);
    for key in ["set", "fingerprint", "rows", "columns", "inputs", "first", "last"] {
        assert_eq!(told[key], made[key], "{key}");
    }
    assert_eq!(table(folder, "out"), before);
    needs_no_sort_over(folder, "out", "c");
    for path in plain_glob(&folder.join("out")) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        assert_eq!(reader.schema().field(2).metadata()["description"], "the close");
        assert_eq!(reader.schema().field(3).metadata()["windrow.role"], "label");
    }
}

fn needs_no_sort_over(folder: &Path, target: &str, column: &str) {
    let sql =
        format!("EXPLAIN SELECT sma({column}, 5) OVER (PARTITION BY symbol ORDER BY ts) FROM f");
    let plan = ok(folder, &["sql", &sql, "--source", &format!("f={target}"), "--format", "csv"]);
    assert!(!plan.contains("SortExec") && !plan.contains("RepartitionExec"), "{plan}");
}

/// The rows of a target, if it is whole.
fn count(folder: &Path) -> Option<usize> {
    let batch = super::support::plain_read(&folder.join("dst")).unwrap();
    batch.map(|batch| batch.num_rows())
}

#[test]
fn killed_at_every_step() {
    let points = FailPoint::OF_DIRECTORY.into_iter().chain([FailPoint::FilesLinked]);
    let all = bars();
    for point in points {
        for (words, new) in
            [(&["src", "dst"][..], 600), (&["src", "dst", "--append"], 600), (&["dst", "dst"], 360)]
        {
            if point == FailPoint::FilesLinked && words.len() < 3 {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            write_parquet(&folder.join("src/a.parquet"), &shuffled(&days(&all, 0, 60)));
            ok(folder, &["compact", "src", "dst"]);
            write_parquet(&folder.join("src/b.parquet"), &shuffled(&days(&all, 60, 100)));
            let words = [&["compact"], words].concat();
            let killed = windrow(folder)
                .args(&words)
                .env("WINDROW_FAULT", point.name())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert_eq!(killed.code(), None, "{words:?} {point:?}: it was not killed");
            let expected = if is_committed_at(point) { new } else { 360 };
            assert_eq!(count(folder), Some(expected), "{words:?} {point:?}");
            ok(folder, &words);
            assert_eq!(count(folder), Some(new), "{words:?} {point:?}");
            assert_eq!(leftovers(&folder.join("dst")), Vec::<String>::new(), "{words:?} {point:?}");
        }
    }
}

#[test]
fn events_say_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_parquet(&folder.join("src/a.parquet"), &shuffled(&Bars::new(40, 9_000).all()));
    let output = run(folder, &["compact", "src", "dst", "--progress", "json"]);
    let told = String::from_utf8(output.stderr).unwrap();
    let events: Vec<Value> = told
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[events.len() - 1]["rows"], 360_000);
    assert!(events.iter().all(|event| event["set"] == "compact"), "{told}");
    assert!(
        told.lines()
            .next_back()
            .unwrap()
            .starts_with("compact: 360,000 rows, 7 columns, 40 symbols"),
        "{told}"
    );
}
