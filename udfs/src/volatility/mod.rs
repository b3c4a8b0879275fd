//! True range and functions built on it.

pub(crate) mod spread;

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{Smoother, TrueRange, ratio_or_zero};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] =
    &[entry::<Atr, 3, 1>(), entry::<Natr, 3, 1>(), entry::<Trange, 3, 1>()];

const fn volatility_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Volatility).inputs(&["high", "low", "close"])
}

#[derive(Debug, Serialize, Deserialize)]
struct Atr {
    range: TrueRange,
    average: Smoother,
}

impl Indicator<3, 1> for Atr {
    const SPEC: Spec = volatility_spec("atr", "Average true range")
        .doc(
            "Wilder's average of the true range: max(high, previous close) - min(low, previous \
             close).",
            "Wilder 1978; TA-Lib ATR",
        )
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 1.66667, 1.61111, 1.90741, 1.93827, 1.95885]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Atr { range: TrueRange::default(), average: Smoother::from_wilder_period(params.bars(0)) }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        [self.average.next(self.range.next_range(high, low, close))]
    }
}

/// The normalized average true range. With a period of one bar it gives the true range itself and
/// no percentage, as TA-Lib does.
#[derive(Debug, Serialize, Deserialize)]
struct Natr {
    atr: Atr,
    plain: bool,
}

impl Indicator<3, 1> for Natr {
    const SPEC: Spec = volatility_spec("natr", "Normalized average true range")
        .doc(
            "The average true range in percent of the close: 100 * atr / close. Over one bar it \
             is the true range itself, as in TA-Lib.",
            "Forman 2006; TA-Lib NATR",
        )
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 14.49275, 12.88889, 16.58615, 16.15226, 15.06806]]);

    fn lookback(params: &Params) -> usize {
        Atr::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Atr::warmup(params)
    }

    fn new(params: &Params) -> Self {
        Natr { atr: Atr::new(params), plain: params.bars(0) == 1 }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [atr] = self.atr.next([high, low, close]);
        [if self.plain { atr } else { 100.0 * ratio_or_zero(atr, close) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Trange(TrueRange);

impl Indicator<3, 1> for Trange {
    const SPEC: Spec = volatility_spec("trange", "True range")
        .doc(
            "The range of a bar widened to the close before it: max(high, previous close) - \
             min(low, previous close).",
            "Wilder 1978; TA-Lib TRANGE",
        )
        .example(&[], &[&[NULL, 2.0, 1.5, 1.5, 1.5, 2.5, 2.0, 2.0]]);

    fn lookback(_: &Params) -> usize {
        1
    }

    fn new(_: &Params) -> Self {
        Trange(TrueRange::default())
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        [self.0.next_range(high, low, close)]
    }
}
