//! Price weighted by traded volume. Cumulative functions count from the first row of their group:
//! use `PARTITION BY symbol, session` to start again with every session.

pub(crate) mod flow;

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{RunningTotal, Smoother, money_flow, ratio_or_zero, typical_price};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] =
    &[entry::<Obv, 2, 1>(), entry::<Ad, 4, 1>(), entry::<Adosc, 4, 1>(), entry::<Vwap, 4, 1>()];

const fn volume_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Volume)
        .inputs(&["high", "low", "close", "volume"])
        .memory(Memory::Cumulative)
}

#[derive(Debug, Serialize, Deserialize)]
struct Obv {
    previous: f64,
    total: RunningTotal,
}

impl Indicator<2, 1> for Obv {
    const SPEC: Spec = volume_spec("obv", "On balance volume")
        .doc(
            "The running total of volume, added when the close rises and taken away when it \
             falls; it begins with the first row's volume.",
            "Granville 1963; TA-Lib OBV",
        )
        .inputs(&["close", "volume"])
        .example(&[], &[&[100.0, 220.0, 130.0, 240.0, 390.0, 260.0, 340.0, 480.0]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Obv { previous: f64::NEG_INFINITY, total: RunningTotal::default() }
    }

    fn next(&mut self, [close, volume]: [f64; 2]) -> [f64; 1] {
        let previous = std::mem::replace(&mut self.previous, close);
        let signed = if close > previous {
            volume
        } else if close < previous {
            -volume
        } else {
            0.0
        };
        [self.total.add_finite(signed)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ad(RunningTotal);

impl Indicator<4, 1> for Ad {
    const SPEC: Spec = volume_spec("ad", "Chaikin accumulation/distribution line")
        .doc(
            "The running total of ((close - low) - (high - close)) / (high - low) * volume; a \
             bar without range adds nothing.",
            "Chaikin; TA-Lib AD",
        )
        .example(&[], &[&[33.33333, 93.33333, 3.33333, 40.0, 90.0, 12.0, 52.0, 122.0]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Ad(RunningTotal::default())
    }

    fn next(&mut self, [high, low, close, volume]: [f64; 4]) -> [f64; 1] {
        [self.0.add_finite(money_flow(high, low, close, volume))]
    }
}

/// Chaikin's oscillator. Both averages are seeded with the first row, which they forget; the line
/// that they smooth is cumulative.
#[derive(Debug, Serialize, Deserialize)]
struct Adosc {
    line: Ad,
    fast: Smoother,
    slow: Smoother,
}

impl Indicator<4, 1> for Adosc {
    const SPEC: Spec = volume_spec("adosc", "Chaikin oscillator")
        .doc(
            "The fast exponential average of the accumulation/distribution line less the slow \
             one, both seeded with its first value.",
            "Chaikin; TA-Lib ADOSC",
        )
        .params(&[bars("fastperiod", 3, 2), bars("slowperiod", 10, 2)])
        .example(
            &[2.0, 3.0],
            &[&[NULL, NULL, -6.66667, -1.11111, 8.51852, -5.71605, 0.48354, 13.02229]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1)) - 1
    }

    fn new(params: &Params) -> Self {
        Adosc {
            line: Ad::new(params),
            fast: Smoother::ema_from_first(params.bars(0)),
            slow: Smoother::ema_from_first(params.bars(1)),
        }
    }

    fn next(&mut self, row: [f64; 4]) -> [f64; 1] {
        let [line] = self.line.next(row);
        [self.fast.next(line) - self.slow.next(line)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Vwap {
    traded: RunningTotal,
    volume: RunningTotal,
}

impl Indicator<4, 1> for Vwap {
    const SPEC: Spec = volume_spec("vwap", "Volume weighted average price")
        .doc(
            "sum(typical * volume) / sum(volume) since the first row, with typical = (high + \
             low + close) / 3; 0 before anything is traded.",
            "TA-Lib VWAP",
        )
        .example(
            &[],
            &[&[10.33333, 10.78788, 10.99462, 11.08333, 11.41228, 11.52143, 11.53632, 11.70833]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Vwap { traded: RunningTotal::default(), volume: RunningTotal::default() }
    }

    fn next(&mut self, [high, low, close, volume]: [f64; 4]) -> [f64; 1] {
        let traded = self.traded.add_finite(typical_price(high, low, close) * volume);
        if !traded.is_finite() {
            return [f64::NAN]; // A row that `traded` cannot take is not added to `volume`.
        }
        [ratio_or_zero(traded, self.volume.add_finite(volume))]
    }
}
