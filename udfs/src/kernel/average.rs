//! Moving averages, each a component of its own, and [`Average`], which chooses one of them by
//! TA-Lib's number.

use super::{
    Delay, Fold, GaussianMean, PhaseAverage, Smoother, SumBlock, VariableIndexAverage, WeightedSum,
    ratio_or_zero,
};
use crate::memory::Memory;
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
    /// Ehlers' adaptive average with limits 0.5 and 0.05, whatever the length is.
    Mama = 7,
    /// Tillson's T3 with volume factor 0.7.
    T3 = 8,
    /// Hull's.
    Hma = 9,
    /// None: the values themselves.
    Disabled = 10,
    /// Exponential without lag.
    Zlema = 12,
    /// Wilder's.
    Rma = 13,
    /// Chande's variable index dynamic average.
    Vidya = 14,
    /// Arnaud Legoux's, with sigma 6 and offset 0.85.
    Alma = 15,
}

/// The default volume factor of T3.
const VFACTOR: f64 = 0.7;

impl MaType {
    /// Every choice, in the order of the numbers.
    pub const ALL: [MaType; 15] = [
        MaType::Sma,
        MaType::Ema,
        MaType::Wma,
        MaType::Dema,
        MaType::Tema,
        MaType::Trima,
        MaType::Kama,
        MaType::Mama,
        MaType::T3,
        MaType::Hma,
        MaType::Disabled,
        MaType::Zlema,
        MaType::Rma,
        MaType::Vidya,
        MaType::Alma,
    ];

    /// Returns TA-Lib's number.
    pub const fn talib_code(self) -> u8 {
        self as u8
    }

    /// Returns TA-Lib's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            MaType::Sma => "sma",
            MaType::Ema => "ema",
            MaType::Wma => "wma",
            MaType::Dema => "dema",
            MaType::Tema => "tema",
            MaType::Trima => "trima",
            MaType::Kama => "kama",
            MaType::Mama => "mama",
            MaType::T3 => "t3",
            MaType::Hma => "hma",
            MaType::Zlema => "zlema",
            MaType::Rma => "rma",
            MaType::Disabled => "disabled",
            MaType::Vidya => "vidya",
            MaType::Alma => "alma",
        }
    }

    /// Returns the average with this name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        MaType::ALL.into_iter().find(|ma| ma.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Returns the average with this number.
    pub fn from_code(code: f64) -> Option<Self> {
        MaType::ALL.into_iter().find(|ma| f64::from(ma.talib_code()) == code)
    }

    /// Lists all numbers and names: `0 sma, 1 ema, ...`.
    pub fn choices_text() -> String {
        let choices = MaType::ALL.map(|ma| format!("{} {}", ma.talib_code(), ma.name()));
        format!("{}, 11 default", choices.join(", "))
    }

    /// Returns the rows before the first value of an average over `length` rows.
    pub fn lookback_over(self, length: usize) -> usize {
        match self {
            _ if length <= 1 => 0,
            MaType::Sma | MaType::Ema | MaType::Wma | MaType::Trima | MaType::Rma => length - 1,
            MaType::Dema => 2 * (length - 1),
            MaType::Tema => 3 * (length - 1),
            MaType::T3 => 6 * (length - 1),
            MaType::Alma => length - 1,
            MaType::Disabled => 0,
            MaType::Mama => PhaseAverage::LOOKBACK,
            MaType::Vidya => VariableIndexAverage::moves_over(length),
            MaType::Kama => length,
            MaType::Hma => length - 1 + HullAverage::last_length(length) - 1,
            MaType::Zlema => length - 1 + ZeroLagAverage::window_lag(length),
        }
    }

    /// Returns the rows after which the start practically no longer shows: the lookback for windows,
    /// an estimate for recursions.
    pub fn warmup_over(self, length: usize) -> usize {
        let stages = match self {
            _ if length <= 1 => 0,
            MaType::Sma | MaType::Wma | MaType::Trima | MaType::Hma => 0,
            MaType::Alma | MaType::Disabled => 0,
            MaType::Mama => PhaseAverage::warmup_over(0.05),
            MaType::Vidya => {
                let moves = VariableIndexAverage::moves_over(length);
                VariableIndexAverage::warmup_over(length, moves)
            }
            MaType::Ema | MaType::Zlema => Smoother::ema_fade_rows(length),
            MaType::Rma => Smoother::wilder_fade_rows(length),
            MaType::Dema => Smoother::ema_fade_rows(length) * 6 / 5,
            MaType::Tema => Smoother::ema_fade_rows(length) * 7 / 5,
            MaType::T3 => Smoother::ema_fade_rows(length) * 2,
            // The weight depends on the data; in a noisy market its mean is near that of an ema
            // of 10 rows.
            MaType::Kama => Smoother::ema_fade_rows(length.max(60)),
        };
        self.lookback_over(length) + stages
    }

    /// Returns how much of the past the average depends on.
    pub fn memory_class(self) -> Memory {
        match self {
            MaType::Sma | MaType::Wma | MaType::Trima | MaType::Hma | MaType::Alma => {
                Memory::Window
            }
            MaType::Disabled => Memory::Window,
            _ => Memory::Recursive,
        }
    }
}

