//! What names and keys mean where they are read, and what is told of rows that no key tells apart.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampSecondArray,
};

use super::support::{Bars, fails, ok, rows, run, run_json, write_parquet};

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
    let found = rows(folder, "SELECT date_part('hour', ts) FROM z ORDER BY ts", &["z=z.parquet"]);
    assert_eq!(found, ["19", "6"]);
    let sql = "SELECT count(*) FROM z WHERE ts >= TIMESTAMPTZ '2024-07-03 10:00:00Z'";
    assert_eq!(rows(folder, sql, &["z=z.parquet"]), ["1"]);
    // Without its zone a time has the clock of the zone, as its day is that of the zone.
    let sql = "SELECT ts::TIMESTAMP AS t, ts::DATE AS d FROM z WHERE ts::TIMESTAMP >= TIMESTAMP '2024-07-03 06:00:00'";
    let found = rows(folder, sql, &["z=z.parquet"]);
    assert_eq!(found, ["2024-07-03T06:00:00,2024-07-03"]);
    // An audit reads it in the same way: the clock of UTC is 10.
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
fn rows_before_cleaning_can_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    doubtful(folder);
    let source = ["bars=b.parquet"];
    let count = |name: &str| rows(folder, &format!("SELECT count(*) FROM {name}"), &source);
    assert_eq!((count("bars"), count("bars_raw")), (vec!["2".to_string()], vec!["4".to_string()]));
    let told = run(folder, &["sql", "SELECT count(*) FROM bars", "--source", source[0]]).stderr;
    assert!(String::from_utf8(told).unwrap().contains("bars_raw has all rows"));
    write(
        &folder.join("windrow.yaml"),
        "sources:\n  bars: {location: b.parquet, duplicates: all}\n",
    );
    assert_eq!(rows(folder, "SELECT count(*) FROM bars", &[]), ["4"]);
}

#[test]
fn rows_that_no_key_tells_apart_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    doubtful(folder);
    let source = ["--source", "bars=b.parquet"];
    let run_of = |sql: &str| {
        write(&folder.join("s.sql"), sql);
        run(folder, &[&["run", "s.sql", "--to", "out", "--replace"][..], &source].concat())
    };
    let twice = "SELECT symbol, ts, close FROM bars UNION ALL SELECT symbol, ts, close FROM bars";
    let output = run_of(twice);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("2 rows"), "{told}");
    let record = super::support::last_record(&folder.join("out"));
    assert!(record.contains("2 rows with the symbol and ts of another row"), "{record}");
    let output =
        run_of("SELECT CASE WHEN close > 1 THEN symbol END AS symbol, ts, close FROM bars");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("without symbol"), "{told}");
    let audited = format!("/*\naudits:\n  - unique: [symbol, ts]\n*/\n{twice}");
    let output = run_of(&audited);
    assert_eq!(output.status.code(), Some(1));
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
fn integers_do_not_wrap_in_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    table(
        &folder.join("b.parquet"),
        vec![
            ("symbol", Arc::new(StringArray::from(vec!["A", "A"]))),
            ("ts", Arc::new(Date32Array::from(vec![1, 2]))),
            ("price", Arc::new(Int64Array::from(vec![187_150_000_000, 187_150_000_001]))),
            ("size", Arc::new(Int64Array::from(vec![1, 100_000_000]))),
        ],
    );
    let sum = "sum(price * (size / 4)) OVER (PARTITION BY symbol ORDER BY ts ROWS 3 PRECEDING) * 3";
    for value in ["price * size", sum, "price << size"] {
        let words = ["run", "s.sql", "--source", "bars=b.parquet", "--to", "out"];
        write(&folder.join("s.sql"), &format!("SELECT symbol, ts, {value} AS v FROM bars"));
        let (code, told) = fails(folder, &words);
        assert_eq!(code, 1);
        assert!(told.contains("does not fit BIGINT"), "{told}");
        assert!(!folder.join("out").exists());
    }
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

