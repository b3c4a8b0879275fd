//! Summaries of the rows in a frame that have values, from which SQL's aggregates are computed.
//!
//! Two neighbouring summaries join into one, so that a sliding frame costs log2(n) joins per row
//! and never retracts a row. The same rows give the same bits wherever the series starts.

use std::cmp::Ordering;
use std::fmt::Debug;

use datafusion::arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};
use windrow_udfs::kernel::{Block, Centre, Joint, Moments};

use crate::guards::SampleMoments;

/// A summary of rows and their number; [`Block::NONE`] is the summary of no rows.
pub(super) trait Summary: Block {
    /// The type of the columns that are summarized.
    type In: ArrowPrimitiveType;

    /// Returns the summary of one row of up to two columns.
    fn of_row(row: [<Self::In as ArrowPrimitiveType>::Native; 2]) -> Self;

    /// Adds a row after the others, with the arithmetic of DataFusion's accumulators.
    fn add_row(&mut self, row: [<Self::In as ArrowPrimitiveType>::Native; 2]);

    /// Returns whether the result fits the type of the results.
    #[inline]
    fn fits_result_type(&self) -> bool {
        true
    }
}

/// The number of rows and their sum.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SumAndCount<T> {
    pub(super) rows: i64,
    pub(super) sum: T,
}

impl Block for SumAndCount<f64> {
    const NONE: Self = Self { rows: 0, sum: 0.0 };

    #[inline]
    fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
        Self { rows: older.rows + newer.rows, sum: older.sum + newer.sum }
    }
}

impl Summary for SumAndCount<f64> {
    type In = Float64Type;

    #[inline]
    fn of_row([value, _]: [f64; 2]) -> Self {
        Self { rows: 1, sum: value }
    }

    #[inline]
    fn add_row(&mut self, [value, _]: [f64; 2]) {
        self.rows += 1;
        self.sum += value;
    }
}

impl Block for SumAndCount<i128> {
    const NONE: Self = Self { rows: 0, sum: 0 };

    #[inline]
    fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
        Self { rows: older.rows + newer.rows, sum: older.sum + newer.sum }
    }
}

impl Summary for SumAndCount<i128> {
    type In = Int64Type;

    #[inline]
    fn of_row([value, _]: [i64; 2]) -> Self {
        Self { rows: 1, sum: value.into() }
    }

    #[inline]
    fn add_row(&mut self, [value, _]: [i64; 2]) {
        self.rows += 1;
        self.sum += i128::from(value);
    }

    #[inline]
    fn fits_result_type(&self) -> bool {
        i64::try_from(self.sum).is_ok()
    }
}

/// A number with the order that SQL's `min` and `max` use.
pub(super) trait SqlOrdered: Copy + PartialOrd {
    /// Compares two numbers: NaN is the greatest, and -0 is less than 0.
    fn sql_cmp(self, other: Self) -> Ordering;
}

impl SqlOrdered for f64 {
    #[inline]
    fn sql_cmp(self, other: Self) -> Ordering {
        self.total_cmp(&other)
    }
}

impl SqlOrdered for i64 {
    #[inline]
    fn sql_cmp(self, other: Self) -> Ordering {
        self.cmp(&other)
    }
}

/// The least value, or with `MAX` the greatest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Extreme<T, const MAX: bool> {
    pub(super) value: Option<T>,
}

impl<T: SqlOrdered, const MAX: bool> Extreme<T, MAX> {
    #[inline]
    fn pick_extreme(self, other: Self) -> Self {
        match (self.value, other.value) {
            (Some(a), Some(b)) => {
                let keep = if MAX { a.sql_cmp(b).is_ge() } else { a.sql_cmp(b).is_le() };
                Self { value: Some(if keep { a } else { b }) }
            }
            (None, _) => other,
            (_, None) => self,
        }
    }
}

macro_rules! extreme {
    ($native:ty, $arrow:ty) => {
        impl<const MAX: bool> Block for Extreme<$native, MAX> {
            const NONE: Self = Self { value: None };

            #[inline]
            fn join_blocks(older: Self, newer: Self, _: &Joint) -> Self {
                older.pick_extreme(newer)
            }
        }

        impl<const MAX: bool> Summary for Extreme<$native, MAX> {
            type In = $arrow;

            #[inline]
            fn of_row([value, _]: [$native; 2]) -> Self {
                Self { value: Some(value) }
            }

            #[inline]
            fn add_row(&mut self, row: [$native; 2]) {
                *self = self.pick_extreme(Self::of_row(row));
            }
        }
    };
}

