//! Differences of two moving averages.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars};
use crate::kernel::{Average, MaType, Mean, Smoother, ratio_or_zero};
use serde::{Deserialize, Serialize};

use super::momentum_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Macd, 1, 3>(),
    entry::<Macdext, 1, 3>(),
    entry::<Macdfix, 1, 3>(),
    entry::<Ppo, 1, 1>(),
    entry::<Apo, 1, 1>(),
    entry::<Ao, 2, 1>(),
    entry::<Ac, 2, 1>(),
];

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
pub(crate) struct Ppo(Apo);

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

/// MACD with moving averages of choice. TA-Lib swaps the periods, with their averages, if the fast one is longer; both
/// averages give their first value on the same row.
#[derive(Debug, Serialize, Deserialize)]
struct Macdext {
    wait: [usize; 2],
    fast: Average,
    slow: Average,
    signal: Average,
}

/// Returns the periods and averages of the fast and of the slow side.
fn ordered_averages(params: &Params) -> [(MaType, usize); 2] {
    let one = (params.average(1), params.bars(0));
    let other = (params.average(3), params.bars(2));
    if other.1 < one.1 { [other, one] } else { [one, other] }
}

impl Indicator<1, 3> for Macdext {
    const SPEC: Spec = momentum_spec("macdext", "MACD with moving averages of choice")
        .doc(
            "The fast moving average less the slow one (macd), the moving average of that \
             (macdsignal), and the difference of the two (macdhist).",
            "Appel 1979; TA-Lib MACDEXT",
        )
        .params(&[
            bars("fastperiod", 12, 2),
            average_param("fastmatype", MaType::Sma),
            bars("slowperiod", 26, 2),
            average_param("slowmatype", MaType::Sma),
            bars("signalperiod", 9, 1),
            average_param("signalmatype", MaType::Sma),
        ])
        .outputs(&["macd", "macdsignal", "macdhist"])
        .example(
            &[2.0, 1.0, 4.0, 1.0, 2.0, 1.0],
            &[
                &[NULL, NULL, NULL, NULL, 0.40833, 0.08944, 0.13515, 0.37492],
                &[NULL, NULL, NULL, NULL, 0.26667, 0.14852, 0.1396, 0.29648],
                &[NULL, NULL, NULL, NULL, 0.14167, -0.05907, -0.00446, 0.07844],
            ],
        );

    fn lookback(params: &Params) -> usize {
        let sides = ordered_averages(params).map(|(ma, length)| ma.lookback_over(length));
        sides[0].max(sides[1]) + params.average(5).lookback_over(params.bars(4))
    }

    fn warmup(params: &Params) -> usize {
        let sides = ordered_averages(params).map(|(ma, length)| ma.warmup_over(length));
        (sides[0].max(sides[1]) + params.average(5).warmup_over(params.bars(4))) * 6 / 5
    }

    fn memory_with(params: &Params) -> Memory {
        [1, 3, 5]
            .map(|at| params.average(at).memory_class())
            .into_iter()
            .fold(Memory::Window, Memory::join_memory)
    }

