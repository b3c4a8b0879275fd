//! The straight line through the last rows.

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, NULL, Param, Params, Spec, bars};
use crate::kernel::{Fold, Trend, TrendMoments};
use serde::{Deserialize, Serialize};

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Linearreg, 1, 1>(),
    entry::<LinearregAngle, 1, 1>(),
    entry::<LinearregIntercept, 1, 1>(),
    entry::<Tsf, 1, 1>(),
    entry::<Fosc, 1, 1>(),
    entry::<Cti, 1, 1>(),
];

const PERIOD: &[Param] = &[bars("timeperiod", 14, 2)];

const fn line_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Statistic).params(PERIOD)
}

/// The straight line with the least squared error through a window.
#[derive(Debug, Serialize, Deserialize)]
struct FittedLine {
    window: Fold<Trend>,
    length: f64,
}

impl FittedLine {
    fn new(params: &Params) -> Self {
        FittedLine { window: Fold::new(params.bars(0)), length: params.real(0) }
    }

    /// Returns the slope, and the value of the line `rows` after the middle of the window.
    #[inline]
    fn read(window: &Trend, length: f64, rows: f64) -> [f64; 2] {
        let slope = window.products / (length * (length * length - 1.0) / 12.0);
        [slope, window.mean.shift_by(slope * rows).mean_value()]
    }

    /// Takes a value and computes [`FittedLine::read`].
    fn next_line(&mut self, value: f64, rows: f64) -> [f64; 2] {
        FittedLine::read(&self.window.push_row(Trend::from_value(value)), self.length, rows)
    }

    /// Computes one of both for many rows.
    fn line_rows(
        &mut self,
        values: &[f64],
        rows: f64,
        of: fn([f64; 2]) -> f64,
        output: &mut [f64],
    ) {
        let length = self.length;
        let blocks = values.iter().map(|value| Trend::from_value(*value));
        self.window.push_rows(blocks, |row, window| {
            output[row] = of(FittedLine::read(&window, length, rows));
        });
    }

    /// Returns the rows from the middle of the window to its newest row.
    fn half(&self) -> f64 {
        (self.length - 1.0) / 2.0
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Linearreg(FittedLine);

impl Indicator<1, 1> for Linearreg {
    const SPEC: Spec = line_spec("linearreg", "Linear regression")
        .doc(
            "The end of the straight line through the last n values with the least squared \
             error.",
            "TA-Lib LINEARREG",
        )
        .example(&[3.0], &[&[NULL, NULL, 11.25, 11.33333, 12.41667, 11.83333, 11.75, 12.91667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Linearreg(FittedLine::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let of: fn([f64; 2]) -> f64 = |[_, end]| end;
        [of(self.0.next_line(value, self.0.half()))]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.line_rows(values, self.0.half(), |[_, end]| end, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct LinearregAngle(FittedLine);

impl Indicator<1, 1> for LinearregAngle {
    const SPEC: Spec = line_spec("linearreg_angle", "Angle of the regression line")
        .doc(
            "The slope of the regression line over n values as an angle in degrees: \
             atan(slope) * 180 / pi.",
            "TA-Lib LINEARREG_ANGLE",
        )
        .example(&[3.0], &[&[NULL, NULL, 14.03624, 0.0, 36.8699, 0.0, -14.03624, 36.8699]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        LinearregAngle(FittedLine::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let of: fn([f64; 2]) -> f64 = |[slope, _]| slope.atan().to_degrees();
        [of(self.0.next_line(value, 0.0))]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.line_rows(values, 0.0, |[slope, _]| slope.atan().to_degrees(), output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct LinearregIntercept(FittedLine);

impl Indicator<1, 1> for LinearregIntercept {
    const SPEC: Spec = line_spec("linearreg_intercept", "Start of the regression line")
        .doc(
            "The regression line over n values at the oldest of them.",
            "TA-Lib LINEARREG_INTERCEPT",
        )
        .example(&[3.0], &[&[NULL, NULL, 10.75, 11.33333, 10.91667, 11.83333, 12.25, 11.41667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        LinearregIntercept(FittedLine::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let of: fn([f64; 2]) -> f64 = |[_, start]| start;
        [of(self.0.next_line(value, -self.0.half()))]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.line_rows(values, -self.0.half(), |[_, start]| start, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Tsf(FittedLine);

impl Indicator<1, 1> for Tsf {
    const SPEC: Spec = line_spec("tsf", "Time series forecast")
        .doc("The regression line over n values one row ahead.", "TA-Lib TSF")
        .example(&[3.0], &[&[NULL, NULL, 11.5, 11.33333, 13.16667, 11.83333, 11.5, 13.66667]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Tsf(FittedLine::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let of: fn([f64; 2]) -> f64 = |[_, ahead]| ahead;
        [of(self.0.next_line(value, self.0.half() + 1.0))]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.line_rows(values, self.0.half() + 1.0, |[_, ahead]| ahead, output);
    }
}

/// How far the value is from the forecast of the rows before it.
#[derive(Debug, Serialize, Deserialize)]
struct Fosc {
    line: FittedLine,
    forecast: f64,
}

impl Indicator<1, 1> for Fosc {
    const SPEC: Spec = Spec::new("fosc", "Forecast oscillator", Group::Momentum)
        .doc(
            "100 * (x - f) / x, where f is the regression line through the n values before, \
             one row ahead; 0 where x is 0.",
            "Chande; TA-Lib FOSC",
        )
        .params(&[bars("timeperiod", 5, 2)])
        .example(&[3.0], &[&[NULL, NULL, NULL, 0.0, 9.33333, -14.49275, 1.38889, 11.53846]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        Fosc { line: FittedLine::new(params), forecast: f64::NAN }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let [_, ahead] = self.line.next_line(value, self.line.half() + 1.0);
        let forecast = std::mem::replace(&mut self.forecast, ahead);
        [if value == 0.0 { 0.0 } else { 100.0 * (value - forecast) / value }]
    }
}

/// The correlation of the value with the row number.
#[derive(Debug, Serialize, Deserialize)]
struct Cti {
    window: Fold<TrendMoments>,
    spread: f64,
}

impl Indicator<1, 1> for Cti {
    const SPEC: Spec = Spec::new("cti", "Correlation trend indicator", Group::Momentum)
        .doc(
            "The correlation of the last n values with a rising straight line, from -1 to 1; \
             0 where they are flat.",
            "Ehlers 2020; TA-Lib CTI",
        )
        .params(&[bars("timeperiod", 20, 2)])
        .example(&[3.0], &[&[NULL, NULL, 0.5, 0.0, 0.98198, 0.0, -0.5, 0.98198]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        let n = params.real(0);
        Cti { window: Fold::new(params.bars(0)), spread: (n * (n * n - 1.0) / 12.0).sqrt() }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let window = self.window.push_row(TrendMoments::from_value(value));
        let spread = window.moments.squares.sqrt() * self.spread;
        [if spread == 0.0 { 0.0 } else { (window.products / spread).clamp(-1.0, 1.0) }]
    }
}
