//! Bars to compute from: random walks of many symbols in a few files, and new bars that arrive.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use crate::Outcome;

/// The files, each with its own symbols.
const FILES: usize = 8;
/// The number of 2 January 2014, a Thursday, in days since 1970.
const FIRST_DAY: i64 = 16_072;
const MICROS_OF_DAY: i64 = 86_400_000_000;

/// Daily bars in a folder.
pub(crate) struct Bars {
    pub(crate) folder: PathBuf,
    pub(crate) symbols: Vec<String>,
    walks: Vec<Walk>,
    /// The number of bars of each symbol.
    pub(crate) count: usize,
}

/// The bars of one symbol.
struct Walk {
    random: fastrand::Rng,
    /// Open, high, low, close and volume.
    columns: [Vec<f64>; 5],
}

impl Walk {
    fn add_bar(&mut self) {
        let random = &mut self.random;
        let cents = |price: f64| (price * 100.0).round() / 100.0;
        let last = self.columns[3].last().copied().unwrap_or(50.0);
        let open = cents(last * (0.996 + 0.008 * random.f64()));
        let close = cents((open * (0.98 + 0.0402 * random.f64())).max(1.0));
        let high = cents(open.max(close) * (1.0 + 0.004 * random.f64()));
        let low = cents(open.min(close) * (1.0 - 0.004 * random.f64()));
        let volume = random.u32(10_000..10_000_000).into();
        for (column, value) in self.columns.iter_mut().zip([open, high, low, close, volume]) {
            column.push(value);
        }
    }
}

impl Bars {
    /// Writes so many bars of so many symbols into a folder.
    pub(crate) fn write(folder: &Path, symbols: usize, count: usize) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let walks = (0..symbols).map(|number| {
            let random = fastrand::Rng::with_seed(number as u64);
            let mut walk = Walk { random, columns: Default::default() };
            (0..count).for_each(|_| walk.add_bar());
            walk
        });
        let walks = walks.collect();
        let symbols = (0..symbols).map(|number| format!("S{number:05}")).collect();
        let bars = Self { folder: folder.to_path_buf(), symbols, walks, count };
        bars.write_files()?;
        Ok(bars)
    }

    /// Adds a bar to every symbol, and replaces all files.
    pub(crate) fn arrive(&mut self) -> Outcome<()> {
        self.walks.iter_mut().for_each(Walk::add_bar);
        self.count += 1;
        self.write_files()
    }

    /// Returns the day of a bar, as `2014-01-02`.
    pub(crate) fn day(&self, bar: usize) -> String {
        show_date(day_number(bar))
    }

    /// Returns the change of the last close of each symbol in percent.
    pub(crate) fn last_changes(&self) -> Vec<f64> {
        let change = |walk: &Walk| match walk.columns[3].as_slice() {
            [.., before, last] => (last / before - 1.0) * 100.0,
            _ => f64::NAN,
        };
        self.walks.iter().map(change).collect()
    }

    /// Writes all files aside, then renames them one right after the other.
    fn write_files(&self) -> Outcome<()> {
        let each = self.symbols.len().div_ceil(FILES);
        let mut written = Vec::new();
        for (number, symbols) in self.symbols.chunks(each).enumerate() {
            let walks = &self.walks[number * each..][..symbols.len()];
            let aside = self.folder.join(format!(".part-{number}.aside"));
            self.write_file(&aside, symbols, walks)?;
            written.push((aside, self.folder.join(format!("part-{number}.parquet"))));
        }
        for (aside, path) in written {
            std::fs::rename(aside, path)?;
        }
        Ok(())
    }

    fn write_file(&self, path: &Path, symbols: &[String], walks: &[Walk]) -> Outcome<()> {
        let repeat = |name| std::iter::repeat_n(name, self.count);
        let names: Vec<&String> = symbols.iter().flat_map(repeat).collect();
        let days = (0..symbols.len()).flat_map(|_| 0..self.count).map(day_number);
        let times: Vec<i64> = days.map(|day| day * MICROS_OF_DAY).collect();
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("symbol", Arc::new(StringArray::from_iter_values(names))),
            ("ts", Arc::new(TimestampMicrosecondArray::from(times))),
        ];
        for (at, name) in ["open", "high", "low", "close", "volume"].into_iter().enumerate() {
            let values = walks.iter().flat_map(|walk| walk.columns[at].iter().copied());
            let values: Vec<f64> = values.collect();
            columns.push((name, Arc::new(Float64Array::from(values))));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        let codec = Compression::ZSTD(ZstdLevel::try_new(1)?);
        let properties = WriterProperties::builder().set_compression(codec).build();
        let mut writer =
            ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    }
}

/// Returns the number of the day of a bar since 1970: business days.
fn day_number(bar: usize) -> i64 {
    // Counted from the Monday of the first week.
    let day = bar as i64 + 3;
    FIRST_DAY - 3 + day / 5 * 7 + day % 5
}

/// Returns a day, counted from 1970, as `2014-01-02`.
pub(crate) fn show_date(day: i64) -> String {
    let date = chrono::DateTime::from_timestamp_micros(day * MICROS_OF_DAY);
    date.map(|date| date.format("%Y-%m-%d").to_string()).unwrap_or_default()
}
