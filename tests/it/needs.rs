//! What the analysis of a plan says: which rows a value depends on, before its own and after.

use std::path::Path;

use windrow::Engine;
use windrow::analysis::{LookAhead, Need, RowCounting, RowDependency, StepBack};
use windrow::config::Config;
use windrow_udfs::Memory;

const W: &str = "WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

/// The need of the output `x`, planned over the standard columns; as a label it may look ahead.
async fn need(engine: &Engine, folder: &Path, sql: &str) -> Need {
    let file = folder.join("s.sql");
    std::fs::write(&file, format!("/*\nlabels: [x]\n*/\n{sql}")).unwrap();
    let set = engine.find_set(file.to_str().unwrap()).unwrap();
    let planned = engine.plan_set(set, &Default::default()).await.unwrap();
    planned.outputs.iter().find(|output| output.name == "x").unwrap().need.clone()
}

/// An engine that knows the standard columns of bars.
fn engine(folder: &Path) -> Engine {
    let engine = Engine::new(Config::default()).unwrap();
    let file = folder.join("plain.sql");
    std::fs::write(&file, "SELECT symbol, ts FROM bars").unwrap();
    let set = engine.find_set(file.to_str().unwrap()).unwrap();
    engine.bind_standard_bars(&set).unwrap();
    engine
}

/// `4 valid symbol where volume > 0`.
fn told(step: &StepBack) -> String {
    let counted = match step.counted {
        RowCounting::Valid => "valid",
        RowCounting::Every => "every",
    };
    let told = format!("{} {counted} {}", step.rows, step.keys.join(", "));
    match step.filters.as_slice() {
        [] => told,
        filters => format!("{told} where {}", filters.join(" and ")),
    }
}

