//! Oscillators and rates of change.

use crate::indicator::{Group, Indicator, Memory, Params, Spec, bars};
use crate::kernel::{Delay, Smooth, ratio};
use crate::udwf::{Entry, entry};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[entry::<Rsi, 1, 1>(), entry::<Macd, 1, 3>()];

const fn spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Momentum)
}

#[derive(Debug, Serialize, Deserialize)]
struct Rsi {
    previous: f64,
    gain: Smooth,
    loss: Smooth,
}

impl Indicator<1, 1> for Rsi {
    const SPEC: Spec = spec("rsi", "Relative strength index")
        .doc(
            "The share of the average gain in the average move, from 0 to 100: 100 * gain / (gain + loss), both \
             smoothed by Wilder. A flat market gives 0.",
            "Wilder 1978; TA-Lib RSI",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .memory(Memory::Recursive);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        Smooth::wilder_forgets(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        let smooth = Smooth::wilder(params.bars(0));
        Rsi { previous: f64::NAN, gain: smooth.clone(), loss: smooth }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let change = value - std::mem::replace(&mut self.previous, value);
        if change.is_nan() {
            return [f64::NAN]; // The first row has no change.
        }
        let gain = self.gain.next(change.max(0.0));
        let loss = self.loss.next((-change).max(0.0));
        [100.0 * ratio(gain, gain + loss)]
    }
}

/// The slow and the fast average give their first value on one row, as in TA-Lib: the fast one starts late.
#[derive(Debug, Serialize, Deserialize)]
struct Macd {
    wait: usize,
    fast: Smooth,
    slow: Smooth,
    signal: Smooth,
}

impl Indicator<1, 3> for Macd {
    const SPEC: Spec = spec("macd", "Moving average convergence/divergence")
        .doc(
            "The fast exponential average less the slow one (macd), its own exponential average (macdsignal), \
             and the difference of the two (macdhist).",
            "Appel 1979; TA-Lib MACD",
        )
        .params(&[bars("fastperiod", 12, 2), bars("slowperiod", 26, 2), bars("signalperiod", 9, 1)])
        .outputs(&["macd", "macdsignal", "macdhist"])
        .memory(Memory::Recursive);

    fn lookback(params: &Params) -> usize {
        params.bars(0).max(params.bars(1)) + params.bars(2) - 2
    }

    fn warmup(params: &Params) -> usize {
        Smooth::ema_forgets(params.bars(0).max(params.bars(1))) * 6 / 5
            + Smooth::ema_forgets(params.bars(2))
    }

    fn new(params: &Params) -> Self {
        let (fast, slow) = ordered(params.bars(0), params.bars(1));
        Macd {
            wait: slow - fast,
            fast: Smooth::ema(fast),
            slow: Smooth::ema(slow),
            signal: Smooth::ema(params.bars(2)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 3] {
        let slow = self.slow.next(value);
        if self.wait > 0 {
            self.wait -= 1;
            return [f64::NAN; 3];
        }
        let macd = self.fast.next(value) - slow;
        let signal = self.signal.next(macd);
        [macd, signal, macd - signal]
    }
}

/// The smaller period first: TA-Lib exchanges them when they are given the wrong way round.
fn ordered(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}
