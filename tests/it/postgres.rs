//! Tables of a real PostgreSQL server as targets: what they hold, and that they hold it whole
//! whatever happens on the way.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;

use super::servers::{Base, Cluster, Line};
use windrow::outside::FailPoint;

use super::support::{Bars, bits, fails, ok, plain_read, run, run_json, windrow};

const SET: &str = "/*\ndescription: Momentum of the day\nparams: {state: 1}\noutputs: {rsi_14: Wilder's index}\n*/\n\
    SELECT symbol, ts, {{ state }}.0 AS state, rsi(close, 14) OVER w AS rsi_14,\n\
    sma(close, 5) OVER w AS sma_5, close > open AS up, CAST(volume AS BIGINT) AS traded\n\
    FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

const SYMBOLS: usize = 8;
const DAYS: usize = 300;
const ROWS: usize = SYMBOLS * DAYS;

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(SYMBOLS, DAYS).write(&folder.path().join("bars/all.parquet"));
    std::fs::write(folder.path().join("set.sql"), SET).unwrap();
    folder
}

fn args<'a>(to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "set.sql", "--source", "bars=bars", "--to", to, "--threads", "2"], more].concat()
}

/// The state that a table holds, if it is whole; None if there is no table or it is empty.
fn state(base: &Base<'_>, table: &str) -> Option<i64> {
    let exists = format!("SELECT to_regclass('{table}')::text");
    if base.text(&exists) == [""] {
        return None;
    }
    let sql = format!(
        "SELECT count(*), count(DISTINCT (symbol, ts)), min(state)::bigint, max(state)::bigint FROM {table}"
    );
    let row = &base.rows(&sql)[0];
    let [rows, keys]: [i64; 2] = [row.get(0), row.get(1)];
    if rows == 0 {
        return None;
    }
    assert_eq!((rows, keys), (ROWS as i64, ROWS as i64), "a part of a state");
    let [least, greatest]: [i64; 2] = [row.get(2), row.get(3)];
    assert_eq!(least, greatest, "two states at once");
    Some(least)
}

/// Tables beside a target that runs left.
fn leftovers(base: &Base<'_>) -> Vec<String> {
    base.text("SELECT relname::text FROM pg_class WHERE relname LIKE '\\_windrow\\_%'")
}

