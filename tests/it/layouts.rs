//! The same bars in every layout give the same bits; dirty data has the outcomes of the manual.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, UInt32Array,
};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Float64Type, TimeUnit};

use super::support::{Bars, bits, fails, rows, run, windrow, without, write_parquet};

const SET: &str = "SELECT symbol, ts, close, rsi(close, 14) OVER w AS rsi_14, sma(close, 20) OVER w AS sma_20, \
    avg(close) OVER (w ROWS 9 PRECEDING) AS avg_10, cs_rank(close) OVER (PARTITION BY ts) AS rank \
    FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";
const COLUMNS: [&str; 5] = ["close", "rsi_14", "sma_20", "avg_10", "rank"];

fn with_column(batch: &RecordBatch, name: &str, values: ArrayRef) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let column = if field.name() == name { Arc::clone(&values) } else { Arc::clone(column) };
        (field.name().clone(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap()
}

fn cast_column(batch: &RecordBatch, name: &str, ty: &DataType) -> RecordBatch {
    with_column(batch, name, cast(batch.column_by_name(name).unwrap(), ty).unwrap())
}

/// The rows in another order, the same every time.
pub(crate) fn shuffled(batch: &RecordBatch) -> RecordBatch {
    let n = batch.num_rows() as u64;
    let order: Vec<u32> = {
        let mut keyed: Vec<(u64, u32)> = (0..n)
            .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17), i as u32))
            .collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, i)| i).collect()
    };
    take_record_batch(batch, &UInt32Array::from(order)).unwrap()
}

pub(crate) fn filter_rows(batch: &RecordBatch, keep: impl Fn(usize) -> bool) -> RecordBatch {
    let rows: Vec<u32> = (0..batch.num_rows()).filter(|i| keep(*i)).map(|i| i as u32).collect();
    take_record_batch(batch, &UInt32Array::from(rows)).unwrap()
}

/// Prices with two decimals, so that decimals and integers hold them exactly.
pub(crate) fn bars() -> RecordBatch {
    let all = Bars::new(6, 120).all();
    let close = all.column_by_name("close").unwrap().as_primitive::<Float64Type>();
    let round: Float64Array = close.iter().map(|v| v.map(|v| v.round())).collect();
    with_column(&all, "close", Arc::new(round))
}

fn day(batch: &RecordBatch, row: usize) -> i32 {
    batch.column(1).as_any().downcast_ref::<Date32Array>().unwrap().value(row)
}

