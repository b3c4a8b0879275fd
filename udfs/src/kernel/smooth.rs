//! Exponential smoothing, the recursion that most indicators share.

use serde::{Deserialize, Serialize};

/// An exponential average seeded with the mean of its first n values, as in TA-Lib.
///
/// A value that is not finite, or that would make the average overflow, gives NaN and is skipped:
/// one bad row must not poison the rows after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Smoother {
    alpha: f64,
    value: f64,
    seed: f64,
    divisor: f64,
    missing: usize,
}

impl Smoother {
    /// Creates an average with weight 2 / (n + 1).
    pub fn from_ema_period(length: usize) -> Self {
        Smoother::new(length, 2.0 / (length as f64 + 1.0))
    }

    /// Creates an average with Wilder's weight 1 / n.
    pub fn from_wilder_period(length: usize) -> Self {
        Smoother::new(length, 1.0 / length as f64)
    }

    /// Creates an average with Wilder's weight 1 / n, seeded as in his directional movement: with n
    /// values of which the first counts as 0, so that it is ready one row earlier.
    pub fn wilder_sum(length: usize) -> Self {
        Smoother { missing: (length - 1).max(1), ..Smoother::from_wilder_period(length) }
    }

    /// Creates an average with weight 2 / (n + 1), seeded with the first value alone.
    pub fn ema_from_first(length: usize) -> Self {
        Smoother { missing: 1, divisor: 1.0, ..Smoother::from_ema_period(length) }
    }

    /// Creates an average with any weight, seeded with the mean of n values.
    pub fn with_weight(length: usize, alpha: f64) -> Self {
        Smoother::new(length, alpha)
    }

    fn new(length: usize, alpha: f64) -> Self {
        let divisor = length as f64;
        Smoother { alpha, value: f64::NAN, seed: 0.0, divisor, missing: length }
    }

    /// Returns the average after `value`, NaN until it is seeded.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        if self.missing > 0 {
            return self.add_to_seed(value);
        }
        let next = self.value + (value - self.value) * self.alpha;
        if !next.is_normal() {
            return self.settle_abnormal(next);
        }
        self.value = next;
        next
    }

    #[cold]
    fn add_to_seed(&mut self, value: f64) -> f64 {
        if self.alpha == 1.0 {
            return value; // Exactly, which `value + (next - value) * 1` is not.
        }
        let seed = self.seed + value;
        if !seed.is_finite() {
            return f64::NAN;
        }
        self.seed = seed;
        self.missing -= 1;
        if self.missing == 0 {
            self.value = self.seed / self.divisor;
        }
        self.value
    }

    /// Skips an average that is not finite, and sets a subnormal one to 0: arithmetic on subnormal
    /// numbers is slow and never reaches 0.
    #[cold]
    fn settle_abnormal(&mut self, next: f64) -> f64 {
        if next.is_finite() {
            self.value = 0.0;
            return 0.0;
        }
        f64::NAN
    }

    /// Returns the rows until the seed weighs less than the last bit of an average with this weight.
    ///
    /// An estimate: 40 / alpha was enough on every series that was measured.
    pub fn fade_rows(alpha: f64) -> usize {
        (40.0 / alpha).ceil() as usize
    }

    /// Returns [`Smoother::fade_rows`] for the weight of [`Smoother::from_ema_period`].
    pub fn ema_fade_rows(length: usize) -> usize {
        Smoother::fade_rows(2.0 / (length as f64 + 1.0))
    }

    /// Returns [`Smoother::fade_rows`] for the weight of [`Smoother::from_wilder_period`].
    pub fn wilder_fade_rows(length: usize) -> usize {
        Smoother::fade_rows(1.0 / length as f64)
    }
}
