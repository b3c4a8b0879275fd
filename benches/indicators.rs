//! The cost of a row for every indicator at its defaults: one loop over the tables.

use arrow::array::{ArrayRef, Float64Array};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::sync::Arc;
use windrow_udfs::{Entry, FunctionKind};

/// Rows per run: more than a core's cache holds.
const ROWS: usize = 1 << 20;

fn main() {
    divan::main();
}

fn names() -> impl Iterator<Item = &'static str> {
    windrow_udfs::all_functions()
        .filter(|entry| entry.spec.function_kind() == FunctionKind::Indicator)
        .map(|entry| entry.spec.name)
}

/// Returns a deterministic walk of bars: the columns that the indicator reads.
fn bars(entry: &Entry) -> Vec<ArrayRef> {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut close = 100.0;
    let mut columns = vec![Vec::with_capacity(ROWS); entry.spec.inputs.len()];
    for _ in 0..ROWS {
        let open = close;
        close = f64::max(1.0, close + random() - 0.5);
        let (high, low) = (open.max(close) + random(), open.min(close) - random());
        let volume = 1e5 * random();
        for (column, input) in columns.iter_mut().zip(entry.spec.inputs) {
            column.push(match *input {
                "open" => open,
                "high" => high,
                "low" => low,
                "volume" => volume,
                _ => close,
            });
        }
    }
    columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef).collect()
}

#[divan::bench(args = names(), sample_count = 10)]
fn rows(bencher: Bencher, name: &str) {
    let Some(entry) = windrow_udfs::find_function(name) else { return };
    let inputs = bars(entry);
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let mut kernel = entry.bind_params(&entry.spec.default_params())?.new_kernel()?;
        kernel.compute_rows(&inputs, ROWS)
    });
}