pub(crate) fn write_layouts(root: &Path, all: &RecordBatch) -> Vec<&'static str> {
    let at = |path: &str| root.join(path);
    write_parquet(&at("one/bars.parquet"), all);
    write_parquet(&at("shuffled/bars.parquet"), &shuffled(all));
    let symbols = all.column(0).as_string::<i32>().clone();
    for symbol in ["S000", "S001", "S002", "S003", "S004", "S005"] {
        let of = filter_rows(all, |i| symbols.value(i) == symbol);
        write_parquet(&at(&format!("flat/{symbol}.parquet")), &of);
        let path = format!("by_symbol/symbol={symbol}/part.parquet");
        write_parquet(&at(&path), &without(&of, &["symbol"]));
    }
    for d in 0..120 {
        let of = filter_rows(all, |i| day(all, i) == 18_000 + d);
        write_parquet(&at(&format!("by_date/date={}/part.parquet", iso(18_000 + d))), &of);
    }
    for half in 0..2 {
        let of = filter_rows(all, |i| (day(all, i) - 18_000) / 60 == half);
        write_parquet(&at(&format!("by_year/year={}/x.parquet", 2019 + half)), &shuffled(&of));
    }
    // Files whose columns differ: order, extra, missing (volume is not read), types, and no rows.
    let (a, b) = (filter_rows(all, |i| i % 2 == 0), filter_rows(all, |i| i % 2 == 1));
    write_parquet(&at("mixed/a.parquet"), &cast_column(&a, "close", &DataType::Int64));
    let b = without(&cast_column(&b, "close", &DataType::Decimal128(18, 4)), &["volume"]);
    let order: Vec<usize> = (0..b.num_columns()).rev().collect();
    write_parquet(&at("mixed/b.parquet"), &b.project(&order).unwrap());
    write_parquet(&at("mixed/c.parquet"), &filter_rows(all, |_| false));
    let typed = cast_column(all, "close", &DataType::Float32);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    write_parquet(&at("typed/a.parquet"), &cast_column(&typed, "symbol", &dictionary));
    for (name, unit) in [
        ("ts_s", TimeUnit::Second),
        ("ts_ms", TimeUnit::Millisecond),
        ("ts_us", TimeUnit::Microsecond),
        ("ts_ns", TimeUnit::Nanosecond),
    ] {
        let ty = DataType::Timestamp(unit, None);
        write_parquet(&at(&format!("{name}/a.parquet")), &cast_column(all, "ts", &ty));
    }
    let zoned =
        cast_column(all, "ts", &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    write_parquet(&at("ts_zone/a.parquet"), &zoned);
    let mut csv = Vec::new();
    datafusion::arrow::csv::Writer::new(&mut csv).write(&shuffled(all)).unwrap();
    std::fs::write(at("bars.csv"), csv).unwrap();
    vec![
        "one",
        "one/bars.parquet",
        "one/*.parquet",
        "shuffled",
        "flat",
        "by_symbol",
        "by_date",
        "by_year",
        "mixed",
        "typed",
        "ts_s",
        "ts_ms",
        "ts_us",
        "ts_ns",
        "ts_zone",
        "bars.csv",
    ]
}

fn iso(days: i32) -> String {
    let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    (epoch + chrono::Days::new(days as u64)).to_string()
}

#[test]
fn every_layout_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = bars();
    let layouts = write_layouts(folder, &all);
    std::fs::write(folder.join("set.sql"), SET).unwrap();
    let compute = |source: &str, threads: &str, batch: &str| {
        let source = format!("bars={source}");
        let output = windrow(folder)
            .args(["run", "set.sql", "--source", &source, "--to", "out", "--threads", threads])
            .env("WINDROW_BATCH_SIZE", batch)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{source}: {told}");
        // Dates and midnights are one moment.
        COLUMNS.map(|column| {
            let values = bits(folder, "out", column).into_iter();
            values
                .map(|((s, ts), v)| ((s, ts[..10].to_string()), v))
                .collect::<std::collections::BTreeMap<_, _>>()
        })
    };
    let expected = compute("one", "1", "8192");
    assert_eq!(expected[0].len(), all.num_rows());
    assert!(expected[1].values().filter(|v| v.is_some()).count() == 6 * (120 - 14));
    for layout in layouts {
        for (threads, batch) in [("2", "8192"), ("5", "1024")] {
            let found = compute(layout, threads, batch);
            for (column, (found, expected)) in COLUMNS.iter().zip(found.iter().zip(&expected)) {
                assert_eq!(found, expected, "{layout}, {threads} threads: {column}");
            }
        }
    }
}

#[test]
fn windows_over_a_moment_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = Bars::new(60, 120).all();
    write_parquet(&folder.join("one/a.parquet"), &all);
    write_parquet(&folder.join("shuffled/a.parquet"), &shuffled(&all));
    let now = "OVER (PARTITION BY ts)";
    let text = format!(
        "SELECT symbol, ts, sum(close) {now} AS s, avg(close) {now} AS a, stddev(close) {now} AS d, \
         corr(close, open) {now} AS c, cs_zscore(close) {now} AS z, \
         CAST(row_number() OVER (PARTITION BY ts ORDER BY round(close / 50)) AS DOUBLE) AS n, \
         CAST(ntile(5) OVER (PARTITION BY ts ORDER BY round(close / 50)) AS DOUBLE) AS q FROM bars"
    );
    std::fs::write(folder.join("set.sql"), text).unwrap();
    let compute = |source: &str, threads: &str, batch: &str| {
        let source = format!("bars={source}");
        let output = windrow(folder)
            .args(["run", "set.sql", "--source", &source, "--to", "out", "--threads", threads])
            .env("WINDROW_BATCH_SIZE", batch)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ["s", "a", "d", "c", "z", "n", "q"].map(|column| bits(folder, "out", column))
    };
    let expected = compute("one", "1", "8192");
    for (source, threads, batch) in [
        ("one", "2", "1024"),
        ("one", "3", "8192"),
        ("shuffled", "1", "1024"),
        ("shuffled", "5", "2048"),
    ] {
        assert_eq!(compute(source, threads, batch), expected, "{source} {threads} {batch}");
    }
}