    fn new(params: &Params) -> Self {
        let [fast, slow] = ordered_averages(params);
        let rows = [fast, slow].map(|(ma, length)| ma.lookback_over(length));
        let most = rows[0].max(rows[1]);
        Macdext {
            wait: rows.map(|rows| most - rows),
            fast: Average::new(fast.0, fast.1),
            slow: Average::new(slow.0, slow.1),
            signal: Average::new(params.average(5), params.bars(4)),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 3] {
        let mut sides = [f64::NAN; 2];
        let averages = [&mut self.fast, &mut self.slow];
        for ((wait, average), side) in self.wait.iter_mut().zip(averages).zip(&mut sides) {
            if *wait > 0 {
                *wait -= 1;
            } else {
                *side = average.next(value);
            }
        }
        let macd = sides[0] - sides[1];
        if macd.is_nan() {
            return [f64::NAN; 3];
        }
        let signal = self.signal.next(macd);
        [macd, signal, macd - signal]
    }
}

/// MACD with the weights of its author.
#[derive(Debug, Serialize, Deserialize)]
struct Macdfix(Macd);

impl Indicator<1, 3> for Macdfix {
    const SPEC: Spec = momentum_spec("macdfix", "MACD with periods 12 and 26")
        .doc(
            "MACD with the weights 0.15 and 0.075 of its author in place of 2 / 13 and 2 / \
             27.",
            "Appel 1979; TA-Lib MACDFIX",
        )
        .params(&[bars("signalperiod", 9, 1)])
        .outputs(&["macd", "macdsignal", "macdhist"])
        .memory(Memory::Recursive)
        .late_example(
            5,
            &[2.0],
            &[
                &[0.04167, 0.02263, -0.0301, -0.03371, 0.03882, 0.02041, 0.04321, 0.13565],
                &[0.07074, 0.03867, -0.00717, -0.02487, 0.01759, 0.01947, 0.0353, 0.1022],
                &[-0.02907, -0.01604, -0.02292, -0.00885, 0.02123, 0.00094, 0.00791, 0.03345],
            ],
        );

    fn lookback(params: &Params) -> usize {
        24 + params.bars(0)
    }

    fn warmup(params: &Params) -> usize {
        Macd::warmup(&Params(&[12.0, 26.0, params.real(0)]))
    }

    fn new(params: &Params) -> Self {
        let mut macd = Macd::new(&Params(&[12.0, 26.0, params.real(0)]));
        macd.fast = Smoother::with_weight(12, 0.15);
        macd.slow = Smoother::with_weight(26, 0.075);
        Macdfix(macd)
    }

    fn next(&mut self, row: [f64; 1]) -> [f64; 3] {
        self.0.next(row)
    }
}

/// Williams' awesome oscillator.
#[derive(Debug, Serialize, Deserialize)]
struct Ao {
    fast: Mean,
    slow: Mean,
}

impl Indicator<2, 1> for Ao {
    const SPEC: Spec = momentum_spec("ao", "Awesome oscillator")
        .doc(
            "The mean of (high + low) / 2 over fastperiod bars less that over slowperiod \
             bars.",
            "Williams 1998; TA-Lib AO",
        )
        .inputs(&["high", "low"])
        .params(&[bars("fastperiod", 5, 2), bars("slowperiod", 34, 2)])
        .example(&[2.0, 4.0], &[&[NULL, NULL, NULL, 0.4375, 0.1875, 0.375, 0.0625, -0.125]]);

    fn lookback(params: &Params) -> usize {
        ordered_periods(params).1 - 1
    }

    fn new(params: &Params) -> Self {
        Ao { fast: Mean::new(params.bars(0)), slow: Mean::new(params.bars(1)) }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 1] {
        let middle = (high + low) / 2.0;
        [self.fast.next(middle) - self.slow.next(middle)]
    }
}

/// Williams' accelerator.
#[derive(Debug, Serialize, Deserialize)]
struct Ac {
    oscillator: Ao,
    mean: Mean,
}

impl Indicator<2, 1> for Ac {
    const SPEC: Spec = momentum_spec("ac", "Accelerator oscillator")
        .doc(
            "The awesome oscillator less its mean over signalperiod bars.",
            "Williams 1998; TA-Lib AC",
        )
        .inputs(&["high", "low"])
        .params(&[bars("fastperiod", 5, 2), bars("slowperiod", 34, 2), bars("signalperiod", 5, 2)])
        .example(
            &[2.0, 3.0, 2.0],
            &[&[NULL, NULL, NULL, -0.10417, -0.08333, 0.16667, -0.22917, 0.02083]],
        );

    fn lookback(params: &Params) -> usize {
        Ao::lookback(params) + params.bars(2) - 1
    }

    fn new(params: &Params) -> Self {
        Ac { oscillator: Ao::new(params), mean: Mean::new(params.bars(2)) }
    }

    fn next(&mut self, row: [f64; 2]) -> [f64; 1] {
        let [oscillator] = self.oscillator.next(row);
        [oscillator - self.mean.next(oscillator)]
    }
}
