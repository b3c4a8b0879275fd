//! Trailing stops: lines that follow the price and change sides when it crosses them.

use crate::entry::{Entry, entry};
use crate::indicator::{
    Indicator, Memory, NULL, Param, Params, Spec, bars, bounded_real, real_param,
};
use crate::kernel::{Fold, Highest, Lowest, Smoother, TrueRange};
use serde::{Deserialize, Serialize};

use super::overlap_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Sar, 2, 1>(),
    entry::<Sarext, 2, 1>(),
    entry::<Supertrend, 3, 2>(),
    entry::<Cksp, 3, 2>(),
    entry::<Zigzag, 2, 3>(),
];

const fn positive_param(name: &'static str, default: f64) -> Param {
    bounded_real(name, default, 0.0, 3e37)
}

/// How fast a parabolic stop follows the price on one side.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Acceleration {
    first: f64,
    step: f64,
    most: f64,
}

impl Acceleration {
    fn new(first: f64, step: f64, most: f64) -> Self {
        Acceleration { first: first.min(most), step: step.min(most), most }
    }
}

/// The stop and what it follows. On the short side all prices are negative, so that one rule serves both.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Trail {
    long: bool,
    stop: f64,
    extreme: f64,
    factor: f64,
}

/// Wilder's parabolic stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ParabolicStop {
    /// High and low of the row before; NaN before the first.
    before: [f64; 2],
    trail: Option<Trail>,
    /// The stop to begin with: 0 for the rule of Wilder, negative for the short side.
    start: f64,
    /// The share of the stop that is added when it changes sides.
    offset: f64,
    long: Acceleration,
    short: Acceleration,
}

impl ParabolicStop {
    fn new(start: f64, offset: f64, long: Acceleration, short: Acceleration) -> Self {
        ParabolicStop { before: [f64::NAN; 2], trail: None, start, offset, long, short }
    }

    fn acceleration(&self, long: bool) -> Acceleration {
        if long { self.long } else { self.short }
    }

    /// Returns the stop of a bar, negative on the short side; NaN for the first bar.
    fn next_stop(&mut self, high: f64, low: f64) -> f64 {
        let before = std::mem::replace(&mut self.before, [high, low]);
        if before[0].is_nan() {
            return f64::NAN;
        }
        let (trail, before) = match self.trail {
            Some(trail) => (trail, before),
            None => (self.first_trail(before, [high, low]), [high, low]),
        };
        let (stop, next) = self.advance(trail, before, [high, low]);
        // Prices that overflow the arithmetic leave the trail as it was.
        if !next.stop.is_finite() || !stop.is_finite() {
            return f64::NAN;
        }
        self.trail = Some(next);
        stop
    }

    /// Returns the trail before the second bar: short if the low fell by more than the high rose.
    fn first_trail(&self, [before_high, before_low]: [f64; 2], [high, low]: [f64; 2]) -> Trail {
        let (up, down) = (high - before_high, before_low - low);
        let long = match self.start {
            0.0 => !(down > up && down > 0.0),
            start => start > 0.0,
        };
        let stop = match self.start {
            0.0 if long => before_low,
            0.0 => -before_high,
            start => start,
        };
        let extreme = if long { high } else { -low };
        Trail { long, stop, extreme, factor: self.acceleration(long).first }
    }

