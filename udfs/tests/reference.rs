//! Values compared with TA-Lib's: `reference/generate.py` writes the files and explains their format.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod rows;

use rows::{run, whole};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use windrow_udfs::{Entry, all_functions};

/// The allowed error of a value, as a share of the reference value.
const RELATIVE: f64 = 1e-9;

/// The allowed error as a share of the largest price or value, for values that are small differences
/// of large numbers and so have no more exact digits than those.
const CANCELLED: f64 = 1e-13;

fn folder() -> PathBuf {
    Path::new("tests/reference").to_path_buf()
}

fn lines(name: &str) -> Option<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(folder().join(name)).ok()?;
    Some(text.lines().map(|line| line.split(',').map(str::to_string).collect()).collect())
}

fn numbers(cells: &[String]) -> Vec<Option<f64>> {
    cells.iter().map(|cell| (!cell.is_empty()).then(|| cell.parse().unwrap())).collect()
}

type Series = HashMap<(String, String), Vec<f64>>;

#[test]
fn values_agree_with_the_reference() {
    let series: Series = lines("series.csv")
        .unwrap()
        .into_iter()
        .map(|line| ((line[0].clone(), line[1].clone()), numbers(&line[2..])))
        .map(|(key, values)| (key, values.into_iter().flatten().collect()))
        .collect();
    let mut report = String::new();
    let mut failures = Vec::new();
    for entry in all_functions() {
        let Some(lines) = lines(&format!("{}.csv", entry.spec.name)) else {
            // `parity` compares every function of TA-Lib with its own crate.
            let compared = entry.spec.source.contains("TA-Lib");
            assert!(
                compared || entry.spec.unreferenced.is_some(),
                "{}: no values",
                entry.spec.name
            );
            continue;
        };
        let worst = lines.iter().map(|line| compare(entry, &series, line, &mut failures));
        writeln!(report, "{:<16}{:.1e}", entry.spec.name, worst.fold(0.0, f64::max)).unwrap();
    }
    println!("largest relative error\n{report}");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// Compares one output of one call and returns its largest relative error.
fn compare(
    entry: &'static Entry,
    series: &Series,
    line: &[String],
    failures: &mut Vec<String>,
) -> f64 {
    let [name, params, output] = &line[..3] else { panic!("a short line") };
    let params: Vec<f64> = params.split_whitespace().map(|text| text.parse().unwrap()).collect();
    let inputs: Vec<Vec<f64>> = entry
        .spec
        .inputs
        .iter()
        .map(|input| series[&(name.clone(), (*input).to_string())].clone())
        .collect();
    let which = entry.spec.outputs.iter().position(|known| known == output).unwrap();
    let got = &run(&entry.bind_params(&params).unwrap(), &whole(&inputs))[which];
    let want = numbers(&line[3..]);
    let prices = inputs.iter().zip(entry.spec.inputs).filter(|(_, input)| **input != "volume");
    let known = prices.flat_map(|(values, _)| values).chain(want.iter().flatten());
    let size = known.fold(0.0, |size: f64, value| size.max(value.abs()));
    assert_eq!(got.len(), want.len());
    let mut worst = 0.0;
    for (row, (got, want)) in got.iter().zip(&want).enumerate() {
        let place = format!("{} {params:?} {output} of {name}, row {row}", entry.spec.name);
        match (got, want) {
            (None, None) => {}
            (Some(got), Some(want)) => {
                let off = (got - want).abs();
                if off > RELATIVE * want.abs() && off > CANCELLED * size {
                    failures.push(format!("{place}: {got}, reference {want}"));
                }
                if off > CANCELLED * size {
                    worst = f64::max(worst, off / want.abs());
                }
            }
            _ => failures.push(format!("{place}: {got:?}, reference {want:?}")),
        }
    }
    worst
}