/// A run that is on its way, once it has a table beside.
fn copying(mut run: Child, base: &Base<'_>) -> Child {
    let until = Instant::now() + Duration::from_secs(60);
    while leftovers(base).is_empty() {
        if Instant::now() > until || run.try_wait().unwrap().is_some() {
            let _ = run.kill();
            let done = run.wait_with_output().unwrap();
            panic!("no table beside: {}", String::from_utf8_lossy(&done.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    run
}

#[test]
fn a_table_holds_what_a_directory_holds() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features");
    ok(folder, &args("out", &[]));
    let done = run_json(folder, &args(&url, &[]));
    assert_eq!(done["rows"], ROWS);
    assert_eq!(done["target"], url);
    // To the bit, NULLs included.
    let written = plain_read(&folder.join("out")).unwrap().unwrap();
    let rows = base.rows("SELECT rsi_14, sma_5 FROM features ORDER BY symbol, ts");
    for (number, name) in ["rsi_14", "sma_5"].iter().enumerate() {
        let column = written.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        let expected: Vec<Option<u64>> = column.iter().map(|v| v.map(f64::to_bits)).collect();
        let found: Vec<Option<u64>> =
            rows.iter().map(|row| row.get::<_, Option<f64>>(number).map(f64::to_bits)).collect();
        assert!(expected.iter().any(Option::is_none) && expected == found, "{name}");
    }
    assert_eq!(
        base.text(
            "SELECT column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_name = 'features' ORDER BY ordinal_position"
        ),
        [
            "symbol|text",
            "ts|date",
            "state|double precision",
            "rsi_14|double precision",
            "sma_5|double precision",
            "up|boolean",
            "traded|bigint"
        ]
    );
    let key =
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'features'::regclass";
    assert_eq!(base.text(key), ["PRIMARY KEY (symbol, ts)"]);
    let comments = base.text(
        "SELECT obj_description('features'::regclass) UNION ALL \
         SELECT col_description('features'::regclass, 4)",
    );
    assert_eq!(comments[0], "Momentum of the day (windrow, feature set set)");
    assert!(comments[1].contains("Wilder's index"), "{comments:?}");
    let record = &base
        .rows("SELECT target, set, rows, first, last, record->>'run' = run FROM windrow_runs")[0];
    assert_eq!(record.get::<_, &str>(0), "public.features");
    assert_eq!((record.get::<_, &str>(1), record.get::<_, i64>(2)), ("set", ROWS as i64));
    assert!(record.get::<_, &str>(3) < record.get::<_, &str>(4) && record.get::<_, bool>(5));
    assert_eq!(leftovers(&base), [""; 0]);
}

#[test]
fn a_run_replaces_its_scope_and_nothing_else() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features");
    ok(folder, &args(&url, &[]));
    ok(folder, &args(&url, &["--set", "state=2"]));
    assert_eq!(state(&base, "features"), Some(2));
    // Ts begins on 2019-04-14; day 100 is 2019-07-23.
    let scope = [
        "--symbols",
        "S001,S003",
        "--from",
        "2019-07-23",
        "--until",
        "2019-08-02",
        "--set",
        "state=3",
    ];
    ok(folder, &args(&url, &scope));
    let changed = "SELECT symbol, min(ts)::text, max(ts)::text, count(*)::text FROM features \
                   WHERE state = 3 GROUP BY symbol ORDER BY symbol";
    assert_eq!(
        base.text(changed),
        ["S001|2019-07-23|2019-08-01|10", "S003|2019-07-23|2019-08-01|10"]
    );
    assert_eq!(base.text("SELECT count(*)::text FROM features"), [ROWS.to_string()]);
    // A symbol that left the source leaves the table.
    Bars::new(SYMBOLS - 1, DAYS).write(&folder.join("bars/all.parquet"));
    ok(folder, &args(&url, &[]));
    assert_eq!(
        base.text("SELECT count(DISTINCT symbol)::text, count(*)::text FROM features"),
        [format!("{}|{}", SYMBOLS - 1, ROWS - DAYS)]
    );
}

#[test]
fn tables_grow_columns_and_refuse_what_does_not_fit() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features");
    ok(folder, &args(&url, &[]));
    let wider = SET.replace(
        "sma(close, 5) OVER w AS sma_5",
        "sma(close, 5) OVER w AS sma_5, sma(close, 9) OVER w AS sma_9",
    );
    std::fs::write(folder.join("set.sql"), wider.replace("up,", "up_again,")).unwrap();
    let told = String::from_utf8(run(folder, &args(&url, &[])).stderr).unwrap();
    assert!(told.contains("note: the table has new columns: sma_9, up_again\n"), "{told}");
    assert!(told.contains("which it does not fill in new rows: up\n"), "{told}");
    assert_eq!(
        base.text(
            "SELECT count(sma_9)::text, count(up)::text, count(up_again)::text FROM features"
        ),
        [format!("{}|0|{ROWS}", ROWS - 8 * SYMBOLS)]
    );
    let other = SET
        .replace("close > open AS up", "close AS up")
        .replace("CAST(volume AS BIGINT)", "volume");
    std::fs::write(folder.join("set.sql"), other).unwrap();
    let (code, told) = fails(folder, &args(&url, &[]));
    assert_eq!(code, 1);
    assert_eq!(
        told,
        format!(
            "error: {url}: the table does not fit the set: up is boolean, not double precision, traded is bigint, \
             not double precision; write to another table, or change these columns\n"
        )
    );
    assert_eq!(leftovers(&base), [""; 0]);
    base.run(
        "CREATE TABLE mine (symbol text, ts date); INSERT INTO mine VALUES ('A', '2020-01-01')",
    );
    let mine = base.url("mine");
    let (_, told) = fails(folder, &args(&mine, &[]));
    assert!(
        told.starts_with(&format!("error: {mine} holds rows that windrow did not write")),
        "{told}"
    );
    let nowhere = base.url("nowhere.features");
    let (_, told) = fails(folder, &args(&nowhere, &[]));
    assert!(
        told.contains("there is no schema nowhere; create it: CREATE SCHEMA \"nowhere\""),
        "{told}"
    );
}

#[test]
fn long_tables_and_partitions() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let long = format!("{}&layout=long&partition=month", base.url("features"));
    for state in ["state=1", "state=2"] {
        ok(folder, &args(&long, &["--set", state]));
    }
    assert_eq!(
        base.text("SELECT feature, count(*)::text FROM features GROUP BY feature ORDER BY feature COLLATE \"C\""),
        [
            format!("rsi_14|{}", ROWS - 14 * SYMBOLS),
            format!("sma_5|{}", ROWS - 4 * SYMBOLS),
            format!("state|{ROWS}"),
            format!("traded|{ROWS}"),
            format!("up|{ROWS}"),
        ]
    );
    assert_eq!(
        base.text("SELECT DISTINCT value::text FROM features WHERE feature = 'state'"),
        ["2"]
    );
    let parts = base.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'features'::regclass ORDER BY 1");
    assert_eq!(parts.len(), 11, "{parts:?}");
    assert_eq!(parts[0], "features_y2019m04");
    let (_, told) = fails(folder, &args(&format!("{}&partition=week", base.url("f")), &[]));
    assert!(told.contains("partition is week, expected year, month or day"), "{told}");
}

