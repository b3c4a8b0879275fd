//! The streaming window operator against DataFusion's own: every indicator, the same bits; random
//! windows of SQL over random rows, cut at random places.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use datafusion::arrow::array::{Int64Array, StringArray};
use datafusion::arrow::compute::{cast, concat_batches, nullif};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionContext, col};
use futures::TryStreamExt;
use proptest::prelude::*;
use windrow::Engine;
use windrow::config::Config;
use windrow_udfs::FunctionKind;

use super::support::{Bars, write_parquet};

/// Bars with holes: every column lacks some values.
fn holed() -> RecordBatch {
    let all = Bars::new(7, 700).all();
    let schema = all.schema();
    let columns = schema.fields().iter().zip(all.columns()).enumerate().map(|(i, (f, c))| {
        let column: ArrayRef = match c.data_type() {
            DataType::Float64 => {
                let holes = (0..c.len()).map(|row| Some((row * 31 + i * 7) % 97 == 0)).collect();
                nullif(c, &holes).unwrap()
            }
            _ => Arc::clone(c),
        };
        (f.name().clone(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap()
}

/// The float columns of a result and those of whole numbers as floats, structs taken apart.
fn floats(batch: &RecordBatch) -> Vec<Float64Array> {
    fn add(column: &ArrayRef, found: &mut Vec<Float64Array>) {
        match column.data_type() {
            DataType::Float64 | DataType::Int32 => {
                let column = cast(column, &DataType::Float64).unwrap();
                found.push(column.as_primitive::<Float64Type>().clone());
            }
            DataType::Struct(_) => {
                column.as_struct().columns().iter().for_each(|c| add(c, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    batch.columns().iter().for_each(|column| add(column, &mut found));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_indicator_streams_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bars/all.parquet");
    write_parquet(&path, &holed());
    let stock = SessionContext::new();
    let mut state = stock.state();
    windrow_udfs::register_all(&mut state).unwrap();
    let stock = SessionContext::new_with_state(state);
    stock.register_parquet("bars", path.to_string_lossy(), Default::default()).await.unwrap();
    let config = Config { batch_size: 1024, parallel_workers: 3, ..Config::default() };
    let mut engine = Engine::new(config).unwrap();
    engine.add_source("bars", &path.to_string_lossy()).await.unwrap();
    for entry in
        windrow_udfs::all_functions().filter(|e| e.spec.function_kind() == FunctionKind::Indicator)
    {
        let spec = &entry.spec;
        // Bars have no column of periods: any column will do.
        let column = |input: &&str| input.replace("periods", "close");
        let mut args: Vec<String> = spec.inputs.iter().map(column).collect();
        args.extend(spec.params.iter().map(|p| p.default.to_string()));
        let (name, args) = (spec.name, args.join(", "));
        // Mixed with plain windows, before and behind.
        let sql = format!(
            "SELECT symbol, ts, lag(close, 3) OVER w AS a, {name}({args}) OVER w AS x, \
             max(volume) OVER (PARTITION BY symbol ORDER BY ts ROWS 4 PRECEDING) AS b, \
             {name}({args}) OVER w AS y, row_number() OVER w AS n \
             FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts) ORDER BY symbol, ts"
        );
        let expected = stock.sql(&sql).await.unwrap().collect().await.unwrap();
        let expected = concat_batches(&expected[0].schema(), &expected).unwrap();
        let query = engine.query(&sql).await.unwrap();
        let plan = datafusion::physical_plan::displayable(query.execution_plan().as_ref())
            .indent(false)
            .to_string();
        assert!(plan.contains("StreamWindowExec"), "{plan}");
        assert!(!plan.contains("WindowAggExec"), "{name}: all of it streams\n{plan}");
        let found: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
        let found = concat_batches(&found[0].schema(), &found).unwrap();
        assert_eq!(found.num_rows(), expected.num_rows());
        for (column, (found, expected)) in floats(&found).iter().zip(floats(&expected)).enumerate()
        {
            assert_eq!(found.len(), expected.len());
            for row in 0..found.len() {
                let bits = |a: &Float64Array| a.is_valid(row).then(|| a.value(row).to_bits());
                assert_eq!(bits(found), bits(&expected), "{name}, column {column}, row {row}");
            }
        }
    }
}

/// Rows in order of (g, t): `d` is ordered too, with ties; `x`, `y` and `n` have holes.
fn table(seed: u64, groups: usize, rows: usize) -> RecordBatch {
    let mut state = seed | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let holes = [0.0, 0.05, 0.6][(seed % 3) as usize];
    let (mut g, mut t, mut d) = (Vec::new(), Vec::new(), Vec::new());
    let (mut x, mut y, mut n) = (Vec::new(), Vec::new(), Vec::new());
    for group in 0..groups {
        let rows = (uniform() * 2.0 * rows as f64) as i64 + 1;
        let mut day = 0;
        for row in 0..rows {
            day += (uniform() * 2.2) as i64;
            g.push(format!("G{group}"));
            t.push(row);
            d.push(day);
            let mut some = |value| (uniform() >= holes).then_some(value);
            x.push(some(50.0 + group as f64));
            y.push(some(1.0));
            n.push(some(1.0));
        }
        let last = x.len() - rows as usize;
        for row in last..x.len() {
            x[row] = x[row].map(|v| v + 10.0 * uniform());
            y[row] = y[row].map(|v| v - 30.0 * uniform());
            n[row] = n[row].map(|_| (uniform() * 100.0).floor());
        }
    }
    let n: Int64Array = n.into_iter().map(|v| v.map(|v| v as i64)).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("g", Arc::new(StringArray::from(g)), false),
        ("t", Arc::new(Int64Array::from(t)), false),
        ("d", Arc::new(Int64Array::from(d)), false),
        ("x", Arc::new(Float64Array::from(x)), true),
        ("y", Arc::new(Float64Array::from(y)), true),
        ("n", Arc::new(n), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The rows as a table that is known to be in order, in batches that end at odd places.
fn in_pieces(batch: &RecordBatch, piece: usize) -> Arc<MemTable> {
    let pieces = (0..batch.num_rows())
        .step_by(piece)
        .map(|from| batch.slice(from, piece.min(batch.num_rows() - from)))
        .collect();
    let table = MemTable::try_new(batch.schema(), vec![pieces]).unwrap();
    let order = ["g", "t"].map(|key| col(key).sort(true, false)).to_vec();
    Arc::new(table.with_sort_order(vec![order]))
}

const FUNCTIONS: [&str; 33] = [
    "sum(x)",
    "avg(x)",
    "min(x)",
    "max(x)",
    "count(x)",
    "count(*)",
    "sum(n)",
    "min(n)",
    "max(n)",
    "avg(n)",
    "stddev(x)",
    "stddev_pop(x)",
    "var(x)",
    "var_pop(x)",
    "corr(x, y)",
    "covar_samp(x, y)",
    "covar_pop(x, y)",
    "count(g)",
    "max(g)",
    "sum(x) FILTER (WHERE y > 0)",
    "first_value(x)",
    "last_value(x)",
    "nth_value(x, 3)",
    "first_value(x) IGNORE NULLS",
    "last_value(x) IGNORE NULLS",
    "lag(x)",
    "lag(x, 4, 0.5)",
    "lead(x, 3)",
    "lead(n, 2, 7)",
    "lag(x, 2) IGNORE NULLS",
    "row_number()",
    "lag(g)",
    "lead(y, 400)",
];

const ROW_FRAMES: [&str; 10] = [
    "ROWS 4 PRECEDING",
    "ROWS 19 PRECEDING",
    "ROWS BETWEEN 150 PRECEDING AND 1 PRECEDING",
    "ROWS BETWEEN 7 PRECEDING AND 3 PRECEDING",
    "ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING",
    "ROWS BETWEEN 1 FOLLOWING AND 5 FOLLOWING",
    "ROWS UNBOUNDED PRECEDING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 3 FOLLOWING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
];

/// Windows over all rows of equal order or of a group, the same whatever the order within.
const PEERS: [&str; 12] = [
    "sum(x) OVER (PARTITION BY g ORDER BY d)",
    "count(*) OVER (PARTITION BY g ORDER BY d)",
    "max(n) OVER (PARTITION BY g ORDER BY d)",
    "sum(x) OVER (PARTITION BY g ORDER BY d RANGE BETWEEN 3 PRECEDING AND CURRENT ROW)",
    "rank() OVER (PARTITION BY g ORDER BY d)",
    "dense_rank() OVER (PARTITION BY g ORDER BY d)",
    "percent_rank() OVER (PARTITION BY g ORDER BY d)",
    "cume_dist() OVER (PARTITION BY g ORDER BY d)",
    "ntile(4) OVER (PARTITION BY g ORDER BY t)",
    "avg(x) OVER (PARTITION BY g)",
    "sum(n) OVER ()",
    "row_number() OVER (ORDER BY g, t)",
];

fn arrays(batch: &RecordBatch, name: &str) -> (Vec<Option<f64>>, ArrayRef) {
    let column = batch.column_by_name(name).unwrap();
    let floats = match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().collect(),
        _ => Vec::new(),
    };
    (floats, Arc::clone(column))
}

async fn collect(context: &SessionContext, sql: &str) -> RecordBatch {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_windows_agree_with_datafusion(
        seed in any::<u64>(),
        (groups, rows) in (1..6usize, 1..400usize),
        piece in 1..500usize,
        windows in proptest::collection::vec(
            (0..FUNCTIONS.len(), 0..ROW_FRAMES.len(), 0..PEERS.len(), any::<bool>()),
            1..7,
        ),
    ) {
        let batch = table(seed, groups, rows);
        let outputs = windows.iter().enumerate().map(|(i, &(function, frame, peers, framed))| {
            let (function, frame) = (FUNCTIONS[function], ROW_FRAMES[frame]);
            match framed {
                true => format!("{function} OVER (PARTITION BY g ORDER BY t {frame}) AS o{i}"),
                false => format!("{} AS o{i}", PEERS[peers]),
            }
        });
        let outputs: Vec<String> = outputs.collect();
        let sql = format!("SELECT g, t, {} FROM s ORDER BY g, t", outputs.join(", "));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (expected, found) = runtime.block_on(async {
            let stock = SessionContext::new();
            stock.register_batch("s", batch.clone()).unwrap();
            let config = Config { batch_size: 1024, parallel_workers: 1, ..Config::default() };
            let engine = Engine::new(config).unwrap();
            engine.context().register_table("s", in_pieces(&batch, piece)).unwrap();
            (collect(&stock, &sql).await, collect(engine.context(), &sql).await)
        });
        prop_assert_eq!(found.num_rows(), expected.num_rows());
        for (i, output) in outputs.iter().enumerate() {
            let name = format!("o{i}");
            let ((a, of_a), (b, of_b)) = (arrays(&found, &name), arrays(&expected, &name));
            if a.is_empty() {
                prop_assert_eq!(&of_a, &of_b, "{}", output);
            }
            for (row, (a, b)) in a.iter().zip(&b).enumerate() {
                let near = match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * 1e4_f64.max(b.abs()),
                    // Taking out what left a frame leaves DataFusion a remainder beside 0.
                    (None, Some(b)) if output.starts_with("corr") => b.abs() <= 1.0 + 1e-6,
                    (a, b) => a.is_none() && b.is_none(),
                };
                prop_assert!(near, "{output}, row {row}: {a:?}, expected {b:?}");
            }
        }
    }
}

#[tokio::test]
async fn plain_windows_stream_and_alike_ones_are_one() {
    let engine = Engine::new(Config { parallel_workers: 1, ..Config::default() }).unwrap();
    engine.context().register_table("s", in_pieces(&table(1, 3, 50), 20)).unwrap();
    let over = "OVER (PARTITION BY g ORDER BY t ROWS 9 PRECEDING)";
    let sql = format!(
        "SELECT lag(x) OVER w, row_number() OVER w, stddev(x) {over}, max(n) {over}, \
         rsi(x, 14) OVER w AS a, rsi(x, 7 * 2) OVER w AS b, percent_rank() OVER w \
         FROM s WINDOW w AS (PARTITION BY g ORDER BY t)"
    );
    let query = engine.query(&sql).await.unwrap();
    let plan = datafusion::physical_plan::displayable(query.execution_plan().as_ref())
        .indent(false)
        .to_string();
    assert!(!plan.contains("WindowAggExec"), "{plan}");
    assert_eq!(plan.matches("StreamWindowExec").count(), 1, "{plan}");
    assert_eq!(plan.matches("rsi(").count(), 1 + 2, "once in the operator, twice in names\n{plan}");
}
