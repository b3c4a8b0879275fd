//! Oscillators and rates of change.

use crate::indicator::{Group, Indicator, Memory, NULL, Params, Spec, average_param, bars};
use crate::kernel::{
    AbsoluteDeviation, Average, Delay, DirectionalMovement, Fold, Highest, Lowest, MaType, Peak,
    Smoother, SmootherChain, SumPair, TrueRange, is_noise, range_ratio, ratio_or_zero,
    typical_price,
};
use crate::udwf::{Entry, entry};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Rsi, 1, 1>(),
    entry::<Macd, 1, 3>(),
    entry::<Stoch, 3, 2>(),
    entry::<Stochf, 3, 2>(),
    entry::<Stochrsi, 1, 2>(),
    entry::<Adx, 3, 1>(),
    entry::<PlusDi, 3, 1>(),
    entry::<MinusDi, 3, 1>(),
    entry::<Dx, 3, 1>(),
    entry::<Cci, 3, 1>(),
    entry::<Willr, 3, 1>(),
    entry::<Roc, 1, 1>(),
    entry::<Mom, 1, 1>(),
    entry::<Mfi, 4, 1>(),
    entry::<Ppo, 1, 1>(),
    entry::<Apo, 1, 1>(),
    entry::<Trix, 1, 1>(),
    entry::<Aroon, 2, 2>(),
    entry::<Aroonosc, 2, 1>(),
    entry::<Ultosc, 3, 1>(),
    entry::<Cmo, 1, 1>(),
    entry::<Bop, 4, 1>(),
];

const fn spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Momentum)
}

/// The smaller period first: TA-Lib exchanges them when they are given the wrong way round.
fn ordered_periods(params: &Params) -> (usize, usize) {
    let (one, other) = (params.bars(0), params.bars(1));
    (one.min(other), one.max(other))
}

/// The average rise and the average fall, smoothed by Wilder.
#[derive(Debug, Serialize, Deserialize)]
struct AverageMoves {
    previous: f64,
    gain: Smoother,
    loss: Smoother,
}

impl AverageMoves {
    fn new(length: usize) -> Self {
        let smooth = Smoother::from_wilder_period(length);
        AverageMoves { previous: f64::NAN, gain: smooth.clone(), loss: smooth }
    }

