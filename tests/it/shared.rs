//! A set that is read twice, and an expression that is written twice, are computed once.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::{
    SortColumn, concat_batches, lexsort_to_indices, take_record_batch,
};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use windrow::Engine;
use windrow::config::Config;
use windrow::engine::Query;
use windrow::exec::{SharedExec, StreamWindowExec};

use super::support::{Bars, fails, ok, rows, write_parquet};

const SYMBOLS: usize = 20;
const DAYS: usize = 200;

const BASE: &str = "SELECT symbol, ts, close, rsi(close, 14) OVER w AS r, ema(close, 9) OVER w AS e, \
     sma(volume, 5) OVER w AS unread FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

/// Statements over the set `base`, and their scans, windows and functions; the order makes their rows
/// comparable.
const STATEMENTS: [(&str, [usize; 3], &str); 8] = [
    (
        "join",
        [1, 1, 2],
        "SELECT a.symbol, a.ts, a.r, b.e FROM base a JOIN base b \
         ON a.symbol = b.symbol AND a.ts = b.ts ORDER BY a.symbol, a.ts",
    ),
    (
        "union",
        [1, 1, 2],
        "SELECT symbol, ts, r AS v FROM base UNION ALL SELECT symbol, ts, e FROM base \
         ORDER BY symbol, ts, v",
    ),
    (
        "cte",
        [1, 1, 2],
        "WITH c AS (SELECT symbol, ts, r - e AS d FROM base) \
         SELECT x.symbol, x.ts, x.d, y.d AS low FROM c x JOIN \
         (SELECT symbol, min(d) AS d FROM c GROUP BY symbol) y ON x.symbol = y.symbol \
         ORDER BY x.symbol, x.ts",
    ),
    (
        "subquery",
        [1, 1, 1],
        "SELECT symbol, ts, r FROM base WHERE r > (SELECT avg(r) FROM base) ORDER BY symbol, ts",
    ),
    (
        "both key filters",
        [1, 1, 2],
        "SELECT * FROM (SELECT a.symbol, a.ts, a.r, b.e FROM base a JOIN base b \
         ON a.symbol = b.symbol AND a.ts = b.ts) WHERE symbol IN ('S003', 'S017') \
         ORDER BY symbol, ts",
    ),
    (
        "three",
        [1, 1, 2],
        "SELECT a.symbol, a.ts, a.r, b.e, c.r AS cr FROM base a JOIN base b \
         ON a.symbol = b.symbol AND a.ts = b.ts JOIN base c \
         ON a.symbol = c.symbol AND a.ts = c.ts ORDER BY a.symbol, a.ts",
    ),
    (
        // Sums of one moment are added in the order of the keys below what is shared.
        "moments",
        [1, 2, 3],
        "SELECT a.symbol, a.ts, sum(a.r) OVER (PARTITION BY a.ts) AS s, b.e FROM base a \
         JOIN base b ON a.symbol = b.symbol AND a.ts = b.ts ORDER BY a.symbol, a.ts",
    ),
    (
        "layers",
        [1, 1, 2],
        "WITH x AS (SELECT a.symbol, a.ts, a.r + b.e AS s FROM base a JOIN base b \
         ON a.symbol = b.symbol AND a.ts = b.ts) \
         SELECT p.symbol, p.ts, p.s, q.s AS other, c.r FROM x p JOIN x q \
         ON p.symbol = q.symbol AND p.ts = q.ts JOIN base c \
         ON p.symbol = c.symbol AND p.ts = c.ts ORDER BY p.symbol, p.ts",
    ),
];

fn write_layouts(root: &Path) {
    let bars = Bars::new(SYMBOLS, DAYS);
    let all = bars.all();
    write_parquet(&root.join("one/all.parquet"), &all);
    for (symbol, batch) in bars.symbols.iter().zip(bars.batches()) {
        write_parquet(&root.join(format!("by_symbol/symbol={symbol}/a.parquet")), &batch);
    }
    for half in 0..2 {
        let days = DAYS / 2;
        let parts: Vec<_> = (0..SYMBOLS).map(|s| all.slice(s * DAYS + half * days, days)).collect();
        let part = concat_batches(&all.schema(), &parts).unwrap();
        write_parquet(&root.join(format!("by_half/{half}.parquet")), &part);
    }
}