/// Days with a gap, a number with a NULL, texts of times, milliseconds and decimals.
fn gapped(folder: &Path) {
    let days = [19_724, 19_725, 19_726, 19_730];
    let millis: Vec<i64> = days.iter().map(|day| i64::from(*day) * 86_400_000).collect();
    let digits = datafusion::arrow::array::Decimal128Array::from(vec![
        3_529_800_000_000_000_000_000_i128;
        4
    ]);
    table(
        &folder.join("t.parquet"),
        vec![
            ("symbol", Arc::new(StringArray::from(vec!["A"; 4]))),
            ("ts", Arc::new(datafusion::arrow::array::TimestampMillisecondArray::from(millis))),
            ("day", Arc::new(Date32Array::from(days.to_vec()))),
            ("k", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]))),
            (
                "text",
                Arc::new(StringArray::from(vec![
                    "2024-01-02",
                    "2024-01-02 10:00:00",
                    "2024-01-02T05:00:00-05:00",
                    "2024-01-02T10:00:00.5Z",
                ])),
            ),
            ("digits", Arc::new(digits.with_precision_and_scale(38, 18).unwrap())),
        ],
    );
    table(
        &folder.join("u.parquet"),
        vec![("k", Arc::new(Int64Array::from(vec![Some(2), None])) as ArrayRef)],
    );
}

fn one(folder: &Path, sql: &str) -> String {
    rows(folder, sql, &["t=t.parquet", "u=u.parquet"]).join(" ")
}

#[test]
fn conditions_with_subqueries_know_what_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    gapped(folder.path());
    let all = "SELECT k FROM u";
    let known = "SELECT k FROM u WHERE k IS NOT NULL";
    let none = "SELECT k FROM u WHERE k > 9";
    for (condition, expected) in [
        (format!("k IN ({all})"), "1"),
        (format!("k NOT IN ({all})"), "0"),
        (format!("NOT (k IN ({all}))"), "0"),
        (format!("(k IN ({all})) = false"), "0"),
        (format!("(k IN ({all})) IS NULL"), "3"),
        (format!("(k IN ({all})) IS NOT TRUE"), "3"),
        (format!("day < DATE '1999-01-01' OR k NOT IN ({all})"), "0"),
        (format!("day < DATE '1999-01-01' OR k IN ({all})"), "1"),
        (format!("k NOT IN ({known})"), "2"),
        (format!("(k IN ({known})) = false"), "2"),
        (format!("(k IN ({known})) IS NULL"), "1"),
        (format!("(k IN ({none})) IS NULL"), "0"),
        (format!("(k IN ({none})) = false"), "4"),
        (format!("NOT (day > DATE '1999-01-01' AND k IN ({known}))"), "2"),
        ("(k IN (SELECT k + 0 FROM u)) IS NULL".into(), "3"),
        (format!("(CAST(k AS INT) IN ({all})) IS NULL"), "3"),
        (format!("CASE WHEN k IN ({all}) THEN 'yes' ELSE 'no' END = 'no'"), "3"),
        ("(symbol, k) = ('A', NULL)".into(), "0"),
        ("NOT ((symbol, k) = ('B', NULL))".into(), "4"),
        ("(symbol, k) IN (('A', 1), ('A', NULL))".into(), "1"),
        ("(symbol, k) NOT IN (('A', 1), ('B', NULL))".into(), "2"),
        ("(symbol, k) < ('A', 4)".into(), "2"),
        ("(k, symbol) >= (2, 'B')".into(), "1"),
        ("(symbol, k) BETWEEN ('A', 2) AND ('B', 0)".into(), "2"),
    ] {
        let sql = format!("SELECT count(*) FROM t WHERE {condition}");
        assert_eq!(one(folder.path(), &sql), expected, "{condition}");
    }
}

#[test]
fn times_are_compared_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    gapped(folder.path());
    let gaps = "(SELECT ts - lag(ts) OVER (PARTITION BY symbol ORDER BY ts) AS gap FROM t)";
    for (source, condition, expected) in [
        (gaps, "gap > INTERVAL '1 day'", "1"),
        (gaps, "gap = INTERVAL '24 hours'", "2"),
        (gaps, "gap <> INTERVAL '1 day'", "1"),
        (gaps, "INTERVAL '3 days' < gap", "1"),
        (gaps, "gap BETWEEN INTERVAL '1 hour' AND INTERVAL '4 days'", "3"),
        (gaps, "gap IN (INTERVAL '1 day', INTERVAL '4 days')", "3"),
        ("t", "INTERVAL '1 month' > INTERVAL '29 days'", "4"),
        ("t", "INTERVAL '1 day' = INTERVAL '24 hours'", "4"),
        ("t", "ts < '2024-01-02T00:00:00.0005'", "1"),
        ("t", "ts >= '2024-01-02T00:00:00.0005'", "3"),
        ("t", "'2024-01-02T00:00:00.0005' > ts", "1"),
        ("t", "ts = '2024-01-02T00:00:00.0005'", "0"),
        ("t", "ts <> '2024-01-02T00:00:00.0005'", "4"),
        ("t", "ts < TIMESTAMP '2024-01-02 00:00:00.0005'", "1"),
        ("t", "ts IN ('2024-01-02T00:00:00.0005', '2024-01-03')", "1"),
        ("t", "ts NOT IN ('2024-01-02T00:00:00.0005')", "4"),
        ("t", "ts BETWEEN '2024-01-02T00:00:00.0005' AND '2024-01-04T00:00:00.0005'", "2"),
        ("t", "day < '2024-01-02 10:00:00'", "1"),
        ("t", "day < TIMESTAMP '2024-01-02 10:00:00'", "1"),
        ("t", "day = '2024-01-02 10:00:00'", "0"),
        ("t", "day <= '2024-01-02'", "1"),
        ("t", "to_timestamp(text) < '2024-01-02T10:00:00.25Z'", "3"),
    ] {
        let sql = format!("SELECT count(*) FROM {source} WHERE {condition}");
        assert_eq!(one(folder.path(), &sql), expected, "{condition}");
    }
}

