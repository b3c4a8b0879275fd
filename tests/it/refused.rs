//! What would be computed as something else than it says, and is refused with a way out.

use std::path::Path;

use super::support::{Bars, fails, ok, rows, run};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(3, 20).write(&folder.path().join("bars.parquet"));
    folder
}

const BARS: [&str; 2] = ["--source", "bars=bars.parquet"];

/// What is said of a statement, by `sql` and as a set by `check`; both must refuse it.
fn told(folder: &Path, sql: &str) -> String {
    let (code, told) = fails(folder, &[&["sql", sql][..], &BARS].concat());
    assert_eq!(code, 1, "{sql}");
    std::fs::write(folder.join("x.sql"), sql).unwrap();
    let checked = run(folder, &[&["check", "x.sql"][..], &BARS].concat());
    assert_eq!(checked.status.code(), Some(1), "{sql}");
    told
}

#[test]
fn clauses_that_would_change_nothing() {
    let folder = prepare();
    let cases = [
        (
            "SELECT symbol, ts FROM bars PREWHERE close > 13",
            "PREWHERE is not supported; write WHERE",
        ),
        ("SELECT symbol, ts FROM bars TABLESAMPLE (10 ROWS)", "TABLESAMPLE is not supported"),
        ("SELECT symbol, ts FROM bars FOR UPDATE", "FOR UPDATE"),
        (
            "SELECT symbol, ts, count(*) AS n FROM bars GROUP BY symbol, ts WITH ROLLUP",
            "write GROUP BY ROLLUP (...)",
        ),
        ("SELECT symbol, ts, abs(close) FILTER (WHERE close > 1) AS x FROM bars", "FILTER behind"),
        ("SELECT symbol, ts, abs(DISTINCT close) AS x FROM bars", "DISTINCT or ALL here"),
        ("WITH a AS MATERIALIZED (SELECT * FROM bars) SELECT symbol, ts FROM a", "MATERIALIZED"),
        ("SELECT symbol, ts FROM bars SETTINGS max_threads = 1", "SETTINGS"),
        ("SELECT symbol, ts FROM bars WHERE ts + INTERVAL '7' > ts", "INTERVAL without a unit"),
        ("SELECT symbol, ts FROM bars WHERE ts > TIMESTAMP '2019-05-01T00:00:00Z'", "TIMESTAMPTZ"),
        ("SELECT symbol, ts, 1_000 AS n FROM bars", "syntax error"),
        ("SELECT symbol, ts, 1_000 FROM bars", "_ within a number"),
        ("SELECT symbol, ts FROM bars FINAL", "FINAL is not supported"),
        ("SELECT symbol, ts FROM bars NOLOCK", "write AS in front of it"),
        ("SELECT bars.symbol, bars.ts FROM bars JOIN bars b", "JOIN without a condition"),
        ("SELECT TOP 5 symbol, ts FROM bars", "TOP is not supported; write LIMIT"),
        ("SELECT symbol, ts FROM bars LIMIT 1 BY symbol", "QUALIFY row_number()"),
        (
            "SELECT symbol, ts, sum(close) IGNORE NULLS OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars",
            "IGNORE NULLS here",
        ),
        (
            "SELECT symbol, ts, lag(close, NULL) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars",
            "an offset of NULL",
        ),
        (
            "SELECT symbol, ts, first_value(close, 2) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars",
            "one argument more",
        ),
        (
            "SELECT symbol, ts, count(close, open) OVER (ORDER BY ts) AS x FROM bars",
            "count of more than one",
        ),
        (
            "SELECT symbol, ts, sum(close) OVER (w ORDER BY ts) AS x FROM bars WINDOW w AS (ORDER BY symbol)",
            "another ORDER BY than that one",
        ),
    ];
    for (sql, expected) in cases {
        let told = told(folder.path(), sql);
        assert!(told.contains(expected), "{sql}: {told}");
    }
}

