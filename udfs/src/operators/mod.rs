//! Extremes and sums over a window.

pub(crate) mod extreme;

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, Memory, NULL, Param, Params, Spec, bars};
use crate::kernel::{Fold, Highest, Lowest, RunningTotal, SumBlock as Total};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] =
    &[entry::<Max, 1, 1>(), entry::<Min, 1, 1>(), entry::<Sum, 1, 1>(), entry::<Cumsum, 1, 1>()];

const PERIOD: &[Param] = &[bars("timeperiod", 30, 2)];

const fn operator_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Operators).params(PERIOD)
}

#[derive(Debug, Serialize, Deserialize)]
struct Max(Fold<Highest>);

impl Indicator<1, 1> for Max {
    const SPEC: Spec = operator_spec("max", "Highest value")
        .doc(
            "The highest of the last n values. Without a period max(x) is SQL's own.",
            "TA-Lib MAX",
        )
        .example(&[3.0], &[&[NULL, NULL, 11.5, 11.5, 12.5, 12.5, 12.5, 13.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Max(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.push_row(Highest(value)).0]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.push_rows(values.iter().map(|value| Highest(*value)), |row, window| {
            output[row] = window.0
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Min(Fold<Lowest>);

impl Indicator<1, 1> for Min {
    const SPEC: Spec = operator_spec("min", "Lowest value")
        .doc("The lowest of the last n values. Without a period min(x) is SQL's own.", "TA-Lib MIN")
        .example(&[3.0], &[&[NULL, NULL, 10.5, 11.0, 11.0, 11.5, 11.5, 11.5]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Min(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.push_row(Lowest(value)).0]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.push_rows(values.iter().map(|value| Lowest(*value)), |row, window| {
            output[row] = window.0
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Sum(Fold<Total>);

impl Indicator<1, 1> for Sum {
    const SPEC: Spec = operator_spec("sum", "Sum")
        .doc("The sum of the last n values. Without a period sum(x) is SQL's own.", "TA-Lib SUM")
        .example(&[3.0], &[&[NULL, NULL, 33.0, 34.0, 35.0, 35.5, 36.0, 36.5]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Sum(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.push_row(Total(value)).0]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.push_rows(values.iter().map(|value| Total(*value)), |row, window| {
            output[row] = window.0
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Cumsum(RunningTotal);

impl Indicator<1, 1> for Cumsum {
    const SPEC: Spec = Spec::new("cumsum", "Cumulative sum", Group::Operators)
        .doc("The sum of all values so far.", "TA-Lib CUMSUM")
        .memory(Memory::Cumulative)
        .example(&[], &[&[10.5, 22.0, 33.0, 44.5, 57.0, 68.5, 80.5, 93.5]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn new(_: &Params) -> Self {
        Cumsum(RunningTotal::default())
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.add_finite(value)]
    }
}
