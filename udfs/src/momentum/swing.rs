//! Swings of the price and the cycle that they follow.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Param, Params, Spec, bars, bounded_real};
use crate::kernel::{Fold, Highest, Lowest, RunningTotal, SumBlock, WeightedSum, is_noise};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Ibs, 3, 1>(),
    entry::<Si, 4, 1>(),
    entry::<Asi, 4, 1>(),
    entry::<Chop, 3, 1>(),
    entry::<Choptr, 3, 1>(),
    entry::<Fisher, 2, 2>(),
    entry::<Cg, 1, 1>(),
];

#[derive(Debug, Serialize, Deserialize)]
struct Ibs;

impl Indicator<3, 1> for Ibs {
    const SPEC: Spec = momentum_spec("ibs", "Internal bar strength")
        .doc(
            "(close - low) / (high - low), from 0 to 1; 0.5 for a bar without range.",
            "TA-Lib IBS",
        )
        .inputs(&["high", "low", "close"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[0.66667, 0.75, 0.0, 0.66667, 0.66667, 0.2, 0.75, 0.75]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Ibs
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let range = high - low;
        [if range <= 0.0 { 0.5 } else { (close - low) / range }]
    }
}

const LIMIT_MOVE: &[Param] = &[bounded_real("limitmove", 3.0, 1e-8, 3e37)];

/// Wilder's swing index.
#[derive(Debug, Serialize, Deserialize)]
struct Si {
    close: f64,
    body: f64,
    limit: f64,
}

impl Indicator<4, 1> for Si {
    const SPEC: Spec = momentum_spec("si", "Swing index")
        .doc(
            "50 * n / r * k / limitmove, where n = close - close[1] + (close - open) / 2 + \
             (close[1] - open[1]) / 4, k is the larger distance of high and low from the \
             close before, and r is the largest of high - low and of each of these distances \
             less half the other one, plus a quarter of the body before; 0 where r is 0.",
            "Wilder 1978; TA-Lib SI",
        )
        .inputs(&["open", "high", "low", "close"])
        .params(LIMIT_MOVE)
        .example(
            &[3.0],
            &[&[NULL, 19.11765, -4.7619, 6.41026, 21.15385, -13.09524, 3.7037, 19.11765]],
        );

    fn lookback(_: &Params) -> usize {
        1
    }