/// Scans of files, window operators and the functions that they compute.
fn count(plan: &dyn ExecutionPlan, counts: &mut [usize; 3]) {
    counts[0] += usize::from(plan.name() == "CleanExec");
    if let Some(window) = plan.downcast_ref::<StreamWindowExec>() {
        counts[1] += 1;
        counts[2] += window.computation_count();
    }
    if let Some(reader) = plan.downcast_ref::<SharedExec>()
        && reader.is_first()
    {
        count(reader.computed_plan().as_ref(), counts);
    }
    for child in plan.children() {
        count(child.as_ref(), counts);
    }
}

fn counts(query: &Query) -> [usize; 3] {
    let mut counts = [0; 3];
    count(query.execution_plan().as_ref(), &mut counts);
    counts
}

async fn engine(root: &Path, layout: &str, config: Config) -> Engine {
    let mut engine = Engine::new(config).unwrap();
    engine.add_source("bars", &root.join(layout).to_string_lossy()).await.unwrap();
    engine
}

async fn with_base(engine: &Engine) {
    let create = engine.query(&format!("CREATE VIEW base AS {BASE}")).await.unwrap();
    create.stream().unwrap().try_collect::<Vec<_>>().await.unwrap();
}

async fn answer(engine: &Engine, sql: &str) -> RecordBatch {
    let query = engine.query(sql).await.unwrap();
    let batches: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
    concat_batches(&query.schema(), &batches).unwrap()
}