#[test]
fn casts_keep_what_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    gapped(folder);
    assert_eq!(one(folder, "SELECT CAST(digits AS DOUBLE) FROM t LIMIT 1"), "3529.8");
    for (function, expected) in [
        ("to_timestamp(text)", "2024-01-02T10:00:00.500Z"),
        ("to_timestamp_seconds(text)", "2024-01-02T10:00:00Z"),
        ("to_timestamp_millis(text)", "2024-01-02T10:00:00.500Z"),
        ("to_timestamp_micros(text)", "2024-01-02T10:00:00.500Z"),
        ("to_timestamp_nanos(text)", "2024-01-02T10:00:00.500Z"),
        ("to_timestamp(1704189600)", "2024-01-02T10:00:00Z"),
        ("to_timestamp(1704189600.5)", "2024-01-02T10:00:00.500Z"),
        ("to_timestamp('2024-01-02 10', '%Y-%m-%d %H')", ""),
    ] {
        let found = one(folder, &format!("SELECT max({function}) FROM t"));
        assert!(expected.is_empty() || found == expected, "{function}: {found}");
    }
    assert_eq!(one(folder, "SELECT to_timestamp(nullif(text, text)) FROM t LIMIT 1"), "\"\"");
    for wrong in ["to_timestamp(1e300)", "to_timestamp(CAST('NaN' AS DOUBLE))", "to_timestamp('x')"]
    {
        let sql = format!("SELECT {wrong} FROM t");
        let (_, told) = fails(folder, &["sql", &sql, "--source", "t=t.parquet"]);
        assert!(told.contains("no number of seconds") || told.contains("is no time"), "{told}");
    }
}

#[test]
fn decimals_are_exact_beside_whatever_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let value = |sql: &str| rows(folder, &format!("SELECT {sql}"), &[]).join(" ");
    let d = "FROM (VALUES (CAST('4.40' AS DECIMAL(5,2)))) v(d)";
    for (sql, expected) in [
        ("d = 4.4, d >= 4.4, d IN (4.4), d BETWEEN 4.4 AND 4.4", "true,true,true,true"),
        ("4.4 = d, d <> 4.4, nullif(d, 4.4), greatest(d, 4.4)", "true,false,,4.4"),
        ("CASE d WHEN 4.4 THEN 'yes' END, d > 1e20, d = 1e-20", "yes,false,false"),
        ("d + 0.1, d * 2.0, CASE WHEN d > 0 THEN 1.25e-17 ELSE d END", "4.5,8.8,1.25e-17"),
    ] {
        assert_eq!(value(&format!("{sql} {d}")), expected, "{sql}");
    }
    for (sql, expected) in [
        (
            "x FROM (SELECT CAST('1.5' AS DECIMAL(5,2)) AS x UNION ALL SELECT 1.25e-17) ORDER BY x",
            "1.25e-17 1.5",
        ),
        (
            "count(*) FROM (VALUES (CAST('4.40' AS DECIMAL(5,2)))) a(x) JOIN (VALUES (4.4)) b(y) ON x = y",
            "1",
        ),
        (
            "count(*) FROM (VALUES (CAST('4.40' AS DECIMAL(5,2)))) a(x) WHERE x IN (SELECT y FROM (VALUES (4.4)) b(y))",
            "1",
        ),
        (
            "sum(x) FROM (VALUES (CAST('99999999999999999999' AS DECIMAL(38,17)))) v(x)",
            "99999999999999999999.00000000000000000",
        ),
    ] {
        assert_eq!(value(sql), expected, "{sql}");
    }
    let big = "(VALUES (CAST('99999999999999999999' AS DECIMAL(38,18))), (CAST('99999999999999999999' AS DECIMAL(38,18)))) v(x)";
    for sql in [
        format!("SELECT sum(x) FROM {big}"),
        format!("SELECT sum(x) OVER () FROM {big}"),
        format!("SELECT x + x FROM {big}"),
        format!("SELECT CAST('{}' AS DECIMAL(38,0)) + 1", "9".repeat(38)),
    ] {
        let (_, told) = fails(folder, &["sql", &sql]);
        assert!(told.contains("does not fit DECIMAL(38"), "{sql}: {told}");
    }
}

