//! What a parquet target looks like inside: codecs, types, row groups, statistics.

use std::fs::File;
use std::path::Path;

use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::metadata::PageIndexPolicy;

use super::support::{Bars, bits, ok, plain_glob, run_json, windrow};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(5, 400).write(&folder.path().join("bars/all.parquet"));
    let text = "/*\naudits:\n  - close > 0\n*/\nSELECT symbol, ts, close, ln(close) AS l FROM bars";
    std::fs::write(folder.path().join("s.sql"), text).unwrap();
    folder
}

const RUN: [&str; 6] = ["run", "s.sql", "--source", "bars=bars", "--to", "out"];

fn codecs(target: &Path) -> Vec<Compression> {
    let mut found = Vec::new();
    for path in plain_glob(target) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        for group in reader.metadata().row_groups() {
            found.extend(group.columns().iter().map(|column| column.compression()));
        }
    }
    found
}

#[test]
fn compression_by_flag_environment_and_file() {
    let folder = prepare();
    let folder = folder.path();
    let cases = [
        ("none", "UNCOMPRESSED", "none"),
        ("lz4", "LZ4_RAW", "lz4"),
        ("snappy", "SNAPPY", "snappy"),
        ("zstd", "ZSTD", "zstd:1"),
        ("zstd:19", "ZSTD", "zstd:19"),
    ];
    let record = || {
        let text = super::support::last_record(&folder.join("out"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["compression"].clone()
    };
    let is = |word: &str| {
        let found = codecs(&folder.join("out"));
        assert!(!found.is_empty());
        assert!(found.iter().all(|c| format!("{c:?}").starts_with(word)), "{word}: {found:?}");
    };
    let mut bytes = Vec::new();
    for (flag, codec, told) in cases {
        bytes.push(
            run_json(folder, &[&RUN[..], &["--compression", flag]].concat())["bytes"].as_u64(),
        );
        is(codec);
        assert_eq!(record(), told);
    }
    assert!(bytes[4] < bytes[0], "{bytes:?}");
    // By itself it chooses for each column: zstd for the symbols, whatever else for the floats.
    run_json(folder, &RUN);
    assert_eq!(record(), "auto");
    let found = codecs(&folder.join("out"));
    let zstd = |c: &Compression| matches!(c, Compression::ZSTD(_));
    assert!(found.iter().all(|c| zstd(c) || *c == Compression::LZ4_RAW), "{found:?}");
    assert!(zstd(&found[0]) && zstd(&found[1]), "{found:?}");
    std::fs::write(folder.join("windrow.yaml"), "compression: snappy\n").unwrap();
    ok(folder, &RUN);
    is("SNAPPY");
    let env = windrow(folder).args(RUN).env("WINDROW_COMPRESSION", "lz4").status().unwrap();
    assert!(env.success());
    is("LZ4_RAW");
}

#[test]
fn float32_narrows_what_is_written_and_nothing_before() {
    let folder = prepare();
    let folder = folder.path();
    ok(folder, &RUN);
    let wide = bits(folder, "out", "l");
    let told = run_json(folder, &[&RUN[..], &["--float32"]].concat());
    assert_eq!(told["columns"][3]["type"], "Float32");
    for path in plain_glob(&folder.join("out")) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let types: Vec<_> =
            reader.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types[1..], [DataType::Date32, DataType::Float32, DataType::Float32]);
    }
    let narrow = bits(folder, "out", "CAST(l AS DOUBLE)");
    assert_eq!(wide.len(), narrow.len());
    for (key, value) in &wide {
        let expected = f64::from(f64::from_bits(value.unwrap()) as f32);
        assert_eq!(f64::from_bits(narrow[key].unwrap()), expected, "{key:?}");
    }
    // The audit sees the value before it is narrowed: 1 + 1e-12 is not 1.
    let text = "/*\naudits:\n  - x > 1\n*/\nSELECT symbol, ts, 1 + 1e-12 AS x FROM bars";
    std::fs::write(folder.join("s.sql"), text).unwrap();
    std::fs::write(folder.join("windrow.yaml"), "float32: true\n").unwrap();
    ok(folder, &RUN);
    assert_eq!(
        bits(folder, "out", "CAST(x AS DOUBLE)").values().next(),
        Some(&Some(1f64.to_bits()))
    );
}

#[test]
fn the_keys_have_page_statistics_and_groups_hold_whole_symbols() {
    let folder = prepare();
    let folder = folder.path();
    Bars::new(5, 60_000).write(&folder.join("bars/all.parquet"));
    ok(folder, &[&RUN[..], &["--threads", "1"]].concat());
    let mut groups = Vec::new();
    for path in plain_glob(&folder.join("out")) {
        let options = datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions::new()
            .with_page_index_policy(PageIndexPolicy::Required);
        let file = File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        let metadata = reader.metadata();
        let pairs = metadata.file_metadata().key_value_metadata().unwrap();
        let value = pairs.iter().find(|p| p.key == "windrow.sorted_by").unwrap().value.clone();
        assert_eq!(value.as_deref(), Some("symbol, ts"));
        let index = metadata.column_index().unwrap();
        for (group, pages) in metadata.row_groups().iter().zip(index) {
            groups.push(group.num_rows());
            assert_eq!(group.sorting_columns().unwrap().len(), 2);
            let least = |column: usize| group.column(column).statistics().unwrap().min_bytes_opt();
            assert!(least(0).is_some() && least(1).is_some());
            let has_pages: Vec<bool> = pages
                .iter()
                .map(|p| !matches!(p, datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData::NONE))
                .collect();
            assert_eq!(has_pages, [true, true, false, false]);
        }
    }
    assert!(groups.iter().all(|rows| rows % 60_000 == 0), "{groups:?}");
}

#[test]
fn times_in_seconds_are_times_to_every_reader() {
    let folder = prepare();
    let folder = folder.path();
    let set = "SELECT symbol, arrow_cast(ts, 'Timestamp(Second, None)') AS ts, close FROM bars";
    std::fs::write(folder.join("s.sql"), set).unwrap();
    ok(folder, &RUN);
    let file = File::open(&plain_glob(&folder.join("out"))[0]).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let ty = reader.parquet_schema().column(1).logical_type_ref().cloned();
    assert!(format!("{ty:?}").contains("Timestamp"), "{ty:?}");
}
