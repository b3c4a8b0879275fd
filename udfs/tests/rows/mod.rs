//! Rows for tests: generated bars, and runs of one call over them. This module knows no function by name.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{Float64Type, Int32Type};
use std::sync::Arc;
use windrow_udfs::{BoundCall, Entry, FunctionKind, MaType, Param, ParamKind};

/// A column; None is NULL.
pub type Column = Vec<Option<f64>>;

/// A small generator of random numbers in 0..1, the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Returns a random walk of bars: the columns that `entry` reads, in its order.
pub fn walk(entry: &Entry, rows: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = Random(seed);
    let mut bars: [Vec<f64>; 6] = Default::default();
    let mut close = 100.0;
    for _ in 0..rows {
        let open = close;
        close += random.next() * 4.0 - 2.0;
        let values = [
            open,
            f64::max(open, close) + random.next(),
            f64::min(open, close) - random.next(),
            close,
            (random.next() * 1e5).round(),
            (random.next() * 35.0).floor(),
        ];
        bars.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }
    let names = ["open", "high", "low", "close", "volume", "periods"];
    let column = |input: &&str| bars[names.iter().position(|name| name == input).unwrap()].clone();
    entry.spec.inputs.iter().map(column).collect()
}

/// Returns the calls to test: the defaults, the smallest periods, small periods, and every moving average.
pub fn calls() -> Vec<BoundCall> {
    let indicators = windrow_udfs::all_functions()
        .filter(|entry| entry.spec.function_kind() == FunctionKind::Indicator);
    indicators.flat_map(variants).collect()
}

fn variants(entry: &'static Entry) -> Vec<BoundCall> {
    let bind = |bars: fn(f64, f64) -> f64, ma: Option<MaType>| {
        let value = |(i, param): (usize, &Param)| match param.kind {
            ParamKind::Bars => bars(param.min, i as f64),
            ParamKind::Real => param.default,
            ParamKind::MaType => ma.map_or(param.default, |ma| f64::from(ma.talib_code())),
        };
        let params: Vec<f64> = entry.spec.params.iter().enumerate().map(value).collect();
        entry.bind_params(&params).unwrap()
    };
    let mut variants = vec![
        entry.bind_params(&entry.spec.default_params()).unwrap(),
        bind(|min, _| min, None),
        bind(|_, i| 8.0 + 3.0 * i, None),
    ];
    if entry.spec.params.iter().any(|param| param.kind == ParamKind::MaType) {
        variants.extend(MaType::ALL.map(|ma| bind(|_, i| 6.0 + 2.0 * i, Some(ma))));
    }
    variants
}

/// Returns the columns without NULL.
pub fn whole(columns: &[Vec<f64>]) -> Vec<Column> {
    columns.iter().map(|column| column.iter().map(|value| Some(*value)).collect()).collect()
}

/// Returns columns as arrays; NaN and infinity stay as they are.
pub fn arrays(columns: &[Column]) -> Vec<ArrayRef> {
    let array = |column: &Column| Arc::new(Float64Array::from(column.clone())) as ArrayRef;
    columns.iter().map(array).collect()
}

/// Runs one call over all rows at once.
pub fn run(bound: &BoundCall, columns: &[Column]) -> Vec<Column> {
    let rows = columns[0].len();
    unpack(&bound.new_kernel().unwrap().compute_rows(&arrays(columns), rows).unwrap())
}

/// Returns the outputs of an array, which is Float64 or a struct of Float64.
pub fn unpack(array: &ArrayRef) -> Vec<Column> {
    let column = |array: &ArrayRef| -> Column {
        match array.as_primitive_opt::<Int32Type>() {
            Some(whole) => whole.iter().map(|value| value.map(f64::from)).collect(),
            None => array.as_primitive::<Float64Type>().iter().collect(),
        }
    };
    match array.as_struct_opt() {
        None => vec![column(array)],
        Some(fields) => {
            let columns: Vec<Column> = fields.columns().iter().map(column).collect();
            for row in 0..fields.len() {
                let null = columns.iter().all(|column| column[row].is_none());
                assert_eq!(
                    fields.is_null(row),
                    null,
                    "the struct is NULL where all its fields are"
                );
            }
            columns
        }
    }
}

/// Asserts that two runs of a call gave the same bits; the failure names the first difference.
pub fn assert_same(bound: &BoundCall, what: &str, got: &[Column], want: &[Column]) {
    for (output, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what}: {bound:?} has other rows");
        for (row, (got, want)) in got.iter().zip(want).enumerate() {
            let same = got.map(f64::to_bits) == want.map(f64::to_bits);
            assert!(
                same,
                "{what}: {bound:?} output {output} row {row}: {got:?}, expected {want:?}"
            );
        }
    }
}