#[test]
fn forms_that_would_be_taken_for_something_else() {
    let folder = prepare();
    let calls = |call: &str| {
        format!("SELECT symbol, ts, {call} OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars")
    };
    let rows = |condition: &str| format!("SELECT symbol, ts FROM bars WHERE {condition}");
    let cases = [
        ("SELECT symbol, ts FROM bars EXCEPT ALL SELECT symbol, ts FROM bars".into(), "EXCEPT ALL or INTERSECT ALL"),
        ("SELECT symbol, ts FROM bars UNION (SELECT symbol, ts FROM bars INTERSECT ALL SELECT symbol, ts FROM bars)".into(), "EXCEPT ALL or INTERSECT ALL"),
        ("SELECT symbol, bars.ts FROM bars FULL JOIN bars b USING (symbol)".into(), "coalesce(a.symbol, b.symbol)"),
        ("SELECT symbol, ts FROM bars NATURAL RIGHT JOIN bars b".into(), "USING or NATURAL of a RIGHT or FULL JOIN"),
        ("SELECT * ILIKE 's%' FROM bars".into(), "ILIKE behind *"),
        ("SELECT symbol, ts INTO x FROM bars".into(), "SELECT INTO"),
        ("SELECT symbol, ts, CAST(volume AS BIGINT) ^ 2 AS x FROM bars".into(), "write power(x, 2)"),
        ("SELECT symbol, ts, count(DISTINCT *) AS x FROM bars GROUP BY symbol, ts".into(), "count(DISTINCT *)"),
        ("SELECT symbol, ts, corr(DISTINCT close, open) AS x FROM bars GROUP BY symbol, ts".into(), "DISTINCT in this function"),
        (calls("lag(DISTINCT close)"), "DISTINCT in this function"),
        (calls("sma(close, timeperiod = 14)"), "write timeperiod => 14"),
        (calls("atr(high, low, 14)"), "its input close is a column, and 14 none"),
        (calls("sma('close', 14)"), "write close without quotes"),
        (calls("sma(-1, 14)"), "its input close is a column, and -1 none"),
        ("SELECT symbol, ts, lag(close) AS x FROM bars".into(), "lag is a window function and has no OVER; write lag(close) OVER (PARTITION BY symbol ORDER BY ts)"),
        ("SELECT symbol, ts, rank() AS x FROM bars".into(), "write rank() OVER (PARTITION BY ts ORDER BY close)"),
        (rows("ts > TIMESTAMP '2019-05-01 00:00:00 America/New_York'"), "a zone in a TIMESTAMP"),
        (rows("ts > CAST('2019-05-01T00:00:00+02:00' AS TIMESTAMP)"), "a zone in a TIMESTAMP"),
        (rows("ts > DATE '2019-05-01 10:00:00'"), "a time of day in a DATE"),
        (rows("ts > 20190501"), "write '2019-05-01'"),
        (rows("ts > 2019-05-01"), "write '2019-05-01'"),
        (rows("symbol = 7"), "symbol is text, and 7 a number; write '7' in quotes"),
        (rows("symbol IN (7, 8)"), "symbol is text"),
        (rows("CAST(volume AS TIME) IS NOT NULL"), "a time of no unit"),
        (rows("symbol IN (SELECT CAST(volume AS BIGINT) FROM bars)"), "symbol is text, and"),
        (rows("EXISTS (SELECT 1 FROM bars b WHERE b.volume = bars.symbol)"), "is text, and volume a number"),
        (rows("CASE symbol WHEN 7 THEN true ELSE false END"), "write '7' in quotes"),
        (rows("nullif(symbol, 7) IS NOT NULL"), "write '7' in quotes"),
        (rows("coalesce(symbol, 0) IS NOT NULL"), "symbol is text, and 0 a number"),
        (rows("coalesce(CAST(ts AS TIMESTAMP), ts AT TIME ZONE 'UTC') IS NOT NULL"), "has a time zone, and"),
        (rows("close NOT IN (SELECT b.close FROM bars b WHERE b.ts > bars.ts)"), "write [NOT] EXISTS (SELECT ...)"),
        ("SELECT symbol, ts FROM bars UNION ALL SELECT CAST(1 AS BIGINT), ts FROM bars".into(), "symbol is text, and"),
        ("SELECT DISTINCT INTERVAL '1 day' AS symbol, ts FROM bars".into(), "an INTERVAL is compared by operators only"),
        ("SELECT bars.symbol, bars.ts FROM bars JOIN (SELECT CAST(1 AS BIGINT) AS n) n ON n.n = bars.symbol".into(), "is text, and n a number"),
        (rows("EXISTS (SELECT max(b.close) FROM bars b WHERE b.symbol = bars.symbol)"), "an aggregate without GROUP BY"),
        (rows("EXISTS (SELECT 1 FROM bars b WHERE b.symbol = bars.symbol OFFSET 1)"), "LIMIT or OFFSET"),
        (rows("close IN (SELECT b.close FROM bars b WHERE b.symbol = bars.symbol LIMIT 1)"), "LIMIT or OFFSET"),
        (rows("NOT (close > 1 AND close IN (SELECT b.close FROM bars b WHERE b.symbol = bars.symbol))"), "write [NOT] EXISTS (SELECT ...)"),
        ("SELECT symbol, ts FROM bars ORDER BY INTERVAL '1 day'".into(), "those have no order"),
        ("SELECT symbol, ts FROM bars WHERE (symbol, ts) = (symbol, ts, close)".into(), "a row of 2 values is compared with one of 3"),
        ("FROM bars LIMIT 1".into(), "write SELECT * FROM"),
        ("SELECT symbol, ts, close FROM bars GROUP BY symbol, ts".into(), "write max(bars.close) for example"),
        ("DELETE FROM bars".into(), "INSERT, UPDATE, DELETE, MERGE"),
    ];
    for (sql, expected) in cases {
        let told = told(folder.path(), &sql);
        assert!(told.contains(expected), "{sql}: {told}");
    }
    // COPY reads a query as any other statement does.
    let copy = "COPY (SELECT symbol FROM bars PREWHERE close > 1) TO 'x.parquet'";
    let (_, told) = fails(folder.path(), &[&["sql", copy][..], &BARS].concat());
    assert!(told.contains("PREWHERE is not supported"), "{told}");
    // What is sound goes on: one row is enough for EXISTS, and mean is of one value.
    for sound in [
        "SELECT count(*) FROM bars WHERE EXISTS (SELECT 1 FROM bars b WHERE b.symbol = bars.symbol LIMIT 1)",
        "SELECT symbol, count(DISTINCT close), avg(DISTINCT close) FROM bars GROUP BY symbol",
        "SELECT count(*) FROM bars JOIN bars b USING (symbol, ts)",
        "SELECT ts - lag(ts) OVER (PARTITION BY symbol ORDER BY ts) AS gap FROM bars ORDER BY gap",
    ] {
        ok(folder.path(), &[&["sql", sound][..], &BARS].concat());
    }
}

