//! A window that is kept in the order of its values.

use serde::{Deserialize, Serialize};

/// The values of a window, sorted. One row takes a search and a move of the values between the place of the one that
/// leaves and that of the one that comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SortedWindow {
    ring: Vec<f64>,
    at: usize,
    /// Sorted; rows that do not exist yet are NaN and stand at the end.
    sorted: Vec<f64>,
}

impl SortedWindow {
    /// Creates a window of `length` rows.
    pub fn new(length: usize) -> Self {
        SortedWindow { ring: vec![f64::NAN; length], at: 0, sorted: vec![f64::NAN; length] }
    }

    /// Takes the newest value in place of the oldest one.
    pub fn push(&mut self, value: f64) {
        let oldest = std::mem::replace(&mut self.ring[self.at], value);
        self.at = if self.at + 1 == self.ring.len() { 0 } else { self.at + 1 };
        let from = self.sorted.partition_point(|other| other.total_cmp(&oldest).is_lt());
        let to = self.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        if to <= from {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = value;
        } else {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = value;
        }
    }

    /// Returns the value with this many smaller ones; NaN until there are as many rows.
    pub fn ranked(&self, rank: usize) -> f64 {
        self.sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    /// Returns how many values are smaller than `value`.
    pub fn count_below(&self, value: f64) -> usize {
        self.sorted.partition_point(|other| *other < value)
    }
}
