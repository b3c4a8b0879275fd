//! Rates of change.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars};
use crate::kernel::{Average, Delay, MaType, SmootherChain, WeightedMean, ratio_or_zero};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Roc, 1, 1>(),
    entry::<Rocp, 1, 1>(),
    entry::<Rocr, 1, 1>(),
    entry::<Rocr100, 1, 1>(),
    entry::<Mom, 1, 1>(),
    entry::<Trix, 1, 1>(),
    entry::<Coppock, 1, 1>(),
    entry::<Kst, 1, 2>(),
    entry::<Kstext, 1, 2>(),
];

#[derive(Debug, Serialize, Deserialize)]
struct Roc(Delay);

impl Indicator<1, 1> for Roc {
    const SPEC: Spec = momentum_spec("roc", "Rate of change")
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
    const SPEC: Spec = momentum_spec("mom", "Momentum")
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
struct Trix {
    chain: SmootherChain,
    alpha: f64,
    previous: f64,
}

impl Indicator<1, 1> for Trix {
    const SPEC: Spec = momentum_spec("trix", "Rate of change of a triple exponential average")
        .version(2)
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
        Trix {
            chain: SmootherChain::new(params.bars(0), 3),
            alpha: 2.0 / (params.real(0) + 1.0),
            previous: f64::NAN,
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [_, twice, average] = self.chain.next_stages(value);
        if !average.is_finite() {
            return [f64::NAN];
        }
        // The last average's change is its weight times its distance: their difference would have fewer digits.
        let previous = std::mem::replace(&mut self.previous, average);
        [100.0 * ratio_or_zero((twice - previous) * self.alpha, previous)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rocp(Delay);

impl Indicator<1, 1> for Rocp {
    const SPEC: Spec = momentum_spec("rocp", "Rate of change, as a share")
        .doc("The change over n rows as a share: x / x[n] - 1.", "TA-Lib ROCP")
        .params(&[bars("timeperiod", 10, 1)])
        .example(&[2.0], &[&[NULL, NULL, 0.04762, 0.0, 0.13636, 0.0, -0.04, 0.13043]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Rocp(Delay::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let before = self.0.push(value);
        [ratio_or_zero(value - before, before)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rocr(Delay);

impl Indicator<1, 1> for Rocr {
    const SPEC: Spec = momentum_spec("rocr", "Rate of change, as a ratio")
        .doc("x / x[n].", "TA-Lib ROCR")
        .params(&[bars("timeperiod", 10, 1)])
        .example(&[2.0], &[&[NULL, NULL, 1.04762, 1.0, 1.13636, 1.0, 0.96, 1.13043]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Rocr(Delay::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let before = self.0.push(value);
        [ratio_or_zero(value, before)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rocr100(Delay);

impl Indicator<1, 1> for Rocr100 {
    const SPEC: Spec = momentum_spec("rocr100", "Rate of change, as a ratio in percent")
        .doc("100 * x / x[n].", "TA-Lib ROCR100")
        .params(&[bars("timeperiod", 10, 1)])
        .example(&[2.0], &[&[NULL, NULL, 104.7619, 100.0, 113.63636, 100.0, 96.0, 113.04348]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Rocr100(Delay::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let before = self.0.push(value);
        [100.0 * ratio_or_zero(value, before)]
    }
}

/// Coppock's curve.
#[derive(Debug, Serialize, Deserialize)]
struct Coppock {
    one: Delay,
    other: Delay,
    average: WeightedMean,
}

impl Indicator<1, 1> for Coppock {
    const SPEC: Spec = momentum_spec("coppock", "Coppock curve")
        .doc(
            "The linearly weighted mean over wmaperiod rows of the sum of two rates of change \
             in percent.",
            "Coppock 1962; TA-Lib COPPOCK",
        )
        .params(&[bars("wmaperiod", 10, 1), bars("roc1period", 11, 1), bars("roc2period", 14, 1)])
        .example(
            &[2.0, 1.0, 2.0],
            &[&[NULL, NULL, NULL, 3.16833, 16.40316, 2.11067, -2.43478, 14.36715]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(1).max(params.bars(2)) + params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Coppock {
            one: Delay::new(params.bars(1)),
            other: Delay::new(params.bars(2)),
            average: WeightedMean::new(params.bars(0)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let (one, other) = (self.one.push(value), self.other.push(value));
        [self.average.next(percent_change(value, one) + percent_change(value, other))]
    }
}

fn percent_change(value: f64, before: f64) -> f64 {
    100.0 * ratio_or_zero(value - before, before)
}

/// Returns a number no larger than 1e300, so that sums and differences of a few such numbers do not overflow.
fn bound_size(value: f64) -> f64 {
    if value.is_finite() { value.clamp(-1e300, 1e300) } else { value }
}

/// Pring's sum of four smoothed rates of change, and its average.
#[derive(Debug, Serialize, Deserialize)]
struct KnowSureThing {
    /// Changes that each average still leaves out, so that all give their first value on the same row, as in TA-Lib.
    wait: [usize; 4],
    before: [Delay; 4],
    averages: [Average; 4],
    signal: Average,
}

impl KnowSureThing {
    /// Creates it from a call's parameters: four periods of change, four of smoothing, and that of the signal.
    fn new(params: &Params, ma: MaType, signal: MaType) -> Self {
        let rows: [usize; 4] =
            std::array::from_fn(|i| params.bars(i) + ma.lookback_over(params.bars(4 + i)));
        let most = rows.into_iter().max().unwrap_or(0);
        KnowSureThing {
            wait: rows.map(|rows| most - rows),
            before: std::array::from_fn(|i| Delay::new(params.bars(i))),
            averages: std::array::from_fn(|i| Average::new(ma, params.bars(4 + i))),
            signal: Average::new(signal, params.bars(8)),
        }
    }

    /// Returns the rows before both outputs have values, given those of averages over some rows.
    fn lookback(
        params: &Params,
        rows: impl Fn(MaType, usize) -> usize,
        [ma, signal]: [MaType; 2],
    ) -> usize {
        let branches = (0..4).map(|i| params.bars(i) + rows(ma, params.bars(4 + i)));
        branches.max().unwrap_or(0) + rows(signal, params.bars(8))
    }

    fn next_values(&mut self, value: f64) -> [f64; 2] {
        let mut total = 0.0;
        for (i, (before, average)) in self.before.iter_mut().zip(&mut self.averages).enumerate() {
            let before = before.push(value);
            let mut smooth = f64::NAN;
            if !before.is_nan() && self.wait[i] > 0 {
                self.wait[i] -= 1;
            } else if !before.is_nan() {
                smooth = average.next(bound_size(percent_change(value, before)));
            }
            total += smooth * (i + 1) as f64;
        }
        let signal = if total.is_nan() { total } else { self.signal.next(total) };
        [if signal.is_nan() { signal } else { total }, signal]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kst(KnowSureThing);

const SIMPLE: [MaType; 2] = [MaType::Sma, MaType::Sma];

impl Indicator<1, 2> for Kst {
    const SPEC: Spec = momentum_spec("kst", "Know sure thing")
        .doc(
            "The sum of four rates of change in percent, each smoothed by a mean and weighted \
             1 to 4 (kst), and its mean (kstsignal).",
            "Pring 1992; TA-Lib KST",
        )
        .params(&[
            bars("roc1period", 10, 1),
            bars("roc2period", 15, 1),
            bars("roc3period", 20, 1),
            bars("roc4period", 30, 1),
            bars("sma1period", 10, 1),
            bars("sma2period", 10, 1),
            bars("sma3period", 10, 1),
            bars("sma4period", 15, 1),
            bars("signalperiod", 9, 1),
        ])
        .outputs(&["kst", "kstsignal"])
        .example(
            &[1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0],
            &[
                &[NULL, NULL, NULL, NULL, 67.58893, 48.77075, -19.47826, 50.67391],
                &[NULL, NULL, NULL, NULL, 42.27602, 58.17984, 14.64625, 15.59783],
            ],
        );

    fn lookback(params: &Params) -> usize {
        KnowSureThing::lookback(params, MaType::lookback_over, SIMPLE)
    }

    fn new(params: &Params) -> Self {
        Kst(KnowSureThing::new(params, MaType::Sma, MaType::Sma))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        self.0.next_values(value)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kstext(KnowSureThing);

impl Indicator<1, 2> for Kstext {
    const SPEC: Spec = momentum_spec("kstext", "Know sure thing with moving averages of choice")
        .doc(
            "As kst, with the averages of the rates of change and of the signal by choice.",
            "Pring 1992; TA-Lib KSTEXT",
        )
        .params(&[
            bars("roc1period", 10, 1),
            bars("roc2period", 15, 1),
            bars("roc3period", 20, 1),
            bars("roc4period", 30, 1),
            bars("ma1period", 10, 1),
            bars("ma2period", 10, 1),
            bars("ma3period", 10, 1),
            bars("ma4period", 15, 1),
            bars("signalperiod", 9, 1),
            average_param("rocmatype", MaType::Sma),
            average_param("signalmatype", MaType::Sma),
        ])
        .outputs(&["kst", "kstsignal"])
        .example(
            &[1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0],
            &[
                &[NULL, NULL, NULL, NULL, 86.68204, 12.89401, -5.67301, 75.64523],
                &[NULL, NULL, NULL, NULL, 51.82257, 25.8702, 4.84139, 52.04395],
            ],
        );

    fn lookback(params: &Params) -> usize {
        let averages = [params.average(9), params.average(10)];
        KnowSureThing::lookback(params, MaType::lookback_over, averages)
    }

    fn warmup(params: &Params) -> usize {
        let averages = [params.average(9), params.average(10)];
        KnowSureThing::lookback(params, MaType::warmup_over, averages) * 6 / 5
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(9).memory_class().join_memory(params.average(10).memory_class())
    }

    fn new(params: &Params) -> Self {
        Kstext(KnowSureThing::new(params, params.average(9), params.average(10)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        self.0.next_values(value)
    }
}