/// Any moving average, chosen by a parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Average {
    /// The row itself, which every average over one row is.
    Same,
    /// [`MaType::Sma`]
    Sma(Mean),
    /// [`MaType::Ema`] and [`MaType::Rma`]
    Smooth(Smoother),
    /// [`MaType::Wma`]
    Wma(WeightedMean),
    /// [`MaType::Dema`]
    Dema(DoubleExponential),
    /// [`MaType::Tema`]
    Tema(TripleExponential),
    /// [`MaType::Trima`]
    Trima(TriangularMean),
    /// [`MaType::Kama`]
    Kama(KaufmanAverage),
    /// [`MaType::Mama`]
    Mama(Box<PhaseAverage>),
    /// [`MaType::T3`]
    T3(TillsonAverage),
    /// [`MaType::Hma`]
    Hma(HullAverage),
    /// [`MaType::Zlema`]
    Zlema(ZeroLagAverage),
    /// [`MaType::Vidya`]
    Vidya(VariableIndexAverage),
    /// [`MaType::Alma`]
    Alma(GaussianMean),
}

impl Average {
    /// Creates the average of kind `ma` over `length` rows.
    pub fn new(ma: MaType, length: usize) -> Self {
        match ma {
            _ if length <= 1 => Average::Same,
            MaType::Sma => Average::Sma(Mean::new(length)),
            MaType::Ema => Average::Smooth(Smoother::from_ema_period(length)),
            MaType::Rma => Average::Smooth(Smoother::from_wilder_period(length)),
            MaType::Wma => Average::Wma(WeightedMean::new(length)),
            MaType::Dema => Average::Dema(DoubleExponential::new(length)),
            MaType::Tema => Average::Tema(TripleExponential::new(length)),
            MaType::Trima => Average::Trima(TriangularMean::new(length)),
            MaType::Kama => Average::Kama(KaufmanAverage::new(length)),
            MaType::Mama => Average::Mama(Box::new(PhaseAverage::new(0.5, 0.05))),
            MaType::T3 => Average::T3(TillsonAverage::new(length, VFACTOR)),
            MaType::Hma => Average::Hma(HullAverage::new(length)),
            MaType::Zlema => Average::Zlema(ZeroLagAverage::new(length)),
            MaType::Disabled => Average::Same,
            MaType::Vidya => {
                let moves = VariableIndexAverage::moves_over(length);
                Average::Vidya(VariableIndexAverage::new(length, moves))
            }
            MaType::Alma => Average::Alma(GaussianMean::new(length, 6.0, 0.85)),
        }
    }