    fn new(params: &Params) -> Self {
        Si { close: f64::NAN, body: f64::NAN, limit: params.real(0) }
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 1] {
        let before = std::mem::replace(&mut self.close, close);
        let body = close - open;
        let before_body = std::mem::replace(&mut self.body, body);
        if before.is_nan() {
            return [f64::NAN];
        }
        let change = (close - before) + 0.5 * body + 0.25 * before_body;
        let (up, down) = ((high - before).abs(), (low - before).abs());
        let range = (up - 0.5 * down).max(down - 0.5 * up).max((high - low).abs());
        let range = range + 0.25 * before_body.abs();
        [match range {
            0.0 => 0.0,
            _ => 50.0 * (change / range) * (up.max(down) / self.limit),
        }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Asi {
    swing: Si,
    total: RunningTotal,
}

impl Indicator<4, 1> for Asi {
    const SPEC: Spec = momentum_spec("asi", "Accumulative swing index")
        .doc(
            "The running total of the swing index, 0 for the first bar.",
            "Wilder 1978; TA-Lib ASI",
        )
        .inputs(&["open", "high", "low", "close"])
        .params(LIMIT_MOVE)
        .memory(Memory::Cumulative)
        .example(
            &[3.0],
            &[&[0.0, 19.11765, 14.35574, 20.766, 41.91984, 28.82461, 32.52831, 51.64596]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(params: &Params) -> Self {
        Asi { swing: Si::new(params), total: RunningTotal::default() }
    }

    fn next(&mut self, row: [f64; 4]) -> [f64; 1] {
        let first = self.swing.close.is_nan();
        let [swing] = self.swing.next(row);
        [self.total.add_finite(if first { 0.0 } else { swing })]
    }
}

/// The sum of true ranges of a window beside the height of a box around it.
#[derive(Debug, Serialize, Deserialize)]
struct RangeBox {
    close: f64,
    range: Fold<SumBlock>,
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    scale: f64,
}

impl RangeBox {
    fn new(params: &Params) -> Self {
        RangeBox {
            close: f64::NAN,
            range: Fold::new(params.bars(0)),
            highest: Fold::new(params.bars(0)),
            lowest: Fold::new(params.bars(0)),
            scale: params.real(0).log10(),
        }
    }

    /// Returns the choppiness; the box is around the bars, or around the true ranges if `wide`.
    fn next_choppiness(&mut self, high: f64, low: f64, close: f64, wide: bool) -> f64 {
        let before = std::mem::replace(&mut self.close, close);
        let (true_high, true_low) = (high.max(before), low.min(before));
        let range = if before.is_nan() { f64::NAN } else { true_high - true_low };
        let range = self.range.push_row(SumBlock(range)).0;
        let (high, low) = if wide { (true_high, true_low) } else { (high, low) };
        let height = self.highest.push_row(Highest(high)).0 - self.lowest.push_row(Lowest(low)).0;
        if range <= 0.0 || height <= 0.0 {
            100.0
        } else {
            100.0 * ((range / height).log10() / self.scale)
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Chop(RangeBox);

impl Indicator<3, 1> for Chop {
    const SPEC: Spec = momentum_spec("chop", "Choppiness index")
        .doc(
            "100 * log10(sum of true ranges / (highest high - lowest low)) / log10(n) over n \
             bars: near 100 when the price goes back and forth, low in a trend; 100 where \
             nothing moved.",
            "Dreiss; TA-Lib CHOP",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 63.09298, 53.50265, 55.17286, 63.09298, 70.37878]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Chop(RangeBox::new(params))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        [self.0.next_choppiness(high, low, close, false)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Choptr(RangeBox);

impl Indicator<3, 1> for Choptr {
    const SPEC: Spec = momentum_spec("choptr", "Choppiness index with true ranges")
        .doc(
            "As chop, with a box around the true highs and lows, which include the close before.",
            "Dreiss; TA-Lib CHOPTR",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 63.09298, 53.50265, 55.17286, 63.09298, 70.37878]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Choptr(RangeBox::new(params))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        [self.0.next_choppiness(high, low, close, true)]
    }
}

/// Ehlers' Fisher transform.
#[derive(Debug, Serialize, Deserialize)]
struct Fisher {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    smooth: f64,
    value: f64,
}

impl Indicator<2, 2> for Fisher {
    const SPEC: Spec = momentum_spec("fisher", "Fisher transform")
        .doc(
            "The place of (high + low) / 2 in its range over n bars, from -1 to 1, smoothed \
             by 0.33 and kept within 0.999, as 0.5 * ln((1 + v) / (1 - v)) + 0.5 * fisher[1]; \
             trigger is the value before.",
            "Ehlers 2002; TA-Lib FISHER",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 10, 2)])
        .outputs(&["fisher", "trigger"])
        .memory(Memory::Recursive)
        .example(
            &[3.0],
            &[
                &[NULL, NULL, 0.34283, 0.28297, 0.57043, 0.97988, 0.56272, 0.67987],
                &[NULL, NULL, 0.0, 0.34283, 0.28297, 0.57043, 0.97988, 0.56272],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + 150
    }

    fn new(params: &Params) -> Self {
        Fisher {
            highest: Fold::new(params.bars(0)),
            lowest: Fold::new(params.bars(0)),
            smooth: 0.0,
            value: 0.0,
        }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 2] {
        let price = (high + low) / 2.0;
        let highest = self.highest.push_row(Highest(price)).0;
        let lowest = self.lowest.push_row(Lowest(price)).0;
        let range = highest - lowest;
        if !range.is_finite() {
            return [f64::NAN; 2];
        }
        let flat = is_noise(range, highest.abs() + lowest.abs());
        let place = if flat { 0.5 } else { (price - lowest) / range };
        let smooth = 0.67 * self.smooth + 0.33 * 2.0 * (place - 0.5);
        self.smooth = if smooth.abs() > 0.99 { 0.999_f64.copysign(smooth) } else { smooth };
        let trigger = self.value;
        self.value = 0.5 * ((1.0 + self.smooth) / (1.0 - self.smooth)).ln() + 0.5 * trigger;
        [self.value, trigger]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cg {
    window: Fold<WeightedSum>,
    length: f64,
}

impl Indicator<1, 1> for Cg {
    const SPEC: Spec = momentum_spec("cg", "Centre of gravity")
        .doc(
            "-sum((i + 1) * x[i]) / sum(x[i]) over the last n values, where x[i] is the value \
             of i rows ago; -(n + 1) / 2 where the sum is 0.",
            "Ehlers 2002; TA-Lib CG",
        )
        .params(&[bars("timeperiod", 10, 2)])
        .example(&[3.0], &[&[NULL, NULL, -1.98485, -2.0, -1.95714, -2.0, -2.01389, -1.9589]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Cg { window: Fold::new(params.bars(0)), length: params.real(0) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let WeightedSum { sum, weighted } = self.window.push_row(WeightedSum::from_value(value));
        let all = self.length + 1.0;
        [if sum == 0.0 { -all / 2.0 } else { weighted / sum - all }]
    }
}
