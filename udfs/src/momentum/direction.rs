//! The strength and the direction of a trend.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{DirectionalMovement, Fold, Peak, Smoother, ratio_or_zero};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Adx, 3, 1>(),
    entry::<PlusDi, 3, 1>(),
    entry::<MinusDi, 3, 1>(),
    entry::<Dx, 3, 1>(),
    entry::<Aroon, 2, 2>(),
    entry::<Aroonosc, 2, 1>(),
];

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Adx {
    dx: Dx,
    average: Smoother,
}

impl Indicator<3, 1> for Adx {
    const SPEC: Spec = momentum_spec("adx", "Average directional movement index")
        .doc(
            "Wilder's average of the directional movement index: how strong a trend is, from 0 \
             to 100, whichever way it goes.",
            "Wilder 1978; TA-Lib ADX",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, NULL, NULL, 55.55556, 39.25926, 44.54891]]);

    fn lookback(params: &Params) -> usize {
        2 * params.bars(0) - 1
    }

    fn warmup(params: &Params) -> usize {
        Dx::warmup(params) * 6 / 5
    }

    fn new(params: &Params) -> Self {
        Adx { dx: Dx::new(params), average: Smoother::from_wilder_period(params.bars(0)) }
    }

    fn next(&mut self, row: [f64; 3]) -> [f64; 1] {
        let [dx] = self.dx.next(row);
        [self.average.next(dx)]
    }
}

/// The upward movement. With a period of one bar it gives the share itself and no percentage, as TA-Lib
/// does.
#[derive(Debug, Serialize, Deserialize)]
struct PlusDi {
    movement: DirectionalMovement,
    scale: f64,
}

impl Indicator<3, 1> for PlusDi {
    const SPEC: Spec = momentum_spec("plus_di", "Plus directional indicator")
        .doc(
            "The share of upward movement in the true range, both smoothed by Wilder, in \
             percent. Over one bar it is no percentage, as in TA-Lib.",
            "Wilder 1978; TA-Lib PLUS_DI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 26.08696, 41.09589, 21.35231, 13.54402, 26.45773]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        let scale = if params.bars(0) == 1 { 1.0 } else { 100.0 };
        PlusDi { movement: DirectionalMovement::new(params.bars(0)), scale }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [plus, _] = self.movement.next_shares(high, low, close);
        [self.scale * plus]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct MinusDi(PlusDi);

impl Indicator<3, 1> for MinusDi {
    const SPEC: Spec = momentum_spec("minus_di", "Minus directional indicator")
        .doc(
            "The share of downward movement in the true range, both smoothed by Wilder, in \
             percent. Over one bar it is no percentage, as in TA-Lib.",
            "Wilder 1978; TA-Lib MINUS_DI",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 1)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 13.04348, 8.21918, 4.27046, 11.85102, 7.65306]]);

    fn lookback(params: &Params) -> usize {
        PlusDi::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        PlusDi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        MinusDi(PlusDi::new(params))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [_, minus] = self.0.movement.next_shares(high, low, close);
        [self.0.scale * minus]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Dx(DirectionalMovement);

impl Indicator<3, 1> for Dx {
    const SPEC: Spec = momentum_spec("dx", "Directional movement index")
        .doc(
            "How far upward and downward movement are apart: 100 * abs(plus_di - minus_di) / \
             (plus_di + minus_di).",
            "Wilder 1978; TA-Lib DX",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 33.33333, 66.66667, 66.66667, 6.66667, 55.12821]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        PlusDi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        Dx(DirectionalMovement::new(params.bars(0)))
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 1] {
        let [plus, minus] = self.0.next_shares(high, low, close);
        [100.0 * ratio_or_zero((plus - minus).abs(), plus + minus)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Aroon {
    high: Fold<Peak>,
    low: Fold<Peak>,
    period: f64,
}

impl Indicator<2, 2> for Aroon {
    const SPEC: Spec = momentum_spec("aroon", "Aroon")
        .doc(
            "How recent the lowest low (aroondown) and the highest high (aroonup) of the last n \
             + 1 bars are: 100 for this bar, 0 for n bars ago. Of equal bars the newest counts.",
            "Chande 1995; TA-Lib AROON",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 2)])
        .outputs(&["aroondown", "aroonup"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, NULL, 0.0, 0.0, 33.33333, 100.0, 66.66667],
                &[NULL, NULL, NULL, 66.66667, 100.0, 100.0, 66.66667, 100.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        let window = Fold::new(params.bars(0) + 1);
        Aroon { high: window.clone(), low: window, period: params.real(0) }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 2] {
        let recent = |peak: Peak| 100.0 * (self.period - peak.age) / self.period;
        [
            recent(self.low.push_row(Peak::from_value(-low))),
            recent(self.high.push_row(Peak::from_value(high))),
        ]
    }

    fn next_rows(&mut self, [high, low]: [&[f64]; 2], [down, up]: [&mut [f64]; 2]) {
        let period = self.period;
        let recent = |peak: Peak| 100.0 * (period - peak.age) / period;
        self.low.push_rows(low.iter().map(|low| Peak::from_value(-low)), |row, peak| {
            down[row] = recent(peak)
        });
        self.high.push_rows(high.iter().map(|high| Peak::from_value(*high)), |row, peak| {
            up[row] = recent(peak)
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Aroonosc(Aroon);

impl Indicator<2, 1> for Aroonosc {
    const SPEC: Spec = momentum_spec("aroonosc", "Aroon oscillator")
        .doc("aroonup - aroondown, from -100 to 100.", "Chande 1995; TA-Lib AROONOSC")
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 66.66667, 100.0, 66.66667, -33.33333, 33.33333]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Aroonosc(Aroon::new(params))
    }

    fn next(&mut self, row: [f64; 2]) -> [f64; 1] {
        let [down, up] = self.0.next(row);
        [up - down]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 2], [output]: [&mut [f64]; 1]) {
        let mut down = vec![f64::NAN; output.len()];
        self.0.next_rows(inputs, [&mut down, &mut *output]);
        output.iter_mut().zip(down).for_each(|(up, down)| *up -= down);
    }
}
