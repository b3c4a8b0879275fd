//! What files say of themselves that a reader could take for something else.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Float64Array, ListArray, NullArray, RecordBatch,
    StringArray, StructArray, TimestampSecondArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::Field;

use super::support::{Bars, fails, ok, rows, write_parquet};

fn table(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    write_parquet(path, &RecordBatch::try_from_iter_with_nullable(columns).unwrap());
}

fn keyed(path: &Path, day: i32, name: &str, column: ArrayRef) {
    let symbol: ArrayRef = Arc::new(StringArray::from(vec!["A"; column.len()]));
    let ts: ArrayRef = Arc::new(Date32Array::from(vec![day; column.len()]));
    table(path, vec![("symbol", symbol), ("ts", ts), (name, column)]);
}

/// What is said of a source that cannot be read.
fn told(folder: &Path, source: &str) -> String {
    let source = format!("b={source}");
    fails(folder, &["sql", "SELECT count(*) FROM b", "--source", &source]).1
}

#[test]
fn times_of_csv_files_have_one_clock() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let csv = |name: &str, times: [&str; 2]| {
        let [first, second] = times;
        let text = format!("symbol,ts,close\nA,{first},1\nA,{second},2\n");
        fs::write(folder.join(name), text).unwrap();
    };
    let ts = |name: &str| rows(folder, "SELECT ts FROM b ORDER BY ts", &[&format!("b={name}")]);
    csv("zoned.csv", ["2024-01-02T10:00:00Z", "2024-01-03T10:00:00-05:00"]);
    assert_eq!(ts("zoned.csv"), ["2024-01-02T10:00:00Z", "2024-01-03T15:00:00Z"]);
    csv("plain.csv", ["2024-01-02 10:00:00", "2024-01-03T10:00:00.25"]);
    assert_eq!(ts("plain.csv"), ["2024-01-02T10:00:00", "2024-01-03T10:00:00.250"]);
    csv("blanks.csv", [" 2024-01-02", "2024-01-03 "]);
    assert_eq!(ts("blanks.csv"), ["2024-01-02", "2024-01-03"]);
    csv("mixed.csv", ["2024-01-02T10:00:00Z", "2024-01-03 10:00:00"]);
    let said = told(folder, "mixed.csv");
    assert!(
        said.contains(
            "mixed.csv, line 3: ts is \"2024-01-03 10:00:00\"; some of its times have a zone"
        ),
        "{said}"
    );
    csv("leap.csv", ["2024-01-02T10:00:00", "2024-01-02T23:59:60"]);
    let said = told(folder, "leap.csv");
    assert!(
        said.contains("leap.csv, line 3: ts is \"2024-01-02T23:59:60\", expected a date or a time"),
        "{said}"
    );
    // Other columns of times are held to the same.
    let text =
        "symbol,ts,seen\nA,2024-01-02,2024-01-02T10:00:00Z\nA,2024-01-03,2024-01-02 10:00:00\n";
    fs::write(folder.join("seen.csv"), text).unwrap();
    assert!(told(folder, "seen.csv").contains("line 3: seen is"));
}

#[test]
fn lines_are_those_of_an_editor() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "symbol,ts,close\n\n\nA,2024-01-02,1\n\r\nA,2024-01-03,x\n";
    fs::write(folder.join("blank.csv"), text).unwrap();
    assert!(told(folder, "blank.csv").contains("blank.csv, line 6: close is \"x\""));
    let text = "symbol,ts,close\nA,2024-01-02,1\n\nA,2024-01-03,4,4\n";
    fs::write(folder.join("long.csv"), text).unwrap();
    assert!(told(folder, "long.csv").contains("long.csv, line 4 has 4 fields"));
}

#[test]
fn files_that_are_passed_over_or_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bars = Bars::new(2, 3);
    for name in ["gz", "jsonl", "bare"] {
        bars.write(&folder.join(name).join("a.parquet"));
        fs::write(folder.join(name).join("README.md"), "of no rows").unwrap();
    }
    fs::write(folder.join("gz/b.csv.gz"), "x").unwrap();
    fs::write(folder.join("jsonl/b.jsonl"), "{}").unwrap();
    fs::write(folder.join("bare/part-00001"), "x").unwrap();
    for (name, file) in [("gz", "b.csv.gz"), ("jsonl", "b.jsonl"), ("bare", "part-00001")] {
        let said = told(folder, name);
        assert!(said.contains(&format!("{name}/{file} would not be read")), "{said}");
        let glob = format!("b={name}/*.parquet");
        assert_eq!(rows(folder, "SELECT count(*) FROM b", &[&glob]), ["6"]);
    }
    fs::create_dir(folder.join("headless")).unwrap();
    fs::write(folder.join("headless/a.csv"), "symbol,ts,name\nA,2024-01-02,x\n").unwrap();
    fs::write(folder.join("headless/b.csv"), "B,tech,y\n").unwrap();
    let said = told(folder, "headless");
    assert!(said.contains("headless/b.csv has none of the columns of headless/a.csv"), "{said}");
}

