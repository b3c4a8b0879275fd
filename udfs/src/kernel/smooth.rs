//! Exponential smoothing, the one recursion that most indicators share.

use serde::{Deserialize, Serialize};

/// An exponential average seeded with the mean of its first n values, as in TA-Lib.
///
/// A value that is not finite, or that would carry the average over the largest number, gives NaN
/// and is otherwise not taken: one bad row must not poison the rows after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Smooth {
    alpha: f64,
    value: f64,
    seed: f64,
    divisor: f64,
    missing: usize,
}

impl Smooth {
    /// Weight 2 / (n + 1).
    pub fn ema(length: usize) -> Self {
        Smooth::new(length, 2.0 / (length as f64 + 1.0))
    }

    /// Wilder's weight 1 / n.
    pub fn wilder(length: usize) -> Self {
        Smooth::new(length, 1.0 / length as f64)
    }

    /// Wilder's weight 1 / n, seeded as his directional movement is: with n values, the first of
    /// which is taken for 0, so that it is ready one row earlier.
    pub fn wilder_sum(length: usize) -> Self {
        Smooth { missing: (length - 1).max(1), ..Smooth::wilder(length) }
    }

    /// Weight 2 / (n + 1), seeded with the first value alone.
    pub fn from_first(length: usize) -> Self {
        Smooth { missing: 1, divisor: 1.0, ..Smooth::ema(length) }
    }

    fn new(length: usize, alpha: f64) -> Self {
        let divisor = length as f64;
        Smooth { alpha, value: f64::NAN, seed: 0.0, divisor, missing: length }
    }

    /// The average after `value`, NaN until it is seeded.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        if self.missing > 0 {
            return self.start(value);
        }
        let next = self.value + (value - self.value) * self.alpha;
        if !next.is_normal() {
            return self.settle(next);
        }
        self.value = next;
        next
    }

    #[cold]
    fn start(&mut self, value: f64) -> f64 {
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

    /// What is not finite is not taken; what is too small for a full mantissa is 0, since
    /// arithmetic on such numbers is slow and never reaches 0 by itself.
    #[cold]
    fn settle(&mut self, next: f64) -> f64 {
        if next.is_finite() {
            self.value = 0.0;
            return 0.0;
        }
        f64::NAN
    }

    /// Rows until the seed weighs less than the last bit of an average with this weight.
    ///
    /// An estimate: 40 / alpha was enough on every series that was measured.
    pub fn forgets(alpha: f64) -> usize {
        (40.0 / alpha).ceil() as usize
    }

    /// [`Smooth::forgets`] for the weight of [`Smooth::ema`].
    pub fn ema_forgets(length: usize) -> usize {
        Smooth::forgets(2.0 / (length as f64 + 1.0))
    }

    /// [`Smooth::forgets`] for the weight of [`Smooth::wilder`].
    pub fn wilder_forgets(length: usize) -> usize {
        Smooth::forgets(1.0 / length as f64)
    }
}
