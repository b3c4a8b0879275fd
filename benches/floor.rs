//! The lower bound of a run's time: scan the bars, write the features, compute nothing.
//!
//! usage: floor BARS FEATURES OUT THREADS
//!
//! FEATURES is windrow's own output; it is read into memory before the clock starts. Four writers run
//! one after the other: the parquet crate's with zstd and with lz4, and windrow's own with both. Two
//! figures are printed: the seconds of the fastest writer, and those of the same writer when each file
//! is flushed to disk while the work goes on, as in a run. Standard error has the seconds of each.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::arrow::{ArrowWriter, ProjectionMask};
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use windrow::config;
use windrow::write::{FileScratch, ParquetFile};

/// The columns from which the features are computed.
const READ: [&str; 6] = ["symbol", "ts", "high", "low", "close", "volume"];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bars, features, out, threads] = args.as_slice() else {
        println!("usage: floor BARS FEATURES OUT THREADS");
        return;
    };
    let threads: usize = threads.parse().unwrap();
    let bars = files(Path::new(bars));
    let features: Vec<Vec<RecordBatch>> =
        files(Path::new(features)).iter().map(|path| read(path, &[])).collect();
    let codecs = [
        (Compression::ZSTD(ZstdLevel::try_new(1).unwrap()), config::Compression::Zstd(1)),
        (Compression::LZ4_RAW, config::Compression::Lz4),
    ];
    let writers = [(codecs[0], false), (codecs[1], false), (codecs[0], true), (codecs[1], true)];
    let attempt = |(codec, own), flushed| {
        let _ = std::fs::remove_dir_all(out);
        std::fs::create_dir_all(out).unwrap();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for worker in 0..threads {
                let (bars, features) = (&bars, &features);
                scope.spawn(move || {
                    for path in bars.iter().skip(worker).step_by(threads) {
                        assert!(!read(path, &READ).is_empty());
                    }
                    let mut kept = None;
                    for (number, batches) in
                        features.iter().enumerate().skip(worker).step_by(threads)
                    {
                        let path = Path::new(out).join(format!("{number}.parquet"));
                        match own {
                            true => kept = Some(write_own(&path, batches, codec, kept.take())),
                            false => write(&path, batches, codec.0),
                        }
                        if flushed {
                            scope.spawn(move || File::open(path).unwrap().sync_all().unwrap());
                        }
                    }
                });
            }
        });
        let seconds = started.elapsed().as_secs_f64();
        let writer = if own { "windrow's writer" } else { "the parquet crate's" };
        let to = if flushed { ", flushed" } else { "" };
        eprintln!("{writer}, {}{to}: {seconds:.3} s", codec.1);
        seconds
    };
    let tried = writers.map(|writer| (attempt(writer, false), writer));
    let (seconds, fastest) = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    println!("{seconds:.3} {:.3}", attempt(fastest, true));
}

/// Lists the parquet files below a directory, in order.
fn files(root: &Path) -> Vec<PathBuf> {
    let pattern = format!("{}/**/*.parquet", root.display());
    glob::glob(&pattern).unwrap().map(Result::unwrap).collect()
}

/// Reads some columns of a file, or all if none is named.
fn read(path: &Path, columns: &[&str]) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mask = match columns {
        [] => ProjectionMask::all(),
        columns => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
    };
    let reader = builder.with_projection(mask).with_batch_size(8192).build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// Returns the properties of a writer with windrow's encodings.
fn properties(schema: &Schema, codec: Compression) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(128 * 1024));
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        let encoding = match field.data_type() {
            DataType::Float64 => Encoding::BYTE_STREAM_SPLIT,
            DataType::Timestamp(..) | DataType::Date32 => Encoding::DELTA_BINARY_PACKED,
            _ => continue,
        };
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, encoding);
    }
    properties.build()
}

/// Writes a file with the parquet crate's writer.
fn write(path: &Path, batches: &[RecordBatch], codec: Compression) {
    let schema = batches[0].schema();
    let properties = properties(&schema, codec);
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

/// Writes a file with windrow's own writer.
fn write_own(
    path: &Path,
    batches: &[RecordBatch],
    (codec, named): (Compression, config::Compression),
    kept: Option<FileScratch>,
) -> FileScratch {
    let schema = batches[0].schema();
    let properties = properties(&schema, codec);
    let floats = schema.fields().iter().map(|f| *f.data_type() == DataType::Float64).collect();
    let file = Box::new(File::create(path).unwrap());
    let kept = kept.unwrap_or_else(|| FileScratch::new(named).unwrap());
    let mut writer = ParquetFile::new(file, schema, properties, floats, kept).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap()
}