    /// Returns the average after `value`.
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
            Average::Mama(average) => average.next_averages(value)[0],
            Average::T3(average) => average.next(value),
            Average::Hma(average) => average.next(value),
            Average::Zlema(average) => average.next(value),
            Average::Vidya(average) => average.next(value),
            Average::Alma(average) => average.next(value),
        }
    }

    /// Computes [`Average::next`] for many rows: the choice is made once, not for every row.
    pub fn next_rows(&mut self, values: &[f64], means: &mut [f64]) {
        match self {
            Average::Same => means.copy_from_slice(values),
            Average::Sma(average) => average.next_rows(values, means),
            Average::Wma(average) => average.next_rows(values, means),
            Average::Trima(average) => average.next_rows(values, means),
            Average::Hma(average) => average.next_rows(values, means),
            Average::Smooth(average) => map_rows(values, means, |value| average.next(value)),
            Average::Dema(average) => map_rows(values, means, |value| average.next(value)),
            Average::Tema(average) => map_rows(values, means, |value| average.next(value)),
            Average::Kama(average) => map_rows(values, means, |value| average.next(value)),
            Average::Mama(average) => {
                map_rows(values, means, |value| average.next_averages(value)[0]);
            }
            Average::T3(average) => map_rows(values, means, |value| average.next(value)),
            Average::Zlema(average) => map_rows(values, means, |value| average.next(value)),
            Average::Vidya(average) => map_rows(values, means, |value| average.next(value)),
            Average::Alma(average) => map_rows(values, means, |value| average.next(value)),
        }
    }
}

fn map_rows(values: &[f64], results: &mut [f64], mut next: impl FnMut(f64) -> f64) {
    values.iter().zip(results).for_each(|(value, result)| *result = next(*value));
}

/// The mean of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mean {
    sum: Fold<SumBlock>,
    length: f64,
}

impl Mean {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        Mean { sum: Fold::new(length), length: length as f64 }
    }

    /// Returns the mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.sum.push_row(SumBlock(value)).0 / self.length
    }

    /// Computes [`Mean::next`] for many rows.
    pub fn next_rows(&mut self, values: &[f64], means: &mut [f64]) {
        let length = self.length;
        self.sum.push_rows(values.iter().map(|value| SumBlock(*value)), |row, sum| {
            means[row] = sum.0 / length
        });
    }
}

/// The mean of a window with weights 1, 2, 3, ... from the oldest row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WeightedMean {
    window: Fold<WeightedSum>,
    weights: f64,
}

impl WeightedMean {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        let n = length as f64;
        WeightedMean { window: Fold::new(length), weights: n * (n + 1.0) / 2.0 }
    }

    /// Returns the weighted mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.window.push_row(WeightedSum::from_value(value)).weighted / self.weights
    }

    /// Computes [`WeightedMean::next`] for many rows.
    pub fn next_rows(&mut self, values: &[f64], means: &mut [f64]) {
        let (rows, weights) =
            (values.iter().map(|value| WeightedSum::from_value(*value)), self.weights);
        self.window.push_rows(rows, |row, window| means[row] = window.weighted / weights);
    }
}

/// The mean of means over half the length: the weights rise to the middle and fall again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TriangularMean {
    first: Mean,
    second: Mean,
}

impl TriangularMean {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        TriangularMean { first: Mean::new(length.div_ceil(2)), second: Mean::new(length / 2 + 1) }
    }

    /// Returns the triangular mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.second.next(self.first.next(value))
    }

    /// Computes [`TriangularMean::next`] for many rows.
    pub fn next_rows(&mut self, values: &[f64], means: &mut [f64]) {
        let mut first = vec![f64::NAN; values.len()];
        self.first.next_rows(values, &mut first);
        self.second.next_rows(&first, means);
    }
}

/// Hull's average: twice the weighted mean of half the window, minus that of the whole window,
/// smoothed by another weighted mean.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HullAverage {
    half: WeightedMean,
    whole: WeightedMean,
    last: WeightedMean,
}

impl HullAverage {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        HullAverage {
            half: WeightedMean::new((length / 2).max(1)),
            whole: WeightedMean::new(length),
            last: WeightedMean::new(HullAverage::last_length(length)),
        }
    }

    /// Returns the rows of the last smoothing: the square root of the length.
    fn last_length(length: usize) -> usize {
        length.isqrt().max(1)
    }

    /// Returns the average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        self.last.next(2.0 * self.half.next(value) - self.whole.next(value))
    }

    /// Computes [`HullAverage::next`] for many rows.
    pub fn next_rows(&mut self, values: &[f64], means: &mut [f64]) {
        let mut half = vec![f64::NAN; values.len()];
        self.half.next_rows(values, &mut half);
        self.whole.next_rows(values, means);
        half.iter_mut().zip(&*means).for_each(|(half, whole)| *half = 2.0 * *half - whole);
        self.last.next_rows(&half, means);
    }
}