#[test]
fn frames_and_times_that_would_mean_something_else() {
    let folder = prepare();
    let frame = |frame: &str| {
        format!(
            "SELECT symbol, ts, sum(close) OVER (PARTITION BY symbol ORDER BY ts {frame}) AS x FROM bars"
        )
    };
    let cases = [
        (frame("ROWS BETWEEN -1 PRECEDING AND CURRENT ROW"), "must be a whole number, 0 or more"),
        (
            frame("RANGE BETWEEN INTERVAL '-2 days' PRECEDING AND INTERVAL '-1 days' FOLLOWING"),
            "negative distance",
        ),
        (frame("RANGE BETWEEN 7 PRECEDING AND CURRENT ROW"), "of no unit over times"),
        ("SELECT symbol, ts FROM bars WHERE ts >= 20240102".into(), "is a time, and 20240102 a number"),
        (
            "SELECT symbol, ts, sum(close) OVER (ORDER BY symbol RANGE 7 PRECEDING) AS x FROM bars".into(),
            "a distance over values that have none",
        ),
        ("SELECT symbol, ts, close << 1 AS x FROM bars".into(), "of whole numbers, and close is none"),
        ("SELECT symbol, ts, CAST(volume AS TIMESTAMP) AS x FROM bars".into(), "a time of no unit"),
        ("SELECT symbol, ts, close AT TIME ZONE 'UTC' AS x FROM bars".into(), "a time of no unit"),
        (
            "SELECT symbol, ts, lag(CAST(close AS BIGINT), 1, 1.5) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars".into(),
            "the default 1.5 of lag does not fit",
        ),
        ("SELECT symbol, ts FROM bars WHERE ts BETWEEN 1 AND 20240102".into(), "is a time"),
        ("SELECT symbol, ts FROM bars WHERE ts IN (20240102)".into(), "is a time"),
        ("SELECT symbol, ts, avg(close, 2) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars".into(), "write sma(close, 2) OVER ..., or avg(close)"),
    ];
    for (sql, expected) in cases {
        let told = told(folder.path(), &sql);
        assert!(told.contains(expected), "{sql}: {told}");
    }
    // What is sound goes on.
    let days = frame("RANGE BETWEEN INTERVAL '2 days' PRECEDING AND CURRENT ROW");
    ok(folder.path(), &[&["sql", &days][..], &BARS].concat());
}

#[test]
fn another_set_and_several_targets() {
    let folder = prepare();
    let folder = folder.path();
    for set in ["one", "two"] {
        let sql = format!("SELECT symbol, ts, close AS {set} FROM bars");
        std::fs::write(folder.join(format!("{set}.sql")), sql).unwrap();
    }
    let words =
        |set: &'static str, to: &'static str| [&["run", set, "--to", to][..], &BARS].concat();
    ok(folder, &words("one.sql", "t"));
    let (_, told) = fails(folder, &words("two.sql", "t"));
    assert!(told.contains("t holds the set one, not two"), "{told}");
    ok(folder, &[&words("two.sql", "t")[..], &["--replace"]].concat());
    // A name with a comma is one symbol if it has a flag of its own.
    ok(folder, &words("one.sql", "f/{set}"));
    ok(folder, &words("two.sql", "f/{set}"));
    let (_, told) = fails(folder, &["sql", "SELECT * FROM f", "--source", "f=f"]);
    assert!(told.contains("f holds 2 targets: f/one, f/two"), "{told}");
    ok(
        folder,
        &["export", "one.sql", "two.sql", "--to", "g/{set}", "--source", "bars=bars.parquet"],
    );
    assert!(folder.join("g/two/_windrow").exists());
    let (_, told) = fails(folder, &words("one.sql", "."));
    assert!(told.contains("working directory") || told.contains("holds the source"), "{told}");
}

