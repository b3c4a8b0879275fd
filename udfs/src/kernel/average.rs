//! Moving averages, each a brick of its own, and [`Average`]: the choice among them by TA-Lib's
//! number.

use super::{Delay, Fold, Smooth, Sum, Weighted, ratio};
use crate::indicator::Memory;
use serde::{Deserialize, Serialize};

/// TA-Lib's moving averages, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MaType {
    /// Simple.
    Sma = 0,
    /// Exponential.
    Ema = 1,
    /// Linearly weighted.
    Wma = 2,
    /// Double exponential.
    Dema = 3,
    /// Triple exponential.
    Tema = 4,
    /// Triangular.
    Trima = 5,
    /// Kaufman's adaptive.
    Kama = 6,
    /// Tillson's T3 with volume factor 0.7.
    T3 = 8,
    /// Hull's.
    Hma = 9,
    /// Exponential without lag.
    Zlema = 12,
    /// Wilder's.
    Rma = 13,
}

/// T3's volume factor where nothing chooses one.
const VFACTOR: f64 = 0.7;

impl MaType {
    /// Every choice, in the order of the numbers.
    pub const ALL: [MaType; 11] = [
        MaType::Sma,
        MaType::Ema,
        MaType::Wma,
        MaType::Dema,
        MaType::Tema,
        MaType::Trima,
        MaType::Kama,
        MaType::T3,
        MaType::Hma,
        MaType::Zlema,
        MaType::Rma,
    ];

    /// TA-Lib's number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// TA-Lib's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            MaType::Sma => "sma",
            MaType::Ema => "ema",
            MaType::Wma => "wma",
            MaType::Dema => "dema",
            MaType::Tema => "tema",
            MaType::Trima => "trima",
            MaType::Kama => "kama",
            MaType::T3 => "t3",
            MaType::Hma => "hma",
            MaType::Zlema => "zlema",
            MaType::Rma => "rma",
        }
    }

    /// The average with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        MaType::ALL.into_iter().find(|ma| ma.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The average with this number.
    pub fn from_code(code: f64) -> Option<Self> {
        MaType::ALL.into_iter().find(|ma| f64::from(ma.code()) == code)
    }

    /// All numbers and names: `0 sma, 1 ema, ...`.
    pub fn list() -> String {
        MaType::ALL.map(|ma| format!("{} {}", ma.code(), ma.name())).join(", ")
    }

    /// Rows before the first value of an average over `length` rows.
    pub fn lookback(self, length: usize) -> usize {
        match self {
            _ if length <= 1 => 0,
            MaType::Sma | MaType::Ema | MaType::Wma | MaType::Trima | MaType::Rma => length - 1,
            MaType::Dema => 2 * (length - 1),
            MaType::Tema => 3 * (length - 1),
            MaType::T3 => 6 * (length - 1),
            MaType::Kama => length,
            MaType::Hma => length - 1 + Hma::last(length) - 1,
            MaType::Zlema => length - 1 + Zlema::lag(length),
        }
    }

    /// Rows after which the start practically no longer shows: the lookback of windows, an estimate
    /// else.
    pub fn warmup(self, length: usize) -> usize {
        let stages = match self {
            _ if length <= 1 => 0,
            MaType::Sma | MaType::Wma | MaType::Trima | MaType::Hma => 0,
            MaType::Ema | MaType::Zlema => Smooth::ema_forgets(length),
            MaType::Rma => Smooth::wilder_forgets(length),
            MaType::Dema => Smooth::ema_forgets(length) * 6 / 5,
            MaType::Tema => Smooth::ema_forgets(length) * 7 / 5,
            MaType::T3 => Smooth::ema_forgets(length) * 2,
            // The weight depends on the data; its mean is near an ema's of 10 rows in a noisy
            // market.
            MaType::Kama => Smooth::ema_forgets(length.max(60)),
        };
        self.lookback(length) + stages
    }

    /// Whether it forgets, and how.
    pub fn memory(self) -> Memory {
        match self {
            MaType::Sma | MaType::Wma | MaType::Trima | MaType::Hma => Memory::Window,
            _ => Memory::Recursive,
        }
    }
}

/// Any moving average, chosen by a parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Average {
    /// Over one row every average is the row itself.
    Same,
    /// [`MaType::Sma`]
    Sma(Mean),
    /// [`MaType::Ema`] and [`MaType::Rma`]
    Smooth(Smooth),
    /// [`MaType::Wma`]
    Wma(Wma),
    /// [`MaType::Dema`]
    Dema(Dema),
    /// [`MaType::Tema`]
    Tema(Tema),
    /// [`MaType::Trima`]
    Trima(Trima),
    /// [`MaType::Kama`]
    Kama(Kama),
    /// [`MaType::T3`]
    T3(T3),
    /// [`MaType::Hma`]
    Hma(Hma),
    /// [`MaType::Zlema`]
    Zlema(Zlema),
}

