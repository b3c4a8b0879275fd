//! Calls in SQL, end to end in a bare DataFusion session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use windrow_udfs::EXAMPLE_BARS;

const WINDOW: &str = "FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

/// Creates a session with the example bars of one symbol.
async fn session() -> SessionContext {
    session_with(&EXAMPLE_BARS.map(|(name, values)| (name, values.to_vec()))).await
}

/// Creates a session with these columns of one symbol.
async fn session_with(columns: &[(&str, Vec<f64>)]) -> SessionContext {
    let mut session = SessionContext::new();
    windrow_udfs::register_all(&mut session).unwrap();
    let rows: Vec<String> = (0..columns[0].1.len())
        .map(|row| {
            let values: Vec<String> =
                columns.iter().map(|(_, values)| format!("{:?}::double", values[row])).collect();
            format!("('A', {row}, {})", values.join(", "))
        })
        .collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let sql = format!(
        "CREATE TABLE bars AS SELECT * FROM (VALUES {}) AS rows (symbol, ts, {})",
        rows.join(", "),
        names.join(", ")
    );
    session.sql(&sql).await.unwrap().collect().await.unwrap();
    session
}

async fn error(sql: &str) -> String {
    let session = session().await;
    match session.sql(sql).await {
        Err(error) => error.to_string(),
        Ok(frame) => frame.collect().await.expect_err(sql).to_string(),
    }
}

/// Returns the columns of a query, NaN for NULL.
async fn columns(sql: &str) -> Vec<Vec<f64>> {
    columns_in(&session().await, sql).await
}

/// Returns the columns of a query in a session, NaN for NULL.
async fn columns_in(session: &SessionContext, sql: &str) -> Vec<Vec<f64>> {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let batch: &RecordBatch = &batches[0];
    let column = |index: usize| {
        let column = cast(batch.column(index), &DataType::Float64).unwrap();
        column.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
    };
    (0..batch.num_columns()).map(column).collect()
}

fn assert_near(got: &[f64], want: &[f64], what: &str) {
    let near =
        |(got, want): (&f64, &f64)| (got - want).abs() < 1e-5 || got.is_nan() && want.is_nan();
    assert!(got.len() == want.len() && got.iter().zip(want).all(near), "{what}: {got:?}, {want:?}");
}

#[tokio::test]
async fn every_example_holds_in_sql() {
    for entry in windrow_udfs::all_functions() {
        let (spec, example) = (&entry.spec, entry.spec.example.unwrap());
        let params = example.params.iter().map(ToString::to_string);
        let args: Vec<String> =
            spec.inputs.iter().map(|input| (*input).to_string()).chain(params).collect();
        let over = match spec.function_kind() {
            windrow_udfs::FunctionKind::Indicator => "w",
            windrow_udfs::FunctionKind::CrossSection => "(PARTITION BY symbol)",
        };
        let call = format!("{}({}) OVER {over}", spec.name, args.join(", "));
        let select = match spec.outputs {
            [_] => call,
            many => many.map(&call),
        };
        let inputs: Vec<(&str, Vec<f64>)> =
            spec.inputs.iter().copied().zip(spec.example_inputs()).collect();
        let session = session_with(&inputs).await;
        let sql = format!("SELECT {select} {WINDOW} ORDER BY ts");
        for (got, want) in columns_in(&session, &sql).await.iter().zip(example.outputs) {
            assert_near(&got[got.len() - want.len()..], want, spec.name);
        }
    }
}

trait Fields {
    fn map(&self, call: &str) -> String;
}

impl Fields for [&str] {
    /// Writes one column per output of a struct.
    fn map(&self, call: &str) -> String {
        self.iter().map(|output| format!("{call}['{output}']")).collect::<Vec<_>>().join(", ")
    }
}

#[tokio::test]
async fn defaults_names_and_spellings_are_one_computation() {
    for calls in [
        ["rsi(close) OVER w", "rsi(close, 14) OVER w", "rsi(close, timeperiod => 14.0) OVER w"],
        ["rsi(close, 7 * 2) OVER w", "rsi(close, 14) IGNORE NULLS OVER w", "rsi(close) OVER w"],
        [
            "apo(close, 3, 5, 'sma') OVER w",
            "apo(close, 3, 5, 0) OVER w",
            "apo(close, 3, 5, 'SMA') OVER w",
        ],
        [
            "macd(close) OVER w['macd']",
            "macd(close, 12, 26, 9) OVER w['macdsignal']",
            "(macd(close, 12, 26, signalperiod => 9) OVER w)['macdhist']",
        ],
        ["max(close, 5) OVER w", "max(close, 5.0) OVER w", "max(close, CAST(5 AS INT)) OVER w"],
    ] {
        let session = session().await;
        let [a, b, c] = calls;
        let frame = session.sql(&format!("SELECT {a} AS a, {b} AS b, {c} AS c {WINDOW}")).await;
        let plan = frame.unwrap().into_unoptimized_plan();
        let mut found = Vec::new();
        collect(&plan, &mut found);
        assert_eq!(found.len(), 1, "{calls:?}: {found:?}");
        let Expr::WindowFunction(call) = &found[0] else { panic!("{found:?}") };
        let datafusion::logical_expr::WindowFunctionDefinition::WindowUDF(udf) = &call.fun else {
            panic!("{call:?} is not ours")
        };
        let bound = windrow_udfs::bound_call(udf, &call.params.args).unwrap().unwrap();
        assert_eq!(bound.params.len(), bound.entry.spec.params.len());
    }
}