fn bar(
    symbol: &[Option<&str>],
    ts: &[Option<i32>],
    close: &[Option<f64>],
    volume: &[f64],
) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("symbol", Arc::new(StringArray::from(symbol.to_vec())), true),
        ("ts", Arc::new(Date32Array::from(ts.to_vec())), true),
        ("close", Arc::new(Float64Array::from(close.to_vec())), true),
        ("volume", Arc::new(Float64Array::from(volume.to_vec())), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn dirty_rows_have_one_outcome_each() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (a, b) = (Some("A"), Some("B"));
    // In a: A on day 1 twice the same; B on day 1 in conflict with b.parquet; NaN; no symbol, no ts.
    let first = bar(
        &[a, a, b, a, None, a],
        &[Some(1), Some(1), Some(1), Some(2), Some(3), None],
        &[Some(10.0), Some(10.0), Some(20.0), Some(f64::NAN), Some(1.0), Some(1.0)],
        &[1.0; 6],
    );
    let second = bar(&[b, a], &[Some(1), Some(3)], &[Some(21.0), Some(12.0)], &[1.0; 2]);
    write_parquet(&folder.join("bars/a.parquet"), &first);
    write_parquet(&folder.join("bars/b.parquet"), &second);
    let sql = "SELECT symbol, ts, close, volume FROM bars ORDER BY symbol, ts";
    let output = run(folder, &["sql", sql, "--source", "bars=bars", "--format", "csv"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "symbol,ts,close,volume\n\
         A,1970-01-02,10.0,1.0\n\
         A,1970-01-03,,1.0\n\
         A,1970-01-04,12.0,1.0\n\
         B,1970-01-02,21.0,1.0\n"
    );
    // The configuration decides otherwise.
    let close = |policy: &str| {
        let yaml = format!("sources:\n  bars: {{location: bars, duplicates: {policy}}}\n");
        std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
        run(folder, &["sql", "SELECT close FROM bars WHERE symbol = 'B'", "--format", "csv"])
    };
    assert_eq!(close("first").stdout, b"close\n20.0\n");
    assert_eq!(close("last").stdout, b"close\n21.0\n");
    assert_eq!(close("error").status.code(), Some(1));
}

#[test]
fn a_filter_on_a_value_sees_the_row_that_won() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The later row wins and is below the filter; the older one must not come back.
    write_parquet(
        &folder.join("bars/a.parquet"),
        &bar(&[Some("A")], &[Some(1)], &[Some(9.0)], &[1.0]),
    );
    write_parquet(
        &folder.join("bars/b.parquet"),
        &bar(&[Some("A")], &[Some(1)], &[Some(1.0)], &[1.0]),
    );
    let found = rows(folder, "SELECT close FROM bars WHERE close > 5", &["bars=bars"]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn duplicates_across_batches_and_partitions() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // 3,000 symbols on one day in three files, every file later than the one before: the last
    // file wins for all of them, whatever the batch size cuts.
    let names: Vec<String> = (0..3000).map(|i| format!("S{i:05}")).collect();
    for (file, close) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
        let symbols: Vec<Option<&str>> = names.iter().map(|n| Some(n.as_str())).collect();
        let batch = bar(&symbols, &vec![Some(5); 3000], &vec![Some(close); 3000], &vec![1.0; 3000]);
        write_parquet(&folder.join(format!("bars/{file}.parquet")), &batch);
    }
    for (batch, threads) in [("1024", "1"), ("1024", "4"), ("8192", "3")] {
        let output = windrow(folder)
            .args(["sql", "SELECT count(*), sum(close) FROM bars", "--source", "bars=bars"])
            .args(["--format", "csv", "--threads", threads])
            .env("WINDROW_BATCH_SIZE", batch)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().nth(1), Some("3000,9000.0"), "{batch} {threads}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("6,000 rows left out"), "{told}");
        assert!(told.contains("S00000 1970-01-06, S00000 1970-01-06, S00001 1970-01-06"), "{told}");
    }
}

