//! Tests that the parquet crate reads encoded columns of floats.

use std::fs::File;

use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch};
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::file::metadata::PageIndexPolicy;
use datafusion::parquet::file::properties::WriterProperties;

use super::super::parquet_file::{FileScratch, ParquetFile};
use super::*;
use crate::config;

/// Writes columns and reads them back.
fn through(columns: &[(&str, ArrayRef)], codec: config::Compression, group: usize) -> File {
    let fields = columns.iter().map(|(name, column)| (*name, Arc::clone(column)));
    let batch = RecordBatch::try_from_iter(fields).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(super::super::file_layout::parquet_codec(codec))
        .set_max_row_group_row_count(Some(group))
        .build();
    let own = vec![true; columns.len()];
    let write = |rows: &RecordBatch, kept: FileScratch| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let handle = Box::new(file.reopen().unwrap());
        let (properties, own) = (properties.clone(), own.clone());
        let mut writer = ParquetFile::new(handle, rows.schema(), properties, own, kept).unwrap();
        for from in (0..rows.num_rows()).step_by(7_001) {
            writer.write(&rows.slice(from, 7_001.min(rows.num_rows() - from))).unwrap();
        }
        (file, writer.close().unwrap())
    };
    // Write into memory that another file has used.
    let (_, kept) = write(&batch.slice(0, batch.num_rows() / 2), FileScratch::new(codec).unwrap());
    let (file, _) = write(&batch, kept);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let schema = read[0].schema();
    let read = datafusion::arrow::compute::concat_batches(&schema, &read).unwrap();
    for ((name, wrote), read) in columns.iter().zip(read.columns()) {
        assert_eq!(wrote.to_data(), read.to_data(), "{name}, {codec}, {group}");
    }
    file.reopen().unwrap()
}

fn floats(rows: usize, of: impl Fn(usize) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter((0..rows).map(of)))
}

#[test]
fn columns_come_back_to_the_bit() {
    let walk = |i: usize| 100.0 + (i as f64 * 0.7).sin() * 3.0 + i as f64 / 977.0;
    for rows in [1, 7, 8, 19_999, 20_000, 20_001, 61_234] {
        let narrow = (0..rows).map(|i| (i % 3 > 0).then_some(walk(i) as f32));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("walk", floats(rows, |i| Some(walk(i)))),
            ("warm-up", floats(rows, |i| (i % 2_520 >= 19).then(|| walk(i)))),
            ("null", floats(rows, |_| None)),
            ("holes", floats(rows, |i| (i * i % 7 < 4).then(|| walk(i)))),
            ("one", floats(rows, |i| (i == rows / 2).then_some(1.5))),
            ("flat", floats(rows, |_| Some(0.1))),
            ("again", floats(rows, |i| Some(walk(i % 2_520)))),
            (
                "odd",
                floats(rows, |i| {
                    let odd = [f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE, f64::MAX];
                    Some(odd[i % odd.len()])
                }),
            ),
            ("narrow", Arc::new(Float32Array::from_iter(narrow))),
        ];
        use config::Compression::{self as Codec, Auto, Lz4, Snappy, Zstd};
        for codec in [Codec::None, Auto, Snappy, Lz4, Zstd(1), Zstd(5)] {
            for group in [20_000, 50_000] {
                through(&columns, codec, group);
            }
        }
    }
}

#[test]
fn pages_are_full_of_values() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("all", floats(60_000, |i| Some(i as f64))),
        ("half", floats(60_000, |i| (i >= 10_000).then_some(i as f64))),
        ("some", floats(60_000, |i| (i % 100 > 0).then_some(i as f64))),
        ("none", floats(60_000, |_| None)),
    ];
    let file = through(&columns, config::Compression::default(), 60_000);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let meta = ArrowReaderMetadata::load(&file, options).unwrap();
    let begins: Vec<Vec<i64>> = meta.metadata().offset_index().unwrap()[0]
        .iter()
        .map(|column| column.page_locations().iter().map(|page| page.first_row_index).collect())
        .collect();
    let whole = vec![0, 20_000, 40_000];
    assert_eq!(begins[0], whole);
    // The maximum rows of a page.
    assert_eq!(begins[1], [0, 25_000, 45_000]);
    assert_eq!(begins[2], [0, 20_203, 40_405]);
    assert_eq!(begins[3], [0, 25_000, 50_000]);
}

#[test]
fn statistics_hold_the_range() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("some", Arc::new(Float64Array::from(vec![Some(2.0), None, Some(-3.5), Some(f64::NAN)]))),
        ("none", Arc::new(Float64Array::from(vec![None, None, Some(f64::NAN), None]))),
        ("zeros", Arc::new(Float64Array::from(vec![0.0, 0.0, -0.0, -0.0]))),
        ("endless", Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0, 1.0, 1.0]))),
    ];
    let file = through(&columns, config::Compression::default(), 100);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let group = reader.metadata().row_group(0).clone();
    let found: Vec<_> = group
        .columns()
        .iter()
        .map(|column| {
            let Some(Statistics::Double(known)) = column.statistics() else { return None };
            Some((known.min_opt().copied(), known.max_opt().copied(), known.null_count_opt()))
        })
        .map(|found| format!("{found:?}"))
        .collect();
    assert_eq!(
        found,
        [
            "Some((Some(-3.5), Some(2.0), Some(1)))",
            "Some((None, None, Some(3)))",
            "Some((Some(-0.0), Some(0.0), Some(0)))",
            "Some((Some(1.0), Some(inf), Some(0)))",
        ]
    );
}
