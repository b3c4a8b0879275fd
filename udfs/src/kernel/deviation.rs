//! The mean absolute deviation of a window.

use super::{Fold, Moments};
use serde::{Deserialize, Serialize};

/// The mean of a window, and the mean distance of its values from it.
///
/// There is no summary of half a window from which this could be joined: every row looks at the
/// whole window again, in the order from the oldest to the newest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AbsoluteDeviation {
    ring: Vec<f64>,
    at: usize,
    mean: Fold<Moments>,
}

impl AbsoluteDeviation {
    /// A window of `length` rows.
    pub fn new(length: usize) -> Self {
        AbsoluteDeviation { ring: vec![f64::NAN; length], at: 0, mean: Fold::new(length) }
    }

    /// `(mean, mean absolute deviation)` of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> (f64, f64) {
        let length = self.ring.len();
        self.ring[self.at] = value;
        self.at = if self.at + 1 == length { 0 } else { self.at + 1 };
        // This mean of equal values is that value exactly, so that a flat window deviates by
        // nothing.
        let mean = self.mean.push(Moments::of(value)).mean;
        let (newer, older) = self.ring.split_at(self.at);
        let distances = older.iter().chain(newer).map(|other| (other - mean).abs());
        (mean, distances.sum::<f64>() / length as f64)
    }
}
