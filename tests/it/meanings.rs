//! What names and keys mean where they are read, and what is told of rows that no key tells apart.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampSecondArray,
};

use super::support::{Bars, fails, ok, rows, run_json, write_parquet};

fn table(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    write_parquet(path, &RecordBatch::try_from_iter_with_nullable(columns).unwrap());
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn has_asks_the_bars_that_the_set_reads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bars = Bars::new(2, 30);
    bars.write(&folder.join("plain.parquet"));
    let factor = "SELECT symbol, ts, open, high, low, close, volume, 0.5 AS factor FROM raw";
    write(&folder.join("bars.sql"), factor);
    let set = "/*\noptional: [factor]\n*/\nSELECT symbol, ts, {% if has('factor') %}close * factor{% else %}close{% endif %} AS adj FROM bars";
    write(&folder.join("adj.sql"), set);
    let words = |command: &'static str| [command, "adj.sql", "--source", "raw=plain.parquet"];
    ok(folder, &[&words("run")[..], &["--to", "out"]].concat());
    let sum = |sql: &str| -> f64 {
        rows(folder, sql, &["raw=plain.parquet", "o=out"])[0].parse().unwrap()
    };
    let (closes, adjusted) = (sum("SELECT sum(close) FROM raw"), sum("SELECT sum(adj) FROM o"));
    assert!((adjusted / closes - 0.5).abs() < 1e-12, "{adjusted} {closes}");
    ok(folder, &words("check"));
    assert!(ok(folder, &words("explain")).contains("adj"));
}

#[test]
fn keys_of_other_names_are_symbol_and_ts_within_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = Bars::new(3, 60).all();
    let name = |name: &str| match name {
        "symbol" => "ticker".to_string(),
        "ts" => "date".to_string(),
        other => other.to_string(),
    };
    let columns: Vec<(String, ArrayRef)> = all
        .schema()
        .fields()
        .iter()
        .zip(all.columns())
        .map(|(field, column)| (name(field.name()), Arc::clone(column)))
        .collect();
    write_parquet(&folder.join("b.parquet"), &RecordBatch::try_from_iter(columns).unwrap());
    let yaml = "sources:\n  bars: {location: b.parquet, entity: ticker, time: date}\n";
    write(&folder.join("windrow.yaml"), yaml);
    let told = run_json(folder, &["run", "momentum", "--to", "out"]);
    assert_eq!(told["rows"].as_u64(), Some(180));
    ok(folder, &["check", "momentum"]);
    // Outside of a set the columns have the names that they have.
    let found = rows(folder, "SELECT count(DISTINCT ticker), count(date) FROM bars", &[]);
    assert_eq!(found, ["3,180"]);
}

#[test]
fn seconds_keep_their_zone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ts = TimestampSecondArray::from(vec![1_704_153_600, 1_720_000_800]);
    table(
        &folder.join("z.parquet"),
        vec![
            ("symbol", Arc::new(StringArray::from(vec!["A", "A"]))),
            ("ts", Arc::new(ts.with_timezone("America/New_York"))),
        ],
    );
    // To an audit a time without its zone has the clock of the zone: that of UTC is 10.
    let audit = "/*\naudits:\n  - ts::TIMESTAMP < TIMESTAMP '2024-07-03 07:00:00'\n*/\nSELECT symbol, ts, 1 AS x FROM z";
    write(&folder.join("s.sql"), audit);
    ok(folder, &["run", "s.sql", "--source", "z=z.parquet", "--to", "out"]);
}

#[test]
fn directories_that_contradict_their_files_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Bars { symbols: vec!["B".into()], days: 3 }.write(&folder.join("hive/symbol=A/x.parquet"));
    let (_, told) = fails(folder, &["sql", "SELECT * FROM b", "--source", "b=hive"]);
    assert!(told.contains("symbol is B in hive/symbol=A/x.parquet"), "{told}");
}

/// Two rows of one key, one of which is left out, and one without a symbol.
fn doubtful(folder: &Path) {
    table(
        &folder.join("b.parquet"),
        vec![
            ("symbol", Arc::new(StringArray::from(vec![Some("A"), Some("A"), Some("A"), None]))),
            ("ts", Arc::new(Date32Array::from(vec![1, 2, 2, 3]))),
            ("close", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0]))),
        ],
    );
}

#[test]
fn rows_that_no_key_tells_apart_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    doubtful(folder);
    let twice = "SELECT symbol, ts, close FROM bars UNION ALL SELECT symbol, ts, close FROM bars";
    write(&folder.join("s.sql"), twice);
    ok(folder, &["run", "s.sql", "--source", "bars=b.parquet", "--to", "out"]);
    let record = super::support::last_record(&folder.join("out"));
    assert!(record.contains("2 rows with the symbol and ts of another row"), "{record}");
}

