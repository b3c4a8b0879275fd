//! Oscillators of smoothed changes and of gains against losses.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars};
use crate::kernel::{
    Average, Delay, Fold, Highest, Lowest, MaType, Mean, RunningTotal, Smoother, SumBlock, SumPair,
    ratio_or_zero,
};
use serde::{Deserialize, Serialize};

use super::momentum_spec;
use super::stochastic::Stoch;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Tsi, 1, 1>(),
    entry::<Smi, 3, 2>(),
    entry::<Kdj, 3, 3>(),
    entry::<Eri, 3, 2>(),
    entry::<Dpo, 1, 1>(),
    entry::<Qstick, 2, 1>(),
    entry::<Imi, 2, 1>(),
    entry::<Cmou, 1, 1>(),
    entry::<Er, 1, 1>(),
    entry::<Wad, 3, 1>(),
];

/// Two exponential averages, the second of the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TwiceSmoothed {
    first: Smoother,
    second: Smoother,
}

impl TwiceSmoothed {
    fn new(first: usize, second: usize) -> Self {
        TwiceSmoothed {
            first: Smoother::from_ema_period(first),
            second: Smoother::from_ema_period(second),
        }
    }

    fn next(&mut self, value: f64) -> f64 {
        self.second.next(self.first.next(value))
    }

    fn fade_rows(first: usize, second: usize) -> usize {
        (Smoother::ema_fade_rows(first) + Smoother::ema_fade_rows(second)) * 6 / 5
    }
}

/// Returns `100 * part / whole`, and 0 where there is nothing to divide by.
fn percent_of(part: f64, whole: f64) -> f64 {
    if whole > 0.0 || whole.is_nan() { 100.0 * part / whole } else { 0.0 }
}

#[derive(Debug, Serialize, Deserialize)]
struct Tsi {
    previous: f64,
    change: TwiceSmoothed,
    size: TwiceSmoothed,
}

impl Indicator<1, 1> for Tsi {
    const SPEC: Spec = momentum_spec("tsi", "True strength index")
        .doc(
            "The change of the price, smoothed by two exponential averages, in percent of its \
             size, smoothed likewise; 0 where nothing moved.",
            "Blau 1991; TA-Lib TSI",
        )
        .params(&[bars("firstperiod", 25, 2), bars("secondperiod", 13, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0, 2.0], &[&[NULL, NULL, NULL, NULL, 66.66667, 6.45161, 17.07317, 52.53283]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) + params.bars(1) - 1
    }

    fn warmup(params: &Params) -> usize {
        Tsi::lookback(params) + TwiceSmoothed::fade_rows(params.bars(0), params.bars(1))
    }

    fn new(params: &Params) -> Self {
        let smooth = TwiceSmoothed::new(params.bars(0), params.bars(1));
        Tsi { previous: f64::NAN, change: smooth.clone(), size: smooth }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let change = value - std::mem::replace(&mut self.previous, value);
        [percent_of(self.change.next(change), self.size.next(change.abs()))]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Smi {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
    offset: TwiceSmoothed,
    range: TwiceSmoothed,
    signal: Smoother,
}

impl Indicator<3, 2> for Smi {
    const SPEC: Spec = momentum_spec("smi", "Stochastic momentum index")
        .doc(
            "The distance of the close from the middle of the range of n bars, smoothed by \
             exponential averages over slowperiod and fastperiod bars, in percent of half \
             that range, smoothed likewise (smi), and its average over signalperiod bars \
             (smisignal).",
            "Blau 1993; TA-Lib SMI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("timeperiod", 13, 2),
            bars("fastperiod", 2, 2),
            bars("slowperiod", 25, 2),
            bars("signalperiod", 9, 2),
        ])
        .outputs(&["smi", "smisignal"])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 2.0, 3.0, 2.0],
            &[
                &[NULL, NULL, NULL, NULL, NULL, 0.57143, -3.52113, 21.07449],
                &[NULL, NULL, NULL, NULL, NULL, 13.44361, 2.13379, 14.76092],
            ],
        );

    fn lookback(params: &Params) -> usize {
        (0..4).map(|at| params.bars(at) - 1).sum()
    }

    fn warmup(params: &Params) -> usize {
        let smooth = TwiceSmoothed::fade_rows(params.bars(2), params.bars(1));
        Smi::lookback(params) + smooth + Smoother::ema_fade_rows(params.bars(3))
    }

