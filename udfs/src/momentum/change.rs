//! Rates of change.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{Delay, MaType, SmootherChain, ratio_or_zero};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] =
    &[entry::<Roc, 1, 1>(), entry::<Mom, 1, 1>(), entry::<Trix, 1, 1>()];

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
    previous: f64,
}

impl Indicator<1, 1> for Trix {
    const SPEC: Spec = momentum_spec("trix", "Rate of change of a triple exponential average")
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
        Trix { chain: SmootherChain::new(params.bars(0), 3), previous: f64::NAN }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [_, _, average] = self.chain.next_stages(value);
        if !average.is_finite() {
            return [f64::NAN];
        }
        let previous = std::mem::replace(&mut self.previous, average);
        [100.0 * ratio_or_zero(average - previous, previous)]
    }
}
