//! Gains against losses: RSI and related oscillators.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, bars};
use crate::kernel::{Fold, Smoother, SumPair, is_noise, range_ratio, ratio_or_zero, typical_price};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] =
    &[entry::<Rsi, 1, 1>(), entry::<Mfi, 4, 1>(), entry::<Cmo, 1, 1>(), entry::<Bop, 4, 1>()];

/// The average gain and the average loss, with Wilder's smoothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AverageMoves {
    previous: f64,
    gain: Smoother,
    loss: Smoother,
}

impl AverageMoves {
    fn new(length: usize) -> Self {
        let smooth = Smoother::from_wilder_period(length);
        AverageMoves { previous: f64::NAN, gain: smooth.clone(), loss: smooth }
    }

    fn next_moves(&mut self, value: f64) -> [f64; 2] {
        let change = value - std::mem::replace(&mut self.previous, value);
        if change.is_nan() {
            return [f64::NAN; 2]; // The first row has no change.
        }
        [self.gain.next(change.max(0.0)), self.loss.next((-change).max(0.0))]
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rsi(AverageMoves);

impl Indicator<1, 1> for Rsi {
    const SPEC: Spec = momentum_spec("rsi", "Relative strength index")
        .doc(
            "The share of the average gain in the average move, from 0 to 100: 100 * gain / \
             (gain + loss), both smoothed by Wilder. A market that never moved gives 50.",
            "Wilder 1978; TA-Lib RSI",
        )
        .version(2)
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 75.0, 85.71429, 52.17391, 63.02521, 78.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        params.bars(0) + Smoother::wilder_fade_rows(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Rsi(AverageMoves::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [gain, loss] = self.0.next_moves(value);
        let moves = gain + loss;
        [if moves == 0.0 { 50.0 } else { 100.0 * (gain / moves) }]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Mfi {
    previous: f64,
    window: Fold<SumPair>,
}

impl Indicator<4, 1> for Mfi {
    const SPEC: Spec = momentum_spec("mfi", "Money flow index")
        .doc(
            "The share of rising bars in the money traded over n bars, from 0 to 100, where \
             money is typical price times volume and a bar rises if its typical price does.",
            "Quong and Soudack; TA-Lib MFI",
        )
        .inputs(&["high", "low", "close", "volume"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 65.57754, 69.82654, 39.72799, 42.59401, 41.5625]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Mfi { previous: f64::NAN, window: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [high, low, close, volume]: [f64; 4]) -> [f64; 1] {
        [rising_share(self.window.push_row(split_money(
            &mut self.previous,
            high,
            low,
            close,
            volume,
        )))]
    }

    fn next_rows(&mut self, [high, low, close, volume]: [&[f64]; 4], [output]: [&mut [f64]; 1]) {
        let rows = (0..output.len()).map(|row| {
            split_money(&mut self.previous, high[row], low[row], close[row], volume[row])
        });
        self.window.push_rows(rows, |row, window| output[row] = rising_share(window));
    }
}

/// Returns the money of a bar as that of rising and that of falling bars. A typical price that moves by
/// no more than its rounding counts as neither, as in TA-Lib.
fn split_money(previous: &mut f64, high: f64, low: f64, close: f64, volume: f64) -> SumPair {
    let price = typical_price(high, low, close);
    let previous = std::mem::replace(previous, price);
    let moved = !is_noise(price - previous, price.abs() + previous.abs());
    let of = |is: bool| if moved && is { price * volume } else { 0.0 };
    SumPair(of(price > previous), of(price < previous))
}

/// Returns the share of rising bars in the money, from 0 to 100.
fn rising_share(SumPair(up, down): SumPair) -> f64 {
    let money = up + down;
    if money <= 0.0 { 0.0 } else { 100.0 * (up.max(0.0).min(money) / money) }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cmo(AverageMoves);

impl Indicator<1, 1> for Cmo {
    const SPEC: Spec = momentum_spec("cmo", "Chande momentum oscillator")
        .doc(
            "The average gain less the average loss as a share of the average move, from -100 \
             to 100: 100 * (gain - loss) / (gain + loss), both smoothed by Wilder as TA-Lib \
             does.",
            "Chande 1994; TA-Lib CMO",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 50.0, 71.42857, 4.34783, 26.05042, 56.0]]);

    fn lookback(params: &Params) -> usize {
        Rsi::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Rsi::warmup(params)
    }

    fn new(params: &Params) -> Self {
        Cmo(AverageMoves::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [gain, loss] = self.0.next_moves(value);
        [100.0 * ratio_or_zero(gain - loss, gain + loss)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Bop;

impl Indicator<4, 1> for Bop {
    const SPEC: Spec = momentum_spec("bop", "Balance of power")
        .doc(
            "(close - open) / (high - low), from -1 to 1; 0 for a bar without range.",
            "Livshin 2001; TA-Lib BOP",
        )
        .inputs(&["open", "high", "low", "close"])
        .memory(Memory::Pointwise)
        .example(&[], &[&[0.33333, 0.5, -0.33333, 0.33333, 0.33333, -0.4, 0.25, 0.5]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Bop
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 1] {
        [range_ratio(close - open, high, low)]
    }
}
