//! How much rounding of the inputs shows in an output: a value that is a small difference of large numbers has no
//! more digits than a change of the inputs in their last place leaves it, in our arithmetic or in TA-Lib's.

use crate::catalogue::{Reference, TaCall};
use crate::rows::{Column, Random, run, whole};
use windrow_udfs::BoundCall;

/// Times that the inputs are changed.
const TIMES: u64 = 6;

/// Times that a difference may exceed the largest change that was seen.
const SLACK: f64 = 16.0;

/// The outputs for inputs that differ in their last places.
#[derive(Default)]
pub struct Nudged {
    runs: Vec<Vec<Column>>,
    references: Vec<Reference>,
}

impl Nudged {
    /// Returns whether TA-Lib's value differs by no more than rounding of the inputs does near this row.
    pub fn explains(
        &mut self,
        bound: &BoundCall,
        call: &TaCall,
        columns: &[Vec<f64>],
        (output, row): (usize, usize),
        got: Option<f64>,
        want: f64,
    ) -> bool {
        if self.runs.is_empty() {
            for seed in 0..TIMES {
                let nudged = nudge(columns, seed);
                self.runs.push(run(bound, &whole(&nudged)));
                self.references.extend(call.run(&nudged));
            }
        }
        let values = || self.runs.iter().map(|run| run[output][row]);
        let theirs = self.references.iter().filter_map(|reference| {
            reference.outputs[output].get(row.wrapping_sub(reference.first)).copied()
        });
        let Some(got) = got else { return !want.is_finite() };
        let noise = theirs.map(|value| (value - want).abs()).fold(0.0, f64::max);
        let change = values().flatten().map(|value| (value - got).abs()).fold(0.0, f64::max);
        (got - want).abs() <= SLACK * noise.max(change)
            || values().flatten().any(|value| value == want)
    }
}

/// Changes every value by at most four units in its last place.
fn nudge(columns: &[Vec<f64>], seed: u64) -> Vec<Vec<f64>> {
    let mut random = Random(seed);
    let mut nudged = |value: &f64| value * (1.0 + (random.next() - 0.5) * 8.0 * f64::EPSILON);
    columns.iter().map(|column| column.iter().map(&mut nudged).collect()).collect()
}