/// The same with DataFusion's own planning, which computes a view wherever it is read.
async fn apart(context: &SessionContext, sql: &str) -> RecordBatch {
    let state = context.state();
    let plan = state.create_logical_plan(sql).await.unwrap();
    let frame = context.execute_logical_plan(plan).await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let schema = plan.schema();
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    concat_batches(&schema, &batches).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_read_twice_is_computed_once() {
    let folder = tempfile::tempdir().unwrap();
    write_layouts(folder.path());
    for (name, operators, sql) in STATEMENTS {
        let mut expected: Option<RecordBatch> = None;
        for layout in ["one", "by_symbol", "by_half"] {
            for (threads, batch_size) in [(1, 1024), (2, 8192), (5, 64)] {
                let config = Config { batch_size, parallel_workers: threads, ..Config::default() };
                let engine = engine(folder.path(), layout, config).await;
                with_base(&engine).await;
                let query = engine.query(sql).await.unwrap();
                let shown = datafusion::physical_plan::displayable(query.execution_plan().as_ref());
                let shown = shown.indent(false).to_string();
                let place = format!("{name}, {layout}, {threads} threads\n{shown}");
                assert_eq!(counts(&query), operators, "{place}");
                let batches: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
                let found = concat_batches(&query.schema(), &batches).unwrap();
                assert!(found.num_rows() > 0, "{place}");
                if expected.is_none() {
                    expected = Some(apart(engine.context(), sql).await);
                }
                assert!(expected.as_ref() == Some(&found), "{place}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_computed_apart() {
    let folder = tempfile::tempdir().unwrap();
    write_layouts(folder.path());
    let engine = engine(folder.path(), "by_symbol", Config::default()).await;
    with_base(&engine).await;
    // Each reads the files of its symbol.
    let sql = "SELECT a.ts, a.r, b.r AS other FROM base a JOIN base b ON a.ts = b.ts \
               WHERE a.symbol = 'S001' AND b.symbol = 'S002'";
    assert_eq!(counts(&engine.query(sql).await.unwrap()), [2, 2, 2]);
    // Bars without any work on them are read where they are needed.
    let sql = "SELECT a.ts FROM bars a JOIN bars b ON a.ts = b.ts AND a.symbol = b.symbol";
    assert_eq!(counts(&engine.query(sql).await.unwrap()), [2, 0, 0]);
    // Tables of one name that are not the same.
    let sql = "SELECT sum(value) FROM generate_series(1, 3) UNION ALL \
               SELECT sum(value) FROM generate_series(1, 5)";
    let found = answer(&engine, sql).await;
    let mut sums = found.column(0).as_primitive::<Int64Type>().values().to_vec();
    sums.sort_unstable();
    assert_eq!(sums, [6, 15]);
}

/// A view keeps the source that it was made over.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_opened_again_is_another() {
    let folder = tempfile::tempdir().unwrap();
    write_layouts(folder.path());
    let mut engine = engine(folder.path(), "one", Config::default()).await;
    with_base(&engine).await;
    let one = folder.path().join("by_symbol/symbol=S001");
    engine.add_source("bars", &one.to_string_lossy()).await.unwrap();
    let sql = format!("SELECT count(r) AS n FROM base UNION ALL SELECT count(r) FROM ({BASE})");
    let found = answer(&engine, &sql).await;
    let mut rows = found.column(0).as_primitive::<Int64Type>().values().to_vec();
    rows.sort_unstable();
    assert_eq!(rows, [(DAYS - 14) as i64, (SYMBOLS * (DAYS - 14)) as i64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_is_written_twice_is_computed_once() {
    let folder = tempfile::tempdir().unwrap();
    write_layouts(folder.path());
    let engine = engine(folder.path(), "one", Config::default()).await;
    let sql = "SELECT rsi(close, 14) OVER w AS a, rsi(close, 7 * 2) OVER w AS b FROM bars \
               WINDOW w AS (PARTITION BY symbol ORDER BY ts)";
    assert_eq!(counts(&engine.query(sql).await.unwrap()), [1, 1, 1]);
}

/// How often shared plans wrote to temporary files.
fn spills(plan: &dyn ExecutionPlan) -> usize {
    let own = match plan.is::<SharedExec>() {
        true => plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0),
        false => 0,
    };
    own + plan.children().into_iter().map(|child| spills(child.as_ref())).sum::<usize>()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_go_to_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let bars = Bars::new(400, 500);
    write_parquet(&folder.path().join("one/all.parquet"), &bars.all());
    // The averages come first and take all rows: the join holds them for its other side.
    let sql = "SELECT b.symbol, b.ts, b.r, b.e - m.e AS d FROM \
               (SELECT symbol, avg(e) AS e FROM base GROUP BY symbol) m \
               JOIN base b ON m.symbol = b.symbol";
    let sorted = format!("SELECT * FROM ({sql}) ORDER BY symbol, ts");
    let free = engine(folder.path(), "one", Config::default()).await;
    with_base(&free).await;
    let expected = answer(&free, &sorted).await;
    assert_eq!(expected.num_rows(), 400 * 500);
    for threads in [1, 5] {
        let memory_limit = Some(4 << 20);
        let config = Config {
            parallel_workers: threads,
            batch_size: 1024,
            memory_limit,
            ..Config::default()
        };
        let tight = engine(folder.path(), "one", config).await;
        with_base(&tight).await;
        let query = tight.query(sql).await.unwrap();
        let batches: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
        let found = concat_batches(&query.schema(), &batches).unwrap();
        let shown = datafusion::physical_plan::displayable(query.execution_plan().as_ref());
        // With several threads the sides may keep pace, and nothing has to go anywhere.
        let spilled = spills(query.execution_plan().as_ref()) > 0;
        assert!(spilled || threads > 1, "{threads} threads\n{}", shown.indent(false));
        let order = ["symbol", "ts"].map(|key| SortColumn {
            values: Arc::clone(found.column_by_name(key).unwrap()),
            options: None,
        });
        let found = take_record_batch(&found, &lexsort_to_indices(&order, None).unwrap()).unwrap();
        assert!(found == expected, "{threads} threads");
        let pool = Arc::clone(&tight.context().runtime_env().memory_pool);
        drop(query);
        assert_eq!(pool.reserved(), 0, "{threads} threads");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_may_stop_early() {
    let folder = tempfile::tempdir().unwrap();
    write_layouts(folder.path());
    for threads in [1, 5] {
        let config = Config { parallel_workers: threads, batch_size: 64, ..Config::default() };
        let engine = engine(folder.path(), "by_symbol", config).await;
        with_base(&engine).await;
        let work = async {
            let limited =
                "SELECT symbol, r FROM base UNION ALL SELECT symbol, e FROM base LIMIT 70";
            assert_eq!(answer(&engine, limited).await.num_rows(), 70);
            // One reader takes ten rows, the other all of them.
            let uneven = "SELECT count(*) FROM (SELECT r FROM base LIMIT 10) UNION ALL \
                          SELECT count(e) FROM base";
            let found = answer(&engine, uneven).await;
            assert_eq!(found.num_rows(), 2);
            for (_, _, sql) in STATEMENTS {
                let query = engine.query(sql).await.unwrap();
                let mut stream = query.stream().unwrap();
                assert!(stream.try_next().await.unwrap().is_some());
            }
        };
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, work).await.unwrap();
    }
}

#[test]
fn a_bad_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_layouts(folder);
    std::fs::write(folder.join("base.sql"), BASE).unwrap();
    std::fs::write(folder.join("twice.sql"), STATEMENTS[0].2).unwrap();
    let path = folder.join("by_symbol/symbol=S007/a.parquet");
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(4)).unwrap();
    file.write_all(&[0xFF; 3000]).unwrap();
    for words in [
        ["run", "twice.sql", "--source", "bars=by_symbol", "--to", "out"].as_slice(),
        &["sql", STATEMENTS[1].2, "--source", "bars=by_symbol"],
    ] {
        let (code, told) = fails(folder, words);
        assert_eq!(code, 1);
        assert!(told.contains("symbol=S007/a.parquet"), "{told}");
    }
}

#[test]
fn sets_that_read_a_set_twice_run_and_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_layouts(folder);
    std::fs::write(folder.join("base.sql"), BASE).unwrap();
    std::fs::write(folder.join("twice.sql"), STATEMENTS[0].2).unwrap();
    let source = ["--source", "bars=by_half"];
    let expected = rows(folder, STATEMENTS[0].2, &source[1..]);
    assert_eq!(expected.len(), SYMBOLS * DAYS);
    let all = "SELECT * FROM f ORDER BY symbol, ts";
    ok(folder, &[&["run", "twice.sql", "--to", "out"], &source[..]].concat());
    assert_eq!(rows(folder, all, &["f=out"]), expected);
    let some = ["run", "twice.sql", "--to", "some", "--symbols", "S003", "--from", "2019-07-01"];
    ok(folder, &[&some, &source[..]].concat());
    let filtered = expected.iter().filter(|row| {
        row.starts_with("S003,") && row.split(',').nth(1).is_some_and(|day| day >= "2019-07-01")
    });
    let filtered: Vec<&String> = filtered.collect();
    assert!(!filtered.is_empty());
    let found = rows(folder, all, &["f=some"]);
    assert_eq!(found.iter().collect::<Vec<_>>(), filtered);
    let told = ok(folder, &[&["explain", "twice.sql"], &source[..]].concat());
    assert!(told.contains("SharedExec: #1, read 2 times, computed once:"), "{told}");
    for explain in ["EXPLAIN", "EXPLAIN ANALYZE"] {
        let sql = format!("{explain} {}", STATEMENTS[0].2);
        let told = ok(folder, &[&["sql", &sql], &source[..]].concat());
        assert_eq!(told.matches("StreamWindowExec").count(), 1, "{told}");
        assert!(told.contains("SharedExec: #1, read 2 times, computed once:"), "{told}");
    }
}
