//! Moving averages with weights of a certain shape, or weights that follow the market.

use super::{Fold, Smoother, SumPair, ratio_or_zero};
use serde::{Deserialize, Serialize};

/// The mean of a window with the weights of a bell curve. Such weights cannot be joined from parts: every row goes
/// through the whole window again, from the oldest value to the newest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GaussianMean {
    weights: Vec<f64>,
    ring: Vec<f64>,
    at: usize,
}

impl GaussianMean {
    /// Creates a window of `length` rows; the bell stands at `offset` from the oldest (0) to the newest row (1), and
    /// its width is `length / sigma`.
    pub fn new(length: usize, sigma: f64, offset: f64) -> Self {
        let centre = (offset * (length - 1) as f64).floor();
        let width = length as f64 / sigma;
        let weight = |row: usize| {
            let distance = row as f64 - centre;
            (-(distance * distance) / (2.0 * width * width)).exp()
        };
        let weights: Vec<f64> = (0..length).map(weight).collect();
        let total: f64 = weights.iter().sum();
        GaussianMean {
            weights: weights.into_iter().map(|weight| weight / total).collect(),
            ring: vec![f64::NAN; length],
            at: 0,
        }
    }

    /// Returns the mean of the window that ends with `value`.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        let length = self.ring.len();
        if length == 1 {
            return value;
        }
        self.ring[self.at] = value;
        self.at = if self.at + 1 == length { 0 } else { self.at + 1 };
        let (newer, older) = self.ring.split_at(self.at);
        let values = older.iter().chain(newer);
        self.weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
    }
}

/// Chande's average, whose weight grows with the share of gains or losses in the moves of a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VariableIndexAverage {
    alpha: f64,
    moves: Fold<SumPair>,
    previous: f64,
    value: f64,
    missing: usize,
}

impl VariableIndexAverage {
    /// Creates an average over `length` rows that reads the moves of `moves` rows.
    pub fn new(length: usize, moves: usize) -> Self {
        let mut window = Fold::new(moves);
        // Rows before the first count as rows without a move.
        for _ in 0..moves {
            window.push_row(SumPair(0.0, 0.0));
        }
        VariableIndexAverage {
            alpha: 2.0 / (length as f64 + 1.0),
            moves: window,
            previous: f64::NAN,
            value: f64::NAN,
            missing: moves,
        }
    }

    /// Returns the rows of moves that TA-Lib reads for an average over `length` rows.
    pub fn moves_over(length: usize) -> usize {
        (3 * length + 2) / 4
    }

    /// Returns an estimate of the rows after which the start no longer shows: the weight depends on the data.
    pub fn warmup_over(length: usize, moves: usize) -> usize {
        moves + Smoother::ema_fade_rows(length) * 2 * (1 + moves.isqrt())
    }

    /// Returns the average after `value`; NaN until its window is full.
    #[inline]
    pub fn next(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return f64::NAN;
        }
        let change = value - std::mem::replace(&mut self.previous, value);
        if change.is_nan() {
            self.value = value;
            return f64::NAN;
        }
        let SumPair(gain, loss) = self.moves.push_row(SumPair(change.max(0.0), (-change).max(0.0)));
        let share = ratio_or_zero((gain - loss).abs(), gain + loss);
        let next = self.value + (value - self.value) * (self.alpha * share);
        if next.is_finite() {
            self.value = next;
        }
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 { f64::NAN } else { next }
    }
}