    fn next_moves(&mut self, value: f64) -> [f64; 2] {
        let change = value - std::mem::replace(&mut self.previous, value);
        if change.is_nan() {
            return [f64::NAN; 2]; // The first row has no change.
        }
        [self.gain.next(change.max(0.0)), self.loss.next((-change).max(0.0))]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rsi(AverageMoves);

impl Indicator<1, 1> for Rsi {
    const SPEC: Spec = spec("rsi", "Relative strength index")
        .doc(
            "The share of the average gain in the average move, from 0 to 100: 100 * gain / \
             (gain + loss), both smoothed by Wilder. A market that never moved gives 0.",
            "Wilder 1978; TA-Lib RSI",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 75.0, 85.71429, 52.17391, 63.02521, 78.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Rsi(AverageMoves::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [gain, loss] = self.0.next_moves(value);
        [100.0 * ratio_or_zero(gain, gain + loss)]
    }
}

/// Both averages give their first value on one row, as in TA-Lib: the fast one starts late.
#[derive(Debug, Serialize, Deserialize)]
struct Macd {
    wait: usize,
    fast: Smoother,
    slow: Smoother,
    signal: Smoother,
}

impl Indicator<1, 3> for Macd {
    const SPEC: Spec = spec("macd", "Moving average convergence/divergence")
        .doc(
            "The fast exponential average less the slow one (macd), its own exponential average \
             (macdsignal), and the difference of the two (macdhist).",
            "Appel 1979; TA-Lib MACD",
        )
        .params(&[bars("fastperiod", 12, 2), bars("slowperiod", 26, 2), bars("signalperiod", 9, 1)])
        .outputs(&["macd", "macdsignal", "macdhist"])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 2.0],
            &[
                &[NULL, NULL, NULL, NULL, 0.40833, 0.08944, 0.13515, 0.37492],
                &[NULL, NULL, NULL, NULL, 0.26667, 0.14852, 0.1396, 0.29648],
                &[NULL, NULL, NULL, NULL, 0.14167, -0.05907, -0.00446, 0.07844],
            ],
        );

    fn lookback(params: &Params) -> usize {
        ordered_periods(params).1 + params.bars(2) - 2
    }

    fn warmup(params: &Params) -> usize {
        let (slow, signal) = (ordered_periods(params).1, params.bars(2));
        slow + Smoother::ema_fade_rows(slow) * 6 / 5 + Smoother::ema_fade_rows(signal)
    }

    fn new(params: &Params) -> Self {
        let (fast, slow) = ordered_periods(params);
        Macd {
            wait: slow - fast,
            fast: Smoother::from_ema_period(fast),
            slow: Smoother::from_ema_period(slow),
            signal: Smoother::from_ema_period(params.bars(2)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 3] {
        let slow = self.slow.next(value);
        if self.wait > 0 {
            self.wait -= 1;
            return [f64::NAN; 3];
        }
        let macd = self.fast.next(value) - slow;
        let signal = self.signal.next(macd);
        [macd, signal, macd - signal]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stoch {
    raw: RangePosition,
    k: Average,
    d: Average,
}

/// Where a value stands in the range of a window, from 0 at the lowest to 1 at the highest.
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

    /// [`RangePosition::next_position`] in percent for many rows.
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
    const SPEC: Spec = spec("stoch", "Stochastic oscillator")
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
    const SPEC: Spec = spec("stochf", "Fast stochastic oscillator")
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
    const SPEC: Spec = spec("stochrsi", "Stochastic relative strength index")
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
struct Adx {
    dx: Dx,
    average: Smoother,
}

impl Indicator<3, 1> for Adx {
    const SPEC: Spec = spec("adx", "Average directional movement index")
        .doc(
            "Wilder's average of the directional movement index: how strong a trend is, from 0 \
             to 100, whichever way it goes.",
            "Wilder 1978; TA-Lib ADX",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, NULL, NULL, 55.55556, 39.25926, 44.54891]]);

    fn lookback(params: &Params) -> usize {
        2 * params.bars(0) - 1
    }

    fn warmup(params: &Params) -> usize {
        Dx::warmup(params) * 6 / 5
    }

    fn new(params: &Params) -> Self {
        Adx { dx: Dx::new(params), average: Smoother::from_wilder_period(params.bars(0)) }
    }

    fn next(&mut self, row: [f64; 3]) -> [f64; 1] {
        let [dx] = self.dx.next(row);
        [self.average.next(dx)]
    }
}

/// Over one bar TA-Lib gives the share itself and no percentage, and so do we.
#[derive(Debug, Serialize, Deserialize)]
struct PlusDi {
    movement: DirectionalMovement,
    scale: f64,
}

impl Indicator<3, 1> for PlusDi {
    const SPEC: Spec = spec("plus_di", "Plus directional indicator")
        .doc(
            "The share of upward movement in the true range, both smoothed by Wilder, in \
             percent. Over one bar it is no percentage, as in TA-Lib.",
            "Wilder 1978; TA-Lib PLUS_DI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 26.08696, 41.09589, 21.35231, 13.54402, 26.45773]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        let scale = if params.bars(0) == 1 { 1.0 } else { 100.0 };
        PlusDi { movement: DirectionalMovement::new(params.bars(0)), scale }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [plus, _] = self.movement.next_shares(high, low, close);
        [self.scale * plus]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct MinusDi(PlusDi);

impl Indicator<3, 1> for MinusDi {
    const SPEC: Spec = spec("minus_di", "Minus directional indicator")
        .doc(
            "The share of downward movement in the true range, both smoothed by Wilder, in \
             percent. Over one bar it is no percentage, as in TA-Lib.",
            "Wilder 1978; TA-Lib MINUS_DI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 13.04348, 8.21918, 4.27046, 11.85102, 7.65306]]);

    fn lookback(params: &Params) -> usize {
        PlusDi::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        PlusDi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        MinusDi(PlusDi::new(params))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [_, minus] = self.0.movement.next_shares(high, low, close);
        [self.0.scale * minus]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Dx(DirectionalMovement);

impl Indicator<3, 1> for Dx {
    const SPEC: Spec = spec("dx", "Directional movement index")
        .doc(
            "How far upward and downward movement are apart: 100 * abs(plus_di - minus_di) / \
             (plus_di + minus_di).",
            "Wilder 1978; TA-Lib DX",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 33.33333, 66.66667, 66.66667, 6.66667, 55.12821]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        PlusDi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        Dx(DirectionalMovement::new(params.bars(0)))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [plus, minus] = self.0.next_shares(high, low, close);
        [100.0 * ratio_or_zero((plus - minus).abs(), plus + minus)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cci(AbsoluteDeviation);

impl Indicator<3, 1> for Cci {
    const SPEC: Spec = spec("cci", "Commodity channel index")
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

/// The distance of a price from a mean in the units of [`Cci`]; rounding is no distance.
fn cci_distance(price: f64, mean: f64, deviation: f64) -> f64 {
    let flat = is_noise(price - mean, mean.abs()) || is_noise(deviation, mean.abs());
    if flat { 0.0 } else { (price - mean) / (0.015 * deviation) }
}

/// Williams' %R of one bar; TA-Lib keeps it within its range.
fn percent_r(close: f64, highest: f64, lowest: f64) -> f64 {
    (-100.0 * range_ratio(highest - close, highest, lowest)).clamp(-100.0, 0.0)
}

#[derive(Debug, Serialize, Deserialize)]
struct Willr {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
}

impl Indicator<3, 1> for Willr {
    const SPEC: Spec = spec("willr", "Williams' %R")
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
struct Roc(Delay);

impl Indicator<1, 1> for Roc {
    const SPEC: Spec = spec("roc", "Rate of change")
        .doc("The change over n rows in percent: 100 * (x / x[n] - 1).", "TA-Lib ROC")
        .params(&[bars("timeperiod", 10, 1)])
        .example(&[2.0], &[&[NULL, NULL, 4.7619, 0.0, 13.63636, 0.0, -4.0, 13.04348]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Roc(Delay::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let before = self.0.push(value);
        [100.0 * ratio_or_zero(value - before, before)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Mom(Delay);

impl Indicator<1, 1> for Mom {
    const SPEC: Spec = spec("mom", "Momentum")
        .doc("The change over n rows: x - x[n].", "TA-Lib MOM")
        .params(&[bars("timeperiod", 10, 1)])
        .example(&[2.0], &[&[NULL, NULL, 0.5, 0.0, 1.5, 0.0, -0.5, 1.5]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Mom(Delay::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [value - self.0.push(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Mfi {
    previous: f64,
    window: Fold<SumPair>,
}

impl Indicator<4, 1> for Mfi {
    const SPEC: Spec = spec("mfi", "Money flow index")
        .doc(
            "The share of rising bars in the money traded over n bars, from 0 to 100, where \
             money is typical price times volume and a bar rises if its typical price does.",
            "Quong and Soudack; TA-Lib MFI",
        )
        .inputs(&["high", "low", "close", "volume"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 65.57754, 69.82654, 39.72799, 42.59401, 41.5625]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Mfi { previous: f64::NAN, window: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [high, low, close, volume]: [f64; 4]) -> [f64; 1] {
        [rising_share(self.window.push_row(split_money(
            &mut self.previous,
            high,
            low,
            close,
            volume,
        )))]
    }

    fn next_rows(&mut self, [high, low, close, volume]: [&[f64]; 4], [output]: [&mut [f64]; 1]) {
        let rows = (0..output.len()).map(|row| {
            split_money(&mut self.previous, high[row], low[row], close[row], volume[row])
        });
        self.window.push_rows(rows, |row, window| output[row] = rising_share(window));
    }
}

/// The money of a rising and of a falling bar; a typical price that moves by no more than its
/// rounding stands still, as in TA-Lib.
fn split_money(previous: &mut f64, high: f64, low: f64, close: f64, volume: f64) -> SumPair {
    let price = typical_price(high, low, close);
    let previous = std::mem::replace(previous, price);
    let moved = !is_noise(price - previous, price.abs() + previous.abs());
    let of = |is: bool| if moved && is { price * volume } else { 0.0 };
    SumPair(of(price > previous), of(price < previous))
}

/// The share of rising bars in the money, from 0 to 100.
fn rising_share(SumPair(up, down): SumPair) -> f64 {
    let money = up + down;
    if money <= 0.0 { 0.0 } else { 100.0 * (up.max(0.0).min(money) / money) }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ppo(Apo);

impl Indicator<1, 1> for Ppo {
    const SPEC: Spec = spec("ppo", "Percentage price oscillator")
        .doc(
            "The fast moving average less the slow one, in percent of the slow one.",
            "Appel; TA-Lib PPO",
        )
        .params(Apo::SPEC.params)
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 1.0],
            &[&[NULL, NULL, NULL, 1.87266, 3.73543, 0.85053, 1.17516, 3.06698]],
        );

    fn lookback(params: &Params) -> usize {
        Apo::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Apo::warmup(params)
    }

    fn memory_with(params: &Params) -> Memory {
        Apo::memory_with(params)
    }

    fn new(params: &Params) -> Self {
        Ppo(Apo::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let (fast, slow) = (self.0.fast.next(value), self.0.slow.next(value));
        [100.0 * ratio_or_zero(fast - slow, slow)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Apo {
    fast: Average,
    slow: Average,
}

impl Indicator<1, 1> for Apo {
    const SPEC: Spec = spec("apo", "Absolute price oscillator")
        .doc("The fast moving average less the slow one.", "Appel; TA-Lib APO")
        .params(&[
            bars("fastperiod", 12, 2),
            bars("slowperiod", 26, 2),
            average_param("matype", MaType::Ema),
        ])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 1.0],
            &[&[NULL, NULL, NULL, 0.20833, 0.43611, 0.0987, 0.13823, 0.37594]],
        );

    fn lookback(params: &Params) -> usize {
        params.average(2).lookback_over(ordered_periods(params).1)
    }

    fn warmup(params: &Params) -> usize {
        params.average(2).warmup_over(ordered_periods(params).1)
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(2).memory_class()
    }

    fn new(params: &Params) -> Self {
        let (fast, slow) = ordered_periods(params);
        Apo {
            fast: Average::new(params.average(2), fast),
            slow: Average::new(params.average(2), slow),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.fast.next(value) - self.slow.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Trix {
    chain: SmootherChain,
    previous: f64,
}

impl Indicator<1, 1> for Trix {
    const SPEC: Spec = spec("trix", "Rate of change of a triple exponential average")
        .doc("The change of ema(ema(ema(x))) over one row in percent.", "Hutson; TA-Lib TRIX")
        .params(&[bars("timeperiod", 30, 1)])
        .memory(Memory::Recursive)
        .example(&[2.0], &[&[NULL, NULL, NULL, NULL, 4.22222, 0.92395, 0.91549, 3.26433]]);

    fn lookback(params: &Params) -> usize {
        3 * (params.bars(0) - 1) + 1
    }

    fn warmup(params: &Params) -> usize {
        MaType::Tema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Trix { chain: SmootherChain::new(params.bars(0), 3), previous: f64::NAN }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [_, _, average] = self.chain.next_stages(value);
        if !average.is_finite() {
            return [f64::NAN];
        }
        let previous = std::mem::replace(&mut self.previous, average);
        [100.0 * ratio_or_zero(average - previous, previous)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Aroon {
    high: Fold<Peak>,
    low: Fold<Peak>,
    period: f64,
}

impl Indicator<2, 2> for Aroon {
    const SPEC: Spec = spec("aroon", "Aroon")
        .doc(
            "How recent the lowest low (aroondown) and the highest high (aroonup) of the last n \
             + 1 bars are: 100 for this bar, 0 for n bars ago. Of equal bars the newest counts.",
            "Chande 1995; TA-Lib AROON",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 2)])
        .outputs(&["aroondown", "aroonup"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, NULL, 0.0, 0.0, 33.33333, 100.0, 66.66667],
                &[NULL, NULL, NULL, 66.66667, 100.0, 100.0, 66.66667, 100.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        let window = Fold::new(params.bars(0) + 1);
        Aroon { high: window.clone(), low: window, period: params.real(0) }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 2] {
        let recent = |peak: Peak| 100.0 * (self.period - peak.age) / self.period;
        [
            recent(self.low.push_row(Peak::from_value(-low))),
            recent(self.high.push_row(Peak::from_value(high))),
        ]
    }

    fn next_rows(&mut self, [high, low]: [&[f64]; 2], [down, up]: [&mut [f64]; 2]) {
        let period = self.period;
        let recent = |peak: Peak| 100.0 * (period - peak.age) / period;
        self.low.push_rows(low.iter().map(|low| Peak::from_value(-low)), |row, peak| {
            down[row] = recent(peak)
        });
        self.high.push_rows(high.iter().map(|high| Peak::from_value(*high)), |row, peak| {
            up[row] = recent(peak)
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Aroonosc(Aroon);

impl Indicator<2, 1> for Aroonosc {
    const SPEC: Spec = spec("aroonosc", "Aroon oscillator")
        .doc("aroonup - aroondown, from -100 to 100.", "Chande 1995; TA-Lib AROONOSC")
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 66.66667, 100.0, 66.66667, -33.33333, 33.33333]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Aroonosc(Aroon::new(params))
    }

    fn next(&mut self, row: [f64; 2]) -> [f64; 1] {
        let [down, up] = self.0.next(row);
        [up - down]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 2], [output]: [&mut [f64]; 1]) {
        let mut down = vec![f64::NAN; output.len()];
        self.0.next_rows(inputs, [&mut down, &mut *output]);
        output.iter_mut().zip(down).for_each(|(up, down)| *up -= down);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ultosc {
    close: f64,
    range: TrueRange,
    windows: [Fold<SumPair>; 3],
}

impl Indicator<3, 1> for Ultosc {
    const SPEC: Spec = spec("ultosc", "Ultimate oscillator")
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
    /// The buying pressure of a bar and its true range.
    fn buying_pressure(&mut self, high: f64, low: f64, close: f64) -> SumPair {
        let previous = std::mem::replace(&mut self.close, close);
        SumPair(close - low.min(previous), self.range.next_range(high, low, close))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cmo(AverageMoves);

impl Indicator<1, 1> for Cmo {
    const SPEC: Spec = spec("cmo", "Chande momentum oscillator")
        .doc(
            "The average gain less the average loss as a share of the average move, from -100 \
             to 100: 100 * (gain - loss) / (gain + loss), both smoothed by Wilder as TA-Lib \
             does.",
            "Chande 1994; TA-Lib CMO",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 50.0, 71.42857, 4.34783, 26.05042, 56.0]]);

    fn lookback(params: &Params) -> usize {
        Rsi::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Rsi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        Cmo(AverageMoves::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [gain, loss] = self.0.next_moves(value);
        [100.0 * ratio_or_zero(gain - loss, gain + loss)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Bop;

impl Indicator<4, 1> for Bop {
    const SPEC: Spec = spec("bop", "Balance of power")
        .doc(
            "(close - open) / (high - low), from -1 to 1; 0 for a bar without range.",
            "Livshin 2001; TA-Lib BOP",
        )
        .inputs(&["open", "high", "low", "close"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[0.33333, 0.5, -0.33333, 0.33333, 0.33333, -0.4, 0.25, 0.5]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Bop
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 1] {
        [range_ratio(close - open, high, low)]
    }
}