/// A chain of exponential averages, each of which smooths the one before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SmootherChain {
    stages: Vec<Smoother>,
}

impl SmootherChain {
    /// Creates `stages` averages over `length` rows each.
    pub fn new(length: usize, stages: usize) -> Self {
        SmootherChain { stages: vec![Smoother::from_ema_period(length); stages] }
    }

    /// Returns the average of every stage after `value`, the first stage first.
    #[inline]
    pub fn next_stages<const STAGES: usize>(&mut self, value: f64) -> [f64; STAGES] {
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
pub struct DoubleExponential(SmootherChain);

impl DoubleExponential {
    /// Creates averages over `length` rows each.
    pub fn new(length: usize) -> Self {
        DoubleExponential(SmootherChain::new(length, 2))
    }

    /// Returns the average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let [one, two] = self.0.next_stages(value);
        2.0 * one - two
    }
}

/// Mulloy's triple exponential average.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TripleExponential(SmootherChain);

impl TripleExponential {
    /// Creates averages over `length` rows each.
    pub fn new(length: usize) -> Self {
        TripleExponential(SmootherChain::new(length, 3))
    }

    /// Returns the average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let [one, two, three] = self.0.next_stages(value);
        3.0 * one - 3.0 * two + three
    }
}

/// Tillson's T3: a chain of three double averages with factor v, multiplied out over six
/// exponential averages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TillsonAverage {
    chain: SmootherChain,
    weights: [f64; 4],
}

impl TillsonAverage {
    /// Creates averages over `length` rows with volume factor `v`.
    pub fn new(length: usize, v: f64) -> Self {
        let (square, cube) = (v * v, v * v * v);
        TillsonAverage {
            chain: SmootherChain::new(length, 6),
            weights: [
                1.0 + 3.0 * v + cube + 3.0 * square,
                -6.0 * square - 3.0 * (v + cube),
                3.0 * (square + cube),
                -cube,
            ],
        }
    }

    /// Returns the average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let [_, _, three, four, five, six] = self.chain.next_stages(value);
        let [a, b, c, d] = self.weights;
        d * six + c * five + b * four + a * three
    }
}

/// An exponential average of each value plus its change over the lag of the window, which offsets
/// that lag.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ZeroLagAverage {
    delay: Delay,
    average: Smoother,
}

impl ZeroLagAverage {
    /// Creates an average over `length` rows.
    pub fn new(length: usize) -> Self {
        ZeroLagAverage {
            delay: Delay::new(ZeroLagAverage::window_lag(length)),
            average: Smoother::from_ema_period(length),
        }
    }

    fn window_lag(length: usize) -> usize {
        (length - 1) / 2
    }

    /// Returns the average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let late = self.delay.push(value);
        self.average.next(value + (value - late))
    }
}

/// Kaufman's average: it follows fast while the price moves in one direction, and hardly moves while
/// the price goes back and forth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KaufmanAverage {
    delay: Delay,
    path: Fold<SumBlock>,
    previous: f64,
    value: f64,
}

impl KaufmanAverage {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        KaufmanAverage {
            delay: Delay::new(length),
            path: Fold::new(length),
            previous: f64::NAN,
            value: f64::NAN,
        }
    }

    /// Returns the average after `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let (slow, fast) = (2.0 / 31.0, 2.0 / 3.0);
        let way = (value - self.delay.push(value)).abs();
        let previous = std::mem::replace(&mut self.previous, value);
        let path = self.path.push_row(SumBlock((value - previous).abs())).0;
        if way.is_nan() || path.is_nan() {
            return f64::NAN;
        }
        if self.value.is_nan() {
            self.value = previous;
        }
        let straight = if path <= way { 1.0 } else { ratio_or_zero(way, path) };
        let weight = straight * (fast - slow) + slow;
        let next = self.value + (value - self.value) * weight * weight;
        if next.is_finite() {
            self.value = next;
        }
        next
    }
}
