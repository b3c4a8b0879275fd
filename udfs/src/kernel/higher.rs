//! Moments of the third and the fourth order.

use super::{Block, Centre, Joint};
use serde::{Deserialize, Serialize};

/// The mean of a window, and the sums of the second, third and fourth power of the distances from it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HigherMoments {
    /// The mean.
    pub mean: Centre,
    /// The sum of squared distances.
    pub squares: f64,
    /// The sum of cubed distances.
    pub cubes: f64,
    /// The sum of distances to the fourth power.
    pub fourths: f64,
}

impl HigherMoments {
    /// Returns the summary of one row.
    pub fn from_value(value: f64) -> Self {
        HigherMoments { mean: Centre::from_value(value), squares: 0.0, cubes: 0.0, fourths: 0.0 }
    }
}

impl Block for HigherMoments {
    const NONE: Self =
        HigherMoments { mean: Centre::NONE, squares: f64::NAN, cubes: f64::NAN, fourths: f64::NAN };

    #[inline(always)]
    fn join_blocks(older: Self, newer: Self, joint: &Joint) -> Self {
        let step = older.mean.step_to(newer.mean);
        // Each block's rows move away from their own mean by the other block's share of the step.
        let (up, down) = (step * joint.share, step * (1.0 - joint.share));
        let moved = |block: &Self, rows: f64, by: f64| {
            let square = by * by;
            [
                block.squares + rows * square,
                block.cubes + 3.0 * by * block.squares + rows * square * by,
                block.fourths
                    + 4.0 * by * block.cubes
                    + 6.0 * square * block.squares
                    + rows * square * square,
            ]
        };
        let one = moved(&older, joint.older, -up);
        let other = moved(&newer, joint.newer, down);
        HigherMoments {
            mean: older.mean.shift_by(up),
            squares: one[0] + other[0],
            cubes: one[1] + other[1],
            fourths: one[2] + other[2],
        }
    }
}