impl Average {
    /// The average of kind `ma` over `length` rows.
    pub fn new(ma: MaType, length: usize) -> Self {
        match ma {
            _ if length <= 1 => Average::Same,
            MaType::Sma => Average::Sma(Mean::new(length)),
            MaType::Ema => Average::Smooth(Smooth::ema(length)),
            MaType::Rma => Average::Smooth(Smooth::wilder(length)),
            MaType::Wma => Average::Wma(Wma::new(length)),
            MaType::Dema => Average::Dema(Dema::new(length)),
            MaType::Tema => Average::Tema(Tema::new(length)),
            MaType::Trima => Average::Trima(Trima::new(length)),
            MaType::Kama => Average::Kama(Kama::new(length)),
            MaType::T3 => Average::T3(T3::new(length, VFACTOR)),
            MaType::Hma => Average::Hma(Hma::new(length)),
            MaType::Zlema => Average::Zlema(Zlema::new(length)),
        }
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        match self {
            Average::Same => value,
            Average::Sma(average) => average.next(value),
            Average::Smooth(average) => average.next(value),
            Average::Wma(average) => average.next(value),
            Average::Dema(average) => average.next(value),
            Average::Tema(average) => average.next(value),
            Average::Trima(average) => average.next(value),
            Average::Kama(average) => average.next(value),
            Average::T3(average) => average.next(value),
            Average::Hma(average) => average.next(value),
            Average::Zlema(average) => average.next(value),
        }
    }

    /// [`Average::next`] for many rows: the choice is made once, not for every row.
    pub fn run(&mut self, values: &[f64], means: &mut [f64]) {
        match self {
            Average::Same => means.copy_from_slice(values),
            Average::Sma(average) => average.run(values, means),
            Average::Wma(average) => average.run(values, means),
            Average::Trima(average) => average.run(values, means),
            Average::Hma(average) => average.run(values, means),
            Average::Smooth(average) => each(values, means, |value| average.next(value)),
            Average::Dema(average) => each(values, means, |value| average.next(value)),
            Average::Tema(average) => each(values, means, |value| average.next(value)),
            Average::Kama(average) => each(values, means, |value| average.next(value)),
            Average::T3(average) => each(values, means, |value| average.next(value)),
            Average::Zlema(average) => each(values, means, |value| average.next(value)),
        }
    }
}

fn each(values: &[f64], results: &mut [f64], mut next: impl FnMut(f64) -> f64) {
    values.iter().zip(results).for_each(|(value, result)| *result = next(*value));
}

/// The mean of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mean {
    sum: Fold<Sum>,
    length: f64,
}

impl Mean {
    /// A window of `length` rows.
    pub fn new(length: usize) -> Self {
        Mean { sum: Fold::new(length), length: length as f64 }
    }

    /// The mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.sum.push(Sum(value)).0 / self.length
    }

    /// [`Mean::next`] for many rows.
    pub fn run(&mut self, values: &[f64], means: &mut [f64]) {
        let length = self.length;
        self.sum
            .run(values.iter().map(|value| Sum(*value)), |row, sum| means[row] = sum.0 / length);
    }
}

/// The mean of a window with weights 1, 2, 3, ... from the oldest row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wma {
    window: Fold<Weighted>,
    weights: f64,
}

impl Wma {
    /// A window of `length` rows.
    pub fn new(length: usize) -> Self {
        let n = length as f64;
        Wma { window: Fold::new(length), weights: n * (n + 1.0) / 2.0 }
    }

    /// The weighted mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.window.push(Weighted::of(value)).weighted / self.weights
    }

    /// [`Wma::next`] for many rows.
    pub fn run(&mut self, values: &[f64], means: &mut [f64]) {
        let (rows, weights) = (values.iter().map(|value| Weighted::of(*value)), self.weights);
        self.window.run(rows, |row, window| means[row] = window.weighted / weights);
    }
}

/// The mean of means of half the length: weights that rise to the middle and fall again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trima {
    first: Mean,
    second: Mean,
}

impl Trima {
    /// A window of `length` rows.
    pub fn new(length: usize) -> Self {
        Trima { first: Mean::new(length.div_ceil(2)), second: Mean::new(length / 2 + 1) }
    }

    /// The triangular mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.second.next(self.first.next(value))
    }

    /// [`Trima::next`] for many rows.
    pub fn run(&mut self, values: &[f64], means: &mut [f64]) {
        let mut first = vec![f64::NAN; values.len()];
        self.first.run(values, &mut first);
        self.second.run(&first, means);
    }
}