#[test]
fn two_runs_at_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features");
    let held = windrow(folder)
        .args(args(&url, &[]))
        .env("WINDROW_FAULT", "wait:rows-written")
        .stderr(Stdio::null())
        .spawn();
    let mut held = copying(held.unwrap(), &base);
    let (code, told) = fails(folder, &args(&url, &["--set", "state=2"]));
    assert_eq!(code, 1);
    assert!(told.starts_with(&format!("error: another run is writing {url} (windrow ")), "{told}");
    // Another table is free.
    ok(folder, &args(&base.url("other"), &["--set", "state=2"]));
    assert!(held.wait().unwrap().success());
    assert_eq!((state(&base, "features"), state(&base, "other")), (Some(1), Some(2)));
}

#[test]
fn killed_at_every_step_and_at_random() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features");
    let killed = |point: FailPoint, state: &str| {
        let killed = windrow(folder)
            .args(args(&url, &["--set", state]))
            .env("WINDROW_FAULT", point.name())
            .stderr(Stdio::null())
            .status();
        assert!(!killed.unwrap().success(), "{point:?}");
    };
    killed(FailPoint::StageMade, "state=1");
    assert_eq!(leftovers(&base).len(), 1);
    assert_eq!(state(&base, "features"), None);
    for point in FailPoint::OF_TABLE.into_iter().skip(1) {
        let expected = (point == FailPoint::AfterCommit).then_some(2);
        killed(point, "state=2");
        settled(&base);
        assert_eq!(state(&base, "features"), expected, "{point:?}");
    }
    let mut holds = 2;
    for moment in 0..50 {
        let number = moment + 3;
        let set = format!("state={number}");
        let started =
            windrow(folder).args(args(&url, &["--set", &set])).stderr(Stdio::null()).spawn();
        let mut started = started.unwrap();
        // A run takes about half a second.
        std::thread::sleep(Duration::from_millis(13 * (moment * 31 % 50) as u64));
        let _ = started.kill();
        let finished = started.wait().unwrap().success();
        settled(&base);
        let found = state(&base, "features").unwrap();
        assert!(
            found == number || (found == holds && !finished),
            "{found} after {holds}, {number}"
        );
        holds = found;
    }
    ok(folder, &args(&url, &["--set", "state=99"]));
    assert_eq!(state(&base, "features"), Some(99));
    assert_eq!(leftovers(&base), [""; 0]);
}

