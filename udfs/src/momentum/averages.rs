//! Differences of two moving averages.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars};
use crate::kernel::{Average, MaType, Smoother, ratio_or_zero};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] =
    &[entry::<Macd, 1, 3>(), entry::<Ppo, 1, 1>(), entry::<Apo, 1, 1>()];

/// Returns the periods with the smaller one first: TA-Lib swaps them if they are in the wrong order.
fn ordered_periods(params: &Params) -> (usize, usize) {
    let (one, other) = (params.bars(0), params.bars(1));
    (one.min(other), one.max(other))
}

/// Moving average convergence/divergence. Both averages give their first value on the same row, as in
/// TA-Lib: the fast one starts late.
#[derive(Debug, Serialize, Deserialize)]
struct Macd {
    wait: usize,
    fast: Smoother,
    slow: Smoother,
    signal: Smoother,
}

impl Indicator<1, 3> for Macd {
    const SPEC: Spec = momentum_spec("macd", "Moving average convergence/divergence")
        .doc(
            "The fast exponential average less the slow one (macd), its own exponential average \
             (macdsignal), and the difference of the two (macdhist).",
            "Appel 1979; TA-Lib MACD",
        )
        .params(&[bars("fastperiod", 12, 2), bars("slowperiod", 26, 2), bars("signalperiod", 9, 1)])
        .outputs(&["macd", "macdsignal", "macdhist"])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 2.0],
            &[
                &[NULL, NULL, NULL, NULL, 0.40833, 0.08944, 0.13515, 0.37492],
                &[NULL, NULL, NULL, NULL, 0.26667, 0.14852, 0.1396, 0.29648],
                &[NULL, NULL, NULL, NULL, 0.14167, -0.05907, -0.00446, 0.07844],
            ],
        );

    fn lookback(params: &Params) -> usize {
        ordered_periods(params).1 + params.bars(2) - 2
    }

    fn warmup(params: &Params) -> usize {
        let (slow, signal) = (ordered_periods(params).1, params.bars(2));
        slow + Smoother::ema_fade_rows(slow) * 6 / 5 + Smoother::ema_fade_rows(signal)
    }

    fn new(params: &Params) -> Self {
        let (fast, slow) = ordered_periods(params);
        Macd {
            wait: slow - fast,
            fast: Smoother::from_ema_period(fast),
            slow: Smoother::from_ema_period(slow),
            signal: Smoother::from_ema_period(params.bars(2)),
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

#[derive(Debug, Serialize, Deserialize)]
struct Ppo(Apo);

impl Indicator<1, 1> for Ppo {
    const SPEC: Spec = momentum_spec("ppo", "Percentage price oscillator")
        .doc(
            "The fast moving average less the slow one, in percent of the slow one.",
            "Appel; TA-Lib PPO",
        )
        .params(Apo::SPEC.params)
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 1.0],
            &[&[NULL, NULL, NULL, 1.87266, 3.73543, 0.85053, 1.17516, 3.06698]],
        );

    fn lookback(params: &Params) -> usize {
        Apo::lookback(params)
    }

    fn warmup(params: &Params) -> usize {
        Apo::warmup(params)
    }

    fn memory_with(params: &Params) -> Memory {
        Apo::memory_with(params)
    }

    fn new(params: &Params) -> Self {
        Ppo(Apo::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let (fast, slow) = (self.0.fast.next(value), self.0.slow.next(value));
        [100.0 * ratio_or_zero(fast - slow, slow)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Apo {
    fast: Average,
    slow: Average,
}

impl Indicator<1, 1> for Apo {
    const SPEC: Spec = momentum_spec("apo", "Absolute price oscillator")
        .doc("The fast moving average less the slow one.", "Appel; TA-Lib APO")
        .params(&[
            bars("fastperiod", 12, 2),
            bars("slowperiod", 26, 2),
            average_param("matype", MaType::Ema),
        ])
        .memory(Memory::Recursive)
        .example(
            &[2.0, 4.0, 1.0],
            &[&[NULL, NULL, NULL, 0.20833, 0.43611, 0.0987, 0.13823, 0.37594]],
        );

    fn lookback(params: &Params) -> usize {
        params.average(2).lookback_over(ordered_periods(params).1)
    }

    fn warmup(params: &Params) -> usize {
        params.average(2).warmup_over(ordered_periods(params).1)
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(2).memory_class()
    }

    fn new(params: &Params) -> Self {
        let (fast, slow) = ordered_periods(params);
        Apo {
            fast: Average::new(params.average(2), fast),
            slow: Average::new(params.average(2), slow),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.fast.next(value) - self.slow.next(value)]
    }
}
