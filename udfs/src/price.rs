//! Averages of the prices of one bar, and bars made of bars.

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{AbsoluteDeviation, typical_price};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Avgprice, 4, 1>(),
    entry::<Medprice, 2, 1>(),
    entry::<Typprice, 3, 1>(),
    entry::<Wclprice, 3, 1>(),
    entry::<Avgdev, 1, 1>(),
    entry::<Ha, 4, 4>(),
];

const fn price_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Price)
}

#[derive(Debug, Serialize, Deserialize)]
struct Avgprice;

impl Indicator<4, 1> for Avgprice {
    const SPEC: Spec = price_spec("avgprice", "Average price")
        .doc("(open + high + low + close) / 4.", "TA-Lib AVGPRICE")
        .inputs(&["open", "high", "low", "close"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[10.25, 11.0, 11.5, 11.25, 12.25, 12.125, 11.625, 12.5]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Avgprice
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 1] {
        [(open + high + low + close) / 4.0]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Medprice;

impl Indicator<2, 1> for Medprice {
    const SPEC: Spec = price_spec("medprice", "Median price")
        .doc("(high + low) / 2.", "TA-Lib MEDPRICE")
        .inputs(&["high", "low"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[10.25, 11.0, 11.75, 11.25, 12.25, 12.25, 11.5, 12.5]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Medprice
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        [(high + low) / 2.0]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Typprice;

impl Indicator<3, 1> for Typprice {
    const SPEC: Spec = price_spec("typprice", "Typical price")
        .doc("(high + low + close) / 3.", "TA-Lib TYPPRICE")
        .inputs(&["high", "low", "close"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[10.33333, 11.16667, 11.5, 11.33333, 12.33333, 12.0, 11.66667, 12.66667]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Typprice
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        [typical_price(high, low, close)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Wclprice;

impl Indicator<3, 1> for Wclprice {
    const SPEC: Spec = price_spec("wclprice", "Weighted close price")
        .doc("(high + low + 2 * close) / 4.", "TA-Lib WCLPRICE")
        .inputs(&["high", "low", "close"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[10.375, 11.25, 11.375, 11.375, 12.375, 11.875, 11.75, 12.75]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Wclprice
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        [(high + low + 2.0 * close) / 4.0]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Avgdev(AbsoluteDeviation);

impl Indicator<1, 1> for Avgdev {
    const SPEC: Spec = price_spec("avgdev", "Average deviation")
        .doc(
            "The mean distance of the last n values from their mean: sum(abs(x - mean)) / n.",
            "TA-Lib AVGDEV",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, 0.33333, 0.22222, 0.55556, 0.44444, 0.33333, 0.55556]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Avgdev(AbsoluteDeviation::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next_deviation(value).1]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        let mut means = vec![f64::NAN; values.len()];
        self.0.deviation_rows(values, &mut means, output);
    }
}

/// Heikin-Ashi bars: each opens in the middle of the body before.
#[derive(Debug, Serialize, Deserialize)]
struct Ha {
    open: f64,
    close: f64,
}

impl Indicator<4, 4> for Ha {
    const SPEC: Spec = price_spec("ha", "Heikin-Ashi candles")
        .doc(
            "haclose = (open + high + low + close) / 4; haopen = (haopen[1] + haclose[1]) / \
             2, which begins with (open + close) / 2; hahigh and halow are the extremes of \
             the bar, haopen and haclose.",
            "Vervoort; TA-Lib HA",
        )
        .inputs(&["open", "high", "low", "close"])
        .outputs(&["haopen", "hahigh", "halow", "haclose"])
        .memory(Memory::Recursive)
        .example(
            &[],
            &[
                &[10.25, 10.25, 10.625, 11.0625, 11.15625, 11.70313, 11.91406, 11.76953],
                &[11.0, 12.0, 12.5, 12.0, 13.0, 13.5, 12.5, 13.5],
                &[9.5, 10.0, 10.625, 10.5, 11.15625, 11.0, 10.5, 11.5],
                &[10.25, 11.0, 11.5, 11.25, 12.25, 12.125, 11.625, 12.5],
            ],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn warmup(_: &Params) -> usize {
        80
    }

    fn new(_: &Params) -> Self {
        Ha { open: f64::NAN, close: f64::NAN }
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 4] {
        let first = self.open.is_nan();
        let ha_open = if first { (open + close) / 2.0 } else { (self.open + self.close) / 2.0 };
        let ha_close = (open + high + low + close) / 4.0;
        if !ha_open.is_finite() || !ha_close.is_finite() {
            return [f64::NAN; 4]; // A bar that overflows is skipped.
        }
        (self.open, self.close) = (ha_open, ha_close);
        [ha_open, high.max(ha_open).max(ha_close), low.min(ha_open).min(ha_close), ha_close]
    }
}