    fn new(params: &Params) -> Self {
        let smooth = TwiceSmoothed::new(params.bars(2), params.bars(1));
        Smi {
            highest: Fold::new(params.bars(0)),
            lowest: Fold::new(params.bars(0)),
            offset: smooth.clone(),
            range: smooth,
            signal: Smoother::from_ema_period(params.bars(3)),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let highest = self.highest.push_row(Highest(high)).0;
        let lowest = self.lowest.push_row(Lowest(low)).0;
        let offset = self.offset.next(close - (highest + lowest) * 0.5);
        let index = percent_of(offset, 0.5 * self.range.next(highest - lowest));
        [index, self.signal.next(index)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kdj(Stoch);

impl Indicator<3, 3> for Kdj {
    const SPEC: Spec = momentum_spec("kdj", "KDJ stochastic")
        .doc(
            "The stochastic oscillator (k, d) and j = 3 * k - 2 * d. The averages are \
             Wilder's if not chosen otherwise.",
            "TA-Lib KDJ",
        )
        .inputs(&["high", "low", "close"])
        .params(&[
            bars("fastk_period", 9, 1),
            bars("slowk_period", 3, 1),
            average_param("slowk_matype", MaType::Rma),
            bars("slowd_period", 3, 1),
            average_param("slowd_matype", MaType::Rma),
        ])
        .outputs(&["k", "d", "j"])
        .memory(Memory::Recursive)
        .example(
            &[3.0, 2.0, 13.0, 2.0, 13.0],
            &[
                &[NULL, NULL, NULL, NULL, 67.5, 50.41667, 50.20833, 66.77083],
                &[NULL, NULL, NULL, NULL, 61.25, 55.83333, 53.02083, 59.89583],
                &[NULL, NULL, NULL, NULL, 80.0, 39.58333, 44.58333, 80.52083],
            ],
        );

    fn lookback(params: &Params) -> usize {
        Stoch::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Stoch::warmup(params)
    }

    fn memory_with(params: &Params) -> Memory {
        Stoch::memory_with(params)
    }

    fn new(params: &Params) -> Self {
        Kdj(Stoch::new(params))
    }

    fn next(&mut self, row: [f64; 3]) -> [f64; 3] {
        let [k, d] = self.0.next(row);
        [k, d, 3.0 * k - 2.0 * d]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Eri(Average);

impl Indicator<3, 2> for Eri {
    const SPEC: Spec = momentum_spec("eri", "Elder ray index")
        .doc(
            "The high (bullpower) and the low (bearpower) less the exponential average of the \
             close.",
            "Elder 1989; TA-Lib ERI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 13, 1)])
        .outputs(&["bullpower", "bearpower"])
        .memory(Memory::Recursive)
        .example(
            &[3.0],
            &[
                &[NULL, NULL, 1.5, 0.75, 1.125, 1.8125, 0.65625, 1.07813],
                &[NULL, NULL, 0.0, -0.75, -0.375, -0.6875, -1.34375, -0.92188],
            ],
        );

    fn lookback(params: &Params) -> usize {
        MaType::Ema.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Ema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Eri(Average::new(MaType::Ema, params.bars(0)))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 2] {
        let average = self.0.next(close);
        [high - average, low - average]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Dpo {
    before: Delay,
    mean: Mean,
}

impl Indicator<1, 1> for Dpo {
    const SPEC: Spec = momentum_spec("dpo", "Detrended price oscillator")
        .doc(
            "The value of n / 2 + 1 rows ago less the mean of the last n values: the rows of \
             the cycle without its trend.",
            "TA-Lib DPO",
        )
        .params(&[bars("timeperiod", 20, 2)])
        .example(&[3.0], &[&[NULL, NULL, -0.5, 0.16667, -0.66667, -0.33333, 0.5, -0.66667]]);

    fn lookback(params: &Params) -> usize {
        (params.bars(0) - 1).max(params.bars(0) / 2 + 1)
    }

    fn new(params: &Params) -> Self {
        Dpo { before: Delay::new(params.bars(0) / 2 + 1), mean: Mean::new(params.bars(0)) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.before.push(value) - self.mean.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Qstick(Mean);

impl Indicator<2, 1> for Qstick {
    const SPEC: Spec = momentum_spec("qstick", "Qstick")
        .doc("The mean of close - open over n bars.", "Chande 1994; TA-Lib QSTICK")
        .inputs(&["open", "close"])
        .params(&[bars("timeperiod", 10, 1)])
        .example(&[3.0], &[&[NULL, NULL, 0.33333, 0.33333, 0.16667, 0.0, 0.0, 0.16667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Qstick(Mean::new(params.bars(0)))
    }

    fn next(&mut self, [open, close]: [f64; 2]) -> [f64; 1] {
        [self.0.next(close - open)]
    }
}

/// Returns a change as a gain and as a loss.
fn gain_and_loss(change: f64) -> SumPair {
    SumPair(change.max(0.0), (-change).max(0.0))
}

#[derive(Debug, Serialize, Deserialize)]
struct Imi(Fold<SumPair>);

impl Indicator<2, 1> for Imi {
    const SPEC: Spec = momentum_spec("imi", "Intraday momentum index")
        .doc(
            "The share of rising bodies in all bodies of n bars, from 0 to 100: 100 * \
             sum(max(close - open, 0)) / sum(abs(close - open)); 50 where there is no body.",
            "Chande 1994; TA-Lib IMI",
        )
        .inputs(&["open", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, 75.0, 75.0, 66.66667, 50.0, 50.0, 60.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Imi(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [open, close]: [f64; 2]) -> [f64; 1] {
        let SumPair(gain, loss) = self.0.push_row(gain_and_loss(close - open));
        let moves = gain + loss;
        [if moves == 0.0 { 50.0 } else { 100.0 * (gain / moves) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cmou {
    previous: f64,
    window: Fold<SumPair>,
}

impl Indicator<1, 1> for Cmou {
    const SPEC: Spec = momentum_spec("cmou", "Chande momentum oscillator, unsmoothed")
        .doc(
            "The gains less the losses of n rows as a share of both, from -100 to 100: the \
             plain sums of Chande's book, without Wilder's smoothing. 0 where nothing moved.",
            "Chande 1994; TA-Lib CMOU",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 50.0, 50.0, 20.0, 20.0, 20.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Cmou { previous: f64::NAN, window: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let change = value - std::mem::replace(&mut self.previous, value);
        let SumPair(gain, loss) = self.window.push_row(gain_and_loss(change));
        [100.0 * ratio_or_zero(gain - loss, gain + loss)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Er {
    before: Delay,
    previous: f64,
    path: Fold<SumBlock>,
}

impl Indicator<1, 1> for Er {
    const SPEC: Spec = momentum_spec("er", "Kaufman's efficiency ratio")
        .doc(
            "How straight the price went over n rows, from 0 to 1: abs(x - x[n]) / sum(abs(x \
             - x[1])); 1 where nothing moved.",
            "Kaufman 1995; TA-Lib ER",
        )
        .params(&[bars("timeperiod", 10, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 0.5, 0.5, 0.2, 0.2, 0.2]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Er {
            before: Delay::new(params.bars(0)),
            previous: f64::NAN,
            path: Fold::new(params.bars(0)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let way = (value - self.before.push(value)).abs();
        let step = (value - std::mem::replace(&mut self.previous, value)).abs();
        let path = self.path.push_row(SumBlock(step)).0;
        [if path <= way { 1.0 } else { way / path }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Wad {
    previous: f64,
    total: RunningTotal,
}

impl Indicator<3, 1> for Wad {
    const SPEC: Spec = momentum_spec("wad", "Williams' accumulation/distribution")
        .doc(
            "The running total of close - min(low, previous close) when the close rises and \
             of close - max(high, previous close) when it falls; 0 for the first bar.",
            "Williams 1972; TA-Lib WAD",
        )
        .inputs(&["high", "low", "close"])
        .memory(Memory::Cumulative)
        .example(&[], &[&[0.0, 1.5, 0.0, 1.0, 2.0, 0.0, 1.5, 3.0]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Wad { previous: f64::NAN, total: RunningTotal::default() }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let previous = std::mem::replace(&mut self.previous, close);
        [self.total.add_finite(if close > previous {
            close - low.min(previous)
        } else if close < previous {
            close - high.max(previous)
        } else {
            0.0
        })]
    }
}
