//! Arithmetic of one bar and of two neighbouring bars.

use super::{Smoother, ratio_or_zero};
use serde::{Deserialize, Serialize};

/// Returns the mean of high, low and close.
#[inline]
pub fn typical_price(high: f64, low: f64, close: f64) -> f64 {
    (high + low + close) / 3.0
}

/// Returns Chaikin's money flow: volume, weighted from -1 (close at the low) to 1 (close at the high).
#[inline]
pub fn money_flow(high: f64, low: f64, close: f64, volume: f64) -> f64 {
    let range = high - low;
    if range > 0.0 { ((close - low) - (high - close)) / range * volume } else { 0.0 }
}

/// The range of a bar, widened to the close before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrueRange {
    close: f64,
}

impl Default for TrueRange {
    /// Creates the state before the first bar.
    fn default() -> Self {
        TrueRange { close: f64::NAN }
    }
}

impl TrueRange {
    /// Returns the true range of a bar, NaN for the first.
    #[inline]
    pub fn next_range(&mut self, high: f64, low: f64, close: f64) -> f64 {
        let previous = std::mem::replace(&mut self.close, close);
        if previous.is_nan() {
            return f64::NAN;
        }
        (high - low).max((high - previous).abs()).max((low - previous).abs())
    }
}

/// Wilder's directional movement and true range, smoothed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DirectionalMovement {
    high: f64,
    low: f64,
    range: TrueRange,
    plus: Smoother,
    minus: Smoother,
    total: Smoother,
    missing: usize,
}

impl DirectionalMovement {
    /// Creates movement and range that are smoothed over `length` bars.
    pub fn new(length: usize) -> Self {
        let smooth = Smoother::wilder_sum(length);
        DirectionalMovement {
            high: f64::NAN,
            low: f64::NAN,
            range: TrueRange::default(),
            plus: smooth.clone(),
            minus: smooth.clone(),
            total: smooth,
            missing: length + 1,
        }
    }

    /// Returns upward and downward movement as shares of the true range; NaN for the first `length` bars.
    #[inline]
    pub fn next_shares(&mut self, high: f64, low: f64, close: f64) -> [f64; 2] {
        let up = high - std::mem::replace(&mut self.high, high);
        let down = std::mem::replace(&mut self.low, low) - low;
        let range = self.range.next_range(high, low, close);
        if self.missing > 0 {
            self.missing -= 1;
            if range.is_nan() {
                return [f64::NAN; 2];
            }
        }
        let plus = self.plus.next(if up > down { up.max(0.0) } else { 0.0 });
        let minus = self.minus.next(if down > up { down.max(0.0) } else { 0.0 });
        let total = self.total.next(range);
        if self.missing > 0 {
            [f64::NAN; 2]
        } else {
            [ratio_or_zero(plus, total), ratio_or_zero(minus, total)]
        }
    }
}
