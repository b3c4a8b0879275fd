//! Moving averages and bands: indicators on the scale of the price.

use crate::indicator::{Group, Indicator, Memory, Params, Spec, average, bars, real, real_in};
use crate::kernel::{
    Average, Ema as Chain, Fold, Highest, Hma as Hull, Kama as Kaufman, Lowest, MaType, Mean,
    Moments, Smooth, T3 as Tillson, Trima as Triangular, Wma as Linear,
};
use crate::udwf::{Entry, entry};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[entry::<Sma, 1, 1>(), entry::<Ema, 1, 1>()];

const fn spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Overlap)
}

#[derive(Debug, Serialize, Deserialize)]
struct Sma(Mean);

impl Indicator<1, 1> for Sma {
    const SPEC: Spec = spec("sma", "Simple moving average")
        .doc("The mean of the last n values: sum(x) / n.", "TA-Lib SMA")
        .params(&[bars("timeperiod", 30, 1)]);

    fn lookback(params: &Params) -> usize {
        MaType::Sma.lookback(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Sma(Mean::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ema(Smooth);

impl Indicator<1, 1> for Ema {
    const SPEC: Spec = spec("ema", "Exponential moving average")
        .doc(
            "Each value moves the average by 2 / (n + 1) of its distance; seeded with the mean of the \
             first n values.",
            "TA-Lib EMA",
        )
        .params(&[bars("timeperiod", 30, 1)])
        .memory(Memory::Recursive);

    fn lookback(params: &Params) -> usize {
        MaType::Ema.lookback(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Ema.warmup(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Ema(Smooth::ema(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}
