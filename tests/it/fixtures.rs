//! The files that `tests/slt/` reads, each by its path.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, TimestampSecondArray,
};

use super::support::{Bars, write_parquet};
use super::{layouts, plans};

/// Writes all fixtures:
/// - `bars`: 2 symbols over 40 days;
/// - `gapped`: `t` with a gap between its days and a NULL, and `u` with a NULL;
/// - `zoned`: two times of New York;
/// - `directories`: 6 symbols over 120 days, as `flat`, `by_symbol`, `by_date`, `by_year` and others;
/// - `layouts`: 120 symbols over 500 days, as `one`, `ranges`, `by_symbol`, `by_date`, `by_time`, `by_half` and others.
pub(crate) fn write_fixtures(root: &Path) {
    Bars::new(2, 40).write(&root.join("bars/all.parquet"));
    write_gapped(&root.join("gapped"));
    write_zoned(&root.join("zoned"));
    layouts::write_layouts(&root.join("directories"), &layouts::bars());
    plans::write_layouts(&root.join("layouts"));
}

fn write_table(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    write_parquet(path, &RecordBatch::try_from_iter_with_nullable(columns).unwrap());
}

/// Writes days with a gap, a number with a NULL, texts of times, milliseconds and decimals.
fn write_gapped(folder: &Path) {
    let days = [19_724, 19_725, 19_726, 19_730];
    let millis: Vec<i64> = days.iter().map(|day| i64::from(*day) * 86_400_000).collect();
    let digits = Decimal128Array::from(vec![3_529_800_000_000_000_000_000_i128; 4]);
    let texts = vec![
        "2024-01-02",
        "2024-01-02 10:00:00",
        "2024-01-02T05:00:00-05:00",
        "2024-01-02T10:00:00.5Z",
    ];
    write_table(
        &folder.join("t.parquet"),
        vec![
            ("symbol", Arc::new(StringArray::from(vec!["A"; 4]))),
            ("ts", Arc::new(TimestampMillisecondArray::from(millis))),
            ("day", Arc::new(Date32Array::from(days.to_vec()))),
            ("k", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]))),
            ("text", Arc::new(StringArray::from(texts))),
            ("digits", Arc::new(digits.with_precision_and_scale(38, 18).unwrap())),
        ],
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None]));
    write_table(&folder.join("u.parquet"), vec![("k", numbers)]);
}

/// Writes midnight of 2 January and 10:00 of 3 July 2024 in UTC, as seconds in the zone of New York.
fn write_zoned(folder: &Path) {
    let ts = TimestampSecondArray::from(vec![1_704_153_600, 1_720_000_800]);
    write_table(
        &folder.join("z.parquet"),
        vec![
            ("symbol", Arc::new(StringArray::from(vec!["A", "A"]))),
            ("ts", Arc::new(ts.with_timezone("America/New_York"))),
        ],
    );
}