#[test]
fn times_keep_what_is_added_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    gapped(folder);
    for (sql, expected) in [
        ("max(DATE '2024-01-02' + INTERVAL '12 hours')", "2024-01-02T12:00:00"),
        ("max(DATE '2024-01-02' - INTERVAL '1 day')", "2024-01-01"),
        ("min(date_part('epoch', to_timestamp(text) - ts AT TIME ZONE 'UTC'))", "-482399.5"),
        ("count(*) FILTER (WHERE date_part('year', CAST(day AS TIMESTAMP)) > 5000)", "0"),
        ("count(*) FILTER (WHERE date_part('year', CAST(day AS TIMESTAMP)) > 0)", "4"),
        ("max(ts + INTERVAL '1 microsecond')", "2024-01-08T00:00:00.000001"),
        ("count(*) FILTER (WHERE day + INTERVAL '9 hours' > '2024-01-03 08:30')", "3"),
        ("count(*) FILTER (WHERE ts >= '2024-01-03 00:00')", "3"),
        ("max(TIMESTAMP '2024-01-02 09:30')", "2024-01-02T09:30:00"),
        ("max('2024-01-02 09:30'::timestamp)", "2024-01-02T09:30:00"),
        ("max(to_timestamp('2024-01-02T09:30'))", "2024-01-02T09:30:00Z"),
        ("count(*) FILTER (WHERE ts = to_timestamp('2024-01-03T00:00:00.0005'))", "0"),
        ("count(*) FILTER (WHERE ts < TIMESTAMPTZ '2024-01-03 00:00:00.0005Z')", "2"),
        ("count(*) FILTER (WHERE ts IN (to_timestamp('2024-01-03T00:00:00.0005')))", "0"),
        (
            "max(to_timestamp(text) - CAST(text AS TIMESTAMP) AT TIME ZONE 'Asia/Tokyo') IS NOT NULL",
            "true",
        ),
    ] {
        assert_eq!(one(folder, &format!("SELECT {sql} FROM t")), expected, "{sql}");
    }
}

#[test]
fn columns_of_using_are_those_of_the_first_table() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    gapped(folder);
    for (sql, expected) in [
        ("SELECT count(*) FROM t a JOIN t b USING (symbol, ts) WHERE symbol = 'A'", "4"),
        ("SELECT max(symbol || 'x') FROM t a LEFT JOIN t b USING (symbol, ts)", "Ax"),
        ("SELECT symbol FROM t JOIN u USING (k) WHERE k > 1", "A"),
        (
            "SELECT upper(symbol) AS s, count(*) FROM t a JOIN t b USING (symbol, ts) GROUP BY upper(symbol) HAVING max(symbol) = 'A'",
            "A,4",
        ),
        (
            "SELECT count(*) FROM t a JOIN t b USING (symbol) WHERE EXISTS (SELECT 1 FROM u WHERE k = 2)",
            "16",
        ),
        (
            "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY ts - TIMESTAMP '2024-01-01') AS r FROM t)",
            "4",
        ),
    ] {
        assert_eq!(one(folder, sql), expected, "{sql}");
    }
}

