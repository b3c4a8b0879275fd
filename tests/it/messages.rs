//! Every wrong input gets one clear sentence with its place and the way out, and leaves targets as
//! they were.

use super::support::{Bars, fails, ok, plain_read, run};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(3, 60).write(&folder.path().join("bars/all.parquet"));
    folder
}

#[test]
fn wrong_sets() {
    let folder = prepare();
    let folder = folder.path();
    std::fs::write(folder.join("good.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    ok(folder, &["run", "good.sql", "--source", "bars=bars", "--to", "out"]);
    let w = "WINDOW w AS (PARTITION BY symbol ORDER BY ts)";
    let over = "OVER (PARTITION BY symbol ORDER BY ts)";
    let cases: Vec<(String, &str)> = vec![
        (
            "SELECT symbol, ts,\n  clos AS x FROM bars".into(),
            "s.sql:2:3: unknown column clos; did you mean close?",
        ),
        (
            format!("SELECT symbol, ts, rsii(close, 14) {over} AS x FROM bars"),
            "s.sql:1:20: unknown function rsii; did you mean rsi?",
        ),
        (
            format!("SELECT symbol, ts,\n  rsi(close, 0) {over} AS x FROM bars"),
            "s.sql:2:3: rsi: timeperiod is 0, expected a whole number from 2 to 100000",
        ),
        (
            format!("SELECT symbol, ts, rsi(close, 1e6) {over} AS x FROM bars"),
            "s.sql:1:20: rsi: timeperiod is 1000000, expected a whole number from 2 to 100000",
        ),
        (
            "SELECT symbol, ts, rsi(close) OVER (PARTITION BY symbol) AS x FROM bars".into(),
            "s.sql:1:20: rsi: its window has no ORDER BY; write rsi(close) OVER (PARTITION BY symbol ORDER BY ts)",
        ),
        (
            format!("SELECT symbol, ts, rsi(close) AS x FROM bars {w}"),
            "s.sql:1:20: rsi is a window function and has no OVER; write rsi(close) OVER (PARTITION BY symbol ORDER BY ts)",
        ),
        (
            format!("SELECT symbol, ts, rsi(close) OVER (w ROWS 3 PRECEDING) AS x FROM bars {w}"),
            "s.sql:1:20: rsi: it takes no frame: its parameters say how far it looks back; write rsi(close) OVER",
        ),
        (
            format!("SELECT symbol, ts, rsi(close) OVER v AS x FROM bars {w}"),
            "s.sql:1:36: unknown window v; did you mean w?",
        ),
        (
            format!("SELECT symbol, ts, rsi(close, period => 3) OVER w AS x FROM bars {w}"),
            "s.sql:1:31: rsi: unknown parameter period; ",
        ),
        (
            format!("SELECT symbol, ts, rsi(close, 3, 4) OVER w AS x FROM bars {w}"),
            "s.sql:1:20: rsi: too many arguments, expected at most 2; write rsi(close, timeperiod => 14)",
        ),
        (
            format!("SELECT symbol, ts, rsi(close, close) OVER w AS x FROM bars {w}"),
            "s.sql:1:20: rsi: timeperiod must be a literal",
        ),
        (
            format!("SELECT symbol, ts, rsi(symbol) OVER w AS x FROM bars {w}"),
            "s.sql:1:20: rsi cannot take (TEXT, DOUBLE); write rsi(close, timeperiod => 14)",
        ),
        ("SELECT symbol, ts, close FROM bars WHERE rsi(close) OVER (PARTITION BY symbol ORDER BY ts) > 70".into(), "s.sql:1:42: a window function cannot stand in WHERE; write QUALIFY in its place"),
        (format!("SELECT symbol, ts, sma(close, 3) OVER w AS x FROM bars {w}, w AS (ORDER BY ts)"), "s.sql:1:103: the window w is there twice"),
        ("SELECT symbol, ts, * FROM bars".into(), "s.sql:1:8: output column symbol is there twice; give each a name of its own with AS, and leave it out of *"),
        (format!("SELECT symbol, ts, bbands(close) OVER w AS bb, close AS bb_upperband FROM bars {w}"), "s.sql:1:57: output column bb_upperband is there twice"),
        ("SELECT symbol, ts, (SELECT max(close) FROM bars b WHERE b.symbol = bars.symbol) AS x FROM bars".into(), "s.sql:1:21: output x may look ahead"),
        ("SELECT symbol, ts, sma(close, 3) OVER (PARTITION BY symbol ORDER BY volume) AS x FROM bars".into(), "s.sql:1:20: output x may look ahead"),
        (
            "SELECT symbol, ts, close AS x, open AS x FROM bars".into(),
            "s.sql:1:32: output column x is there twice; give each a name of its own with AS",
        ),
        (
            "SELECT symbol, ts, close + 1 FROM bars".into(),
            "s.sql:1:20: the output close + 1 has no name; add AS and a name",
        ),
        (
            "SELECT symbol, close FROM bars".into(),
            "s.sql: the output has no column ts; select it, or name the time column in the header: `time: NAME`",
        ),
        (
            "SELECT symbol, ts, close FROM\n  barz".into(),
            "s.sql:2:3: unknown table barz; did you mean bars?",
        ),
        ("SELECT symbol, ts, close FORM bars".into(), "s.sql:1:31: syntax error: "),
        (
            "SELECT symbol, ts, close FROM bars; SELECT 1".into(),
            "s.sql:1:37: there is more than one statement; give one at a time",
        ),
        ("DELETE FROM bars".into(), "a feature set is one SELECT; write a SELECT"),
        (
            "/*\ndescripton: x\n*/\nSELECT symbol, ts FROM bars".into(),
            "s.sql:2:1: unknown key descripton in the header; did you mean description?",
        ),
        (
            "/*\nlabels: [nope]\n*/\nSELECT symbol, ts FROM bars".into(),
            "s.sql:2:10: labels: there is no output nope; outputs: symbol, ts",
        ),
        (
            "/*\nrequires: [vwap]\n*/\nSELECT symbol, ts FROM bars".into(),
            "s.sql:2:12: s requires the column vwap; the source does not have it",
        ),
        ("SELECT symbol, ts, {{ n }} AS x FROM bars".into(), "s.sql:1:23: "),
        (
            "/*\navailable: {x: y}\n*/\nSELECT symbol, ts FROM bars".into(),
            "s.sql:2:1: available is not supported yet",
        ),
        (
            format!(
                "SELECT symbol, ts, ema(sum(close), 3) OVER w AS x FROM bars GROUP BY symbol, ts {w}"
            ),
            "",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(folder.join("s.sql"), &text).unwrap();
        let output = run(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "out"]);
        let told = String::from_utf8(output.stderr).unwrap();
        if expected.is_empty() {
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{text}\n{told}");
        assert!(told.starts_with(&format!("error: {expected}")), "{text}\n{told}");
        assert_eq!(told.lines().count(), 1, "one sentence: {told}");
        assert!(!told.contains("Error during planning") && !told.contains("Some("), "{told}");
        assert_eq!(plain_read(&folder.join("out")).unwrap().unwrap().num_columns(), 3);
    }
}

#[test]
fn wrong_places() {
    let folder = prepare();
    let folder = folder.path();
    std::fs::write(folder.join("s.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    std::fs::create_dir(folder.join("empty")).unwrap();
    std::fs::create_dir(folder.join("texts")).unwrap();
    std::fs::write(folder.join("texts/a.txt"), "hello").unwrap();
    std::fs::write(folder.join("zero.parquet"), "").unwrap();
    std::fs::write(folder.join("file"), "").unwrap();
    let cases: [(&[&str], i32, &str); 17] = [
        (&["--source", "bars=barz", "--to", "o"], 1, "barz does not exist; did you mean bars?"),
        (
            &["--source", "bars=nothing/here", "--to", "o"],
            1,
            "nothing/here does not exist; name a directory, a file or a glob in quotes",
        ),
        (
            &["--source", "bars=empty", "--to", "o"],
            1,
            "empty holds no parquet or CSV file; name a directory with .parquet or .csv files in it",
        ),
        (&["--source", "bars=texts", "--to", "o"], 1, "texts holds no parquet or CSV file"),
        (
            &["--source", "bars=texts/a.txt", "--to", "o"],
            1,
            "texts/a.txt is neither parquet nor CSV by its name",
        ),
        (
            &["--source", "bars=empty/*.parquet", "--to", "o"],
            1,
            "no parquet or CSV file matches empty/*.parquet",
        ),
        (
            &["--source", "bars=zero.parquet", "--to", "o"],
            1,
            "zero.parquet is truncated or corrupt (",
        ),
        (
            &["--source", "bars=ftp://x/y", "--to", "o"],
            2,
            "ftp:// is not supported; name a local directory, file or glob",
        ),
        (
            &["--source", "bars", "--to", "o"],
            2,
            "--source bars has no name; write --source bars=bars",
        ),
        (
            &["--source", "bars=bars", "--to", "file"],
            1,
            "file is a file; name a directory, or a file that ends in .csv",
        ),
        (
            &["--source", "bars=bars", "--to", "x.parquet"],
            2,
            "x.parquet is one file; name a directory",
        ),
        (&["--source", "bars=bars", "--to", "file/below"], 1, "cannot write file: "),
        (
            &["--source", "bars=bars", "--to", "o", "--from", "soon"],
            2,
            "--from: soon is no date or time; write 2024-01-31 or 2024-01-31T09:30:00",
        ),
        (
            &["--source", "bars=bars", "--to", "o", "--symbols", "NOBODY"],
            1,
            "the result is empty: no row of NOBODY matches; check --symbols, --from, --until and the WHERE of the set; the target is as it was",
        ),
        (
            &["--source", "bars=bars", "--to", "o", "--threads", "0"],
            2,
            "--threads: parallel_workers is 0, expected 1 to ",
        ),
        (&["--source", "bars=bars", "--to", "o", "--set", "n=1"], 2, "--set n"),
        (
            &["--to", "o"],
            1,
            "s.sql:1:31: unknown table bars; give --source bars=LOCATION, name it in windrow.yaml, or put bars.sql beside this file",
        ),
    ];
    for (args, code, expected) in cases {
        let words = [&["run", "s.sql"], args].concat();
        let (found, told) = fails(folder, &words);
        assert!(told.starts_with(&format!("error: {expected}")), "{args:?}: {told}");
        assert_eq!(found, code, "{args:?}: {told}");
        assert!(!folder.join("o").exists(), "{args:?}");
    }
    let (code, told) = fails(folder, &["run", "momentun", "--source", "bars=bars", "--to", "o"]);
    assert_eq!(
        (code, told.as_str()),
        (1, "error: no feature set momentun; did you mean momentum?\n")
    );
    let (code, told) = fails(folder, &["run", "no.sql", "--source", "bars=bars", "--to", "o"]);
    assert_eq!(code, 1);
    assert!(told.starts_with("error: no.sql: no such file"), "{told}");
    let (code, _) = fails(folder, &["runn"]);
    assert_eq!(code, 2);
}

#[test]
fn a_column_that_is_all_null_is_told() {
    let folder = prepare();
    let folder = folder.path();
    let set = "SELECT symbol, ts, sma(close, 500) OVER (PARTITION BY symbol ORDER BY ts) AS sma_500 FROM bars";
    std::fs::write(folder.join("s.sql"), set).unwrap();
    let output = run(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "o"]);
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    let expected =
        "note: output sma_500 is NULL on every row: it takes 499 rows before its first value\n";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn queries_point_at_the_word() {
    let folder = prepare();
    let folder = folder.path();
    let (code, told) =
        fails(folder, &["sql", "SELECT symbol,\n  clos\nFROM bars", "--source", "bars=bars"]);
    assert_eq!(code, 1);
    assert_eq!(
        told,
        "error: unknown column clos; did you mean close?\nLINE 2:   clos\n          ^\n"
    );
    let (_, told) = fails(folder, &["sql", "SELECT * FROM momentun", "--source", "bars=bars"]);
    assert!(told.starts_with("error: unknown table momentun; did you mean momentum?"), "{told}");
}

#[test]
fn checks_find_what_runs_accept() {
    let folder = prepare();
    let folder = folder.path();
    let cases = [
        (
            "SELECT symbol, ts, sma(close, 3) OVER (ORDER BY ts) AS x FROM bars",
            "s.sql:1:20: sma mixes the rows of all symbols; write OVER (PARTITION BY symbol ORDER BY ts)",
        ),
        (
            "SELECT symbol, ts, lag(close) OVER (PARTITION BY symbol) AS x FROM bars",
            "s.sql:1:20: lag has no ORDER BY",
        ),
        (
            "SELECT symbol, ts, cs_rank(close) OVER (PARTITION BY symbol) AS x FROM bars",
            "s.sql:1:20: cs_rank is not partitioned by ts; write OVER (PARTITION BY ts)",
        ),
        (
            "SELECT symbol, ts, sma(close, 3) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars\nWHERE ts > DATE '2020-01-01'",
            "s.sql:2:7: WHERE on ts under a window cuts the rows that its values start from",
        ),
        (
            "SELECT symbol, ts, sma(close, 3) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM (SELECT * FROM bars WHERE ts > DATE '2020-01-01') AS b",
            "s.sql:1:109: WHERE on ts under a window",
        ),
        (
            "SELECT symbol, ts, stddev(close, 3) OVER w AS a, stddev(close) OVER w AS b FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)",
            "s.sql:1:50: stddev(x) is the sample statistic of SQL",
        ),
        (
            "SELECT symbol, ts, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars",
            "s.sql:1:20: output x looks ahead",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(folder.join("s.sql"), text).unwrap();
        let output = run(folder, &["check", "s.sql"]);
        let found = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(found.lines().any(|line| line.starts_with(expected)), "{text}\n{found}");
    }
    std::fs::write(
        folder.join("s.sql"),
        "SELECT symbol, ts, sma(close, 3) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars",
    )
    .unwrap();
    let output = run(folder, &["check", "s.sql"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "1 feature set checked, 0 findings\n");
}