extreme!(f64, Float64Type);
extreme!(i64, Int64Type);

/// The number of rows, their mean, and the sum of squared distances from it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) rows: f64,
    pub(super) of: Moments,
}

/// Returns the lengths of two blocks in which some rows have no value.
#[inline]
fn joint_lengths(older: f64, newer: f64, joint: &Joint) -> Joint {
    if older == joint.older && newer == joint.newer {
        return *joint;
    }
    let both = older + newer;
    Joint { older, newer, share: newer / both, cross: older * newer / both }
}

impl Block for Spread {
    const NONE: Self =
        Self { rows: 0.0, of: Moments { mean: Centre::from_value(0.0), squares: 0.0 } };

    #[inline]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        if older.rows == 0.0 {
            return newer;
        }
        if newer.rows == 0.0 {
            return older;
        }
        let joint = joint_lengths(older.rows, newer.rows, joint);
        let of = Moments::join_blocks(older.of, newer.of, &joint);
        Self { rows: older.rows + newer.rows, of }
    }
}

impl Spread {
    /// Returns the sums from which the moments of its values are computed.
    #[inline]
    pub(super) fn sample_moments(&self) -> SampleMoments {
        let Self { rows, of } = *self;
        SampleMoments {
            rows,
            means: [of.mean.mean_value(), 0.0],
            squares: [of.squares, 0.0],
            products: 0.0,
        }
    }
}

impl PairSpread {
    /// Returns the sums from which the moments of its pairs are computed.
    #[inline]
    pub(super) fn sample_moments(&self) -> SampleMoments {
        let Self { rows, x, y, products } = *self;
        SampleMoments {
            rows,
            means: [x, y].map(|side| side.mean.mean_value()),
            squares: [x, y].map(|side| side.squares),
            products,
        }
    }
}

impl Summary for Spread {
    type In = Float64Type;

    #[inline]
    fn of_row([value, _]: [f64; 2]) -> Self {
        Self { rows: 1.0, of: Moments::from_value(value) }
    }

    #[inline]
    fn add_row(&mut self, [value, _]: [f64; 2]) {
        if self.rows == 0.0 {
            *self = Self::of_row([value, 0.0]);
            return;
        }
        self.rows += 1.0;
        let before = self.of.mean.distance_to(value);
        self.of.mean = self.of.mean.shift_by(before / self.rows);
        self.of.squares += before * self.of.mean.distance_to(value);
    }
}

/// Rows with values in two columns: their number, both spreads, and the sum of the products of the
/// distances.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PairSpread {
    pub(super) rows: f64,
    pub(super) x: Moments,
    pub(super) y: Moments,
    pub(super) products: f64,
}

impl Block for PairSpread {
    const NONE: Self = Self { rows: 0.0, x: Spread::NONE.of, y: Spread::NONE.of, products: 0.0 };

    #[inline]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        if older.rows == 0.0 {
            return newer;
        }
        if newer.rows == 0.0 {
            return older;
        }
        let joint = joint_lengths(older.rows, newer.rows, joint);
        let step = older.x.mean.step_to(newer.x.mean) * older.y.mean.step_to(newer.y.mean);
        Self {
            rows: older.rows + newer.rows,
            x: Moments::join_blocks(older.x, newer.x, &joint),
            y: Moments::join_blocks(older.y, newer.y, &joint),
            products: older.products + newer.products + step * joint.cross,
        }
    }
}

impl Summary for PairSpread {
    type In = Float64Type;

    #[inline]
    fn of_row([x, y]: [f64; 2]) -> Self {
        Self { rows: 1.0, x: Moments::from_value(x), y: Moments::from_value(y), products: 0.0 }
    }

    #[inline]
    fn add_row(&mut self, [x, y]: [f64; 2]) {
        if self.rows == 0.0 {
            *self = Self::of_row([x, y]);
            return;
        }
        let before = self.x.mean.distance_to(x);
        let [x_with, y_with] = [(self.x, x), (self.y, y)].map(|(of, value)| {
            let mut spread = Spread { rows: self.rows, of };
            spread.add_row([value, 0.0]);
            spread.of
        });
        (self.x, self.y) = (x_with, y_with);
        self.rows += 1.0;
        self.products += before * self.y.mean.distance_to(y);
    }
}
