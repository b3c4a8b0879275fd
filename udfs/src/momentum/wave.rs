//! Waves of the price: averages of its place in a range or a channel, and turning points.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, bars, bounded_real};
use crate::kernel::{
    Average, Delay, Fold, Highest, Lowest, MaType, Mean, Moments, Smoother, Trend, TrueRange,
    is_noise, typical_price,
};
use serde::{Deserialize, Serialize};

use super::momentum_spec;
use super::strength::Rsi;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Dosc, 1, 1>(),
    entry::<Pso, 3, 1>(),
    entry::<Stc, 1, 1>(),
    entry::<Wavetrend, 3, 2>(),
    entry::<Sqzmom, 3, 2>(),
    entry::<Fractal, 2, 2>(),
];

/// Brown's derivative oscillator.
#[derive(Debug, Serialize, Deserialize)]
struct Dosc {
    rsi: Rsi,
    first: Smoother,
    second: Smoother,
    signal: Mean,
}

impl Indicator<1, 1> for Dosc {
    const SPEC: Spec = momentum_spec("dosc", "Derivative oscillator")
        .doc(
            "The rsi, smoothed by two exponential averages, less its mean over signalperiod rows.",
            "Brown 1999; TA-Lib DOSC",
        )
        .params(&[
            bars("timeperiod", 14, 2),
            bars("firstperiod", 5, 2),
            bars("secondperiod", 3, 2),
            bars("signalperiod", 9, 2),
        ])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 2.0, 2.0, 2.0],
            &[&[NULL, NULL, NULL, NULL, NULL, -7.80365, -1.27343, 4.94733]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) + (1..4).map(|at| params.bars(at) - 1).sum::<usize>()
    }

    fn warmup(params: &Params) -> usize {
        let smooth =
            Smoother::ema_fade_rows(params.bars(1)) + Smoother::ema_fade_rows(params.bars(2));
        Rsi::warmup(params) + smooth + params.bars(3)
    }

    fn new(params: &Params) -> Self {
        Dosc {
            rsi: Rsi::new(params),
            first: Smoother::from_ema_period(params.bars(1)),
            second: Smoother::from_ema_period(params.bars(2)),
            signal: Mean::new(params.bars(3)),
        }
    }

    fn next(&mut self, row: [f64; 1]) -> [f64; 1] {
        let [rsi] = self.rsi.next(row);
        let smooth = self.second.next(self.first.next(rsi));
        if smooth.is_nan() {
            return [f64::NAN];
        }
        [smooth - self.signal.next(smooth)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Pso {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    once: Average,
    twice: Average,
}

impl Indicator<3, 1> for Pso {
    const SPEC: Spec = momentum_spec("pso", "Premier stochastic oscillator")
        .doc(
            "(e^s - 1) / (e^s + 1), from -1 to 1, where s is the fast stochastic less 50, \
             divided by 10 and smoothed by two exponential averages.",
            "Leibfarth 2008; TA-Lib PSO",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("fastk_period", 8, 1), bars("emaperiod", 5, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0, 2.0], &[&[NULL, NULL, NULL, NULL, 0.58278, 0.09233, -0.01235, 0.61828]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1 + 2 * MaType::Ema.lookback_over(params.bars(1))
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + MaType::Dema.warmup_over(params.bars(1))
    }

    fn new(params: &Params) -> Self {
        let average = Average::new(MaType::Ema, params.bars(1));
        Pso {
            highest: Fold::new(params.bars(0)),
            lowest: Fold::new(params.bars(0)),
            once: average.clone(),
            twice: average,
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let highest = self.highest.push_row(Highest(high)).0;
        let lowest = self.lowest.push_row(Lowest(low)).0;
        let range = highest - lowest;
        let flat = is_noise(range, highest.abs() + lowest.abs());
        let place = if flat { 50.0 } else { 100.0 * ((close - lowest) / range) };
        let smooth = self.twice.next(self.once.next(0.1 * (place - 50.0)));
        [(0.5 * smooth).tanh()]
    }
}

/// Half of the Schaff trend cycle: the place of a value in its range, smoothed by one half from its first value. Where
/// there is no range, the place stays as it was.
#[derive(Debug, Serialize, Deserialize)]
struct CyclePlace {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    place: f64,
    smooth: f64,
}

impl CyclePlace {
    fn new(length: usize) -> Self {
        CyclePlace {
            highest: Fold::new(length),
            lowest: Fold::new(length),
            place: 0.0,
            smooth: f64::NAN,
        }
    }

    fn next_place(&mut self, value: f64) -> f64 {
        let highest = self.highest.push_row(Highest(value)).0;
        let lowest = self.lowest.push_row(Lowest(value)).0;
        let range = highest - lowest;
        if !range.is_finite() {
            return f64::NAN;
        }
        if range > 0.0 {
            self.place = (value - lowest) / range * 100.0;
        }
        self.smooth = match self.smooth.is_nan() {
            true => self.place,
            false => self.smooth + 0.5 * (self.place - self.smooth),
        };
        self.smooth
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stc {
    wait: usize,
    fast: Smoother,
    slow: Smoother,
    first: CyclePlace,
    second: CyclePlace,
}

impl Indicator<1, 1> for Stc {
    const SPEC: Spec = momentum_spec("stc", "Schaff trend cycle")
        .doc(
            "The difference of two exponential averages, twice replaced by its place in its \
             range over cycleperiod rows in percent, smoothed by one half each time.",
            "Schaff 1999; TA-Lib STC",
        )
        .params(&[bars("fastperiod", 23, 2), bars("slowperiod", 50, 2), bars("cycleperiod", 10, 2)])
        .memory(Memory::Recursive)
        .example(&[2.0, 3.0, 2.0], &[&[NULL, NULL, NULL, NULL, 100.0, 50.0, 75.0, 87.5]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1)) - 1 + 2 * (params.bars(2) - 1)
    }

    fn warmup(params: &Params) -> usize {
        let slow = params.bars(0).max(params.bars(1));
        Smoother::ema_fade_rows(slow) * 6 / 5 + 4 * params.bars(2) + 200
    }

    fn new(params: &Params) -> Self {
        let (one, other) = (params.bars(0), params.bars(1));
        let (fast, slow) = (one.min(other), one.max(other));
        Stc {
            wait: slow - fast,
            fast: Smoother::from_ema_period(fast),
            slow: Smoother::from_ema_period(slow),
            first: CyclePlace::new(params.bars(2)),
            second: CyclePlace::new(params.bars(2)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let slow = self.slow.next(value);
        if self.wait > 0 {
            self.wait -= 1;
            return [f64::NAN];
        }
        let line = self.fast.next(value) - slow;
        if !line.is_finite() {
            return [f64::NAN];
        }
        let first = self.first.next_place(line);
        [if first.is_nan() { first } else { self.second.next_place(first) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Wavetrend {
    before: [f64; 2],
    price: Smoother,
    distance: Smoother,
    average: Average,
    signal: Mean,
}

impl Indicator<3, 2> for Wavetrend {
    const SPEC: Spec = momentum_spec("wavetrend", "WaveTrend oscillator")
        .doc(
            "The distance of the typical price from its exponential average over \
             channelperiod bars, divided by 0.015 times the average size of that distance, \
             smoothed over averageperiod bars (wt1), and its mean over signalperiod bars \
             (wt2).",
            "LazyBear; TA-Lib WAVETREND",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("channelperiod", 10, 2),
            bars("averageperiod", 21, 1),
            bars("signalperiod", 4, 1),
        ])
        .outputs(&["wt1", "wt2"])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 2.0, 2.0],
            &[
                &[NULL, NULL, NULL, NULL, 66.77489, 23.73978, -39.01656, 43.6972],
                &[NULL, NULL, NULL, NULL, 49.45887, 45.25734, -7.63839, 2.34032],
            ],
        );

    fn lookback(params: &Params) -> usize {
        2 * (params.bars(0) - 1) + params.bars(1) - 1 + params.bars(2) - 1
    }

    fn warmup(params: &Params) -> usize {
        let smooth = MaType::Dema.warmup_over(params.bars(0));
        smooth + MaType::Ema.warmup_over(params.bars(1)) + params.bars(2)
    }

    fn new(params: &Params) -> Self {
        let smooth = Smoother::from_ema_period(params.bars(0));
        Wavetrend {
            before: [f64::NAN; 2],
            price: smooth.clone(),
            distance: smooth,
            average: Average::new(MaType::Ema, params.bars(1)),
            signal: Mean::new(params.bars(2)),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let price = typical_price(high, low, close);
        let average = self.price.next(price);
        let still = std::mem::replace(&mut self.before, [price, average]) == [price, average];
        let offset = if still { 0.0 } else { price - average };
        let scale = 0.015 * self.distance.next(offset.abs());
        if scale.is_nan() {
            return [f64::NAN; 2];
        }
        let wave = self.average.next(if scale > 0.0 { offset / scale } else { 0.0 });
        if wave.is_nan() {
            return [f64::NAN; 2];
        }
        let signal = self.signal.next(wave);
        [if signal.is_nan() { signal } else { wave }, signal]
    }
}

/// Carter's squeeze: Bollinger bands beside Keltner channels, and the momentum within them.
#[derive(Debug, Serialize, Deserialize)]
struct Sqzmom {
    bands: Fold<Moments>,
    count: f64,
    times: f64,
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    centre: Mean,
    true_range: TrueRange,
    range: Mean,
    factors: [f64; 3],
    line: Fold<Trend>,
    length: f64,
}

impl Sqzmom {
    /// Returns how far the bands have come into the channels: 3 within the narrow one, 2, 1, -1 outside the wide one.
    fn squeeze(&self, lower: f64, upper: f64, centre: f64, range: f64) -> f64 {
        let [wide, normal, narrow] = self.factors.map(|factor| factor * range);
        let within = |width: f64| lower > centre - width && upper < centre + width;
        if within(narrow) {
            3.0
        } else if within(normal) {
            2.0
        } else if within(wide) {
            1.0
        } else if lower < centre - wide && upper > centre + wide {
            -1.0
        } else {
            0.0
        }
    }
}

impl Indicator<3, 2> for Sqzmom {
    const SPEC: Spec = momentum_spec("sqzmom", "Squeeze momentum")
        .doc(
            "momentum: the end of the regression line over kcperiod bars of the close less \
             the mean of its midprice and its mean. squeeze: 3, 2 or 1 if the Bollinger bands \
             (bbperiod, nbdev) are within the mean of the close plus and minus factornarrow, \
             factornormal or factorwide mean true ranges over kcperiod bars, -1 if they are \
             wider than the wide channel, else 0.",
            "Carter 2005, LazyBear; TA-Lib SQZMOM",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("bbperiod", 20, 2),
            bounded_real("nbdev", 2.0, 0.0, 3e37),
            bars("kcperiod", 20, 2),
            bounded_real("factorwide", 2.0, 0.0, 3e37),
            bounded_real("factornormal", 1.5, 0.0, 3e37),
            bounded_real("factornarrow", 1.0, 0.0, 3e37),
        ])
        .outputs(&["momentum", "squeeze"])
        .integers(&["squeeze"])
        .example(
            &[2.0, 1.0, 2.0, 2.0, 1.5, 1.0],
            &[
                &[NULL, NULL, -0.25, 0.125, 0.625, -0.625, 0.125, 0.75],
                &[NULL, NULL, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0],
            ],
        );

    fn refuse_params(params: &Params) -> Option<&'static str> {
        let ordered = params.real(5) <= params.real(4) && params.real(4) <= params.real(3);
        (!ordered).then_some("expected factornarrow <= factornormal <= factorwide")
    }

    fn lookback(params: &Params) -> usize {
        (params.bars(0) - 1).max(params.bars(2)).max(2 * (params.bars(2) - 1))
    }

    fn new(params: &Params) -> Self {
        let length = params.bars(2);
        Sqzmom {
            bands: Fold::new(params.bars(0)),
            count: params.real(0),
            times: params.real(1),
            highest: Fold::new(length),
            lowest: Fold::new(length),
            centre: Mean::new(length),
            true_range: TrueRange::default(),
            range: Mean::new(length),
            factors: [params.real(3), params.real(4), params.real(5)],
            line: Fold::new(length),
            length: params.real(2),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let bands = self.bands.push_row(Moments::from_value(close));
        let (middle, width) =
            (bands.mean.mean_value(), (bands.squares / self.count).sqrt() * self.times);
        let highest = self.highest.push_row(Highest(high)).0;
        let lowest = self.lowest.push_row(Lowest(low)).0;
        let centre = self.centre.next(close);
        let range = self.range.next(self.true_range.next_range(high, low, close));
        let offset = close - ((highest + lowest) / 2.0 + centre) / 2.0;
        let line = self.line.push_row(Trend::from_value(offset));
        let n = self.length;
        let slope = line.products / (n * (n * n - 1.0) / 12.0);
        let momentum = line.mean.shift_by(slope * (n - 1.0) / 2.0).mean_value();
        [momentum, self.squeeze(middle - width, middle + width, centre, range)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Fractal {
    pivot: [Delay; 2],
    left: (Fold<Highest>, Fold<Lowest>),
    right: (Fold<Highest>, Fold<Lowest>),
    before: [Delay; 2],
}

impl Indicator<2, 2> for Fractal {
    const SPEC: Spec = momentum_spec("fractal", "Williams fractal")
        .doc(
            "100 where the bar of rightbars bars ago has a higher high (swinghigh) or a lower \
             low (swinglow) than the leftbars bars before and the rightbars bars after it, \
             else 0. It stands on the bar that confirms it; a chart draws it rightbars bars \
             earlier.",
            "Williams 1995; TA-Lib FRACTAL",
        )
        .inputs(&["high", "low"])
        .params(&[bars("leftbars", 2, 1), bars("rightbars", 2, 1)])
        .outputs(&["swinghigh", "swinglow"])
        .integers(&["swinghigh", "swinglow"])
        .example(
            &[1.0, 1.0],
            &[
                &[NULL, NULL, 0.0, 100.0, 0.0, 0.0, 100.0, 0.0],
                &[NULL, NULL, 0.0, 0.0, 100.0, 0.0, 0.0, 100.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) + params.bars(1)
    }

    fn new(params: &Params) -> Self {
        let (left, right) = (params.bars(0), params.bars(1));
        Fractal {
            pivot: [Delay::new(right), Delay::new(right)],
            left: (Fold::new(left), Fold::new(left)),
            right: (Fold::new(right), Fold::new(right)),
            before: [Delay::new(right + 1), Delay::new(right + 1)],
        }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 2] {
        let [early_high, early_low] = [self.before[0].push(high), self.before[1].push(low)];
        let tops =
            [self.left.0.push_row(Highest(early_high)).0, self.right.0.push_row(Highest(high)).0];
        let bottoms =
            [self.left.1.push_row(Lowest(early_low)).0, self.right.1.push_row(Lowest(low)).0];
        let (top, bottom) = (self.pivot[0].push(high), self.pivot[1].push(low));
        let signal = |found: bool| if found { 100.0 } else { 0.0 };
        [
            signal(tops.iter().all(|other| top > *other)),
            signal(bottoms.iter().all(|other| bottom < *other)),
        ]
    }
}