#[test]
fn what_the_engine_believes_of_rows_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    gapped(folder);
    for (sql, expected) in [
        // IS DISTINCT FROM ends before AND and OR.
        ("SELECT count(*) FROM t WHERE k IS DISTINCT FROM 1 AND day > '2024-01-03'", "2"),
        ("SELECT count(*) FROM t WHERE NOT k IS NOT DISTINCT FROM 1 AND day > '2024-01-03'", "2"),
        ("SELECT count(*) FROM t WHERE k IS NOT DISTINCT FROM 1 OR day > '2024-01-03'", "3"),
        // A condition on one side of an outer join stays on that side.
        (
            "SELECT count(*), max(c.k) FROM t a RIGHT JOIN (SELECT * FROM t WHERE k > 1) c ON a.k = c.k + 9 WHERE a.k IS NULL",
            "2,4",
        ),
        // What a filter fixed is NULL where a join finds nothing.
        (
            "SELECT a.k, c.z FROM t a LEFT JOIN (SELECT k, symbol AS z FROM t WHERE symbol = 'A' AND k = 2) c ON a.k = c.k WHERE a.k IS NOT NULL ORDER BY c.z NULLS LAST, a.k DESC",
            "2,A 4, 1,",
        ),
        ("SELECT symbol, count(*) FROM t GROUP BY ROLLUP(symbol) ORDER BY 1", "A,4 ,4"),
        (
            "SELECT symbol, day, count(*) FROM t GROUP BY CUBE(symbol, day) ORDER BY 1, 2 LIMIT 2",
            "A,2024-01-02,1 A,2024-01-03,1",
        ),
        // A sort above OFFSET stays there, and one below it too.
        ("SELECT k FROM t ORDER BY day DESC OFFSET 1", "\"\" 2 1"),
        ("SELECT k FROM t ORDER BY day DESC OFFSET 2", "2 1"),
        (
            "SELECT k FROM (SELECT k, day FROM t ORDER BY day OFFSET 2) q ORDER BY k DESC NULLS LAST",
            "4 \"\"",
        ),
        (
            "SELECT k, row_number() OVER (ORDER BY k) AS n FROM (SELECT k FROM t ORDER BY day DESC OFFSET 2) q",
            "1,1 2,2",
        ),
        (
            "SELECT k FROM (SELECT k, day FROM t ORDER BY day DESC OFFSET 2) q ORDER BY k DESC LIMIT 1",
            "2",
        ),
        (
            "SELECT k FROM (SELECT k, day FROM t ORDER BY day DESC LIMIT 1 OFFSET 2) q ORDER BY k",
            "2",
        ),
        ("SELECT max(k) FROM (SELECT k FROM t ORDER BY day OFFSET 3) q", "4"),
        (
            "SELECT count(*) FROM (SELECT k, sum(k) OVER (ORDER BY day) AS x FROM (SELECT * FROM t LIMIT 2 OFFSET 2) q)",
            "2",
        ),
        (
            "SELECT count(*) FROM (SELECT * FROM (SELECT * FROM t LIMIT 3 OFFSET 1) q ORDER BY day LIMIT 3)",
            "3",
        ),
        ("SELECT DISTINCT ON (symbol, day) k FROM t ORDER BY symbol, day DESC, k OFFSET 2", "2 1"),
        ("SELECT k FROM t ORDER BY sum(k) OVER (ORDER BY day DESC), day OFFSET 2", "2 1"),
        (
            "SELECT symbol, k, w, sum(w) OVER (ORDER BY k DESC) AS x FROM (SELECT * FROM (SELECT symbol, k, day, k AS w FROM t WHERE k > 0) a ORDER BY day, k DESC LIMIT 2 OFFSET 1) q ORDER BY k",
            "A,2,2,6 A,4,4,4",
        ),
        (
            "SELECT count(*) FROM (SELECT k, symbol, w, sum(w) OVER (ORDER BY day, k DESC) AS x FROM (SELECT * FROM (SELECT symbol, k, day, k AS w FROM t) a ORDER BY day, k DESC LIMIT 2 OFFSET 2) q)",
            "2",
        ),
        // NULL among the rows leaves nothing known.
        ("SELECT count(*) FROM t WHERE 1000 NOT IN (SELECT k FROM u)", "0"),
        ("SELECT count(*) FROM t WHERE NULL NOT IN (SELECT k FROM u)", "0"),
        ("SELECT count(*) FROM t WHERE k > 3 OR k IN (SELECT max(k) FROM u)", "2"),
        // 0 and -0 are one number.
        ("SELECT count(*) FROM t WHERE round(-0.1 * k / 100) IN (0, 5)", "3"),
        ("SELECT count(CASE trunc(-0.1 * k) WHEN 0 THEN 1 END) FROM t", "3"),
        ("SELECT count(*) FROM (SELECT DISTINCT (k > 2) IS TRUE AS x FROM t)", "2"),
    ] {
        for threads in ["1", "3"] {
            let sources = ["--source", "t=t.parquet", "--source", "u=u.parquet"];
            let words =
                [&["sql", sql, "--format", "csv", "--threads", threads][..], &sources].concat();
            let found: Vec<String> =
                ok(folder, &words).lines().skip(1).map(str::to_string).collect();
            assert_eq!(found.join(" "), expected, "{threads} threads: {sql}");
        }
    }
    let (_, told) = fails(folder, &["sql", "SELECT 'abc' SIMILAR TO 'a%'"]);
    assert!(told.contains("SIMILAR TO is not supported"), "{told}");
}
