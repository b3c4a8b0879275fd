//! The position of a price in its range.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars};
use crate::kernel::{
    AbsoluteDeviation, Average, Fold, Highest, Lowest, MaType, SumPair, TrueRange, is_noise,
    range_ratio, ratio_or_zero, typical_price,
};
use serde::{Deserialize, Serialize};

use super::momentum_spec;
use super::strength::Rsi;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Stoch, 3, 2>(),
    entry::<Stochf, 3, 2>(),
    entry::<Stochrsi, 1, 2>(),
    entry::<Cci, 3, 1>(),
    entry::<Willr, 3, 1>(),
    entry::<Ultosc, 3, 1>(),
];

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stoch {
    raw: RangePosition,
    k: Average,
    d: Average,
}

/// The position of a value in the range of a window, from 0 at the lowest to 1 at the highest.
#[derive(Debug, Serialize, Deserialize)]
struct RangePosition {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
}

impl RangePosition {
    fn new(length: usize) -> Self {
        RangePosition { highest: Fold::new(length), lowest: Fold::new(length) }
    }

    fn next_position(&mut self, high: f64, low: f64, close: f64) -> f64 {
        let (highest, lowest) =
            (self.highest.push_row(Highest(high)).0, self.lowest.push_row(Lowest(low)).0);
        range_ratio(close - lowest, highest, lowest)
    }

    /// Computes [`RangePosition::next_position`] in percent for many rows.
    fn percent_rows(&mut self, [high, low, close]: [&[f64]; 3], output: &mut [f64]) {
        let mut highest = vec![f64::NAN; close.len()];
        self.highest.push_rows(high.iter().map(|high| Highest(*high)), |row, window| {
            highest[row] = window.0;
        });
        self.lowest.push_rows(low.iter().map(|low| Lowest(*low)), |row, window| {
            output[row] = 100.0 * range_ratio(close[row] - window.0, highest[row], window.0);
        });
    }
}

