//! The summary of a window: it depends on the last n rows only.
//!
//! A running sum carries its history in its rounding error, and a fresh sum costs n additions per
//! row. [`Fold`] avoids both. It joins summaries of 1, 2, 5, 10, 20 rows (the leading binary digits
//! of n): it joins the summary of a long window from two of half the length that it computed
//! before. The order of joins depends only on the distance from the newest row, so the same window
//! gives the same bits wherever the series starts. A row costs about log2(n) joins, and the error
//! grows with log2(n), not with n. NaN or an overflow leaves the result together with the row that
//! brought it.

use pulp::{Simd, WithSimd};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// A summary of consecutive rows that can be joined with the summary of the rows after them.
pub trait Block: Copy + Debug + Send + Serialize + DeserializeOwned + 'static {
    /// The summary of rows that do not exist yet: joined with anything it gives NaN.
    const NONE: Self;

    /// Joins two summaries. The lengths are in `joint`, since they are the same on every row.
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self;
}

/// The lengths of two neighbouring blocks, and numbers that are computed from them once.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Joint {
    /// Rows in the newer block.
    pub newer: f64,
    /// Rows in the older block.
    pub older: f64,
    /// The newer block's share of all rows.
    pub share: f64,
    /// `older * newer / (older + newer)`: the weight of the squared distance between two means.
    pub cross: f64,
}

impl Joint {
    fn new(older: usize, newer: usize) -> Self {
        let (older, newer) = (older as f64, newer as f64);
        let both = older + newer;
        Joint { older, newer, share: newer / both, cross: older * newer / both }
    }
}

/// One doubling: a ring of summaries of half the rows, and the lengths with which two are joined.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DoublingLevel<B> {
    ring: Vec<B>,
    at: usize,
    /// True if the doubled window leaves out the newest row, which is then joined on its own.
    odd: bool,
    double: Joint,
    single: Joint,
}

/// The summary of the last n blocks, in about log2(n) joins per row.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Fold<B: Block> {
    levels: Vec<DoublingLevel<B>>,
}

impl<B: Block> Fold<B> {
    /// Creates a window of `length` rows (at least 1).
    pub fn new(length: usize) -> Self {
        let digits = usize::BITS - length.max(1).leading_zeros() - 1;
        let mut half = 1;
        let levels = (0..digits).rev().map(|digit| {
            let odd = (length >> digit) & 1 == 1;
            let level = DoublingLevel {
                ring: vec![B::NONE; half + usize::from(odd)],
                at: 0,
                odd,
                double: Joint::new(half, half),
                single: Joint::new(2 * half, 1),
            };
            half = 2 * half + usize::from(odd);
            level
        });
        Fold { levels: levels.collect() }
    }

    /// Takes the newest row and returns the summary of the window that ends with it.
    #[inline]
    pub fn push_row(&mut self, row: B) -> B {
        let mut window = row;
        for level in &mut self.levels {
            let at = level.at;
            let previous = if at == 0 { level.ring.len() } else { at } - 1;
            level.at = if at + 1 == level.ring.len() { 0 } else { at + 1 };
            let older = std::mem::replace(&mut level.ring[at], window);
            window = if level.odd {
                let doubled = B::join_blocks(older, level.ring[previous], &level.double);
                B::join_blocks(doubled, row, &level.single)
            } else {
                B::join_blocks(older, window, &level.double)
            };
        }
        window
    }
}

impl<B: Block> Fold<B> {
    /// Returns the bytes on the heap: about two blocks per row of the window.
    pub fn heap_size(&self) -> usize {
        let rings = self.levels.iter().map(|level| level.ring.len() * size_of::<B>());
        rings.sum::<usize>() + self.levels.len() * size_of::<DoublingLevel<B>>()
    }

    /// Computes [`Fold::push_row`] for many rows, with the same bits. It runs level by level over whole
    /// slices, of which the processor takes as many rows at a time as its vectors hold.
    pub fn push_rows(
        &mut self,
        rows: impl ExactSizeIterator<Item = B>,
        mut give: impl FnMut(usize, B),
    ) {
        let count = rows.len();
        let held: usize = self.levels.iter().map(|level| level.ring.len()).sum();
        if count < 32 || held > 4 * count {
            // Copying the rings into a line and back would cost more than it saves.
            return rows.enumerate().for_each(|(row, block)| give(row, self.push_row(block)));
        }
        pulp::Arch::new().dispatch(FoldRun { levels: &mut self.levels, rows, give });
    }
}

/// The run of [`Fold::push_rows`], compiled once for every vector width that a processor may have.
struct FoldRun<'a, B: Block, I, G> {
    levels: &'a mut [DoublingLevel<B>],
    rows: I,
    give: G,
}

