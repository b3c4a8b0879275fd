//! The comparison of one call, and the tally over all calls.

use crate::catalogue::{Reference, TaCall};
use crate::condition::Nudged;
use crate::exact::Exact;
use crate::rows::{run, whole};
use crate::series::Bars;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use windrow_udfs::BoundCall;

/// The allowed error of a value, as a share of TA-Lib's.
const RELATIVE: f64 = 1e-9;

/// The allowed error as a share of the largest value of the output.
const FLOOR: f64 = 1e-12;

/// The results of many comparisons.
#[derive(Default)]
pub struct Tally {
    cases: usize,
    rows: usize,
    worst: BTreeMap<String, (f64, String)>,
    nearer: BTreeMap<String, usize>,
    rounded: BTreeMap<String, usize>,
    /// Functions with whole numbers that gave one other than 0.
    pub signals: BTreeSet<String>,
    pub failures: BTreeMap<String, Vec<String>>,
}

impl Tally {
    pub fn fail(&mut self, name: &str, what: String) {
        self.failures.entry(name.to_lowercase()).or_default().push(what);
    }

    pub fn join_tally(mut self, other: Tally) -> Tally {
        self.cases += other.cases;
        self.rows += other.rows;
        self.worst.extend(other.worst);
        self.nearer.extend(other.nearer);
        self.rounded.extend(other.rounded);
        self.signals.extend(other.signals);
        self.failures.extend(other.failures);
        self
    }

    /// Describes the cases, the largest error of each function, and the rows in which our value is the nearer one.
    pub fn report(&self) -> String {
        let mut text = format!("{} cases, {} values\n", self.cases, self.rows);
        let mut worst: Vec<_> = self.worst.iter().collect();
        worst.sort_by(|one, other| other.1.0.total_cmp(&one.1.0));
        for (name, (error, place)) in worst.iter().take(25) {
            let _ = writeln!(text, "{name:<20}{error:.1e}  {place}");
        }
        for (name, rows) in &self.nearer {
            let _ =
                writeln!(text, "{name}: {rows} rows are nearer to the definition than TA-Lib's");
        }
        for (name, rows) in &self.rounded {
            let _ = writeln!(text, "{name}: {rows} rows differ by the rounding of their inputs");
        }
        text
    }

    pub fn failure_report(&self) -> String {
        let mut text = format!("{} functions differ\n", self.failures.len());
        for (name, failures) in &self.failures {
            let _ = writeln!(text, "{name}: {} times", failures.len());
            for failure in failures.iter().take(3) {
                let _ = writeln!(text, "    {failure}");
            }
        }
        text
    }
}

/// Compares all rows of all outputs of a call.
pub fn compare_call(
    bound: &BoundCall,
    call: &TaCall,
    bars: &Bars,
    (columns, want): (&[Vec<f64>], &Reference),
    tally: &mut Tally,
) {
    let name = bound.entry.spec.name;
    let place = format!("{:?} on {}", bound.params, bars.name);
    tally.cases += 1;
    if bound.lookback_rows() != want.lookback {
        let ours = bound.lookback_rows();
        return tally.fail(name, format!("{place}: lookback {ours}, expected {}", want.lookback));
    }
    let got = run(bound, &whole(columns));
    let (mut nudged, mut exact) = (Nudged::default(), Exact::default());
    for (i, (got, values)) in got.iter().zip(&want.outputs).enumerate() {
        let before = if values.is_empty() { got.len() } else { want.first };
        if let Some(row) = got[..before].iter().position(Option::is_some) {
            tally.fail(name, format!("{place}: output {i} has a value in row {row}"));
            return;
        }
        let finite = values.iter().filter(|value| value.is_finite());
        let scale = finite.fold(0.0_f64, |scale, value| scale.max(value.abs()));
        for (row, value) in values.iter().enumerate() {
            let row = row + want.first;
            let value = expected_value(bound, i, row, *value);
            tally.rows += 1;
            if want.integer[i] && value != 0.0 && !tally.signals.contains(name) {
                tally.signals.insert(name.to_string());
            }
            match compare_value(got[row], value, scale, want.integer[i]) {
                Ok(error) => note_error(tally, name, error, &place),
                Err(()) if exact.is_nearer(bound, columns, (i, row), got[row], value) => {
                    *tally.nearer.entry(name.to_string()).or_default() += 1;
                }
                Err(()) if nudged.explains(bound, call, columns, (i, row), got[row], value) => {
                    *tally.rounded.entry(name.to_string()).or_default() += 1;
                }
                Err(()) => {
                    let got = got[row];
                    let what = format!("{place}: output {i} row {row}: {got:?}, expected {value}");
                    tally.fail(name, what);
                    return;
                }
            }
        }
    }
}

/// Returns TA-Lib's value as we give it: positions in the series are bars ago here.
fn expected_value(bound: &BoundCall, output: usize, row: usize, value: f64) -> f64 {
    let position = match bound.entry.spec.name {
        "maxindex" | "minindex" | "minmaxindex" => true,
        "zigzag" => bound.entry.spec.outputs[output] == "pivotidx",
        _ => false,
    };
    if position { row as f64 - value } else { value }
}

fn note_error(tally: &mut Tally, name: &str, error: f64, place: &str) {
    let worst = tally.worst.entry(name.to_string()).or_default();
    if error > worst.0 {
        *worst = (error, place.to_string());
    }
}

/// Returns the relative error of a value that is near enough.
fn compare_value(got: Option<f64>, want: f64, scale: f64, integer: bool) -> Result<f64, ()> {
    match got {
        None if !want.is_finite() => Ok(0.0),
        Some(got) if got == want => Ok(0.0),
        Some(got) if !integer => {
            let error = (got - want).abs();
            if error <= RELATIVE * want.abs() {
                Ok(error / want.abs())
            } else if error <= FLOOR * scale {
                Ok(0.0)
            } else {
                Err(())
            }
        }
        _ => Err(()),
    }
}