/// Hull's average: twice the weighted mean of half the window less that of the whole, weighted
/// again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hma {
    half: Wma,
    whole: Wma,
    last: Wma,
}

impl Hma {
    /// A window of `length` rows.
    pub fn new(length: usize) -> Self {
        Hma {
            half: Wma::new((length / 2).max(1)),
            whole: Wma::new(length),
            last: Wma::new(Hma::last(length)),
        }
    }

    /// Rows of the last smoothing: the root of the length.
    fn last(length: usize) -> usize {
        length.isqrt().max(1)
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.last.next(2.0 * self.half.next(value) - self.whole.next(value))
    }

    /// [`Hma::next`] for many rows.
    pub fn run(&mut self, values: &[f64], means: &mut [f64]) {
        let mut half = vec![f64::NAN; values.len()];
        self.half.run(values, &mut half);
        self.whole.run(values, means);
        half.iter_mut().zip(&*means).for_each(|(half, whole)| *half = 2.0 * *half - whole);
        self.last.run(&half, means);
    }
}

/// A chain of exponential averages, each smoothing the one before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chain {
    stages: Vec<Smooth>,
}

impl Chain {
    /// `stages` averages over `length` rows each.
    pub fn new(length: usize, stages: usize) -> Self {
        Chain { stages: vec![Smooth::ema(length); stages] }
    }

    /// What every stage gives after `value`, the first stage first.
    #[inline]
    pub fn next<const STAGES: usize>(&mut self, value: f64) -> [f64; STAGES] {
        let mut results = [f64::NAN; STAGES];
        let mut value = value;
        for (stage, result) in self.stages.iter_mut().zip(&mut results) {
            value = stage.next(value);
            *result = value;
        }
        results
    }
}

/// Mulloy's double exponential average.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dema(Chain);

impl Dema {
    /// Averages over `length` rows each.
    pub fn new(length: usize) -> Self {
        Dema(Chain::new(length, 2))
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let [one, two] = self.0.next(value);
        2.0 * one - two
    }
}

/// Mulloy's triple exponential average.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tema(Chain);

impl Tema {
    /// Averages over `length` rows each.
    pub fn new(length: usize) -> Self {
        Tema(Chain::new(length, 3))
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let [one, two, three] = self.0.next(value);
        3.0 * one - 3.0 * two + three
    }
}

/// Tillson's T3: three double averages of factor v in a chain, multiplied out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct T3 {
    chain: Chain,
    weights: [f64; 4],
}

impl T3 {
    /// Averages over `length` rows with volume factor `v`.
    pub fn new(length: usize, v: f64) -> Self {
        let (square, cube) = (v * v, v * v * v);
        T3 {
            chain: Chain::new(length, 6),
            weights: [
                1.0 + 3.0 * v + cube + 3.0 * square,
                -6.0 * square - 3.0 * (v + cube),
                3.0 * (square + cube),
                -cube,
            ],
        }
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let [_, _, three, four, five, six] = self.chain.next(value);
        let [a, b, c, d] = self.weights;
        d * six + c * five + b * four + a * three
    }
}

/// An exponential average of a value that is ahead of itself by what the window's lag takes away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Zlema {
    delay: Delay,
    average: Smooth,
}

impl Zlema {
    /// An average over `length` rows.
    pub fn new(length: usize) -> Self {
        Zlema { delay: Delay::new(Zlema::lag(length)), average: Smooth::ema(length) }
    }

    fn lag(length: usize) -> usize {
        (length - 1) / 2
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let late = self.delay.push(value);
        self.average.next(value + (value - late))
    }
}

/// Kaufman's average: it follows fast while the price goes straight, and hardly moves while it goes
/// about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kama {
    delay: Delay,
    path: Fold<Sum>,
    previous: f64,
    value: f64,
}

impl Kama {
    /// A window of `length` rows.
    pub fn new(length: usize) -> Self {
        Kama {
            delay: Delay::new(length),
            path: Fold::new(length),
            previous: f64::NAN,
            value: f64::NAN,
        }
    }

    /// The average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let (slow, fast) = (2.0 / 31.0, 2.0 / 3.0);
        let way = (value - self.delay.push(value)).abs();
        let previous = std::mem::replace(&mut self.previous, value);
        let path = self.path.push(Sum((value - previous).abs())).0;
        if way.is_nan() || path.is_nan() {
            return f64::NAN;
        }
        if self.value.is_nan() {
            self.value = previous;
        }
        let straight = if path <= way { 1.0 } else { ratio(way, path) };
        let weight = straight * (fast - slow) + slow;
        let next = self.value + (value - self.value) * weight * weight;
        if next.is_finite() {
            self.value = next;
        }
        next
    }
}