#[test]
fn sources_that_cannot_be_reconciled() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = bar(&[Some("A")], &[Some(1)], &[Some(9.0)], &[1.0]);
    write_parquet(
        &folder.join("zones/a.parquet"),
        &cast_column(&good, "ts", &DataType::Timestamp(TimeUnit::Second, None)),
    );
    let zoned = DataType::Timestamp(TimeUnit::Second, Some("UTC".into()));
    write_parquet(&folder.join("zones/b.parquet"), &cast_column(&good, "ts", &zoned));
    let text = with_column(&good, "close", Arc::new(StringArray::from(vec!["nine"])));
    write_parquet(&folder.join("text/a.parquet"), &text);
    let number = with_column(&good, "ts", Arc::new(Int64Array::from(vec![1])));
    write_parquet(&folder.join("number/a.parquet"), &number);
    write_parquet(&folder.join("depth/date=2024-01-02/a.parquet"), &good);
    write_parquet(&folder.join("depth/b.parquet"), &good);
    std::fs::create_dir_all(folder.join("both")).unwrap();
    std::fs::write(folder.join("both/a.csv"), "symbol,ts,close\n").unwrap();
    write_parquet(&folder.join("both/b.parquet"), &good);
    let cases = [
        (
            "zones",
            "column ts is Timestamp(s) in zones/a.parquet and Timestamp(s, \"UTC\") in zones/b.parquet",
        ),
        ("text", "column close is Utf8 in text/a.parquet, expected a number"),
        ("number", "column ts is Int64 in number/a.parquet, expected a date or a timestamp"),
        (
            "depth",
            "depth/b.parquet is partitioned by [], depth/date=2024-01-02/a.parquet by [date]",
        ),
        ("both", "both holds both parquet and CSV files"),
    ];
    for (source, expected) in cases {
        let source = format!("bars={source}");
        let (code, told) = fails(folder, &["sql", "SELECT 1 FROM bars", "--source", &source]);
        assert_eq!(code, 1);
        assert!(told.starts_with(&format!("error: {expected}")), "{told}");
    }
    let yaml = "sources:\n  bars: {location: number, entity: sym}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml.replace("number", "one.parquet")).unwrap();
    write_parquet(&folder.join("one.parquet"), &good);
    let (_, told) = fails(folder, &["sql", "SELECT 1 FROM bars"]);
    assert_eq!(
        told,
        "error: bars: entity is sym, which is no column; columns: symbol, ts, close, volume\n"
    );
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    let decimal = Decimal128Array::from(vec![Some(905)]).with_precision_and_scale(5, 2).unwrap();
    assert!(decimal.is_valid(0));
    write_parquet(&folder.join("dec/a.parquet"), &with_column(&good, "close", Arc::new(decimal)));
    assert_eq!(rows(folder, "SELECT close FROM bars", &["bars=dec"]), ["9.05"]);
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("latin.csv"), b"symbol,ts,close,n\nA,2024-01-02,1,caf\xe9\n")
        .unwrap();
    let (_, told) = fails(folder, &["sql", "SELECT * FROM b", "--source", "b=latin.csv"]);
    assert!(told.contains("line 2") && told.contains("not UTF-8"), "{told}");
}
