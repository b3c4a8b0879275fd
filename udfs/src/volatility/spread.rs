//! Ranges of bars and deviations of prices.

use crate::entry::{Entry, entry};
use crate::indicator::{
    Group, Indicator, Memory, NULL, Param, Params, Spec, average_param, bars, bounded_real,
    real_param,
};
use crate::kernel::{
    Average, Delay, Fold, MaType, Mean, Moments, Smoother, SumBlock, ratio_or_zero,
};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Adr, 2, 1>(),
    entry::<Cvi, 2, 1>(),
    entry::<Massi, 2, 1>(),
    entry::<Rvi, 1, 1>(),
    entry::<Rvir, 2, 1>(),
    entry::<Rogerssatchell, 4, 1>(),
    entry::<Bbw, 1, 1>(),
    entry::<Percentb, 1, 1>(),
];

const fn spread_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Volatility)
}

#[derive(Debug, Serialize, Deserialize)]
struct Adr(Mean);

impl Indicator<2, 1> for Adr {
    const SPEC: Spec = spread_spec("adr", "Average day range")
        .doc("The mean of high - low over n bars.", "TA-Lib ADR")
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 1)])
        .example(&[3.0], &[&[NULL, NULL, 1.66667, 1.66667, 1.5, 1.83333, 2.0, 2.16667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Adr(Mean::new(params.bars(0)))
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        [self.0.next(high - low)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cvi {
    average: Smoother,
    before: Delay,
}

impl Indicator<2, 1> for Cvi {
    const SPEC: Spec = spread_spec("cvi", "Chaikin's volatility")
        .doc(
            "The change over rocperiod bars, in percent, of the exponential average of high - \
             low.",
            "Chaikin; TA-Lib CVI",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 10, 2), bars("rocperiod", 10, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0, 2.0], &[&[NULL, NULL, NULL, NULL, -7.5, 27.63158, 30.40541, -0.7732]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1 + params.bars(1)
    }

    fn warmup(params: &Params) -> usize {
        MaType::Ema.warmup_over(params.bars(0)) + params.bars(1)
    }

    fn new(params: &Params) -> Self {
        Cvi {
            average: Smoother::from_ema_period(params.bars(0)),
            before: Delay::new(params.bars(1)),
        }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        let average = self.average.next(high - low);
        if average.is_nan() {
            return [f64::NAN];
        }
        let before = self.before.push(average);
        [100.0 * ratio_or_zero(average - before, before)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Massi {
    once: Smoother,
    twice: Smoother,
    total: Fold<SumBlock>,
}

impl Indicator<2, 1> for Massi {
    const SPEC: Spec = spread_spec("massi", "Mass index")
        .doc(
            "The sum over slowperiod bars of ema(r) / ema(ema(r)), with r = high - low and \
             averages over fastperiod bars; a bar without range counts as 1.",
            "Dorsey 1992; TA-Lib MASSI",
        )
        .inputs(&["high", "low"])
        .params(&[bars("fastperiod", 9, 2), bars("slowperiod", 25, 2)])
        .memory(Memory::Recursive)
        .example(&[2.0, 3.0], &[&[NULL, NULL, NULL, NULL, 2.90648, 3.06531, 3.11116, 3.12454]]);

    fn lookback(params: &Params) -> usize {
        2 * (params.bars(0) - 1) + params.bars(1) - 1
    }

    fn warmup(params: &Params) -> usize {
        MaType::Dema.warmup_over(params.bars(0)) + params.bars(1)
    }

    fn new(params: &Params) -> Self {
        let average = Smoother::from_ema_period(params.bars(0));
        Massi { once: average.clone(), twice: average, total: Fold::new(params.bars(1)) }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        let once = self.once.next(high - low);
        let twice = self.twice.next(once);
        if twice.is_nan() {
            return [f64::NAN];
        }
        let ratio = if twice == 0.0 { 1.0 } else { once / twice };
        [self.total.push_row(SumBlock(ratio)).0]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rvi {
    previous: f64,
    window: Fold<Moments>,
    count: f64,
    up: Smoother,
    down: Smoother,
}

impl Indicator<1, 1> for Rvi {
    const SPEC: Spec = spread_spec("rvi", "Relative volatility index")
        .doc(
            "The share of rising rows in the deviation, from 0 to 100: the population \
             standard deviation over stddevperiod rows counts as up where the value rose and \
             as down where it fell, both smoothed by Wilder; 50 where there is none.",
            "Dorsey 1993; TA-Lib RVI",
        )
        .params(&[bars("timeperiod", 14, 1), bars("stddevperiod", 10, 2)])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 3.0],
            &[&[NULL, NULL, NULL, 36.60254, 78.41292, 39.26409, 67.42951, 86.52294]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) + params.bars(1) - 2
    }

    fn warmup(params: &Params) -> usize {
        Rvi::lookback(params) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        let smooth = Smoother::from_wilder_period(params.bars(0));
        Rvi {
            previous: f64::NAN,
            window: Fold::new(params.bars(1)),
            count: params.real(1),
            up: smooth.clone(),
            down: smooth,
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let previous = std::mem::replace(&mut self.previous, value);
        let window = self.window.push_row(Moments::from_value(value));
        let deviation = (window.squares / self.count).sqrt();
        if deviation.is_nan() {
            return [f64::NAN];
        }
        let up = self.up.next(if value > previous { deviation } else { 0.0 });
        let down = self.down.next(if value < previous { deviation } else { 0.0 });
        let both = up + down;
        [if both == 0.0 { 50.0 } else { 100.0 * (up / both) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rvir {
    high: Rvi,
    low: Rvi,
}

impl Indicator<2, 1> for Rvir {
    const SPEC: Spec = spread_spec("rvir", "Relative volatility index, refined")
        .doc("The mean of rvi of the high and of the low.", "Dorsey 1995; TA-Lib RVIR")
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 1), bars("stddevperiod", 10, 2)])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 3.0],
            &[&[NULL, NULL, NULL, 66.50321, 81.92394, 67.85717, 37.12689, 68.32803]],
        );

    fn lookback(params: &Params) -> usize {
        Rvi::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Rvi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        Rvir { high: Rvi::new(params), low: Rvi::new(params) }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        let ([high], [low]) = (self.high.next([high]), self.low.next([low]));
        [0.5 * (high + low)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rogerssatchell {
    mean: Mean,
    factor: f64,
}

impl Indicator<4, 1> for Rogerssatchell {
    const SPEC: Spec = spread_spec("rogerssatchell", "Rogers-Satchell volatility")
        .doc(
            "sqrt(annualization * sum(ln(h / c) * ln(h / o) + ln(l / c) * ln(l / o)) / n) \
             over n bars with open, high, low and close; a bar with a price that is not \
             positive counts as 0.",
            "Rogers and Satchell 1991; TA-Lib ROGERSSATCHELL",
        )
        .inputs(&["open", "high", "low", "close"])
        .params(&[bars("timeperiod", 10, 1), bounded_real("annualization", 252.0, 0.0, 3e37)])
        .example(
            &[3.0, 252.0],
            &[&[NULL, NULL, 1.65807, 1.61619, 1.45729, 1.65597, 1.83902, 1.90576]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Rogerssatchell { mean: Mean::new(params.bars(0)), factor: params.real(1).sqrt() }
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 1] {
        let positive = open > 0.0 && high > 0.0 && low > 0.0 && close > 0.0;
        let term = match positive {
            true => {
                (high / close).ln() * (high / open).ln() + (low / close).ln() * (low / open).ln()
            }
            false => 0.0,
        };
        [self.factor * self.mean.next(term).max(0.0).sqrt()]
    }
}

/// A moving average with a population standard deviation of the same rows.
#[derive(Debug, Serialize, Deserialize)]
struct DeviationBands {
    middle: Average,
    window: Fold<Moments>,
    count: f64,
    up: f64,
    down: f64,
}

impl DeviationBands {
    fn new(params: &Params) -> Self {
        DeviationBands {
            middle: Average::new(params.average(3), params.bars(0)),
            window: Fold::new(params.bars(0)),
            count: params.real(0),
            up: params.real(1),
            down: params.real(2),
        }
    }

    /// Returns the middle, the lower band and the distance between both bands.
    fn next_bands(&mut self, value: f64) -> [f64; 3] {
        let middle = self.middle.next(value);
        let deviation =
            (self.window.push_row(Moments::from_value(value)).squares / self.count).sqrt();
        [middle, middle - deviation * self.down, deviation * (self.up + self.down)]
    }

    fn lookback(params: &Params) -> usize {
        params.average(3).lookback_over(params.bars(0)).max(params.bars(0) - 1)
    }
}

/// The parameters of Bollinger bands.
const DEVIATION_BANDS: &[Param] = &[
    bars("timeperiod", 20, 2),
    real_param("nbdevup", 2.0),
    real_param("nbdevdn", 2.0),
    average_param("matype", MaType::Sma),
];

#[derive(Debug, Serialize, Deserialize)]
struct Bbw(DeviationBands);

impl Indicator<1, 1> for Bbw {
    const SPEC: Spec = spread_spec("bbw", "Bollinger band width")
        .doc(
            "The distance between the Bollinger bands in percent of the middle.",
            "Bollinger; TA-Lib BBW",
        )
        .params(DEVIATION_BANDS)
        .example(
            &[3.0, 2.0, 2.0, 0.0],
            &[&[NULL, NULL, 14.84539, 8.3189, 21.3809, 15.9348, 13.60828, 20.50223]],
        );

    fn lookback(params: &Params) -> usize {
        DeviationBands::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        params.average(3).warmup_over(params.bars(0))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(3).memory_class()
    }

    fn new(params: &Params) -> Self {
        Bbw(DeviationBands::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [middle, _, width] = self.0.next_bands(value);
        [if width.is_nan() { width } else { 100.0 * ratio_or_zero(width, middle) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Percentb(DeviationBands);

impl Indicator<1, 1> for Percentb {
    const SPEC: Spec = spread_spec("percentb", "Bollinger %b")
        .doc(
            "The place of the value between the Bollinger bands: 0 at the lower one, 1 at the \
             upper one, 0.5 where they meet.",
            "Bollinger; TA-Lib PERCENTB",
        )
        .params(DEVIATION_BANDS)
        .example(
            &[3.0, 2.0, 2.0, 0.0],
            &[&[NULL, NULL, 0.5, 0.67678, 0.83408, 0.32322, 0.5, 0.83408]],
        );

    fn lookback(params: &Params) -> usize {
        DeviationBands::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        params.average(3).warmup_over(params.bars(0))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(3).memory_class()
    }

    fn new(params: &Params) -> Self {
        Percentb(DeviationBands::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [_, lower, width] = self.0.next_bands(value);
        [if width == 0.0 { 0.5 } else { (value - lower) / width }]
    }
}
