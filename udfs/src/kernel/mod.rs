//! Bricks that indicators hold by value: windows, smoothing, averages and the arithmetic of one
//! bar. Numerical care lives here once. Bricks know nothing of functions, parameters or NULL; a
//! brick that has not seen enough rows gives NaN, and NaN passes through chains of bricks until all
//! have seen enough.

mod average;
mod bar;
mod deviation;
mod fold;
mod smooth;

pub use average::{
    Average, DoubleExponential, HullAverage, KaufmanAverage, MaType, Mean, SmootherChain,
    TillsonAverage, TriangularMean, TripleExponential, WeightedMean, ZeroLagAverage,
};
pub use bar::{DirectionalMovement, TrueRange, money_flow, typical_price};
pub use deviation::AbsoluteDeviation;
pub use fold::{
    Block, Centre, Comoments, Fold, Highest, Joint, Lowest, Moments, Peak, SumBlock, SumPair,
    Trend, WeightedSum,
};
pub use smooth::Smoother;

use serde::{Deserialize, Serialize};

/// The value of `length` rows ago; NaN until there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delay {
    ring: Vec<f64>,
    at: usize,
}

impl Delay {
    /// A delay of `length` rows; a delay of 0 gives the value itself.
    pub fn new(length: usize) -> Self {
        Delay { ring: vec![f64::NAN; length], at: 0 }
    }

    /// Takes the newest value and gives the one that left.
    #[inline]
    pub fn push(&mut self, value: f64) -> f64 {
        let at = self.at;
        if self.ring.is_empty() {
            return value;
        }
        self.at = if at + 1 == self.ring.len() { 0 } else { at + 1 };
        std::mem::replace(&mut self.ring[at], value)
    }
}

/// A running total that nothing leaves; an overflow gives NaN and is not taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunningTotal(f64);

impl RunningTotal {
    /// The total after `value`.
    #[inline]
    pub fn add_finite(&mut self, value: f64) -> f64 {
        let next = self.0 + value;
        if next.is_finite() {
            self.0 = next;
        }
        next
    }
}

/// `part / whole`, and 0 where `whole` is 0, as TA-Lib has it.
#[inline]
pub fn ratio_or_zero(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// `part / (high - low)`, and 0 where `high` and `low` differ by no more than rounding, as TA-Lib
/// has it.
#[inline]
pub fn range_ratio(part: f64, high: f64, low: f64) -> f64 {
    let range = high - low;
    if is_noise(range, high.abs() + low.abs()) { 0.0 } else { part / range }
}

/// Whether a difference of numbers of this size is no more than their rounding: TA-Lib's threshold.
#[inline]
pub fn is_noise(difference: f64, size: f64) -> bool {
    difference.abs() <= 1e-14 * size
}