/// Waits until the server has seen that a process is gone.
fn settled(base: &Base<'_>) {
    let until = Instant::now() + Duration::from_secs(60);
    let busy = "SELECT 1::text FROM pg_stat_activity WHERE application_name LIKE 'windrow %' \
                AND datname = current_database()";
    while !base.text(busy).is_empty() {
        assert!(Instant::now() < until, "the server holds on to dead runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn connections_break_in_the_middle() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let line = Line::to(cluster.port);
    let url = base.url_by(line.port, "features");
    let sent = {
        ok(folder, &args(&url, &[]));
        // About what the rows take: eight columns with their lengths.
        (ROWS * 50) as i64
    };
    let mut retried = 0;
    for (number, bytes) in
        [200, 900, 2_000, 5_000, sent / 3, sent / 2, sent].into_iter().enumerate()
    {
        let cuts = line.cuts();
        line.cut_after(bytes);
        let set = format!("state={}", number + 2);
        let done = run_json(folder, &args(&url, &["--set", &set]));
        assert_eq!(line.cuts(), cuts + 1, "nothing was cut after {bytes} bytes");
        retried += done["retries"].as_u64().unwrap();
        assert_eq!(state(&base, "features"), Some(number as i64 + 2), "cut after {bytes} bytes");
    }
    assert!(retried >= 6, "{retried}");
    assert_eq!(leftovers(&base), [""; 0]);
}

/// Crashes the server when a run has copied its rows and not committed them; the run finishes.
fn crash_before_the_commit(folder: &Path, cluster: &Cluster, base: &Base<'_>, before: Option<i64>) {
    let run = windrow(folder)
        .args(args(&base.url("features"), &["--set", "state=2", "--json"]))
        .env("WINDROW_FAULT", "wait:rows-written")
        .env("WINDROW_LOG", "info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let run = copying(run.unwrap(), base);
    std::thread::sleep(Duration::from_secs(2));
    cluster.crash();
    std::thread::sleep(Duration::from_secs(1));
    cluster.go_on();
    assert_eq!(state(base, "features"), before);
    let done = run.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    assert!(told.contains("the server lost rows that were copied"), "{told}");
    assert!(told.contains("trying again in"), "{told}");
    assert_eq!(state(base, "features"), Some(2));
    assert_eq!(leftovers(base), [""; 0]);
}

#[test]
fn the_server_crashes_and_comes_back() {
    let Some(cluster) = Cluster::start() else { return };
    let (folder, base) = (prepare(), cluster.base());
    ok(folder.path(), &args(&base.url("features"), &[]));
    crash_before_the_commit(folder.path(), &cluster, &base, Some(1));
}

#[test]
fn the_server_crashes_before_chunks_are_on_its_disk() {
    let Some(cluster) = Cluster::start() else { return };
    let (folder, base) = (prepare(), cluster.base());
    // Chunks do not wait for the disk, and now nobody else brings them there.
    base.run("ALTER SYSTEM SET wal_writer_delay = '10s'");
    base.run("SELECT pg_reload_conf()");
    crash_before_the_commit(folder.path(), &cluster, &base, None);
}

#[test]
fn every_type_arrives_as_it_is() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (tempfile::tempdir().unwrap(), cluster.base());
    let folder = folder.path();
    // The value in SQL, and as the server shows it.
    let values = [
        ("true", "true"),
        ("arrow_cast(-7, 'Int8')", "-7"),
        ("arrow_cast(255, 'UInt8')", "255"),
        ("arrow_cast(-32768, 'Int16')", "-32768"),
        ("arrow_cast(65535, 'UInt16')", "65535"),
        ("arrow_cast(-2147483648, 'Int32')", "-2147483648"),
        ("arrow_cast(4294967295, 'UInt32')", "4294967295"),
        ("arrow_cast(-9223372036854775807, 'Int64')", "-9223372036854775807"),
        ("arrow_cast(18446744073709551615, 'UInt64')", "18446744073709551615"),
        ("arrow_cast(0, 'UInt64')", "0"),
        ("arrow_cast(0.1, 'Float32')", "0.1"),
        ("0.1", "0.1"),
        ("-0.0", "-0"),
        ("arrow_cast('nan', 'Float64')", "NaN"),
        ("arrow_cast('-inf', 'Float64')", "-Infinity"),
        ("arrow_cast('-1234.5600', 'Decimal128(12, 4)')", "-1234.5600"),
        ("arrow_cast('0.00005', 'Decimal128(12, 5)')", "0.00005"),
        ("arrow_cast('10000', 'Decimal128(38, 0)')", "10000"),
        ("'Zürich, \t\"x\"'", "Zürich, \t\"x\""),
        ("''", ""),
        (
            "arrow_cast('a long text that does not fit into a view', 'Utf8')",
            "a long text that does not fit into a view",
        ),
        ("arrow_cast('text', 'Dictionary(Int32, Utf8)')", "text"),
        ("arrow_cast('ab', 'Binary')", "\\x6162"),
        ("DATE '1969-12-31'", "1969-12-31"),
        (
            "arrow_cast('1999-12-31T23:59:59.999999', 'Timestamp(Microsecond, None)')",
            "1999-12-31 23:59:59.999999",
        ),
        (
            "arrow_cast('2262-01-01T00:00:00.000001', 'Timestamp(Nanosecond, None)')",
            "2262-01-01 00:00:00.000001",
        ),
        (
            "arrow_cast('2024-02-29T12:00:00', 'Timestamp(Second, Some(\"UTC\"))')",
            "2024-02-29 12:00:00+00",
        ),
        ("arrow_cast('23:59:59', 'Time32(Second)')", "23:59:59"),
    ];
    let columns = values.iter().enumerate();
    let columns: Vec<String> = columns
        .map(|(i, (value, _))| format!("CASE WHEN day = 1 THEN {value} END AS v{i}"))
        .collect();
    let set = format!(
        "SELECT 'A' AS symbol, arrow_cast(day, 'Date32') AS ts, {} FROM (VALUES (1), (2)) AS t(day)",
        columns.join(", ")
    );
    std::fs::write(folder.join("types.sql"), set).unwrap();
    ok(folder, &["run", "types.sql", "--to", &base.url("types")]);
    for (i, (value, expected)) in values.iter().enumerate() {
        let sql = format!("SELECT v{i}::text FROM types ORDER BY ts");
        let found = base.rows(&sql);
        let found: Vec<Option<&str>> = found.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, [Some(*expected), None], "{value}");
    }
    // Times that the server has no bytes for.
    let set = "SELECT 'A' AS symbol, DATE '2024-01-01' AS ts, \
        arrow_cast(-9223372036854775807, 'Timestamp(Microsecond, None)') AS far";
    std::fs::write(folder.join("far.sql"), set).unwrap();
    let (code, told) = fails(folder, &["run", "far.sql", "--to", &base.url("far")]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("far: -9223372036854775807 µs since 1970 is before all times"), "{told}");
    assert_eq!(base.text("SELECT to_regclass('far')::text"), [""]);
}

#[test]
fn a_server_that_is_down_is_given_up() {
    let folder = prepare();
    let folder = folder.path();
    std::fs::write(folder.join("windrow.yaml"), "timeout_seconds: 3\n").unwrap();
    let url = "postgres://me:secret@127.0.0.1:1/db?table=f";
    let started = Instant::now();
    let done = windrow(folder).args(args(url, &["--log-format", "json"])).output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(6));
    assert_eq!(done.status.code(), Some(1));
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(!told.contains("secret"), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() > 2, "{told}");
    let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(first["level"], "WARN");
    assert!(first["message"].as_str().unwrap().contains("Connection refused"), "{first}");
    let spans = &first["spans"][0];
    assert_eq!(
        (&spans["set"], &spans["target"]),
        (&"set".into(), &"postgres://me@127.0.0.1:1/db?table=f".into())
    );
    assert!(lines.last().unwrap().starts_with("error: the time limit has passed"), "{told}");
}