/// Which rows before its own the value of an expression over one window depends on.
#[tokio::test(flavor = "multi_thread")]
async fn history_is_of_the_rows_that_count() {
    let cases: [(&str, Option<usize>, &[&str]); 22] = [
        ("close * 2", Some(0), &[]),
        ("sma(close, 20) OVER w", Some(19), &["19 valid symbol"]),
        ("rsi(close, 14) OVER w", None, &[]),
        ("lag(close, 5) OVER w", Some(5), &["5 every symbol"]),
        ("lag(close) OVER w", Some(1), &["1 every symbol"]),
        ("lag(close, 0) OVER w", Some(0), &[]),
        ("lead(close, -2) OVER w", Some(2), &["2 every symbol"]),
        ("lag(close, 2 * 3 - 1) OVER w", Some(5), &["5 every symbol"]),
        ("lag(close, 2) IGNORE NULLS OVER w", Some(2), &["2 valid symbol"]),
        ("avg(close) OVER (w ROWS 9 PRECEDING)", Some(9), &["9 every symbol"]),
        ("first_value(close) OVER (w ROWS 9 PRECEDING)", Some(9), &["9 every symbol"]),
        (
            "avg(close) OVER (w ROWS BETWEEN 9 PRECEDING AND 5 PRECEDING)",
            Some(9),
            &["9 every symbol"],
        ),
        (
            "avg(close) FILTER (WHERE volume > 0) OVER (w ROWS 9 PRECEDING)",
            Some(9),
            &["9 every symbol"],
        ),
        (
            "avg(close) OVER (w RANGE BETWEEN INTERVAL '9 days' PRECEDING AND CURRENT ROW)",
            None,
            &[],
        ),
        ("avg(close) OVER (w GROUPS BETWEEN 9 PRECEDING AND CURRENT ROW)", None, &[]),
        ("sum(close) OVER w", None, &[]),
        ("row_number() OVER w", None, &[]),
        // Side by side the longer one counts, if both count the same rows.
        ("sma(close, 5) OVER w + sma(high, 10) OVER w", Some(9), &["9 valid symbol"]),
        (
            "sma(close, 5) OVER w + lag(close, 9) OVER w",
            Some(9),
            &["9 every symbol", "4 valid symbol"],
        ),
        // Inside each other they add up, and valid rows for one of them are valid rows for both.
        ("sma(lag(close, 3) OVER w, 5) OVER w", Some(7), &["7 valid symbol"]),
        (
            "sma(close, 5) OVER (PARTITION BY symbol, volume > 0 ORDER BY ts)",
            Some(4),
            &["4 valid symbol, volume > 0"],
        ),
        ("cs_rank(close) OVER (PARTITION BY ts)", Some(0), &[]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    for (expression, rows, steps) in cases {
        let sql = format!("SELECT symbol, ts, {expression} AS x FROM bars {W}");
        let need = need(&engine, folder.path(), &sql).await;
        assert_eq!(need.history.longest_way_rows(), rows, "{expression}");
        let found: Vec<String> = need.history.merged_steps().iter().map(told).collect();
        assert_eq!(found, steps, "{expression}");
        assert_eq!(need.ahead, LookAhead::None, "{expression}");
    }
}

/// A condition below a window takes rows away before they are counted, one above it does not.
#[tokio::test(flavor = "multi_thread")]
async fn history_counts_rows_that_are_left() {
    let inner = format!("SELECT symbol, ts, volume, sma(close, 5) OVER w AS a FROM bars {W}");
    let cases: [(String, Option<usize>, &[&str]); 12] = [
        (
            format!("SELECT symbol, ts, sma(close, 3) OVER w AS x FROM bars WHERE volume > 0 {W}"),
            Some(2),
            &["2 valid symbol where volume > 0"],
        ),
        (
            format!("SELECT symbol, ts, a AS x FROM ({inner}) WHERE volume > 0"),
            Some(4),
            &["4 valid symbol"],
        ),
        (
            format!("SELECT symbol, ts, sma(a, 3) OVER w AS x FROM ({inner}) {W}"),
            Some(6),
            &["6 valid symbol"],
        ),
        (
            format!("SELECT symbol, ts, sma(a, 3) OVER w AS x FROM ({inner}) WHERE volume > 0 {W}"),
            Some(6),
            &["4 valid symbol", "2 valid symbol where volume > 0"],
        ),
        // A column is called as in the source, whatever a subquery calls it.
        (
            "SELECT s AS symbol, ts, sma(v, 3) OVER (PARTITION BY s ORDER BY ts) AS x \
             FROM (SELECT symbol AS s, ts, volume AS v FROM bars) WHERE v > 0"
                .into(),
            Some(2),
            &["2 valid symbol where volume > 0"],
        ),
        (
            format!(
                "SELECT symbol, ts, lag(avg(close) OVER (PARTITION BY ts), 4) OVER w AS x FROM bars {W}"
            ),
            Some(4),
            &["0 every ts", "4 every symbol"],
        ),
        // A row counts that one of the branches lets through.
        (
            format!(
                "SELECT symbol, ts, lag(close, 2) OVER w AS x FROM \
                 (SELECT * FROM bars WHERE close > 100 UNION ALL SELECT * FROM bars) {W}"
            ),
            Some(2),
            &["2 every symbol where close > 100 UNION ALL all rows"],
        ),
        // Other symbols of a moment may have other moments before it.
        (
            format!(
                "SELECT symbol, ts, sma(c, 3) OVER w AS x FROM \
                 (SELECT symbol, ts, cs_rank(a) OVER (PARTITION BY ts) AS c FROM ({inner})) {W}"
            ),
            Some(6),
            &["4 valid symbol", "0 every ts", "2 valid symbol"],
        ),
        (
            format!(
                "SELECT symbol, ts, sma(c, 3) OVER w AS x FROM \
                 (SELECT symbol, ts, avg(close) AS c FROM bars GROUP BY symbol, ts) {W}"
            ),
            Some(2),
            &["0 every symbol, ts", "2 valid symbol where GROUP BY symbol, ts"],
        ),
        (
            format!(
                "SELECT l.symbol, l.ts, \
                 sma(l.a + m.a, 3) OVER (PARTITION BY l.symbol ORDER BY l.ts) AS x \
                 FROM ({inner}) AS l JOIN ({inner}) AS m ON m.symbol = l.symbol AND m.ts = l.ts"
            ),
            Some(6),
            &["4 valid symbol", "2 valid symbol where JOIN m"],
        ),
        (
            "SELECT l.symbol, l.ts, m.close AS x FROM bars AS l \
             JOIN bars AS m ON m.symbol = l.symbol AND m.ts <= l.ts"
                .into(),
            None,
            &[],
        ),
        (format!("SELECT DISTINCT symbol, ts, a AS x FROM ({inner})"), None, &[]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    for (sql, rows, steps) in cases {
        let need = need(&engine, folder.path(), &sql).await;
        assert_eq!(need.history.longest_way_rows(), rows, "{sql}");
        let found: Vec<String> = need.history.merged_steps().iter().map(told).collect();
        assert_eq!(found, steps, "{sql}");
    }
}

/// How far the value of an expression over one window looks ahead.
#[tokio::test(flavor = "multi_thread")]
async fn look_ahead_is_that_of_the_call() {
    let cases = [
        ("lead(close) OVER w", LookAhead::Rows(1)),
        ("lead(close, 0) OVER w", LookAhead::None),
        ("lead(close, 2 + 3) OVER w", LookAhead::Rows(5)),
        ("lag(close, 1 - 4) OVER w", LookAhead::Rows(3)),
        ("lag(close, -(1 + 1)) OVER w", LookAhead::Rows(2)),
        ("lead(close, CAST(volume AS BIGINT)) OVER w", LookAhead::Unknown),
        // Any number of rows without a value may lie between.
        ("lead(close, 2) IGNORE NULLS OVER w", LookAhead::All),
        ("avg(close) OVER (w ROWS BETWEEN 2 PRECEDING AND 3 FOLLOWING)", LookAhead::Rows(3)),
        ("avg(close) FILTER (WHERE f > 0) OVER (w ROWS 2 PRECEDING)", LookAhead::Rows(1)),
        ("cs_rank(close) OVER (PARTITION BY symbol)", LookAhead::All),
        // Only an order that begins with time is one of time.
        ("lag(close) OVER (PARTITION BY symbol)", LookAhead::Unknown),
        ("sma(close, 3) OVER (PARTITION BY symbol ORDER BY volume, ts)", LookAhead::Unknown),
        ("sma(close, 3) OVER (PARTITION BY symbol ORDER BY symbol, ts)", LookAhead::None),
        (
            "sma(close, 3) OVER (PARTITION BY symbol ORDER BY date_trunc('month', ts), ts)",
            LookAhead::None,
        ),
        (
            "sma(close, 3) OVER (PARTITION BY symbol ORDER BY date_part('month', ts), ts)",
            LookAhead::Unknown,
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    for (expression, ahead) in cases {
        let sql = format!(
            "SELECT symbol, ts, {expression} AS x \
             FROM (SELECT *, lead(close, 1) OVER w AS f FROM bars {W}) {W}"
        );
        let need = need(&engine, folder.path(), &sql).await;
        assert_eq!(need.ahead, ahead, "{expression}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_have_types() {
    let shift = |rows| RowDependency::Shift { function: "lag".into(), rows };
    let sma = RowDependency::Indicator { name: "sma", params: vec![5.0], memory: Memory::Window };
    let cases = [
        ("sma(lag(close, 1 + 2) OVER w, 5) OVER w", vec![shift(Some(3)), sma], "lag(3), sma(5)"),
        ("lag(close, CAST(volume AS BIGINT)) OVER w", vec![shift(None)], "lag"),
        (
            "cs_rank(close) OVER (PARTITION BY ts)",
            vec![RowDependency::CrossSection { name: "cs_rank" }],
            "cs_rank",
        ),
        (
            "row_number() OVER w",
            vec![RowDependency::Rank { function: "row_number".into() }],
            "row_number",
        ),
        (
            "avg(close) OVER (PARTITION BY symbol)",
            vec![RowDependency::WholeGroup { function: "avg".into() }],
            "avg over the whole group",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    for (expression, calls, made_of) in cases {
        let sql = format!("SELECT symbol, ts, {expression} AS x FROM bars {W}");
        let need = need(&engine, folder.path(), &sql).await;
        assert_eq!(need.calls, calls, "{expression}");
        assert_eq!(need.describe_calls().join(", "), made_of, "{expression}");
    }
}
