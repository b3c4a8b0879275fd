//! Extremes and sums over a window.

use crate::indicator::{Group, Indicator, Params, Spec, bars};
use crate::kernel::{Fold, Highest};
use crate::udwf::{Entry, entry};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[entry::<Max, 1, 1>()];

#[derive(Debug, Serialize, Deserialize)]
struct Max(Fold<Highest>);

impl Indicator<1, 1> for Max {
    const SPEC: Spec = Spec::new("max", "Highest value", Group::Operators)
        .doc("The highest of the last n values.", "TA-Lib MAX")
        .params(&[bars("timeperiod", 30, 2)]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Max(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.push(Highest(value)).0]
    }
}