#[test]
fn a_plain_table_has_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ts = Int64Array::from(vec![1_704_153_600, 1_704_153_600]);
    table(
        &folder.join("b.parquet"),
        vec![("symbol", Arc::new(StringArray::from(vec!["A", "A"]))), ("ts", Arc::new(ts))],
    );
    let (_, told) = fails(folder, &["sql", "SELECT * FROM b", "--source", "b=b.parquet"]);
    assert!(told.contains("time: none"), "{told}");
    write(&folder.join("windrow.yaml"), "sources:\n  b: {location: b.parquet, time: none}\n");
    let sql = "SELECT to_timestamp_seconds(ts) FROM b";
    assert_eq!(rows(folder, sql, &[]), ["2024-01-02T00:00:00Z", "2024-01-02T00:00:00Z"]);
}

#[test]
fn types_of_files_that_differ_keep_every_value() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, day: i32, x: ArrayRef| {
        let symbol: ArrayRef = Arc::new(StringArray::from(vec!["A"]));
        let ts: ArrayRef = Arc::new(Date32Array::from(vec![day]));
        table(&folder.join(name), vec![("symbol", symbol), ("ts", ts), ("x", x)]);
    };
    // A column of no type holds NULL, whatever it is elsewhere.
    write("n/a.parquet", 1, Arc::new(datafusion::arrow::array::NullArray::new(1)));
    write("n/b.parquet", 2, Arc::new(Float64Array::from(vec![2.5])));
    assert_eq!(rows(folder, "SELECT x FROM n ORDER BY ts", &["n=n"]), ["\"\"", "2.5"]);
    // Integers that become floats beside others are the same, or an error.
    write("i/a.parquet", 1, Arc::new(Int64Array::from(vec![9_007_199_254_740_992])));
    write("i/b.parquet", 2, Arc::new(Float64Array::from(vec![0.5])));
    let found = rows(folder, "SELECT x FROM i ORDER BY ts", &["i=i"]);
    assert_eq!(found, ["9007199254740992.0", "0.5"]);
    write("i/a.parquet", 1, Arc::new(Int64Array::from(vec![9_007_199_254_740_993])));
    let (_, told) = fails(folder, &["sql", "SELECT x FROM i", "--source", "i=i"]);
    assert!(told.contains("x is 9007199254740993 in i/a.parquet"), "{told}");
    // Decimals become the floats nearest to them.
    let prices =
        datafusion::arrow::array::Decimal128Array::from(vec![3_529_800_000_000_000_000_000_i128]);
    let close: ArrayRef = Arc::new(prices.with_precision_and_scale(38, 18).unwrap());
    let symbol: ArrayRef = Arc::new(StringArray::from(vec!["A"]));
    let ts: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    table(&folder.join("d.parquet"), vec![("symbol", symbol), ("ts", ts), ("close", close)]);
    let found = rows(folder, "SELECT close, close = 3529.8 FROM d", &["d=d.parquet"]);
    assert_eq!(found, ["3529.8,true"]);
    // A column whose name differs in its case only would be NULL in one of the files.
    write("c/a.parquet", 1, Arc::new(Float64Array::from(vec![1.0])));
    let symbol: ArrayRef = Arc::new(StringArray::from(vec!["A"]));
    let (ts, x): (ArrayRef, ArrayRef) =
        (Arc::new(Date32Array::from(vec![2])), Arc::new(Float64Array::from(vec![2.0])));
    table(&folder.join("c/b.parquet"), vec![("symbol", symbol), ("ts", ts), ("X", x)]);
    let (_, told) = fails(folder, &["sql", "SELECT x FROM c", "--source", "c=c"]);
    assert!(told.contains("called \"x\" in c/a.parquet and \"X\" in c/b.parquet"), "{told}");
}

#[test]
fn a_directory_of_days_does_not_cut_times() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ts = TimestampSecondArray::from(vec![1_704_153_600, 1_704_187_800]);
    table(
        &folder.join("h/ts=2024-01-02/a.parquet"),
        vec![("symbol", Arc::new(StringArray::from(vec!["A", "A"]))), ("ts", Arc::new(ts))],
    );
    let (_, told) = fails(folder, &["sql", "SELECT * FROM h", "--source", "h=h"]);
    assert!(told.contains("ts is 2024-01-02T09:30:00 in h/ts=2024-01-02"), "{told}");
}
