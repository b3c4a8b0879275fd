//! Moments, regression and dependence over a window.

pub(crate) mod rank;
pub(crate) mod regression;

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, NULL, Params, Spec, bars, real_param};
use crate::kernel::{Comoments, Fold, Moments, Trend, ratio_or_zero};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Stddev, 1, 1>(),
    entry::<Var, 1, 1>(),
    entry::<LinearregSlope, 1, 1>(),
    entry::<Correl, 2, 1>(),
    entry::<Beta, 2, 1>(),
];

const fn statistic_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Statistic)
}

#[derive(Debug, Serialize, Deserialize)]
struct Stddev {
    var: Var,
    times: f64,
}

impl Indicator<1, 1> for Stddev {
    const SPEC: Spec = statistic_spec("stddev", "Standard deviation")
        .version(2)
        .doc(
            "nbdev times the square root of the population variance, which divides by n. SQL's \
             own stddev(x), without a period, divides by n - 1.",
            "TA-Lib STDDEV",
        )
        .params(&[bars("timeperiod", 5, 2), real_param("nbdev", 1.0)])
        .example(&[3.0, 1.0], &[&[NULL, NULL, 0.40825, 0.2357, 0.62361, 0.4714, 0.40825, 0.62361]]);

    fn lookback(params: &Params) -> usize {
        Var::lookback(params)
    }

    fn new(params: &Params) -> Self {
        Stddev { var: Var::new(params), times: params.real(1) }
    }

    fn next(&mut self, row: [f64; 1]) -> [f64; 1] {
        let [variance] = self.var.next(row);
        [variance.sqrt() * self.times]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.var.next_rows(inputs, [&mut *output]);
        output.iter_mut().for_each(|value| *value = value.sqrt() * self.times);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Var {
    window: Fold<Moments>,
    count: f64,
}

impl Indicator<1, 1> for Var {
    const SPEC: Spec = statistic_spec("var", "Variance")
        .version(2)
        .doc(
            "The population variance: sum((x - mean)^2) / n. nbdev has no effect, as in TA-Lib. \
             SQL's own var(x), without a period, divides by n - 1.",
            "TA-Lib VAR",
        )
        .params(&[bars("timeperiod", 5, 1), real_param("nbdev", 1.0)])
        .example(
            &[3.0, 1.0],
            &[&[NULL, NULL, 0.16667, 0.05556, 0.38889, 0.22222, 0.16667, 0.38889]],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Var { window: Fold::new(params.bars(0)), count: params.real(0) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.window.push_row(Moments::from_value(value)).squares / self.count]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        let (rows, count) = (values.iter().map(|value| Moments::from_value(*value)), self.count);
        self.window.push_rows(rows, |row, window| output[row] = window.squares / count);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct LinearregSlope {
    window: Fold<Trend>,
    spread: f64,
}

impl Indicator<1, 1> for LinearregSlope {
    const SPEC: Spec = statistic_spec("linearreg_slope", "Slope of the regression line")
        .version(2)
        .doc(
            "The change per row of the straight line through the last n values with the least \
             squared error.",
            "TA-Lib LINEARREG_SLOPE",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, 0.25, 0.0, 0.75, 0.0, -0.25, 0.75]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        let n = params.real(0);
        LinearregSlope { window: Fold::new(params.bars(0)), spread: n * (n * n - 1.0) / 12.0 }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.window.push_row(Trend::from_value(value)).products / self.spread]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        let (rows, spread) = (values.iter().map(|value| Trend::from_value(*value)), self.spread);
        self.window.push_rows(rows, |row, window| output[row] = window.products / spread);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Correl(Fold<Comoments>);

impl Indicator<2, 1> for Correl {
    const SPEC: Spec = statistic_spec("correl", "Pearson's correlation")
        .version(2)
        .doc(
            "The correlation of any two series over the last n rows, from -1 to 1; 0 where one \
             of them is flat.",
            "TA-Lib CORREL",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 30, 1)])
        .example(&[3.0], &[&[NULL, NULL, 0.92857, 0.86603, 1.0, 0.65465, 0.5, 0.86603]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Correl(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [x, y]: [f64; 2]) -> [f64; 1] {
        [window_correlation(&self.0.push_row(Comoments::from_pair(x, y)))]
    }

    fn next_rows(&mut self, [x, y]: [&[f64]; 2], [output]: [&mut [f64]; 1]) {
        let rows = x.iter().zip(y).map(|(x, y)| Comoments::from_pair(*x, *y));
        self.0.push_rows(rows, |row, window| output[row] = window_correlation(&window));
    }
}

fn window_correlation(window: &Comoments) -> f64 {
    let spread = window.x.squares.sqrt() * window.y.squares.sqrt();
    ratio_or_zero(window.products, spread).clamp(-1.0, 1.0)
}

#[derive(Debug, Serialize, Deserialize)]
struct Beta {
    before: [f64; 2],
    window: Fold<Comoments>,
}

impl Indicator<2, 1> for Beta {
    const SPEC: Spec = statistic_spec("beta", "Beta")
        .version(2)
        .doc(
            "The slope of the second series' returns over the first one's (the market's): \
             covariance / variance of the first, over n returns x / previous x - 1.",
            "TA-Lib BETA",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 5, 1)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 0.85343, 1.22932, 1.015, 0.7247, 0.72548]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Beta { before: [f64::NAN; 2], window: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [x, y]: [f64; 2]) -> [f64; 1] {
        let window = self.window.push_row(pair_returns(&mut self.before, x, y));
        [ratio_or_zero(window.products, window.x.squares)]
    }

    fn next_rows(&mut self, [x, y]: [&[f64]; 2], [output]: [&mut [f64]; 1]) {
        let rows = x.iter().zip(y).map(|(x, y)| pair_returns(&mut self.before, *x, *y));
        self.window.push_rows(rows, |row, window| {
            output[row] = ratio_or_zero(window.products, window.x.squares);
        });
    }
}

/// Returns both series' returns since the row before.
fn pair_returns(before: &mut [f64; 2], x: f64, y: f64) -> Comoments {
    let [before_x, before_y] = std::mem::replace(before, [x, y]);
    Comoments::from_pair(
        ratio_or_zero(x - before_x, before_x),
        ratio_or_zero(y - before_y, before_y),
    )
}