/// Collects the window calls of a plan.
fn collect(plan: &LogicalPlan, found: &mut Vec<Expr>) {
    if let LogicalPlan::Window(window) = plan {
        found.extend(window.window_expr.iter().cloned());
    }
    plan.inputs().into_iter().for_each(|input| collect(input, found));
}

#[tokio::test]
async fn names_that_sql_owns_are_ours_with_a_period_only() {
    let got = columns(&format!(
        "SELECT max(close, 3) OVER w, max(close) OVER w, stddev(close, 3) OVER w, \
         stddev(close) OVER (ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), \
         sum(volume, 2) OVER w, sum(volume) OVER w \
         {WINDOW}"
    ))
    .await;
    assert_near(
        &got[0],
        &[f64::NAN, f64::NAN, 11.5, 11.5, 12.5, 12.5, 12.5, 13.0],
        "max with period",
    );
    assert_near(&got[1], &[10.5, 11.5, 11.5, 11.5, 12.5, 12.5, 12.5, 13.0], "SQL's max");
    let ratio = (1.5f64).sqrt();
    for (population, sample) in got[2].iter().zip(&got[3]).skip(2) {
        assert!((sample / population - ratio).abs() < 1e-12, "population and sample");
    }
    assert_near(
        &got[4][1..],
        &[220.0, 210.0, 200.0, 260.0, 280.0, 210.0, 220.0],
        "sum with period",
    );
    assert_near(&got[5][..3], &[100.0, 220.0, 310.0], "SQL's sum");
}

#[tokio::test]
async fn null_rows_are_skipped() {
    let sql = "SELECT mom(CASE WHEN ts = 3 THEN NULL ELSE close END, 1) OVER w";
    let got = columns(&format!("{sql} {WINDOW} ORDER BY ts")).await;
    assert_near(&got[0][..5], &[f64::NAN, 1.0, -0.5, f64::NAN, 1.5], "a gap");
}

#[tokio::test]
async fn errors_say_what_to_write() {
    for (call, says) in [
        ("rsi(close, 0) OVER w", "rsi: timeperiod is 0, expected a whole number from 2 to 100000"),
        (
            "rsi(close, 14.5) OVER w",
            "rsi: timeperiod is 14.5, expected a whole number from 2 to 100000",
        ),
        (
            "rsi(close, -3) OVER w",
            "rsi: timeperiod is -3, expected a whole number from 2 to 100000",
        ),
        ("rsi(close, volume) OVER w", "rsi: timeperiod must be a literal number, such as 14"),
        ("rsi(close, NULL) OVER w", "rsi: timeperiod must be a literal number, such as 14"),
        (
            "rsi(close, 'ten') OVER w",
            "rsi: timeperiod is 'ten', expected a whole number from 2 to 100000",
        ),
        ("rsi() OVER w", "rsi: 0 arguments given, expected 1 to 2; write rsi(close, 14)"),
        (
            "atr(close, 14) OVER w",
            "2 arguments given, expected 3 to 4; write atr(high, low, close, 14)",
        ),
        ("bop(open, high, low, close, 3) OVER w", "bop: 5 arguments given, expected 4"),
        (
            "rsi(close, 14) OVER ()",
            "no ORDER BY; write rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts)",
        ),
        (
            "max(close, 3) OVER (PARTITION BY symbol)",
            "max: its window has no ORDER BY; write max(close, 3) OVER",
        ),
        (
            "rsi(close) OVER (ORDER BY ts ROWS 5 PRECEDING)",
            "its window has a frame (ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)",
        ),
        (
            "rsi(close) OVER (ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
            "rsi: its window has a frame",
        ),
        ("rsi(close) FILTER (WHERE close > 1) OVER w", "rsi: FILTER is not supported"),
        ("rsi(DISTINCT close) OVER w", "rsi: DISTINCT is not supported; write rsi(close, 14)"),
        ("rsi(close) RESPECT NULLS OVER w", "rsi: RESPECT NULLS is not supported"),
        ("bbands(close, 5, 2, 2, 16) OVER w", "bbands: matype is 16, expected one of 0 sma, 1 ema"),
        (
            "bbands(close, 5, 2, 2, 'emma') OVER w",
            "bbands: matype is 'emma', expected one of 0 sma, 1 ema",
        ),
        ("cs_rank(close) OVER w", "cs_rank: its window has an ORDER BY"),
        ("cs_rank(close) OVER (ROWS 5 PRECEDING)", "cs_rank: its window has a frame"),
    ] {
        let message = error(&format!("SELECT {call} {WINDOW}")).await;
        assert!(message.contains(says), "{call}: {message}, expected {says}");
    }
}

#[tokio::test]
async fn the_default_frame_may_be_spelled_out() {
    let frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
    let got = columns(&format!("SELECT mom(close, 1) OVER (ORDER BY ts {frame}) FROM bars")).await;
    assert_eq!(got[0].len(), 8);
}

#[tokio::test]
async fn functions_are_listed_with_their_parameters() {
    let config = datafusion::prelude::SessionConfig::new().with_information_schema(true);
    let mut session = SessionContext::new_with_config(config);
    windrow_udfs::register_all(&mut session).unwrap();
    let listed =
        session.sql("SHOW FUNCTIONS LIKE 'stochrsi'").await.unwrap().collect().await.unwrap();
    assert!(listed.iter().map(RecordBatch::num_rows).sum::<usize>() > 0);
    let text = format!("{listed:?}");
    assert!(text.contains("fastk_period"), "{text}");
}