#[test]
fn targets_of_different_sets_are_no_one_source() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Bars::new(2, 3).write(&folder.join("bars.parquet"));
    for set in ["one", "two"] {
        let sql = format!("SELECT symbol, ts, close AS {set} FROM bars");
        fs::write(folder.join(format!("{set}.sql")), sql).unwrap();
        let (file, to) = (format!("{set}.sql"), format!("out/{set}"));
        ok(folder, &["run", &file, "--to", &to, "--source", "bars=bars.parquet"]);
    }
    for glob in ["out/*", "out/*/*.parquet"] {
        let said = told(folder, glob);
        assert!(said.contains("targets of different sets: one (out/one), two (out/two)"), "{said}");
    }
    // Those of one set belong together.
    ok(
        folder,
        &["run", "one.sql", "--to", "out/two", "--replace", "--source", "bars=bars.parquet"],
    );
    assert_eq!(rows(folder, "SELECT count(*) FROM b", &["b=out/*"]), ["6"]);
    // A folder of targets is none itself, and says which there are.
    for words in [
        &["runs", "out"][..],
        &["vacuum", "out"],
        &["run", "one.sql", "--to", "out", "--source", "bars=bars.parquet"],
    ] {
        let (_, said) = fails(folder, words);
        assert!(said.contains("out/one, out/two"), "{words:?} {said}");
    }
}

#[test]
fn directories_are_held_against_files_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for symbol in ["A", "B"] {
        let bars = Bars { symbols: vec!["B".into()], days: 3 };
        bars.write(&folder.join(format!("hive/symbol={symbol}/x.parquet")));
    }
    for sql in ["SELECT sum(close) FROM b", "SELECT close FROM b WHERE symbol = 'A'"] {
        let (_, said) = fails(folder, &["sql", sql, "--source", "b=hive"]);
        assert!(said.contains("symbol is B in hive/symbol=A/x.parquet"), "{sql}: {said}");
    }
    // A price that directories say is a number as any other.
    for (day, close) in [(1, "9"), (2, "10.5")] {
        let path = folder.join(format!("prices/close={close}/x.parquet"));
        keyed(&path, day, "open", Arc::new(Float64Array::from(vec![1.0])));
    }
    let found = rows(folder, "SELECT close / 2 FROM b ORDER BY 1", &["b=prices"]);
    assert_eq!(found, ["4.5", "5.25"]);
}

#[test]
fn types_within_types_and_of_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Seconds have no type in parquet; the zone stays within structs and lists too.
    let ts = TimestampSecondArray::from(vec![1_720_000_800]).with_timezone("America/New_York");
    let ts: ArrayRef = Arc::new(ts);
    let field = Arc::new(Field::new("item", ts.data_type().clone(), true));
    let list =
        ListArray::new(Arc::clone(&field), OffsetBuffer::from_lengths([1]), Arc::clone(&ts), None);
    let of = StructArray::from(vec![(Arc::new(field.as_ref().clone().with_name("at")), ts)]);
    keyed(&folder.join("list.parquet"), 1, "x", Arc::new(list));
    keyed(&folder.join("struct.parquet"), 1, "x", Arc::new(of));
    let sql = "SELECT date_part('hour', x[1]) FROM b";
    assert_eq!(rows(folder, sql, &["b=list.parquet"]), ["6"]);
    let sql = "SELECT date_part('hour', x['at']) FROM b";
    assert_eq!(rows(folder, sql, &["b=struct.parquet"]), ["6"]);
    // Decimals of two scales stay decimals.
    let decimal = |digits: i128, scale: i8| -> ArrayRef {
        let one = Decimal128Array::from(vec![digits]);
        Arc::new(one.with_precision_and_scale(20, scale).unwrap())
    };
    keyed(&folder.join("d/a.parquet"), 1, "x", decimal(12_345_678_901_234_567_890, 2));
    keyed(&folder.join("d/b.parquet"), 2, "x", decimal(5, 4));
    let found = rows(folder, "SELECT sum(x) FROM b", &["b=d"]);
    assert_eq!(found, ["123456789012345678.9005"]);
    // A file without rows says nothing of types.
    keyed(&folder.join("e/a.parquet"), 1, "close", Arc::new(StringArray::from(Vec::<&str>::new())));
    keyed(&folder.join("e/b.parquet"), 2, "close", Arc::new(Float64Array::from(vec![2.5])));
    keyed(&folder.join("e/c.parquet"), 3, "close", Arc::new(NullArray::new(0)));
    assert_eq!(rows(folder, "SELECT close FROM b", &["b=e"]), ["2.5"]);
}