    /// Returns the stop of a bar, and the trail after it.
    fn advance(&self, mut trail: Trail, before: [f64; 2], bar: [f64; 2]) -> (f64, Trail) {
        let mirror =
            |long: bool, [high, low]: [f64; 2]| if long { [high, low] } else { [-low, -high] };
        let [_, low] = mirror(trail.long, bar);
        let reversed = low <= trail.stop;
        if reversed {
            trail.long = !trail.long;
            trail.stop = -trail.extreme;
        }
        let ([_, before_low], [high, low]) = (mirror(trail.long, before), mirror(trail.long, bar));
        let stop;
        if reversed {
            trail.stop = trail.stop.min(before_low).min(low);
            if self.offset != 0.0 {
                let sign = if trail.long { -1.0 } else { 1.0 };
                trail.stop += sign * trail.stop * self.offset;
            }
            stop = trail.stop;
            trail.factor = self.acceleration(trail.long).first;
            trail.extreme = high;
        } else {
            stop = trail.stop;
            if high > trail.extreme {
                let Acceleration { step, most, .. } = self.acceleration(trail.long);
                trail.extreme = high;
                trail.factor = (trail.factor + step).min(most);
            }
        }
        let next = trail.factor.mul_add(trail.extreme - trail.stop, trail.stop);
        trail.stop = next.min(before_low).min(low);
        (stop, trail)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Sar(ParabolicStop);

impl Indicator<2, 1> for Sar {
    const SPEC: Spec = overlap_spec("sar", "Parabolic SAR")
        .doc(
            "A stop that goes towards the highest high (in a rise) or the lowest low (in a \
             fall) by a share that grows by acceleration with every new extreme, up to \
             maximum, and changes sides when the price meets it.",
            "Wilder 1978; TA-Lib SAR",
        )
        .inputs(&["high", "low"])
        .params(&[positive_param("acceleration", 0.02), positive_param("maximum", 0.2)])
        .memory(Memory::Cumulative)
        .example(&[0.02, 0.2], &[&[NULL, 9.5, 9.55, 9.668, 9.78128, 9.9744, 10.25645, 10.5]]);

    fn lookback(_: &Params) -> usize {
        1
    }

    fn new(params: &Params) -> Self {
        let side = Acceleration::new(params.real(0), params.real(0), params.real(1));
        Sar(ParabolicStop::new(0.0, 0.0, side, side))
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        let stop = self.0.next_stop(high, low);
        let short = self.0.trail.is_some_and(|trail| !trail.long);
        [if short { -stop } else { stop }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Sarext(ParabolicStop);

impl Indicator<2, 1> for Sarext {
    const SPEC: Spec = overlap_spec("sarext", "Parabolic SAR, extended")
        .doc(
            "The parabolic SAR with a start, an offset that is added when it changes sides, \
             and accelerations of their own for both sides. Values of the short side are \
             negative.",
            "Wilder 1978; TA-Lib SAREXT",
        )
        .inputs(&["high", "low"])
        .params(&[
            real_param("startvalue", 0.0),
            positive_param("offsetonreverse", 0.0),
            positive_param("accelerationinitlong", 0.02),
            positive_param("accelerationlong", 0.02),
            positive_param("accelerationmaxlong", 0.2),
            positive_param("accelerationinitshort", 0.02),
            positive_param("accelerationshort", 0.02),
            positive_param("accelerationmaxshort", 0.2),
        ])
        .memory(Memory::Cumulative)
        .example(
            &[0.0, 0.0, 0.02, 0.02, 0.2, 0.02, 0.02, 0.2],
            &[&[NULL, 9.5, 9.55, 9.668, 9.78128, 9.9744, 10.25645, 10.5]],
        );

    fn lookback(_: &Params) -> usize {
        1
    }

    fn new(params: &Params) -> Self {
        let side = |at: usize| {
            Acceleration::new(params.real(at), params.real(at + 1), params.real(at + 2))
        };
        Sarext(ParabolicStop::new(params.real(0), params.real(1), side(2), side(5)))
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        [self.0.next_stop(high, low)]
    }
}

/// Seban's supertrend: bands around the middle of the bar that only come nearer.
#[derive(Debug, Serialize, Deserialize)]
struct Supertrend {
    range: TrueRange,
    average: Smoother,
    times: f64,
    upper: f64,
    lower: f64,
    close: f64,
    rising: bool,
}

impl Indicator<3, 2> for Supertrend {
    const SPEC: Spec = overlap_spec("supertrend", "Supertrend")
        .doc(
            "Bands multiplier average true ranges above and below the middle of the bar, \
             which only come nearer while the close stays between them; the lower one in a \
             rise (trend 1), the upper one in a fall (trend -1). A close beyond the band \
             changes the trend.",
            "Seban; TA-Lib SUPERTREND",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 10, 2), positive_param("multiplier", 3.0)])
        .outputs(&["supertrend", "trend"])
        .integers(&["trend"])
        .memory(Memory::Cumulative)
        .example(
            &[2.0, 1.0],
            &[
                &[NULL, NULL, 10.0, 10.0, 10.6875, 10.6875, 10.6875, 10.6875],
                &[NULL, NULL, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Supertrend {
            range: TrueRange::default(),
            average: Smoother::from_wilder_period(params.bars(0)),
            times: params.real(1),
            upper: f64::INFINITY,
            lower: f64::NEG_INFINITY,
            close: f64::NAN,
            rising: true,
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let range = self.average.next(self.range.next_range(high, low, close));
        let (middle, band) = ((high + low) / 2.0, self.times * range);
        let (upper, lower) = (middle + band, middle - band);
        if !upper.is_finite() || !lower.is_finite() {
            return [f64::NAN; 2];
        }
        if upper < self.upper || self.close > self.upper {
            self.upper = upper;
        }
        if lower > self.lower || self.close < self.lower {
            self.lower = lower;
        }
        // The first band begins a rise whatever the close is.
        if !self.close.is_nan() {
            self.rising = if self.rising { close >= self.lower } else { close > self.upper };
        }
        self.close = close;
        if self.rising { [self.lower, 1.0] } else { [self.upper, -1.0] }
    }
}

/// The stops of Chande and Kroll.
#[derive(Debug, Serialize, Deserialize)]
struct Cksp {
    range: TrueRange,
    average: Smoother,
    times: f64,
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    high_stop: Fold<Highest>,
    low_stop: Fold<Lowest>,
}

impl Indicator<3, 2> for Cksp {
    const SPEC: Spec = overlap_spec("cksp", "Chande Kroll stop")
        .doc(
            "highstop: the highest over stopperiod bars of the highest high of timeperiod \
             bars less multiplier average true ranges; lowstop: the lowest of the lowest low \
             plus them.",
            "Chande and Kroll 1994; TA-Lib CKSP",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("timeperiod", 10, 2),
            positive_param("multiplier", 1.0),
            bars("stopperiod", 9, 1),
        ])
        .outputs(&["highstop", "lowstop"])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 1.0, 2.0],
            &[
                &[NULL, NULL, NULL, 10.875, 11.4375, 11.46875, 11.48438, 11.49219],
                &[NULL, NULL, NULL, 11.75, 12.0625, 12.0625, 12.51563, 12.50781],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) + params.bars(2) - 1
    }

    fn warmup(params: &Params) -> usize {
        Cksp::lookback(params) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Cksp {
            range: TrueRange::default(),
            average: Smoother::from_wilder_period(params.bars(0)),
            times: params.real(1),
            highest: Fold::new(params.bars(0)),
            lowest: Fold::new(params.bars(0)),
            high_stop: Fold::new(params.bars(2)),
            low_stop: Fold::new(params.bars(2)),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let width = self.times * self.average.next(self.range.next_range(high, low, close));
        let high_stop = self.highest.push_row(Highest(high)).0 - width;
        let low_stop = self.lowest.push_row(Lowest(low)).0 + width;
        [self.high_stop.push_row(Highest(high_stop)).0, self.low_stop.push_row(Lowest(low_stop)).0]
    }
}

/// The legs between turning points.
#[derive(Debug, Serialize, Deserialize)]
struct Zigzag {
    share: f64,
    least: usize,
    rising: bool,
    pivot: f64,
    since: usize,
}

impl Indicator<2, 3> for Zigzag {
    const SPEC: Spec = overlap_spec("zigzag", "Zig zag")
        .doc(
            "The extreme of the leg so far (zigzag), its direction (trend, 1 or -1) and how \
             many bars ago that extreme was (pivotidx; TA-Lib gives its position). A leg \
             turns when the price comes back by sensitivity percent from its extreme, at \
             least mintrendlength bars after it. Each row says what was known at that row: a \
             chart, which draws straight lines between the final turning points, moves the \
             last one until the next leg confirms it.",
            "TA-Lib ZIGZAG",
        )
        .inputs(&["high", "low"])
        .params(&[bounded_real("sensitivity", 5.0, 0.0, 100.0), bars("mintrendlength", 1, 1)])
        .outputs(&["zigzag", "trend", "pivotidx"])
        .integers(&["trend", "pivotidx"])
        .memory(Memory::Cumulative)
        .example(
            &[5.0, 1.0],
            &[
                &[NULL, 12.0, 11.0, 12.0, 13.0, 11.0, 12.5, 11.5],
                &[NULL, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0],
                &[NULL, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(1)
    }

    fn new(params: &Params) -> Self {
        Zigzag {
            share: params.real(0) / 100.0,
            least: params.bars(1),
            rising: false,
            pivot: f64::NAN,
            since: 0,
        }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 3] {
        if self.pivot.is_nan() {
            self.pivot = low;
            return [f64::NAN; 3];
        }
        self.since += 1;
        let (extreme, other) = if self.rising { (high, low) } else { (low, high) };
        let turned = match self.rising {
            true => low <= self.pivot * (1.0 - self.share),
            false => high >= self.pivot * (1.0 + self.share),
        };
        let further = if self.rising { extreme >= self.pivot } else { extreme <= self.pivot };
        if turned && self.since >= self.least {
            (self.rising, self.pivot, self.since) = (!self.rising, other, 0);
        } else if further {
            (self.pivot, self.since) = (extreme, 0);
        }
        [self.pivot, if self.rising { 1.0 } else { -1.0 }, self.since as f64]
    }
}