#[test]
fn passwords_are_nowhere() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let secret = "t0p5ecret";
    let url = base.url("features").replace("postgres@", &format!("postgres:{secret}@"));
    let held = windrow(folder)
        .args(args(&url, &["--json"]))
        .env("WINDROW_FAULT", "wait:rows-written")
        .env("WINDROW_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let held = copying(held.unwrap(), &base);
    let done = held.wait_with_output().unwrap();
    assert!(done.status.success());
    for text in [&done.stdout, &done.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(secret));
    }
    let records = base.text("SELECT record::text FROM windrow_runs");
    assert!(!records.is_empty() && !records[0].contains(secret));
    // The same from the environment, by way of the configuration.
    let yaml = format!("targets:\n  t: '{}'\n", url.replace(secret, "${DB_PASSWORD}"));
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let by_name =
        |name: &Path| windrow(name).args(args("t", &[])).env("DB_PASSWORD", secret).output();
    let done = by_name(folder).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Bars in a table, as they are in the directory.
fn fill(folder: &Path, base: &Base<'_>, table: &str) {
    std::fs::write(
        folder.join("all.sql"),
        "SELECT symbol, ts, open, high, low, close, volume FROM bars",
    )
    .unwrap();
    ok(folder, &["run", "all.sql", "--source", "bars=bars", "--to", &base.url(table)]);
}

#[test]
fn a_table_is_a_source() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    fill(folder, &base, "prices");
    let url = base.url("prices");
    ok(folder, &args("expected", &[]));
    let expected = bits(folder, "expected", "rsi_14");
    let source = format!("bars={url}");
    for threads in ["1", "2", "5"] {
        let words = ["run", "set.sql", "--source", &source, "--to", "found", "--threads", threads];
        ok(folder, &words);
        assert_eq!(bits(folder, "found", "rsi_14"), expected);
    }
    // A query, with numbers that are no floats, rows out of order and a table without a key.
    base.run(
        "CREATE TABLE loose AS SELECT symbol::varchar(8), ts, open::numeric, high, low, close, volume::numeric \
         FROM prices ORDER BY md5(symbol || ts)",
    );
    let query = "SELECT * FROM loose WHERE close > 0".replace(' ', "%20");
    let query = format!("bars={}", base.url("x").replace("table=x", &format!("query={query}")));
    let loose = format!("bars={}", base.url("loose"));
    for source in [&query, &loose] {
        ok(folder, &["run", "set.sql", "--source", source, "--to", "found", "--threads", "2"]);
        assert_eq!(bits(folder, "found", "rsi_14"), expected, "{source}");
    }
    // Nothing is sorted again, and the server does what it can of the filters.
    let plan = ok(
        folder,
        &[
            "sql",
            "EXPLAIN SELECT symbol, rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts) r FROM bars \
        WHERE symbol IN ('S001', 'S002') AND open > 0",
            "--source",
            &source,
            "--format",
            "csv",
        ],
    );
    assert!(plan.contains("StreamWindowExec") && !plan.contains("SortExec"), "{plan}");
    let count = |sql: &str| ok(folder, &["sql", sql, "--source", &source, "--format", "csv"]);
    assert_eq!(
        count("SELECT count(*) AS n FROM bars WHERE symbol > 'S004' AND ts < DATE '2019-04-24'"),
        "n\n30\n"
    );
    assert_eq!(
        count("SELECT min(ts) AS t FROM bars WHERE ts BETWEEN '2019-05-01' AND '2019-05-03'"),
        "t\n2019-05-01\n"
    );
}

