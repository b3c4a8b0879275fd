//! Sample bars for `windrow demo`: synthetic, the same on every machine, with the irregularities of real
//! data.
//!
//! Prices are raw, with a `factor` column. Single days are missing, one symbol has little history,
//! and one has a 4-for-1 split, which the factor undoes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, Weekday};
use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;

use crate::error::{Error, Result};
use crate::write::Progress;

/// The symbol with a stock split.
pub(super) const SPLIT_SYMBOL: &str = "BOLT";
/// The symbol that was listed only in the last weeks.
pub(super) const RECENT_SYMBOL: &str = "ZEST";

const SYMBOLS: [&str; 50] = [
    "ACRE", "ALDER", "AMBER", "ARGO", "ATLAS", "BASIN", "BEAM", "BIRCH", "BOLT", "BRISK", "CEDAR",
    "CLIFF", "COBALT", "CORAL", "CREST", "DELTA", "DUNE", "EMBER", "FABLE", "FJORD", "FLINT",
    "GALE", "GLADE", "GROVE", "HARBOR", "HAZEL", "IRIS", "JADE", "KELP", "LARCH", "LUMEN", "MAPLE",
    "MESA", "NIMBUS", "OAK", "ONYX", "OPAL", "PEAK", "PINE", "QUARTZ", "RIDGE", "RIVER", "SABLE",
    "SLATE", "SPRUCE", "TIDE", "UMBER", "VALE", "WREN", "ZEST",
];
const SECTORS: [&str; 5] = ["energy", "finance", "health", "materials", "technology"];
const FIRST_YEAR: i32 = 2020;
const YEARS: i32 = 5;

/// SplitMix64: a small generator that gives the same numbers on every machine.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a uniform number in 0..1.
    fn next_uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns an approximately normal number: the sum of twelve uniforms, which needs no logarithm.
    fn next_normal(&mut self) -> f64 {
        (0..12).map(|_| self.next_uniform()).sum::<f64>() - 6.0
    }
}

struct SampleBar {
    symbol: usize,
    day: NaiveDate,
    prices: [f64; 4],
    volume: f64,
    factor: f64,
}

/// Writes the bars as `year=2020/bars.parquet` and so on, one file a year, and counts them in `progress`.
/// Returns the number of rows.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn write_sample_bars(folder: &Path, progress: &Progress) -> Result<usize> {
    let mut rows = 0;
    let mut bars = generate_bars();
    bars.sort_by_key(|bar| (bar.day.year(), bar.symbol, bar.day));
    for year in bars.chunk_by(|a, b| a.day.year() == b.day.year()) {
        let Some(first) = year.first() else { continue };
        let directory = folder.join(format!("year={}", first.day.year()));
        let unwritable = |error: &dyn std::fmt::Display| {
            Error::target(format!("cannot write {}: {error}", directory.display()))
                .hint("name another directory with --dir")
        };
        std::fs::create_dir_all(&directory).map_err(|error| unwritable(&error))?;
        let file = File::create(directory.join("bars.parquet")).map_err(|e| unwritable(&e))?;
        let batch = bars_to_batch(year).map_err(|error| unwritable(&error))?;
        let mut writer =
            ArrowWriter::try_new(file, batch.schema(), None).map_err(|e| unwritable(&e))?;
        writer.write(&batch).map_err(|error| unwritable(&error))?;
        writer.close().map_err(|error| unwritable(&error))?;
        rows += year.len();
        progress.add_written(year.len());
    }
    Ok(rows)
}