impl Indicator<3, 2> for Stoch {
    const SPEC: Spec = momentum_spec("stoch", "Stochastic oscillator")
        .doc(
            "Where the close stands in the range of the last fastk_period bars, 100 * (close - \
             lowest) / (highest - lowest), averaged (slowk) and averaged again (slowd). Without \
             a range it is 0.",
            "Lane 1957; TA-Lib STOCH",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("fastk_period", 5, 1),
            bars("slowk_period", 3, 1),
            average_param("slowk_matype", MaType::Sma),
            bars("slowd_period", 3, 1),
            average_param("slowd_matype", MaType::Sma),
        ])
        .outputs(&["slowk", "slowd"])
        .example(
            &[3.0, 2.0, 0.0, 2.0, 0.0],
            &[
                &[NULL, NULL, NULL, NULL, 70.0, 56.66667, 41.66667, 66.66667],
                &[NULL, NULL, NULL, NULL, 62.5, 63.33333, 49.16667, 54.16667],
            ],
        );

    fn lookback(params: &Params) -> usize {
        let k = params.average(2).lookback_over(params.bars(1));
        params.bars(0) - 1 + k + params.average(4).lookback_over(params.bars(3))
    }

    fn warmup(params: &Params) -> usize {
        let k = params.average(2).warmup_over(params.bars(1));
        params.bars(0) - 1 + k + params.average(4).warmup_over(params.bars(3))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(2).memory_class().join_memory(params.average(4).memory_class())
    }

    fn new(params: &Params) -> Self {
        Stoch {
            raw: RangePosition::new(params.bars(0)),
            k: Average::new(params.average(2), params.bars(1)),
            d: Average::new(params.average(4), params.bars(3)),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let k = self.k.next(100.0 * self.raw.next_position(high, low, close));
        [k, self.d.next(k)]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 3], [k, d]: [&mut [f64]; 2]) {
        self.raw.percent_rows(inputs, d);
        self.k.next_rows(d, k);
        self.d.next_rows(k, d);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stochf {
    raw: RangePosition,
    d: Average,
}

impl Indicator<3, 2> for Stochf {
    const SPEC: Spec = momentum_spec("stochf", "Fast stochastic oscillator")
        .doc(
            "Where the close stands in the range of the last fastk_period bars, 100 * (close - \
             lowest) / (highest - lowest) (fastk), and its average (fastd). Without a range it \
             is 0.",
            "Lane 1957; TA-Lib STOCHF",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("fastk_period", 5, 1),
            bars("fastd_period", 3, 1),
            average_param("fastd_matype", MaType::Sma),
        ])
        .outputs(&["fastk", "fastd"])
        .example(
            &[3.0, 2.0, 0.0],
            &[
                &[NULL, NULL, NULL, 60.0, 80.0, 33.33333, 50.0, 83.33333],
                &[NULL, NULL, NULL, 55.0, 70.0, 56.66667, 41.66667, 66.66667],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1 + params.average(2).lookback_over(params.bars(1))
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) - 1 + params.average(2).warmup_over(params.bars(1))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(2).memory_class()
    }

    fn new(params: &Params) -> Self {
        Stochf {
            raw: RangePosition::new(params.bars(0)),
            d: Average::new(params.average(2), params.bars(1)),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let k = 100.0 * self.raw.next_position(high, low, close);
        [k, self.d.next(k)]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 3], [k, d]: [&mut [f64]; 2]) {
        self.raw.percent_rows(inputs, k);
        self.d.next_rows(k, d);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stochrsi {
    rsi: Rsi,
    raw: RangePosition,
    d: Average,
}

impl Indicator<1, 2> for Stochrsi {
    const SPEC: Spec = momentum_spec("stochrsi", "Stochastic relative strength index")
        .doc(
            "The fast stochastic oscillator of the relative strength index: where the index \
             stands in its own range (fastk), and the average of that (fastd).",
            "Chande and Kroll 1994; TA-Lib STOCHRSI",
        )
        .params(&[
            bars("timeperiod", 14, 2),
            bars("fastk_period", 5, 1),
            bars("fastd_period", 3, 1),
            average_param("fastd_matype", MaType::Sma),
        ])
        .outputs(&["fastk", "fastd"])
        .memory(Memory::Recursive)
        .example(
            &[3.0, 2.0, 2.0, 0.0],
            &[
                &[NULL, NULL, NULL, NULL, NULL, 0.0, 100.0, 100.0],
                &[NULL, NULL, NULL, NULL, NULL, 50.0, 50.0, 100.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        let d = params.average(3).lookback_over(params.bars(2));
        params.bars(0) + params.bars(1) - 1 + d
    }

    fn warmup(params: &Params) -> usize {
        let d = params.average(3).warmup_over(params.bars(2));
        Rsi::warmup(params) * 6 / 5 + params.bars(1) + d
    }

    fn new(params: &Params) -> Self {
        Stochrsi {
            rsi: Rsi::new(params),
            raw: RangePosition::new(params.bars(1)),
            d: Average::new(params.average(3), params.bars(2)),
        }
    }

    fn next(&mut self, row: [f64; 1]) -> [f64; 2] {
        let [rsi] = self.rsi.next(row);
        let k = 100.0 * self.raw.next_position(rsi, rsi, rsi);
        [k, self.d.next(k)]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 1], [k, d]: [&mut [f64]; 2]) {
        self.rsi.next_rows(inputs, [&mut *d]);
        self.raw.percent_rows([&*d; 3], k);
        self.d.next_rows(k, d);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cci(AbsoluteDeviation);

impl Indicator<3, 1> for Cci {
    const SPEC: Spec = momentum_spec("cci", "Commodity channel index")
        .version(2)
        .doc(
            "The distance of the typical price (high + low + close) / 3 from its mean, in units \
             of 0.015 mean absolute deviations.",
            "Lambert 1980; TA-Lib CCI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, 75.0, 0.0, 100.0, 20.0, -100.0, 100.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Cci(AbsoluteDeviation::new(params.bars(0)))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let price = typical_price(high, low, close);
        let (mean, deviation) = self.0.next_deviation(price);
        [cci_distance(price, mean, deviation)]
    }

    fn next_rows(&mut self, [high, low, close]: [&[f64]; 3], [output]: [&mut [f64]; 1]) {
        let bars = high.iter().zip(low).zip(close);
        let prices: Vec<f64> = bars.map(|((h, l), c)| typical_price(*h, *l, *c)).collect();
        let mut means = vec![f64::NAN; prices.len()];
        self.0.deviation_rows(&prices, &mut means, output);
        for ((value, price), mean) in output.iter_mut().zip(prices).zip(means) {
            *value = cci_distance(price, mean, *value);
        }
    }
}

/// Returns the distance of a price from a mean in the units of [`Cci`]; a distance within rounding is 0.
fn cci_distance(price: f64, mean: f64, deviation: f64) -> f64 {
    let flat = is_noise(price - mean, mean.abs()) || is_noise(deviation, mean.abs());
    if flat { 0.0 } else { (price - mean) / (0.015 * deviation) }
}

/// Returns Williams' %R of one bar, clamped to its range as in TA-Lib.
fn percent_r(close: f64, highest: f64, lowest: f64) -> f64 {
    (-100.0 * range_ratio(highest - close, highest, lowest)).clamp(-100.0, 0.0)
}

#[derive(Debug, Serialize, Deserialize)]
struct Willr {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
}

impl Indicator<3, 1> for Willr {
    const SPEC: Spec = momentum_spec("willr", "Williams' %R")
        .doc(
            "How far the close is below the highest high of the last n bars, in percent of \
             their range: -100 * (highest - close) / (highest - lowest), no less than -100 and no \
             more than 0, also for a close outside its bar.",
            "Williams; TA-Lib WILLR",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, -50.0, -40.0, -20.0, -66.66667, -50.0, -16.66667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Willr { highest: Fold::new(params.bars(0)), lowest: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let highest = self.highest.push_row(Highest(high)).0;
        let lowest = self.lowest.push_row(Lowest(low)).0;
        [percent_r(close, highest, lowest)]
    }

    fn next_rows(&mut self, [high, low, close]: [&[f64]; 3], [output]: [&mut [f64]; 1]) {
        self.highest.push_rows(high.iter().map(|high| Highest(*high)), |row, window| {
            output[row] = window.0;
        });
        self.lowest.push_rows(low.iter().map(|low| Lowest(*low)), |row, window| {
            output[row] = percent_r(close[row], output[row], window.0);
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ultosc {
    close: f64,
    range: TrueRange,
    windows: [Fold<SumPair>; 3],
}

impl Indicator<3, 1> for Ultosc {
    const SPEC: Spec = momentum_spec("ultosc", "Ultimate oscillator")
        .doc(
            "Buying pressure, close - min(low, previous close), as a share of the true range \
             over three windows, weighted 4, 2, 1 from the shortest to the longest, from 0 to \
             100.",
            "Williams 1976; TA-Lib ULTOSC",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("timeperiod1", 7, 1),
            bars("timeperiod2", 14, 1),
            bars("timeperiod3", 28, 1),
        ])
        .example(
            &[1.0, 2.0, 3.0],
            &[&[NULL, NULL, NULL, 54.7619, 63.49206, 28.63636, 62.69841, 71.97802]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1)).max(params.bars(2))
    }

    fn new(params: &Params) -> Self {
        let mut lengths = [params.bars(0), params.bars(1), params.bars(2)];
        lengths.sort_unstable();
        Ultosc { close: f64::NAN, range: TrueRange::default(), windows: lengths.map(Fold::new) }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let bar = self.buying_pressure(high, low, close);
        let [short, middle, long] = self.windows.each_mut().map(|window| {
            let SumPair(pressure, range) = window.push_row(bar);
            ratio_or_zero(pressure, range)
        });
        [100.0 * (4.0 * short + 2.0 * middle + long) / 7.0]
    }

    fn next_rows(&mut self, [high, low, close]: [&[f64]; 3], [output]: [&mut [f64]; 1]) {
        let rows = 0..output.len();
        let bars: Vec<SumPair> =
            rows.map(|row| self.buying_pressure(high[row], low[row], close[row])).collect();
        output.fill(0.0);
        for (window, weight) in self.windows.iter_mut().zip([4.0, 2.0, 1.0]) {
            window.push_rows(bars.iter().copied(), |row, SumPair(pressure, range)| {
                output[row] += weight * ratio_or_zero(pressure, range);
            });
        }
        output.iter_mut().for_each(|sum| *sum = 100.0 * *sum / 7.0);
    }
}

impl Ultosc {
    /// Returns the buying pressure of a bar and its true range.
    fn buying_pressure(&mut self, high: f64, low: f64, close: f64) -> SumPair {
        let previous = std::mem::replace(&mut self.close, close);
        SumPair(close - low.min(previous), self.range.next_range(high, low, close))
    }
}
