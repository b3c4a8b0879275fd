//! How much of a move is a trend.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{
    Delay, Fold, Highest, Lowest, Smoother, SumBlock, SumPair, TrueRange, ratio_or_zero,
};
use serde::{Deserialize, Serialize};

use super::direction::Adx;
use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<PlusDm, 2, 1>(),
    entry::<MinusDm, 2, 1>(),
    entry::<Adxr, 3, 1>(),
    entry::<Vhf, 1, 1>(),
    entry::<Vortex, 3, 2>(),
];

/// Wilder's directional movement on both sides, smoothed as a sum.
#[derive(Debug, Serialize, Deserialize)]
struct SummedMovement {
    high: f64,
    low: f64,
    plus: Smoother,
    minus: Smoother,
    times: f64,
}

impl SummedMovement {
    fn new(length: usize) -> Self {
        let smooth = Smoother::wilder_sum(length);
        SummedMovement {
            high: f64::NAN,
            low: f64::NAN,
            plus: smooth.clone(),
            minus: smooth,
            times: length as f64,
        }
    }

    /// Returns upward and downward movement; NaN until they are smoothed.
    fn next_sums(&mut self, high: f64, low: f64) -> [f64; 2] {
        let up = high - std::mem::replace(&mut self.high, high);
        let down = std::mem::replace(&mut self.low, low) - low;
        if up.is_nan() {
            return [f64::NAN; 2];
        }
        let plus = self.plus.next(if up > down { up.max(0.0) } else { 0.0 });
        let minus = self.minus.next(if down > up { down.max(0.0) } else { 0.0 });
        [self.times * plus, self.times * minus]
    }

    fn lookback(params: &Params) -> usize {
        (params.bars(0) - 1).max(1)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + Smoother::wilder_fade_rows(params.bars(0))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct PlusDm(SummedMovement);

impl Indicator<2, 1> for PlusDm {
    const SPEC: Spec = momentum_spec("plus_dm", "Plus directional movement")
        .doc(
            "The rise of the high where it exceeds the fall of the low, else 0, summed over n \
             bars by Wilder: each sum loses its n-th part before the new movement is added.",
            "Wilder 1978; TA-Lib PLUS_DM",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, 1.5, 1.0, 1.66667, 1.11111, 0.74074, 1.49383]]);

    fn lookback(params: &Params) -> usize {
        SummedMovement::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        SummedMovement::warmup(params)
    }

    fn new(params: &Params) -> Self {
        PlusDm(SummedMovement::new(params.bars(0)))
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        [self.0.next_sums(high, low)[0]]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct MinusDm(SummedMovement);

impl Indicator<2, 1> for MinusDm {
    const SPEC: Spec = momentum_spec("minus_dm", "Minus directional movement")
        .doc(
            "The fall of the low where it exceeds the rise of the high, else 0, summed over n \
             bars by Wilder: each sum loses its n-th part before the new movement is added.",
            "Wilder 1978; TA-Lib MINUS_DM",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, 0.0, 0.5, 0.33333, 0.22222, 0.64815, 0.4321]]);

    fn lookback(params: &Params) -> usize {
        SummedMovement::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        SummedMovement::warmup(params)
    }

    fn new(params: &Params) -> Self {
        MinusDm(SummedMovement::new(params.bars(0)))
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        [self.0.next_sums(high, low)[1]]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Adxr {
    adx: Adx,
    before: Delay,
}

impl Indicator<3, 1> for Adxr {
    const SPEC: Spec = momentum_spec("adxr", "Average directional movement index rating")
        .doc("The mean of adx and its value of n - 1 bars ago.", "Wilder 1978; TA-Lib ADXR")
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[2.0], &[&[NULL, NULL, NULL, NULL, 54.16667, 60.41667, 54.01786, 49.36918]]);

    fn lookback(params: &Params) -> usize {
        Adx::lookback(params) + params.bars(0) - 1
    }

    fn warmup(params: &Params) -> usize {
        Adx::warmup(params) + params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Adxr { adx: Adx::new(params), before: Delay::new(params.bars(0) - 1) }
    }

    fn next(&mut self, row: [f64; 3]) -> [f64; 1] {
        let [adx] = self.adx.next(row);
        [(adx + self.before.push(adx)) / 2.0]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Vhf {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    previous: f64,
    path: Fold<SumBlock>,
}

impl Indicator<1, 1> for Vhf {
    const SPEC: Spec = momentum_spec("vhf", "Vertical horizontal filter")
        .doc(
            "The range of the last n values over the way that they went: (max(x) - min(x)) / \
             sum(abs(x - x[1])), where the sum has n - 1 steps; 0 where nothing moved.",
            "White 1991; TA-Lib VHF",
        )
        .params(&[bars("timeperiod", 28, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 0.25, 0.75, 0.4, 0.4, 0.6]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Vhf {
            highest: Fold::new(params.bars(0)),
            lowest: Fold::new(params.bars(0)),
            previous: f64::NAN,
            path: Fold::new(params.bars(0)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let highest = self.highest.push_row(Highest(value)).0;
        let lowest = self.lowest.push_row(Lowest(value)).0;
        let step = (value - std::mem::replace(&mut self.previous, value)).abs();
        [ratio_or_zero(highest - lowest, self.path.push_row(SumBlock(step)).0)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Vortex {
    before: [f64; 2],
    range: TrueRange,
    total: Fold<SumBlock>,
    moves: Fold<SumPair>,
}

impl Indicator<3, 2> for Vortex {
    const SPEC: Spec = momentum_spec("vortex", "Vortex indicator")
        .doc(
            "sum(abs(high - low[1])) (plusvi) and sum(abs(low - high[1])) (minusvi) over the \
             sum of true ranges of n bars; 0 where that is 0.",
            "Botes and Siepman 2010; TA-Lib VORTEX",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 1)])
        .outputs(&["plusvi", "minusvi"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, NULL, 1.2, 1.33333, 1.0, 1.0, 1.0],
                &[NULL, NULL, NULL, 0.8, 0.77778, 0.81818, 0.91667, 0.92308],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Vortex {
            before: [f64::NAN; 2],
            range: TrueRange::default(),
            total: Fold::new(params.bars(0)),
            moves: Fold::new(params.bars(0)),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let [before_high, before_low] = std::mem::replace(&mut self.before, [high, low]);
        let range = self.total.push_row(SumBlock(self.range.next_range(high, low, close))).0;
        let moves = SumPair((high - before_low).abs(), (low - before_high).abs());
        let SumPair(plus, minus) = self.moves.push_row(moves);
        [ratio_or_zero(plus, range), ratio_or_zero(minus, range)]
    }
}