fn generate_bars() -> Vec<SampleBar> {
    let days: Vec<NaiveDate> = NaiveDate::from_ymd_opt(FIRST_YEAR, 1, 1)
        .into_iter()
        .flat_map(|first| first.iter_days())
        .take_while(|day| day.year() < FIRST_YEAR + YEARS)
        .filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
        .collect();
    let mut market = SplitMix64(7);
    let moves: Vec<f64> = days.iter().map(|_| 0.0003 + 0.008 * market.next_normal()).collect();
    let mut bars = Vec::new();
    for (symbol, name) in SYMBOLS.iter().enumerate() {
        let mut random = SplitMix64(1000 + symbol as u64);
        let skip = if *name == RECENT_SYMBOL { days.len() - 25 } else { 0 };
        let beta = 0.5 + random.next_uniform();
        let (mut price, base) =
            (20.0 + 180.0 * random.next_uniform(), 2e5 + 3e6 * random.next_uniform());
        let split = days.len() * 3 / 5;
        let mut trend = 0.0;
        for (i, day) in days.iter().enumerate() {
            trend = 0.97 * trend + 0.0004 * random.next_normal();
            let open = price * (1.0 + 0.003 * random.next_normal());
            price *= (1.0 + beta * moves[i] + trend + 0.012 * random.next_normal()).max(0.5);
            let (low, high) = (open.min(price), open.max(price));
            let low = low * (1.0 - 0.006 * random.next_uniform());
            let high = high * (1.0 + 0.006 * random.next_uniform());
            let volume = base * (0.4 + 1.2 * random.next_uniform()) * (1.0 + 25.0 * moves[i].abs());
            let missing = random.next_uniform() < 0.004;
            if i < skip || missing {
                continue;
            }
            // The walk gives adjusted prices; raw prices before the split are four times as high.
            let factor = if *name == SPLIT_SYMBOL && i < split { 0.25 } else { 1.0 };
            let cents = |value: f64| (value / factor * 100.0).round() / 100.0;
            bars.push(SampleBar {
                symbol,
                day: *day,
                prices: [cents(open), cents(high), cents(low), cents(price)],
                volume: (volume * factor).round(),
                factor,
            });
        }
    }
    bars
}

fn bars_to_batch(bars: &[SampleBar]) -> Result<RecordBatch, datafusion::arrow::error::ArrowError> {
    let float = |pick: &dyn Fn(&SampleBar) -> f64| -> ArrayRef {
        Arc::new(bars.iter().map(|b| Some(pick(b))).collect::<Float64Array>())
    };
    let text = |pick: &dyn Fn(&SampleBar) -> &'static str| -> ArrayRef {
        Arc::new(bars.iter().map(|b| Some(pick(b))).collect::<StringArray>())
    };
    let day = |b: &SampleBar| Some(days_since_1970(b.day));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("symbol", text(&|b| SYMBOLS[b.symbol])),
        ("ts", Arc::new(bars.iter().map(day).collect::<Date32Array>())),
    ];
    for (i, name) in ["open", "high", "low", "close"].into_iter().enumerate() {
        columns.push((name, float(&move |b| b.prices[i])));
    }
    columns.push(("volume", float(&|b| b.volume)));
    columns.push(("factor", float(&|b| b.factor)));
    columns.push(("sector", text(&|b| SECTORS[b.symbol % SECTORS.len()])));
    let fields = columns.iter().map(|(name, values)| {
        let ty = values.data_type();
        Field::new(*name, ty.clone(), *ty == DataType::Float64)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, values)| values).collect())
}

fn days_since_1970(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - 719_163
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_fit_to_show_dirt() {
        let bars = generate_bars();
        assert!(bars.len() > 60_000, "{}", bars.len());
        assert!(bars.iter().all(|b| b.prices[2] <= b.prices[3] && b.prices[3] <= b.prices[1]));
        let of = |name: &str| {
            let symbol = SYMBOLS.iter().position(|s| *s == name).unwrap();
            bars.iter().filter(move |b| b.symbol == symbol).collect::<Vec<_>>()
        };
        assert!(of(RECENT_SYMBOL).len() <= 25);
        let split = of(SPLIT_SYMBOL);
        let raw = split.windows(2).map(|w| w[1].prices[3] / w[0].prices[3]);
        assert!(raw.fold(1.0, f64::min) < 0.3, "the raw price falls to a quarter");
        let adjusted =
            split.windows(2).map(|w| w[1].prices[3] * w[1].factor / (w[0].prices[3] * w[0].factor));
        assert!(adjusted.fold(1.0, f64::min) > 0.8, "the adjusted price does not");
        assert_eq!(days_since_1970(NaiveDate::from_ymd_opt(1970, 1, 2).unwrap()), 1);
    }
}