#[test]
fn dirty_tables_have_one_outcome() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    base.run(
        "CREATE TABLE dirty (symbol text, ts timestamptz, close numeric);
         INSERT INTO dirty VALUES ('B', '2020-01-02 00:00Z', 2), ('A', '2020-01-01 00:00Z', 1), ('A', '2020-01-01 00:00Z', 3),
         (NULL, '2020-01-01 00:00Z', 4), ('Zoë''s \"X\"', '2020-01-01 00:00Z', 'NaN'), ('A', NULL, 5)",
    );
    let source = format!("bars={}", base.url("dirty"));
    let found = run(
        folder,
        &["sql", "SELECT * FROM bars ORDER BY symbol", "--source", &source, "--format", "csv"],
    );
    assert_eq!(
        String::from_utf8(found.stdout).unwrap(),
        "symbol,ts,close\nA,2020-01-01T00:00:00Z,3.0\nB,2020-01-02T00:00:00Z,2.0\n\"Zoë's \"\"X\"\"\",2020-01-01T00:00:00Z,\n"
    );
    base.run("INSERT INTO dirty VALUES ('C', 'infinity', 1)");
    let (_, told) = fails(folder, &["sql", "SELECT * FROM bars", "--source", &source]);
    assert!(told.contains("a time is infinite"), "{told}");
    let nothing = format!("bars={}", base.url("nothing"));
    let (_, told) = fails(folder, &["sql", "SELECT * FROM bars", "--source", &nothing]);
    assert!(told.contains("relation \"nothing\" does not exist"), "{told}");
    base.run("CREATE TABLE empty (symbol text, ts date, close float8)");
    let empty = format!("bars={}", base.url("empty"));
    assert_eq!(
        ok(
            folder,
            &["sql", "SELECT count(*) AS n FROM bars", "--source", &empty, "--format", "csv"]
        ),
        "n\n0\n"
    );
}

#[test]
fn all_of_a_source_is_of_one_moment() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    // Every row says how many transactions there were; each changes all of them.
    base.run(
        "CREATE TABLE moving AS SELECT 'S' || s AS symbol, date '2020-01-01' + d AS ts, 0::float8 AS close \
         FROM generate_series(1, 40) s, generate_series(1, 50) d; ALTER TABLE moving ADD PRIMARY KEY (symbol, ts)",
    );
    let source = format!("bars={}", base.url("moving"));
    let over = AtomicBool::new(false);
    let found: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                base.run("UPDATE moving SET close = close + 1");
            }
        });
        let sql = "SELECT count(DISTINCT close) AS n, count(*) AS rows FROM bars";
        let words = ["sql", sql, "--source", &source, "--format", "csv", "--threads", "3"];
        let told = |_| {
            let found = run(folder, &words);
            String::from_utf8_lossy(&[found.stdout, found.stderr].concat()).into_owned()
        };
        let found = (0..10).map(told).collect();
        over.store(true, Ordering::Relaxed);
        found
    });
    assert!(found.iter().all(|text| text == "n,rows\n1,2000\n"), "{found:?}");
}

#[test]
fn reading_goes_on_after_a_cut() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    fill(folder, &base, "prices");
    ok(folder, &args("expected", &[]));
    let expected = bits(folder, "expected", "rsi_14");
    let line = Line::to(cluster.port);
    let source = format!("bars={}", base.url_by(line.port, "prices"));
    for bytes in [100, 1_500, 3_000, 6_000, 20_000, 60_000, 90_000] {
        let cuts = line.cuts();
        line.cut_after(bytes);
        ok(folder, &["run", "set.sql", "--source", &source, "--to", "found", "--threads", "2"]);
        assert_eq!(line.cuts(), cuts + 1, "nothing was cut after {bytes} bytes");
        assert_eq!(bits(folder, "found", "rsi_14"), expected);
    }
}

