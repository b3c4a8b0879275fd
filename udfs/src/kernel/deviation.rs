//! The mean absolute deviation of a window.

use super::{Centre, Fold};
use pulp::{Simd, WithSimd};
use serde::{Deserialize, Serialize};

/// The mean of a window, and the mean distance of its values from it.
///
/// It cannot be joined from summaries of half a window: every row goes through the whole window
/// again, from the oldest value to the newest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AbsoluteDeviation {
    ring: Vec<f64>,
    at: usize,
    mean: Fold<Centre>,
}

impl AbsoluteDeviation {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        AbsoluteDeviation { ring: vec![f64::NAN; length], at: 0, mean: Fold::new(length) }
    }

    /// Returns `(mean, mean absolute deviation)` of the window that ends with `value`.
    #[inline]
    pub fn next_deviation(&mut self, value: f64) -> (f64, f64) {
        let length = self.ring.len();
        self.ring[self.at] = value;
        self.at = if self.at + 1 == length { 0 } else { self.at + 1 };
        // This mean of equal values is exactly that value, so that the deviation of a flat window
        // is 0.
        let mean = self.mean.push_row(Centre::from_value(value)).mean_value();
        let (newer, older) = self.ring.split_at(self.at);
        let distances = older.iter().chain(newer).map(|other| (other - mean).abs());
        (mean, distances.sum::<f64>() / length as f64)
    }

    /// Computes [`AbsoluteDeviation::next_deviation`] for many rows, with the same bits. All rows add
    /// their oldest value, then all add the next one: additions of different rows do not wait for each
    /// other, as those of one row would.
    pub fn deviation_rows(&mut self, values: &[f64], means: &mut [f64], deviations: &mut [f64]) {
        let length = self.ring.len();
        if values.len() < 32 || length > values.len() {
            for ((value, mean), deviation) in values.iter().zip(means).zip(deviations) {
                (*mean, *deviation) = self.next_deviation(*value);
            }
            return;
        }
        self.mean.push_rows(
            values.iter().map(|value| Centre::from_value(*value)),
            |row, window| {
                means[row] = window.mean_value();
            },
        );
        let (newer, older) = self.ring.split_at(self.at);
        let line: Vec<f64> = older.iter().chain(newer).chain(values).skip(1).copied().collect();
        pulp::Arch::new().dispatch(Distances { length, line: &line, means, deviations });
        self.ring.copy_from_slice(&line[line.len() - length..]);
        self.at = 0;
    }
}

/// The mean distances from the mean for many rows; the window of row `i` is `line[i..][..length]`.
struct Distances<'a> {
    length: usize,
    line: &'a [f64],
    means: &'a [f64],
    deviations: &'a mut [f64],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.means.chunks(NEAR).zip(self.deviations.chunks_mut(NEAR));
        for (i, (means, sums)) in rows.enumerate() {
            sums.fill(0.0);
            for oldest in 0..self.length {
                let values = &self.line[i * NEAR + oldest..][..means.len()];
                for ((sum, value), mean) in sums.iter_mut().zip(values).zip(means) {
                    *sum += (value - mean).abs();
                }
            }
            for sum in sums {
                *sum /= self.length as f64;
            }
        }
    }
}

/// Rows per chunk: few enough that their sums stay in the cache while their windows are read.
const NEAR: usize = 512;
