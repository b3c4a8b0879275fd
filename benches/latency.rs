//! The latency of one symbol in a warm engine: 2,520 bars, 23 features.
//!
//! `cargo run --release --features bench --bin latency` prints the median and the 99th percentile, with the statement
//! planned each time and planned once.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use futures::TryStreamExt;
use windrow::Engine;
use windrow::config::Config;

const BARS: usize = 2_520;
const TIMES: usize = 1_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let folder = std::env::temp_dir().join(format!("windrow-latency-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("bars.parquet");
    write(&path);
    let sql = include_str!("compare/features23.sql");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut engine = Engine::new(Config::default()).unwrap();
        engine.add_source("bars", &path.to_string_lossy()).await.unwrap();
        let prepared = engine.query(sql).await.unwrap();
        let (mut planned, mut once) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let started = Instant::now();
            let query = engine.query(sql).await.unwrap();
            assert_eq!(rows(&query).await, BARS);
            planned.push(started.elapsed());
            let started = Instant::now();
            assert_eq!(rows(&prepared).await, BARS);
            once.push(started.elapsed());
        }
        tell("planned once", once);
        tell("planned each time", planned);
    });
    std::fs::remove_dir_all(folder).unwrap();
}

async fn rows(query: &windrow::engine::Query) -> usize {
    let batches: Vec<RecordBatch> = query.stream().unwrap().try_collect().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what}: median {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
}

/// Writes bars of one symbol whose price is a random walk.
fn write(path: &std::path::Path) {
    let mut state = 7u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut price = 100.0;
    let mut columns: [Vec<f64>; 5] = Default::default();
    for _ in 0..BARS {
        let open = price;
        price *= 0.98 + 0.0401 * uniform();
        let (high, low) = (open.max(price) * 1.004, open.min(price) * 0.997);
        for (column, value) in columns.iter_mut().zip([open, high, low, price, 1e6 * uniform()]) {
            column.push(value);
        }
    }
    let days = Date32Array::from_iter_values((0..BARS).map(|day| 15_000 + day as i32));
    let mut named: Vec<(&str, ArrayRef)> =
        vec![("symbol", Arc::new(StringArray::from(vec!["A"; BARS]))), ("ts", Arc::new(days))];
    for (name, values) in ["open", "high", "low", "close", "volume"].into_iter().zip(columns) {
        named.push((name, Arc::new(Float64Array::from(values))));
    }
    let batch = RecordBatch::try_from_iter(named).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
