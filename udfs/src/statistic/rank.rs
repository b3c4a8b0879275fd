//! Ranks within a window, and the shape of its distribution.

use crate::entry::{Entry, entry};
use crate::indicator::{
    Group, Indicator, Memory, NULL, Params, Spec, bars, bounded_real, sorted_bars,
};
use crate::kernel::{Fold, HigherMoments, SortedWindow, ratio_or_zero};
use crate::momentum::strength::Rsi;
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Median, 1, 1>(),
    entry::<NearestRank, 1, 1>(),
    entry::<Percentrank, 1, 1>(),
    entry::<Kurtosis, 1, 1>(),
    entry::<Crsi, 1, 1>(),
];

const fn rank_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Statistic)
}

#[derive(Debug, Serialize, Deserialize)]
struct Median {
    window: SortedWindow,
    middle: [usize; 2],
}

impl Indicator<1, 1> for Median {
    const SPEC: Spec = rank_spec("median", "Median")
        .doc(
            "The middle of the last n values in their order; the mean of the two in the \
             middle if n is even. Without a period median(x) is SQL's own.",
            "TA-Lib MEDIAN",
        )
        .params(&[sorted_bars("timeperiod", 30, 2)])
        .example(&[3.0], &[&[NULL, NULL, 11.0, 11.5, 11.5, 11.5, 12.0, 12.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        let length = params.bars(0);
        Median { window: SortedWindow::new(length), middle: [(length - 1) / 2, length / 2] }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        self.window.push(value);
        let [lower, upper] = self.middle.map(|rank| self.window.ranked(rank));
        // Half of each: the sum of two may overflow.
        [if lower == upper { lower } else { 0.5 * lower + 0.5 * upper }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct NearestRank {
    window: SortedWindow,
    rank: usize,
}

impl Indicator<1, 1> for NearestRank {
    const SPEC: Spec = rank_spec("percentile", "Percentile")
        .doc(
            "The smallest of the last n values that has at least the given percentage of them \
             at or below it (nearest rank).",
            "TA-Lib PERCENTILE",
        )
        .params(&[sorted_bars("timeperiod", 100, 2), bounded_real("percentile", 50.0, 0.0, 100.0)])
        .example(&[3.0, 50.0], &[&[NULL, NULL, 11.0, 11.5, 11.5, 11.5, 12.0, 12.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        let rank = (params.real(1) * params.real(0) / 100.0).ceil();
        let rank = rank.clamp(1.0, params.real(0)) as usize - 1;
        NearestRank { window: SortedWindow::new(params.bars(0)), rank }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        self.window.push(value);
        [self.window.ranked(self.rank)]
    }
}

/// The share of the rows before that are smaller, in percent.
#[derive(Debug, Serialize, Deserialize)]
struct Percentrank {
    window: SortedWindow,
    length: f64,
}

impl Percentrank {
    fn over_rows(length: usize) -> Self {
        Percentrank { window: SortedWindow::new(length), length: length as f64 }
    }
}

impl Indicator<1, 1> for Percentrank {
    const SPEC: Spec = rank_spec("percentrank", "Percent rank")
        .doc("How many of the n values before are smaller, in percent.", "TA-Lib PERCENTRANK")
        .params(&[sorted_bars("timeperiod", 100, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 66.66667, 100.0, 33.33333, 66.66667, 100.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Percentrank::over_rows(params.bars(0))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let below = self.window.count_below(value) as f64;
        self.window.push(value);
        [below / self.length * 100.0]
    }
}

/// The excess kurtosis of a sample.
#[derive(Debug, Serialize, Deserialize)]
struct Kurtosis {
    window: Fold<HigherMoments>,
    length: f64,
}

impl Indicator<1, 1> for Kurtosis {
    const SPEC: Spec = rank_spec("kurtosis", "Excess kurtosis")
        .doc(
            "How heavy the tails of the last n values are, 0 for a normal distribution: n * \
             (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * sum((x - mean)^4) / s^4 - 3 * (n - \
             1)^2 / ((n - 2) * (n - 3)), where s^2 = sum((x - mean)^2) / (n - 1); NULL where \
             all values are the same.",
            "TA-Lib KURTOSIS",
        )
        .params(&[sorted_bars("timeperiod", 30, 4)])
        .example(&[4.0], &[&[NULL, NULL, NULL, -1.28926, 2.22715, 2.22715, -1.28926, -1.2]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Kurtosis { window: Fold::new(params.bars(0)), length: params.real(0) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let window = self.window.push_row(HigherMoments::from_value(value));
        let n = self.length;
        let variance = window.squares / (n - 1.0);
        let scale = n * (n + 1.0) / ((n - 1.0) * (n - 2.0) * (n - 3.0));
        let normal = 3.0 * (n - 1.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0));
        [scale * (window.fourths / (variance * variance)) - normal]
    }
}

/// Connors' mean of three indices: of the price, of its streak, and of its last return.
#[derive(Debug, Serialize, Deserialize)]
struct Crsi {
    price: Rsi,
    streak: Rsi,
    rank: Percentrank,
    previous: f64,
    run: f64,
}

impl Indicator<1, 1> for Crsi {
    const SPEC: Spec = Spec::new("crsi", "Connors relative strength index", Group::Momentum)
        .doc(
            "The mean of rsi(x, timeperiod), of the rsi over streakperiod of the number of \
             rows in a row that x rose (positive) or fell (negative), and of the percent rank \
             of its return among the last rankperiod returns.",
            "Connors 2012; TA-Lib CRSI",
        )
        .params(&[
            bars("timeperiod", 3, 2),
            bars("streakperiod", 2, 2),
            sorted_bars("rankperiod", 100, 2),
        ])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 2.0, 3.0],
            &[&[NULL, NULL, NULL, NULL, 75.21368, 21.20051, 51.45969, 74.35678]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1) + 1).max(params.bars(2) + 1)
    }

    fn warmup(params: &Params) -> usize {
        Rsi::warmup(params).max(Rsi::warmup(&Params(&[params.real(1)]))) + params.bars(2) + 100
    }

    fn new(params: &Params) -> Self {
        Crsi {
            price: Rsi::new(params),
            streak: Rsi::new(&Params(&[params.real(1)])),
            rank: Percentrank::over_rows(params.bars(2)),
            previous: f64::NAN,
            run: 0.0,
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [price] = self.price.next([value]);
        let previous = std::mem::replace(&mut self.previous, value);
        if previous.is_nan() {
            return [f64::NAN];
        }
        self.run = if value > previous {
            self.run.max(0.0) + 1.0
        } else if value < previous {
            self.run.min(0.0) - 1.0
        } else {
            0.0
        };
        let [streak] = self.streak.next([self.run]);
        let change = ratio_or_zero(value - previous, previous);
        if !change.is_finite() {
            return [f64::NAN]; // A return that overflows has no rank.
        }
        let [rank] = self.rank.next([change]);
        [(price + streak + rank) / 3.0]
    }
}