impl<B: Block, I: ExactSizeIterator<Item = B>, G: FnMut(usize, B)> WithSimd
    for FoldRun<'_, B, I, G>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        // There is room for any level's ring in front of the windows, so that the doubled windows
        // are written where the next level expects them.
        let front = self.levels.iter().map(|level| level.ring.len()).max().unwrap_or(0);
        let room = front + self.rows.len();
        let (mut line, mut next) = (Vec::with_capacity(room), Vec::with_capacity(room));
        line.resize(front, B::NONE);
        next.resize(front, B::NONE);
        line.extend(self.rows);
        // Windows of an odd number of rows are also joined with single rows.
        let odd = self.levels.iter().skip(1).any(|level| level.odd);
        let rows = if odd { line[front..].to_vec() } else { Vec::new() };
        for (i, level) in self.levels.iter_mut().enumerate() {
            let rows = if i > 0 { &rows[..] } else { &[] };
            level.double_windows(rows, &mut line, front, &mut next);
            std::mem::swap(&mut line, &mut next);
        }
        for (row, window) in line[front..].iter().enumerate() {
            (self.give)(row, *window);
        }
    }
}

impl<B: Block> DoublingLevel<B> {
    /// Doubles the windows of many rows, which follow `front` places in `line`, into `next`. `rows` are
    /// the single rows; if it is empty, they are those of `line`.
    #[inline(always)]
    fn double_windows(&mut self, rows: &[B], line: &mut [B], front: usize, next: &mut Vec<B>) {
        let (length, count) = (self.ring.len(), line.len() - front);
        let (newer, older) = self.ring.split_at(self.at);
        line[front - length..][..older.len()].copy_from_slice(older);
        line[front - newer.len()..front].copy_from_slice(newer);
        let line = &line[front - length..];
        let older = &line[..count];
        next.truncate(front);
        if self.odd {
            let rows = if rows.is_empty() { &line[length..] } else { rows };
            let newer = &line[length - 1..][..count];
            next.extend(older.iter().zip(newer).zip(rows).map(|((older, newer), row)| {
                let doubled = B::join_blocks(*older, *newer, &self.double);
                B::join_blocks(doubled, *row, &self.single)
            }));
        } else {
            let newer = &line[length..];
            next.extend(
                older
                    .iter()
                    .zip(newer)
                    .map(|(older, newer)| B::join_blocks(*older, *newer, &self.double)),
            );
        }
        self.ring.copy_from_slice(&line[count..]);
        self.at = 0;
    }
}

/// The sum of a window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SumBlock(pub f64);

impl Block for SumBlock {
    const NONE: Self = SumBlock(f64::NAN);

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
        SumBlock(older.0 + newer.0)
    }
}

/// Sums of several columns over one window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SumPair(pub f64, pub f64);

impl Block for SumPair {
    const NONE: Self = SumPair(f64::NAN, f64::NAN);

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
        SumPair(older.0 + newer.0, older.1 + newer.1)
    }
}

/// The largest value of a window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Highest(pub f64);

impl Block for Highest {
    const NONE: Self = Highest(f64::NAN);

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
        // A missing row (NaN) compares as false and stays, which the lookback hides.
        Highest(if newer.0 >= older.0 { newer.0 } else { older.0 })
    }
}

/// The smallest value of a window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Lowest(pub f64);

impl Block for Lowest {
    const NONE: Self = Lowest(f64::NAN);

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
        Lowest(if newer.0 <= older.0 { newer.0 } else { older.0 })
    }
}

/// The largest value of a window and its age in rows; of equal values, the newest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Peak {
    /// The largest value.
    pub value: f64,
    /// The rows since that value.
    pub age: f64,
}

impl Peak {
    /// Returns the summary of the newest row.
    pub fn from_value(value: f64) -> Self {
        Peak { value, age: 0.0 }
    }
}

impl Block for Peak {
    const NONE: Self = Peak { value: f64::NAN, age: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        // Two selects and no branch: a processor cannot predict which block wins.
        let newest = newer.value >= older.value;
        Peak {
            value: if newest { newer.value } else { older.value },
            age: if newest { newer.age } else { older.age + joint.newer },
        }
    }
}

/// The sum of a window and its sum weighted 1, 2, 3, ... from the oldest row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct WeightedSum {
    /// The plain sum.
    pub sum: f64,
    /// The weighted sum.
    pub weighted: f64,
}

impl WeightedSum {
    /// Returns the summary of one row.
    pub fn from_value(value: f64) -> Self {
        WeightedSum { sum: value, weighted: value }
    }
}

impl Block for WeightedSum {
    const NONE: Self = WeightedSum { sum: f64::NAN, weighted: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        WeightedSum {
            sum: older.sum + newer.sum,
            weighted: older.weighted + newer.weighted + joint.older * newer.sum,
        }
    }
}

