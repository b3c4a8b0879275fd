//! Extremes of a window, and how many bars ago they were.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, NULL, Params, Spec};
use crate::kernel::{Fold, Peak};
use serde::{Deserialize, Serialize};

use super::operator_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Maxindex, 1, 1>(),
    entry::<Minindex, 1, 1>(),
    entry::<Minmax, 1, 2>(),
    entry::<Minmaxindex, 1, 2>(),
];

/// Both extremes of a window with their ages.
#[derive(Debug, Serialize, Deserialize)]
struct BothPeaks {
    high: Fold<Peak>,
    low: Fold<Peak>,
}

impl BothPeaks {
    fn new(params: &Params) -> Self {
        let window = Fold::new(params.bars(0));
        BothPeaks { high: window.clone(), low: window }
    }

    /// Returns the peak of the negative values, then that of the values.
    fn next_peaks(&mut self, value: f64) -> [Peak; 2] {
        [self.low.push_row(Peak::from_value(-value)), self.high.push_row(Peak::from_value(value))]
    }

    /// Computes [`BothPeaks::next_peaks`] for many rows.
    fn peak_rows(&mut self, values: &[f64], [low, high]: [&mut [f64]; 2], of: fn(Peak) -> f64) {
        let negative = values.iter().map(|value| Peak::from_value(-value));
        self.low.push_rows(negative, |row, peak| low[row] = of(peak));
        let positive = values.iter().map(|value| Peak::from_value(*value));
        self.high.push_rows(positive, |row, peak| high[row] = of(peak));
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Maxindex(Fold<Peak>);

impl Indicator<1, 1> for Maxindex {
    const SPEC: Spec = operator_spec("maxindex", "Bars since the highest value")
        .doc(
            "How many bars ago the highest of the last n values was; of equal values the \
             newest counts. TA-Lib gives the              position in its array instead, \
             which has no meaning in a partition.",
            "TA-Lib MAXINDEX",
        )
        .outputs(&["integer"])
        .integers(&["integer"])
        .example(&[3.0], &[&[NULL, NULL, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Maxindex(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.push_row(Peak::from_value(value)).age]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        let rows = values.iter().map(|value| Peak::from_value(*value));
        self.0.push_rows(rows, |row, peak| output[row] = peak.age);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Minindex(Fold<Peak>);

impl Indicator<1, 1> for Minindex {
    const SPEC: Spec = operator_spec("minindex", "Bars since the lowest value")
        .doc(
            "How many bars ago the lowest of the last n values was; of equal values the \
             newest counts. TA-Lib gives the              position in its array instead, \
             which has no meaning in a partition.",
            "TA-Lib MININDEX",
        )
        .outputs(&["integer"])
        .integers(&["integer"])
        .example(&[3.0], &[&[NULL, NULL, 2.0, 1.0, 2.0, 0.0, 1.0, 2.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Minindex(Fold::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.push_row(Peak::from_value(-value)).age]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        let rows = values.iter().map(|value| Peak::from_value(-value));
        self.0.push_rows(rows, |row, peak| output[row] = peak.age);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Minmax(BothPeaks);

impl Indicator<1, 2> for Minmax {
    const SPEC: Spec = operator_spec("minmax", "Lowest and highest value")
        .doc("The lowest and the highest of the last n values.", "TA-Lib MINMAX")
        .outputs(&["min", "max"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, 10.5, 11.0, 11.0, 11.5, 11.5, 11.5],
                &[NULL, NULL, 11.5, 11.5, 12.5, 12.5, 12.5, 13.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Minmax(BothPeaks::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        let [low, high] = self.0.next_peaks(value);
        [-low.value, high.value]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [low, high]: [&mut [f64]; 2]) {
        self.0.peak_rows(values, [&mut *low, high], |peak| peak.value);
        low.iter_mut().for_each(|value| *value = -*value);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Minmaxindex(BothPeaks);

impl Indicator<1, 2> for Minmaxindex {
    const SPEC: Spec = operator_spec("minmaxindex", "Bars since the lowest and the highest value")
        .doc(
            "How many bars ago the lowest and the highest of the last n values were; of equal \
             values the newest counts.              TA-Lib gives the positions in its array \
             instead, which have no meaning in a partition.",
            "TA-Lib MINMAXINDEX",
        )
        .outputs(&["minidx", "maxidx"])
        .integers(&["minidx", "maxidx"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, 2.0, 1.0, 2.0, 0.0, 1.0, 2.0],
                &[NULL, NULL, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Minmaxindex(BothPeaks::new(params))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 2] {
        self.0.next_peaks(value).map(|peak| peak.age)
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], outputs: [&mut [f64]; 2]) {
        self.0.peak_rows(values, outputs, |peak| peak.age);
    }
}