#[test]
fn runs_are_listed_and_leftovers_removed() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let table = base.url("features");
    for target in [table.as_str(), "out", "out.csv"] {
        let (_, told) = fails(folder, &["runs", target]);
        assert!(told.contains("holds nothing that windrow wrote; name a target"), "{told}");
        ok(folder, &args(target, &["--set", "state=1"]));
        ok(folder, &args(target, &["--set", "state=2"]));
        let killed = windrow(folder)
            .args(args(target, &[]))
            .env("WINDROW_FAULT", "rows-written")
            .stderr(Stdio::null())
            .status();
        assert!(!killed.unwrap().success());
        settled(&base);
        let listed = run_json(folder, &["runs", target]);
        let runs = listed["runs"].as_array().unwrap();
        // A CSV file has the record of the last run only.
        assert_eq!(runs.len(), if target == "out.csv" { 1 } else { 2 }, "{listed}");
        let last = runs.last().unwrap();
        assert_eq!((&last["set"], &last["rows"]), (&"set".into(), &ROWS.into()));
        assert_eq!(last["first"], "2019-04-14");
        assert!(last["committed"].as_str().unwrap() >= runs[0]["committed"].as_str().unwrap());
        assert_eq!(listed["leftovers"].as_array().unwrap().len(), 1, "{listed}");
        let told = String::from_utf8(run(folder, &["runs", target]).stderr).unwrap();
        assert!(told.starts_with("left by a run that died: "), "{told}");
        let removed = run_json(folder, &["vacuum", target]);
        assert_eq!(removed["removed"], listed["leftovers"]);
        assert_eq!(run_json(folder, &["runs", target])["leftovers"].as_array().unwrap().len(), 0);
        let told = String::from_utf8(run(folder, &["vacuum", target]).stderr).unwrap();
        assert!(told.starts_with("nothing to remove"), "{told}");
    }
    // What a run at work has beside its target is no leftover.
    for target in [table.as_str(), "out"] {
        let held = windrow(folder)
            .args(args(target, &[]))
            .env("WINDROW_FAULT", "wait:rows-written")
            .stderr(Stdio::null())
            .spawn();
        let mut held = held.unwrap();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(run_json(folder, &["runs", target])["leftovers"].as_array().unwrap().len(), 0);
        let (_, told) = fails(folder, &["vacuum", target]);
        assert!(told.contains("another run is writing"), "{told}");
        assert!(held.wait().unwrap().success());
    }
}