/// The mean of a block: its oldest value, and the distance of the mean from it. Differences of prices
/// that are close are exact, so the error of a mean depends on how much the rows differ, not on how far
/// they are from zero.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Centre {
    oldest: f64,
    offset: f64,
}

impl Centre {
    /// Returns the mean of one value.
    #[inline(always)]
    pub const fn from_value(value: f64) -> Self {
        Centre { oldest: value, offset: 0.0 }
    }

    /// Returns the mean as one number.
    #[inline(always)]
    pub fn mean_value(self) -> f64 {
        self.oldest + self.offset
    }

    /// Returns the distance from this mean to the mean of newer rows.
    #[inline(always)]
    pub fn step_to(self, newer: Self) -> f64 {
        (newer.oldest - self.oldest) + (newer.offset - self.offset)
    }

    /// Returns the distance from the mean to a value.
    #[inline(always)]
    pub fn distance_to(self, value: f64) -> f64 {
        (value - self.oldest) - self.offset
    }

    /// Returns the mean shifted by a distance.
    #[inline(always)]
    pub fn shift_by(self, by: f64) -> Self {
        Centre { offset: self.offset + by, ..self }
    }
}

impl Block for Centre {
    const NONE: Self = Centre { oldest: f64::NAN, offset: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        older.shift_by(older.step_to(newer) * joint.share)
    }
}

/// The mean and the sum of squared distances from it: exactly 0 for a flat window, and no cancellation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Moments {
    /// The mean.
    pub mean: Centre,
    /// The sum of squared distances from the mean.
    pub squares: f64,
}

impl Moments {
    /// Returns the summary of one row.
    pub fn from_value(value: f64) -> Self {
        Moments { mean: Centre::from_value(value), squares: 0.0 }
    }
}

impl Block for Moments {
    const NONE: Self = Moments { mean: Centre::NONE, squares: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        let step = older.mean.step_to(newer.mean);
        Moments {
            mean: older.mean.shift_by(step * joint.share),
            squares: older.squares + newer.squares + step * step * joint.cross,
        }
    }
}

/// The means of two columns, their sums of squared distances, and the sum of products of distances.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Comoments {
    /// The first column.
    pub x: Moments,
    /// The second column.
    pub y: Moments,
    /// The sum of products of the distances from both means.
    pub products: f64,
}

impl Comoments {
    /// Returns the summary of one row.
    pub fn from_pair(x: f64, y: f64) -> Self {
        Comoments { x: Moments::from_value(x), y: Moments::from_value(y), products: 0.0 }
    }
}

impl Block for Comoments {
    const NONE: Self = Comoments { x: Moments::NONE, y: Moments::NONE, products: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        let step = older.x.mean.step_to(newer.x.mean) * older.y.mean.step_to(newer.y.mean);
        Comoments {
            x: Moments::join_blocks(older.x, newer.x, joint),
            y: Moments::join_blocks(older.y, newer.y, joint),
            products: older.products + newer.products + step * joint.cross,
        }
    }
}

/// The mean of a window, and the sum of products of the distances of values from their mean and of
/// row numbers from theirs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Trend {
    /// The mean.
    pub mean: Centre,
    /// The sum of products with the centred row numbers.
    pub products: f64,
}

impl Trend {
    /// Returns the summary of one row.
    pub fn from_value(value: f64) -> Self {
        Trend { mean: Centre::from_value(value), products: 0.0 }
    }
}

impl Block for Trend {
    const NONE: Self = Trend { mean: Centre::NONE, products: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        let step = older.mean.step_to(newer.mean);
        // The mean row numbers of the two blocks are half of all rows apart.
        let apart = (joint.older + joint.newer) / 2.0;
        Trend {
            mean: older.mean.shift_by(step * joint.share),
            products: older.products + newer.products + step * apart * joint.cross,
        }
    }
}

/// [`Trend`] together with the sum of squared distances from the mean.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TrendMoments {
    /// The mean and the sum of squared distances from it.
    pub moments: Moments,
    /// The sum of products with the centred row numbers.
    pub products: f64,
}

impl TrendMoments {
    /// Returns the summary of one row.
    pub fn from_value(value: f64) -> Self {
        TrendMoments { moments: Moments::from_value(value), products: 0.0 }
    }
}

impl Block for TrendMoments {
    const NONE: Self = TrendMoments { moments: Moments::NONE, products: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        let step = older.moments.mean.step_to(newer.moments.mean);
        let apart = (joint.older + joint.newer) / 2.0;
        TrendMoments {
            moments: Moments::join_blocks(older.moments, newer.moments, joint),
            products: older.products + newer.products + step * apart * joint.cross,
        }
    }
}
