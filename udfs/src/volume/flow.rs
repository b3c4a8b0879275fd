//! Flows of volume and indices of it.

use crate::entry::{Entry, entry};
use crate::indicator::{
    Group, Indicator, Memory, NULL, Params, Spec, average_param, bars, bounded_real,
};
use crate::kernel::{
    Average, Fold, MaType, Mean, RunningTotal, Smoother, SumPair, money_flow, ratio_or_zero,
};
use crate::momentum::averages::Ppo;
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Cmf, 4, 1>(),
    entry::<Efi, 2, 1>(),
    entry::<Emv, 3, 1>(),
    entry::<Marketfi, 3, 1>(),
    entry::<Nvi, 2, 1>(),
    entry::<Pvi, 2, 1>(),
    entry::<Pvo, 1, 1>(),
    entry::<Pvt, 2, 1>(),
    entry::<Rvol, 1, 1>(),
    entry::<Kvo, 4, 2>(),
];

const fn flow_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Volume)
}

#[derive(Debug, Serialize, Deserialize)]
struct Cmf(Fold<SumPair>);

impl Indicator<4, 1> for Cmf {
    const SPEC: Spec = flow_spec("cmf", "Chaikin money flow")
        .doc(
            "The sum of money flow, volume * ((close - low) - (high - close)) / (high - low), \
             over that of volume in n bars; 0 where nothing was traded.",
            "Chaikin; TA-Lib CMF",
        )
        .inputs(&["high", "low", "close", "volume"])
        .params(&[bars("timeperiod", 20, 2)])
        .example(&[3.0], &[&[NULL, NULL, 0.01075, 0.02083, -0.00952, 0.02222, 0.03333, 0.09143]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Cmf(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [high, low, close, volume]: [f64; 4]) -> [f64; 1] {
        let SumPair(flow, traded) =
            self.0.push_row(SumPair(money_flow(high, low, close, volume), volume));
        [if traded > 0.0 { flow / traded } else { 0.0 }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Efi {
    previous: f64,
    average: Average,
}

impl Indicator<2, 1> for Efi {
    const SPEC: Spec = flow_spec("efi", "Elder's force index")
        .doc("The exponential average of (close - close[1]) * volume.", "Elder 1993; TA-Lib EFI")
        .inputs(&["close", "volume"])
        .params(&[bars("timeperiod", 13, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 43.33333, 96.66667, -16.66667, 11.66667, 75.83333]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        1 + MaType::Ema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Efi { previous: f64::NAN, average: Average::new(MaType::Ema, params.bars(0)) }
    }

    fn next(&mut self, [close, volume]: [f64; 2]) -> [f64; 1] {
        let change = close - std::mem::replace(&mut self.previous, close);
        [self.average.next(change * volume)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Emv {
    middle: f64,
    mean: Mean,
    divisor: f64,
}

impl Indicator<3, 1> for Emv {
    const SPEC: Spec = flow_spec("emv", "Ease of movement")
        .doc(
            "The mean over n bars of the change of (high + low) / 2 divided by volume / \
             volumedivisor / (high - low); a bar without range or volume counts as 0.",
            "Arms; TA-Lib EMV",
        )
        .inputs(&["high", "low", "volume"])
        .params(&[bars("timeperiod", 14, 1), bounded_real("volumedivisor", 10_000.0, 1.0, 3e37)])
        .example(
            &[3.0, 10_000.0],
            &[&[NULL, NULL, NULL, 60.60606, 52.27273, 10.60606, -29.16667, -14.88095]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Emv { middle: f64::NAN, mean: Mean::new(params.bars(0)), divisor: params.real(1) }
    }

    fn next(&mut self, [high, low, volume]: [f64; 3]) -> [f64; 1] {
        let (middle, range) = ((high + low) / 2.0, high - low);
        let change = middle - std::mem::replace(&mut self.middle, middle);
        if change.is_nan() {
            return [f64::NAN]; // The first bar has no change.
        }
        let ratio = ratio_or_zero(volume / self.divisor, range);
        [self.mean.next(ratio_or_zero(change, ratio))]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Marketfi;

impl Indicator<3, 1> for Marketfi {
    const SPEC: Spec = flow_spec("marketfi", "Market facilitation index")
        .doc("(high - low) / volume; 0 without volume.", "Williams; TA-Lib MARKETFI")
        .inputs(&["high", "low", "volume"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[0.015, 0.01667, 0.01667, 0.01364, 0.01, 0.01923, 0.025, 0.01429]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Marketfi
    }

    fn next(&mut self, [high, low, volume]: [f64; 3]) -> [f64; 1] {
        [ratio_or_zero(high - low, volume)]
    }
}

/// An index that follows the return of the close on some bars.
#[derive(Debug, Serialize, Deserialize)]
struct VolumeIndex {
    /// The close and the volume of the bar before.
    before: [f64; 2],
    index: f64,
}

impl VolumeIndex {
    fn new() -> Self {
        Self { before: [f64::NAN; 2], index: 1000.0 }
    }

    /// Follows the bars whose volume `counts`, given it and that of the bar before.
    fn next_index(&mut self, close: f64, volume: f64, counts: fn(f64, f64) -> bool) -> f64 {
        let [before_close, before_volume] = std::mem::replace(&mut self.before, [close, volume]);
        if counts(volume, before_volume) && before_close != 0.0 {
            let next = self.index + (close - before_close) / before_close * self.index;
            if next.is_finite() {
                self.index = next;
            }
        }
        self.index
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Nvi(VolumeIndex);

impl Indicator<2, 1> for Nvi {
    const SPEC: Spec = flow_spec("nvi", "Negative volume index")
        .doc(
            "An index that begins with 1000 and follows the return of the close on bars whose \
             volume falls.",
            "Dysart, Fosback 1976; TA-Lib NVI",
        )
        .inputs(&["close", "volume"])
        .memory(Memory::Cumulative)
        .example(
            &[],
            &[&[1000.0, 1000.0, 956.52174, 956.52174, 956.52174, 880.0, 918.26087, 918.26087]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Nvi(VolumeIndex::new())
    }

    fn next(&mut self, [close, volume]: [f64; 2]) -> [f64; 1] {
        [self.0.next_index(close, volume, |now, before| now < before)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Pvi(VolumeIndex);

impl Indicator<2, 1> for Pvi {
    const SPEC: Spec = flow_spec("pvi", "Positive volume index")
        .doc(
            "An index that begins with 1000 and follows the return of the close on bars whose \
             volume rises.",
            "Dysart, Fosback 1976; TA-Lib PVI",
        )
        .inputs(&["close", "volume"])
        .memory(Memory::Cumulative)
        .example(
            &[],
            &[&[
                1000.0, 1095.2381, 1095.2381, 1145.02165, 1244.58874, 1244.58874, 1244.58874,
                1348.30447,
            ]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Pvi(VolumeIndex::new())
    }

    fn next(&mut self, [close, volume]: [f64; 2]) -> [f64; 1] {
        [self.0.next_index(close, volume, |now, before| now > before)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Pvo(Ppo);

impl Indicator<1, 1> for Pvo {
    const SPEC: Spec = flow_spec("pvo", "Percentage volume oscillator")
        .doc(
            "The fast moving average of volume less the slow one, in percent of the slow one.",
            "TA-Lib PVO",
        )
        .inputs(&["volume"])
        .params(&[
            bars("fastperiod", 12, 2),
            bars("slowperiod", 26, 2),
            average_param("matype", MaType::Ema),
        ])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 1.0],
            &[&[NULL, NULL, NULL, 0.5291, 9.90665, 4.71256, -9.52475, 4.36525]],
        );

    fn lookback(params: &Params) -> usize {
        Ppo::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Ppo::warmup(params)
    }

    fn memory_with(params: &Params) -> Memory {
        Ppo::memory_with(params)
    }

    fn new(params: &Params) -> Self {
        Pvo(Ppo::new(params))
    }

    fn next(&mut self, row: [f64; 1]) -> [f64; 1] {
        self.0.next(row)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Pvt {
    previous: f64,
    total: RunningTotal,
}

impl Indicator<2, 1> for Pvt {
    const SPEC: Spec = flow_spec("pvt", "Price volume trend")
        .doc(
            "The running total of volume * (close / close[1] - 1), 0 for the first bar.",
            "TA-Lib PVT",
        )
        .inputs(&["close", "volume"])
        .memory(Memory::Cumulative)
        .example(
            &[],
            &[&[0.0, 11.42857, 7.51553, 12.51553, 25.55901, 15.15901, 18.63727, 30.30393]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Pvt { previous: 0.0, total: RunningTotal::default() }
    }

    fn next(&mut self, [close, volume]: [f64; 2]) -> [f64; 1] {
        let previous = std::mem::replace(&mut self.previous, close);
        [self.total.add_finite(ratio_or_zero(close - previous, previous) * volume)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rvol {
    mean: Mean,
    before: f64,
}

impl Indicator<1, 1> for Rvol {
    const SPEC: Spec = flow_spec("rvol", "Relative volume")
        .doc(
            "volume over its mean in the n bars before; NULL where nothing was traded in \
             them.",
            "TA-Lib RVOL",
        )
        .inputs(&["volume"])
        .params(&[bars("timeperiod", 20, 1)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 1.06452, 1.40625, 1.11429, 0.61538, 1.16667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Rvol { mean: Mean::new(params.bars(0)), before: f64::NAN }
    }

    fn next(&mut self, [volume]: [f64; 1]) -> [f64; 1] {
        let before = std::mem::replace(&mut self.before, self.mean.next(volume));
        [volume / before]
    }
}

/// Klinger's oscillator of volume. How far the bars of one trend have come is counted from the change of trend, which
/// may be any time ago.
#[derive(Debug, Serialize, Deserialize)]
struct Kvo {
    price: f64,
    range: f64,
    trend: f64,
    /// The sum of ranges since the trend changed.
    travel: f64,
    fast: Smoother,
    slow: Smoother,
    signal: Smoother,
}

impl Kvo {
    /// Returns the signed force of a bar's volume; NaN for the first bar.
    fn next_force(&mut self, high: f64, low: f64, close: f64, volume: f64) -> f64 {
        let (price, range) = (high + low + close, high - low);
        let (before, before_range) = (self.price, self.range);
        (self.price, self.range) = (price, range);
        if before.is_nan() {
            return f64::NAN;
        }
        let trend = if price > before {
            1.0
        } else if price < before {
            -1.0
        } else {
            self.trend
        };
        let fresh = self.travel.is_nan() || trend != self.trend;
        let travel = if fresh { before_range + range } else { self.travel + range };
        self.travel = if travel.is_finite() { travel } else { f64::NAN };
        self.trend = trend;
        match travel {
            0.0 => 0.0,
            _ => volume * (2.0 * (range / travel) - 1.0).abs() * 100.0 * trend,
        }
    }
}

impl Indicator<4, 2> for Kvo {
    const SPEC: Spec = flow_spec("kvo", "Klinger volume oscillator")
        .doc(
            "The fast exponential average of the force less the slow one (kvo), and its \
             average (kvosignal), all seeded with their first value. The force is 100 * \
             volume * abs(2 * r / s - 1), signed by the direction of high + low + close, with \
             r = high - low and s the sum of r since the direction changed.",
            "Klinger 1997; TA-Lib KVO",
        )
        .inputs(&["high", "low", "close", "volume"])
        .params(&[
            bars("fastperiod", 34, 2),
            bars("slowperiod", 55, 2),
            bars("signalperiod", 13, 2),
        ])
        .outputs(&["kvo", "kvosignal"])
        .memory(Memory::Cumulative)
        .example(
            &[2.0, 4.0, 3.0],
            &[
                &[NULL, NULL, NULL, NULL, -558.52698, -1289.82519, -936.57589, 94.93865],
                &[NULL, NULL, NULL, NULL, -339.07302, -814.4491, -875.51249, -390.28692],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1)).max(params.bars(2))
    }

    fn new(params: &Params) -> Self {
        Kvo {
            price: f64::NAN,
            range: f64::NAN,
            trend: 1.0,
            travel: f64::NAN,
            fast: Smoother::ema_from_first(params.bars(0)),
            slow: Smoother::ema_from_first(params.bars(1)),
            signal: Smoother::ema_from_first(params.bars(2)),
        }
    }

    fn next(&mut self, [high, low, close, volume]: [f64; 4]) -> [f64; 2] {
        let force = self.next_force(high, low, close, volume);
        let kvo = self.fast.next(force) - self.slow.next(force);
        [kvo, self.signal.next(kvo)]
    }
}