#[test]
fn certificates_are_verified() {
    let Some(cluster) = Cluster::start_with_tls() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = |host: &str, more: &str| base.url("features").replace("127.0.0.1", host) + more;
    let root = format!("&sslrootcert={}", cluster.file("ca.crt"));
    let encrypted = "SELECT bool_or(ssl)::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name LIKE 'windrow%'";
    for more in [root.as_str(), "&sslmode=require", &format!("&sslmode=prefer{root}")] {
        let held = windrow(folder)
            .args(args(&url("localhost", more), &[]))
            .env("WINDROW_FAULT", "wait:rows-written")
            .stderr(Stdio::piped())
            .spawn();
        let held = held.unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while base.text(encrypted) != ["true"] {
            assert!(Instant::now() < until, "{more}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let done = held.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    // Nobody whom this system trusts has signed it, and the name is not that of the address.
    for (host, more, why) in [
        ("localhost", "&sslmode=verify-full", "UnknownIssuer"),
        ("127.0.0.1", root.as_str(), "not valid for name"),
    ] {
        let (code, told) = fails(folder, &args(&url(host, more), &[]));
        assert!(code == 1 && told.contains(why) && told.contains("sslrootcert=FILE"), "{told}");
        assert!(!told.contains("trying again"), "{told}");
    }
    let (code, told) = fails(folder, &args(&url("localhost", "&sslrootcert=nowhere.pem"), &[]));
    assert!(code == 2 && told.contains("sslrootcert nowhere.pem: "), "{told}");
}

#[test]
fn a_server_without_tls_is_refused_unless_asked_for() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let url = format!("{}&sslmode=verify-full", base.url("features"));
    let (code, told) = fails(folder.path(), &args(&url, &[]));
    assert!(code == 1 && told.contains("use sslmode=disable if the network is trusted"), "{told}");
}

#[test]
fn symbols_are_told_apart_byte_by_byte() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    base.run(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE cased (symbol text COLLATE ci, ts date, close float8);
         INSERT INTO cased SELECT s, date '2020-01-01' + i, i
         FROM unnest(ARRAY['A', 'B', 'C', 'D', 'a', 'e']) s, generate_series(1, 5) i;
         CREATE VIEW seen AS SELECT * FROM cased; CREATE INDEX ON cased (symbol)",
    );
    let sum = "SELECT count(*) AS n, count(DISTINCT symbol) AS s, sum(close) AS c FROM bars";
    let query = base.url("x").replace("table=x", "query=SELECT%20*%20FROM%20cased%20--%20all");
    for url in [base.url("cased"), base.url("seen"), query] {
        let source = format!("bars={url}");
        let found = ok(folder, &["sql", sum, "--source", &source, "--format", "csv"]);
        assert_eq!(found, "n,s,c\n30,6,90.0\n", "{url}");
    }
    // A scope of one symbol leaves the other alone.
    base.run("CREATE TABLE into_it (symbol text COLLATE ci, ts date, close float8)");
    std::fs::write(folder.join("close.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    let (source, to) = (format!("bars={}", base.url("cased")), base.url("into_it"));
    let words = ["run", "close.sql", "--source", &source, "--to", &to];
    ok(folder, &words);
    ok(folder, &[&words[..], &["--symbols", "A"]].concat());
    let count = "SELECT count(*)::text, count(DISTINCT symbol COLLATE \"C\")::text FROM into_it";
    assert_eq!(base.text(count), ["30|6"]);
}

#[test]
fn what_cannot_end_well_does_not_begin() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    fill(folder, &base, "prices");
    let (url, source) = (base.url("prices"), format!("bars={}", base.url("public.prices")));
    let (_, told) = fails(folder, &["run", "set.sql", "--source", &source, "--to", &url]);
    assert_eq!(told, format!("error: {url} is the source bars; write to another table\n"));
    let (_, told) = fails(folder, &args(&format!("{url}&layout=long"), &["--replace"]));
    assert!(
        told.contains("exists and has the wide layout; write to it with layout=wide"),
        "{told}"
    );
    ok(folder, &args(&format!("{}&layout=long", base.url("long")), &[]));
    let (_, told) = fails(folder, &args(&base.url("long"), &[]));
    assert!(
        told.contains("exists and has the long layout; write to it with layout=long"),
        "{told}"
    );
    let (code, told) = fails(folder, &args(&base.url("windrow_runs"), &[]));
    assert!(code == 2 && told.contains("is windrow's own"), "{told}");
    for (words, shown) in [
        (vec!["runs", "postgres://h/d?user=u&password=s3cret&table=t"], "password=xxx&table=t"),
        (
            vec!["runs", "postgres://u:s3cret@h/d?table=t", "postgres://u:s3cret@h/d"],
            "postgres://u:xxx@h/d",
        ),
        (vec!["postgres://u:s3cret@h/d"], "postgres://u:xxx@h/d"),
    ] {
        let (code, told) = fails(folder, &words);
        assert!(code == 2 && !told.contains("s3cret") && told.contains(shown), "{told}");
    }
}

#[test]
fn a_locked_table_is_waited_for_and_left_when_interrupted() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features");
    ok(folder, &args(&url, &[]));
    std::thread::scope(|scope| {
        let holder =
            scope.spawn(|| base.run("BEGIN; LOCK TABLE features; SELECT pg_sleep(10); COMMIT"));
        std::thread::sleep(Duration::from_millis(500));
        let set = ["--set", "state=2"];
        let started = windrow(folder).args(args(&url, &set)).stderr(Stdio::piped()).spawn();
        let started = started.unwrap();
        std::thread::sleep(Duration::from_secs(2));
        let pid = rustix::process::Pid::from_child(&started);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let done = started.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(130));
        // Nothing of it is left at the server, which would stand in the way of the next run.
        let over = Instant::now();
        settled(&base);
        assert!(over.elapsed() < Duration::from_secs(2), "{:?}", over.elapsed());
        let done = windrow(folder).args(args(&url, &set)).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{told}");
        assert!(told.contains("lock timeout; trying again in"), "{told}");
        holder.join().unwrap();
    });
    assert_eq!(state(&base, "features"), Some(2));
    assert_eq!(leftovers(&base), [""; 0]);
}
