//! Averages that adapt to the market or have weights of a certain shape, and the cloud of averages of ranges.

use crate::entry::{Entry, entry};
use crate::indicator::{
    Indicator, Memory, NULL, Params, Spec, average_param, bars, bounded_real, sorted_bars,
};
use crate::kernel::{
    Average, Fold, GaussianMean, Highest, Lowest, MaType, Smoother, VariableIndexAverage,
};
use serde::{Deserialize, Serialize};

use super::overlap_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Alma, 1, 1>(),
    entry::<Vidya, 1, 1>(),
    entry::<Mcgd, 1, 1>(),
    entry::<Frama, 2, 1>(),
    entry::<Ichimoku, 2, 4>(),
    entry::<Mavp, 2, 1>(),
];

#[derive(Debug, Serialize, Deserialize)]
struct Alma(GaussianMean);

impl Indicator<1, 1> for Alma {
    const SPEC: Spec = overlap_spec("alma", "Arnaud Legoux moving average")
        .doc(
            "The mean of the last n values with the weights of a bell curve: exp(-(i - m)^2 / \
             (2 * s^2)) for the i-th from the oldest, with m = floor(offset * (n - 1)) and s \
             = n / sigma.",
            "Legoux and Kouzis-Loukas 2009; TA-Lib ALMA",
        )
        .params(&[
            bars("timeperiod", 9, 1),
            bounded_real("sigma", 6.0, 0.01, 3e37),
            bounded_real("offset", 0.85, 0.0, 1.0),
        ])
        .example(
            &[3.0, 6.0, 0.85],
            &[&[NULL, NULL, 11.34024, 11.10651, 11.55325, 12.28699, 11.65976, 12.05325]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Alma(GaussianMean::new(params.bars(0), params.real(1), params.real(2)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

/// Chande's average. Over one row it is the value itself.
#[derive(Debug, Serialize, Deserialize)]
struct Vidya {
    average: VariableIndexAverage,
    plain: bool,
}

impl Indicator<1, 1> for Vidya {
    const SPEC: Spec = overlap_spec("vidya", "Variable index dynamic average")
        .doc(
            "An exponential average whose weight 2 / (n + 1) is multiplied by abs(cmou(x, \
             cmoperiod)) / 100, seeded with the first value.",
            "Chande 1992; TA-Lib VIDYA",
        )
        .params(&[bars("timeperiod", 12, 1), bars("cmoperiod", 9, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0, 2.0], &[&[NULL, NULL, 11.0, 11.0, 11.75, 11.75, 11.79167, 12.39583]]);

    fn lookback(params: &Params) -> usize {
        if params.bars(0) == 1 { 0 } else { params.bars(1) }
    }

    fn warmup(params: &Params) -> usize {
        VariableIndexAverage::warmup_over(params.bars(0), params.bars(1))
    }

    fn new(params: &Params) -> Self {
        Vidya {
            average: VariableIndexAverage::new(params.bars(0), params.bars(1)),
            plain: params.bars(0) == 1,
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [if self.plain { value } else { self.average.next(value) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Mcgd {
    value: f64,
    length: f64,
}

impl Indicator<1, 1> for Mcgd {
    const SPEC: Spec = overlap_spec("mcgd", "McGinley dynamic")
        .doc(
            "md + (x - md) / (n * (x / md)^4), seeded with the first value: it follows a fall \
             faster than a rise.",
            "McGinley 1991; TA-Lib MCGD",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(
            &[3.0],
            &[&[NULL, NULL, 10.81269, 10.99174, 11.29233, 11.35669, 11.52871, 11.83205]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn warmup(params: &Params) -> usize {
        2 * Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Mcgd { value: f64::NAN, length: params.real(0) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        if self.value.is_nan() {
            self.value = value;
            return [value];
        }
        let square = (value / self.value) * (value / self.value);
        let next = self.value + (value - self.value) / (self.length * (square * square));
        if next.is_finite() {
            self.value = next;
        }
        [self.value]
    }
}

/// Ehlers' average, which adapts to the fractal dimension of the price.
#[derive(Debug, Serialize, Deserialize)]
struct Frama {
    new_half: (Fold<Highest>, Fold<Lowest>),
    /// Extremes of the half before, which wait until they are that old.
    old_half: std::collections::VecDeque<[f64; 2]>,
    value: f64,
    missing: usize,
}

impl Indicator<2, 1> for Frama {
    const SPEC: Spec = overlap_spec("frama", "Fractal adaptive moving average")
        .doc(
            "An exponential average of (high + low) / 2 with weight exp(-4.6 * (d - 1)), \
             where d - 1 = log2((r1 + r2) / r) compares the ranges of both halves of the last \
             n bars with that of all: 1 in a straight move. n is even.",
            "Ehlers 2005; TA-Lib FRAMA",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 16, 2)])
        .memory(Memory::Recursive)
        .example(&[4.0], &[&[NULL, NULL, NULL, NULL, 11.28371, 11.34925, 11.35195, 11.3725]]);

    fn refuse_params(params: &Params) -> Option<&'static str> {
        (params.bars(0) % 2 == 1).then_some("expected an even timeperiod")
    }

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + 4000
    }

    fn new(params: &Params) -> Self {
        let half = params.bars(0) / 2;
        Frama {
            new_half: (Fold::new(half), Fold::new(half)),
            old_half: vec![[f64::NAN; 2]; half].into(),
            value: f64::NAN,
            missing: params.bars(0),
        }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        let (high1, low1) =
            (self.new_half.0.push_row(Highest(high)).0, self.new_half.1.push_row(Lowest(low)).0);
        let [high2, low2] = self.old_half.pop_front().unwrap_or([f64::NAN; 2]);
        self.old_half.push_back([high1, low1]);
        let price = (high + low) / 2.0;
        if self.missing > 0 {
            self.missing -= 1;
            self.value = price;
            return [f64::NAN];
        }
        let (one, other) = (high1 - low1, high2 - low2);
        let all = high1.max(high2) - low1.min(low2);
        let next = if one > 0.0 && other > 0.0 && one + other > all {
            let alpha = (-4.6 * ((one + other) / all).log2()).exp();
            self.value + (price - self.value) * alpha
        } else {
            price
        };
        if next.is_finite() {
            self.value = next;
        }
        [next]
    }
}

/// The middle of the range of one of the cloud's windows.
#[derive(Debug, Serialize, Deserialize)]
struct RangeMiddle(Fold<Highest>, Fold<Lowest>);

impl RangeMiddle {
    fn new(length: usize) -> Self {
        RangeMiddle(Fold::new(length), Fold::new(length))
    }

    fn next(&mut self, high: f64, low: f64) -> f64 {
        (self.0.push_row(Highest(high)).0 + self.1.push_row(Lowest(low)).0) / 2.0
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ichimoku([RangeMiddle; 3]);

impl Indicator<2, 4> for Ichimoku {
    const SPEC: Spec = overlap_spec("ichimoku", "Ichimoku cloud")
        .doc(
            "The midprice over tenkanperiod (tenkansen) and kijunperiod bars (kijunsen), the \
             mean of both (senkouspana), and the midprice over senkoubperiod bars \
             (senkouspanb). Nothing is displaced: a chart draws the spans kijunperiod bars \
             later.",
            "Hosoda 1969; TA-Lib ICHIMOKU",
        )
        .inputs(&["high", "low"])
        .params(&[
            bars("tenkanperiod", 9, 2),
            bars("kijunperiod", 26, 2),
            bars("senkoubperiod", 52, 2),
        ])
        .outputs(&["tenkansen", "kijunsen", "senkouspana", "senkouspanb"])
        .example(
            &[2.0, 3.0, 4.0],
            &[
                &[NULL, NULL, NULL, 11.5, 11.75, 12.25, 12.0, 12.0],
                &[NULL, NULL, NULL, 11.25, 11.75, 12.0, 12.0, 12.0],
                &[NULL, NULL, NULL, 11.375, 11.75, 12.125, 12.0, 12.0],
                &[NULL, NULL, NULL, 11.0, 11.5, 12.0, 12.0, 12.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1)).max(params.bars(2)) - 1
    }

    fn new(params: &Params) -> Self {
        Ichimoku([0, 1, 2].map(|at| RangeMiddle::new(params.bars(at))))
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 4] {
        let [tenkan, kijun, span] = self.0.each_mut().map(|window| window.next(high, low));
        [tenkan, kijun, (tenkan + kijun) / 2.0, span]
    }
}

/// A moving average over as many rows as a second input says. Every length has an average of its own; all give their
/// first value on the same row, as in TA-Lib.
#[derive(Debug, Serialize, Deserialize)]
struct Mavp {
    least: usize,
    averages: Vec<(usize, Average)>,
}

impl Indicator<2, 1> for Mavp {
    const SPEC: Spec = overlap_spec("mavp", "Moving average with variable period")
        .doc(
            "The moving average of x over as many rows as periods says in its row, cut to a \
             whole number from minperiod to maxperiod.",
            "TA-Lib MAVP",
        )
        .inputs(&["close", "periods"])
        .params(&[
            sorted_bars("minperiod", 2, 1),
            sorted_bars("maxperiod", 30, 1),
            average_param("matype", MaType::Sma),
        ])
        .example(
            &[2.0, 3.0, 0.0],
            &[&[NULL, NULL, 11.0, 11.25, 11.66667, 11.83333, 11.75, 12.16667]],
        );

    fn refuse_params(params: &Params) -> Option<&'static str> {
        (params.bars(0) > params.bars(1)).then_some("expected minperiod <= maxperiod")
    }

    fn lookback(params: &Params) -> usize {
        params.average(2).lookback_over(params.bars(1))
    }

    fn warmup(params: &Params) -> usize {
        params.average(2).warmup_over(params.bars(1))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(2).memory_class()
    }

    fn new(params: &Params) -> Self {
        let (ma, most) = (params.average(2), Mavp::lookback(params));
        let lengths = params.bars(0)..=params.bars(1);
        let averages = lengths.map(|length| {
            (most.saturating_sub(ma.lookback_over(length)), Average::new(ma, length))
        });
        Mavp { least: params.bars(0), averages: averages.collect() }
    }

    fn next(&mut self, [value, period]: [f64; 2]) -> [f64; 1] {
        let last = self.averages.len() - 1;
        let chosen = (period.max(self.least as f64) as usize - self.least).min(last);
        let mut result = f64::NAN;
        for (i, (wait, average)) in self.averages.iter_mut().enumerate() {
            if *wait > 0 {
                *wait -= 1;
                continue;
            }
            let next = average.next(value);
            if i == chosen {
                result = next;
            }
        }
        [result]
    }
}