#[test]
fn a_label_stays_one_through_a_target() {
    let folder = prepare();
    let folder = folder.path();
    let label = "/*\nlabels: [ahead]\n*/\nSELECT symbol, ts, lead(close, 2) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars";
    std::fs::write(folder.join("label.sql"), label).unwrap();
    ok(folder, &[&["run", "label.sql", "--to", "labels"][..], &BARS].concat());
    let leak = "SELECT symbol, ts, ahead / 2 AS alpha FROM x";
    std::fs::write(folder.join("leak.sql"), leak).unwrap();
    let (_, told) = fails(folder, &["run", "leak.sql", "--source", "x=labels", "--to", "o"]);
    assert!(
        told.contains("output alpha looks ahead") && told.contains("the label ahead of x"),
        "{told}"
    );
}

#[test]
fn csv_files_are_text_until_a_column_is_more() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "a.csv",
        "symbol,ts,close,note\nNA,2024-01-02,1.5,NA\nTRUE,2024-01-02,NA,x\n007,2024-01-02,2,\n1E5,2024-01-02,3,y\n",
    );
    let found = rows(folder, "SELECT symbol, close, note FROM b ORDER BY symbol", &["b=a.csv"]);
    assert_eq!(found, ["007,2.0,", "1E5,3.0,y", "NA,1.5,NA", "TRUE,,x"]);
    // A file of one symbol that looks like something else.
    for symbol in ["TRUE", "1E5", "2024-01-02", "12.5"] {
        write("one.csv", &format!("symbol,ts,close\n{symbol},2024-01-02,1\n"));
        assert_eq!(rows(folder, "SELECT symbol FROM o", &["o=one.csv"]), [symbol]);
    }
    // Zeros in front are part of a text; a price may be infinite, and larger than 64 bits.
    write(
        "b.csv",
        "symbol,ts,close,code\nA,2024-01-02,99999999999999999999,037833100\nB,2024-01-02, -inf,10\n",
    );
    let found = rows(folder, "SELECT close, code FROM b ORDER BY symbol", &["b=b.csv"]);
    assert_eq!(found, ["1e20,037833100", "-inf,10"]);
    let cases = [
        (
            "quote.csv",
            "symbol,ts,n\nA,2024-01-02,\"x\nB,2024-01-03,y\n",
            "a double quote is not closed",
        ),
        (
            "huge.csv",
            "symbol,ts,n\nA,2024-01-02,99999999999999999999\n",
            "a whole number of 64 bits",
        ),
        ("large.csv", "symbol,ts,close\nA,2024-01-02,1e400\n", "line 2: close is \"1e400\""),
        ("semicolons.csv", "symbol;ts;close\nA;2024-01-02;1\n", "separated by semicolons"),
        ("tabs.csv", "symbol\tts\tclose\nA\t2024-01-02\t1\n", "separated by tabs"),
        ("remark.csv", "# made by hand\nsymbol,ts,close\n", "its first line is a remark"),
        ("bare.csv", "A,2024-01-02,1\nA,2024-01-03,2\n", "it has no header"),
        ("short.csv", "symbol,ts,close\nA,2024-01-02,1\nA,2024-01-03\n", "line 3 has 2 fields"),
        (
            "word.csv",
            "symbol,ts,close\nA,2024-01-02,1\nA,2024-01-03,\"o\nne\"\n",
            "line 3: close is",
        ),
        ("day.csv", "symbol,ts,close\nA,2024-01-02,1\nA,soon,2\n", "line 3: ts is \"soon\""),
    ];
    for (name, text, expected) in cases {
        write(name, text);
        let (_, told) =
            fails(folder, &["sql", "SELECT * FROM b", "--source", &format!("b={name}")]);
        assert!(told.contains(expected) && told.contains(name), "{name}: {told}");
        assert!(!told.contains("corrupt"), "{told}");
    }
    std::fs::write(folder.join("latin.csv"), b"symbol,ts,close,n\nA,2024-01-02,1,caf\xe9\n")
        .unwrap();
    let (_, told) = fails(folder, &["sql", "SELECT * FROM b", "--source", "b=latin.csv"]);
    assert!(told.contains("line 2") && told.contains("not UTF-8"), "{told}");
}
