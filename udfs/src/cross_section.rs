//! Functions over all rows of one time stamp: `cs_rank(close) OVER (PARTITION BY ts)`. A row that
//! is NULL gives NULL and is not counted. Results depend on the set of values, not on the order of
//! the rows.

use crate::entry::{Entry, cross_section_entry};
use crate::indicator::{CrossSection, Group, Memory, Params, Spec};

pub(crate) static FUNCTIONS: &[Entry] = &[
    cross_section_entry::<CsRank>(),
    cross_section_entry::<CsZscore>(),
    cross_section_entry::<CsDemean>(),
];

/// Returns the description that these functions share: one close in, no parameters, the whole group.
const fn cross_section_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::CrossSection).memory(Memory::Pointwise).without_reference(
        "TA-Lib has no cross-sectional functions; the example is checked by hand",
    )
}

struct CsRank;

impl CrossSection for CsRank {
    const SPEC: Spec = cross_section_spec("cs_rank", "Rank within the group")
        .doc(
            "The mean rank of the value among the group's values, divided by their count: above \
             0 up to 1. Equal values share the mean of their ranks.",
            "pandas rank(pct=True)",
        )
        .example(&[], &[&[0.125, 0.5, 0.25, 0.5, 0.875, 0.5, 0.75, 1.0]]);

    fn compute_group(_: &Params, values: &[f64], results: &mut [f64]) {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
        let count = values.len() as f64;
        let mut before = 0;
        for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
            let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
            equal.iter().for_each(|row| results[*row] = rank / count);
            before += equal.len();
        }
    }
}

struct CsZscore;

impl CrossSection for CsZscore {
    const SPEC: Spec = cross_section_spec("cs_zscore", "Standard score within the group")
        .doc(
            "(x - mean) / stddev of the group's values, stddev with n - 1. NULL for a group of \
             one; 0 where all values are equal.",
            "pandas (x - x.mean()) / x.std()",
        )
        .example(
            &[],
            &[&[-1.48624, -0.23467, -0.86046, -0.23467, 1.0169, -0.23467, 0.39112, 1.64269]],
        );

    fn compute_group(_: &Params, values: &[f64], results: &mut [f64]) {
        let count = values.len() as f64;
        let mean = order_free_mean(values);
        let mut squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
        squares.sort_unstable_by(f64::total_cmp);
        let deviation = (squares.iter().sum::<f64>() / (count - 1.0)).sqrt();
        for (value, result) in values.iter().zip(results) {
            *result = if deviation == 0.0 { 0.0 } else { (value - mean) / deviation };
        }
    }
}

struct CsDemean;

impl CrossSection for CsDemean {
    const SPEC: Spec = cross_section_spec("cs_demean", "Distance from the group's mean")
        .doc("x - mean of the group's values.", "pandas x - x.mean()")
        .example(&[], &[&[-1.1875, -0.1875, -0.6875, -0.1875, 0.8125, -0.1875, 0.3125, 1.3125]]);

    fn compute_group(_: &Params, values: &[f64], results: &mut [f64]) {
        let mean = order_free_mean(values);
        for (value, result) in values.iter().zip(results) {
            *result = value - mean;
        }
    }
}

/// Returns the mean, summed in order of size so that the order of the rows makes no difference.
fn order_free_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // The mean of equal values is that value, whatever their sum rounds to.
    match (sorted.first(), sorted.last()) {
        (Some(first), Some(last)) if first == last => *first,
        _ => sorted.iter().sum::<f64>() / values.len() as f64,
    }
}
