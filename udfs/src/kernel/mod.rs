//! Components that indicators hold by value: windows, smoothing, averages and the arithmetic of one
//! bar. All numerical care is in this module. Components know nothing of functions, parameters or
//! NULL. A component that has not seen enough rows gives NaN, and NaN passes through chains of
//! components until all have seen enough.

mod average;
mod bar;
mod candle;
mod deviation;
mod fold;
mod higher;
mod hilbert;
mod shaped;
mod smooth;
mod sorted;

pub use average::{
    Average, DoubleExponential, HullAverage, KaufmanAverage, MaType, Mean, SmootherChain,
    TillsonAverage, TriangularMean, TripleExponential, WeightedMean, ZeroLagAverage,
};
pub use bar::{DirectionalMovement, TrueRange, money_flow, typical_price};
pub use candle::{Candle, Candles, Yardstick};
pub use deviation::AbsoluteDeviation;
pub use fold::{
    Block, Centre, Comoments, Fold, Highest, Joint, Lowest, Moments, Peak, SumBlock, SumPair,
    Trend, TrendMoments, WeightedSum,
};
pub use higher::HigherMoments;
pub use hilbert::{CyclePhase, CyclePhasor, CycleTrend, HilbertTransform, PhaseAverage};
pub use shaped::{GaussianMean, VariableIndexAverage};
pub use smooth::Smoother;
pub use sorted::SortedWindow;

use serde::{Deserialize, Serialize};

/// The value from `length` rows ago; NaN until there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delay {
    ring: Vec<f64>,
    at: usize,
}

impl Delay {
    /// Creates a delay of `length` rows; a delay of 0 gives the value itself.
    pub fn new(length: usize) -> Self {
        Delay { ring: vec![f64::NAN; length], at: 0 }
    }

    /// Takes the newest value and returns the one that leaves.
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

/// A running total of all values; a value that would overflow it gives NaN and is skipped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunningTotal(f64);

impl RunningTotal {
    /// Returns the total after `value`.
    #[inline]
    pub fn add_finite(&mut self, value: f64) -> f64 {
        let next = self.0 + value;
        if next.is_finite() {
            self.0 = next;
        }
        next
    }
}

/// Returns `part / whole`, and 0 where `whole` is 0, as TA-Lib does.
#[inline]
pub fn ratio_or_zero(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Returns `part / (high - low)`, and 0 where `high` and `low` differ by no more than rounding, as
/// TA-Lib does.
#[inline]
pub fn range_ratio(part: f64, high: f64, low: f64) -> f64 {
    let range = high - low;
    if is_noise(range, high.abs() + low.abs()) { 0.0 } else { part / range }
}

/// Returns whether a difference of numbers of this size is within their rounding: TA-Lib's threshold.
#[inline]
pub fn is_noise(difference: f64, size: f64) -> bool {
    difference.abs() <= 1e-14 * size
}
