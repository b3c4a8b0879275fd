//! Ehlers' filters of one and two poles.

use crate::entry::{Entry, entry};
use crate::indicator::{
    Group, Indicator, Memory, Param, Params, Spec, bars, bounded_real, sorted_bars,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<SwakGauss, 1, 1>(),
    entry::<SwakButter, 1, 1>(),
    entry::<SwakHp, 1, 1>(),
    entry::<Swak2php, 1, 1>(),
    entry::<SwakBp, 1, 1>(),
];

const SOURCE: &str = "Ehlers 2006; TA-Lib";

/// A recursion on two inputs and two outputs before: `y = a1 * y1 + a2 * y2 + b0 * x + b1 * x1 + b2 * x2`.
#[derive(Debug, Serialize, Deserialize)]
struct TwoPoleFilter {
    feedback: [f64; 2],
    gain: f64,
    shape: [f64; 2],
    inputs: [f64; 2],
    outputs: [f64; 2],
    /// True if the filter passes the level of the series: its outputs then begin with the first value, not with 0.
    passes_level: bool,
}

impl TwoPoleFilter {
    fn new(feedback: [f64; 2], gain: f64, shape: [f64; 2], passes_level: bool) -> Self {
        let [inputs, outputs] = [[f64::NAN; 2], [0.0; 2]];
        TwoPoleFilter { feedback, gain, shape, inputs, outputs, passes_level }
    }

    fn next(&mut self, value: f64) -> f64 {
        if self.inputs[0].is_nan() {
            self.inputs = [value; 2];
            if self.passes_level {
                self.outputs = [value; 2];
            }
        }
        let ([x1, x2], [y1, y2]) = (self.inputs, self.outputs);
        let ([a1, a2], [b1, b2]) = (self.feedback, self.shape);
        let next = a1 * y1 + (a2 * y2 + self.gain * ((value + b1 * x1) + b2 * x2));
        if next.is_finite() {
            (self.inputs, self.outputs) = ([value, x1], [next, y1]);
        } else {
            (self.inputs, self.outputs) = ([f64::NAN; 2], [0.0; 2]); // After an overflow it begins anew.
        }
        next
    }
}

/// Returns `1 - pole` of Ehlers' filters with two equal poles.
fn two_pole_alpha(period: f64) -> f64 {
    let sine = (PI / period).sin();
    let beta = 2.415 * (2.0 * sine * sine);
    (beta * beta + 2.0 * beta).sqrt() - beta
}

/// Returns `1 - pole` of Ehlers' filter with one pole.
fn one_pole_alpha(period: f64) -> f64 {
    let (sine, cosine) = (PI / period).sin_cos();
    2.0 * sine * (cosine - sine) / (1.0 - 2.0 * sine * sine)
}

/// Returns the distance of the poles of the band-pass from zero, squared.
fn band_pole(period: f64, delta: f64) -> f64 {
    let width = 4.0 * PI * delta / period;
    (1.0 - width.sin()) / width.cos()
}

/// Returns the rows after which the start no longer shows, given the distance of the poles from zero.
fn fade_rows(pole: f64) -> usize {
    10 + (60.0 / -pole.abs().max(1e-9).ln()).ceil() as usize
}

const fn filter_spec(name: &'static str, title: &'static str, group: Group) -> Spec {
    Spec::new(name, title, group).memory(Memory::Recursive)
}

#[derive(Debug, Serialize, Deserialize)]
struct SwakGauss(TwoPoleFilter);

impl Indicator<1, 1> for SwakGauss {
    const SPEC: Spec = filter_spec("swak_gauss", "Gaussian filter", Group::Overlap)
        .doc(
            "A filter with two equal poles p that begins with the first value: a^2 * x + 2 * \
             p * y[1] - p^2 * y[2], with p = 1 - a, a = sqrt(b^2 + 2 * b) - b and b = 2.415 * \
             (1 - cos(2 * pi / n)).",
            SOURCE,
        )
        .params(&[sorted_bars("timeperiod", 20, 2)])
        .example(
            &[4.0],
            &[&[10.5, 11.22302, 11.07797, 11.37986, 12.19651, 11.71122, 11.90914, 12.70229]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn warmup(params: &Params) -> usize {
        fade_rows(1.0 - two_pole_alpha(params.real(0)))
    }

    fn new(params: &Params) -> Self {
        let alpha = two_pole_alpha(params.real(0));
        let pole = 1.0 - alpha;
        let feedback = [2.0 * pole, -(pole * pole)];
        SwakGauss(TwoPoleFilter::new(feedback, alpha * alpha, [0.0; 2], true))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SwakButter(TwoPoleFilter);

impl Indicator<1, 1> for SwakButter {
    const SPEC: Spec = filter_spec("swak_butter", "Butterworth filter", Group::Overlap)
        .doc(
            "The Gaussian filter of (x + 2 * x[1] + x[2]) / 4, which drops the shortest \
             cycles.",
            SOURCE,
        )
        .params(&[sorted_bars("timeperiod", 20, 2)])
        .example(
            &[4.0],
            &[&[10.5, 10.68076, 11.006, 11.18971, 11.50855, 11.87102, 11.88202, 12.05795]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn warmup(params: &Params) -> usize {
        SwakGauss::warmup(params)
    }

    fn new(params: &Params) -> Self {
        let alpha = two_pole_alpha(params.real(0));
        let pole = 1.0 - alpha;
        let feedback = [2.0 * pole, -(pole * pole)];
        SwakButter(TwoPoleFilter::new(feedback, alpha * alpha / 4.0, [2.0, 1.0], true))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SwakHp(TwoPoleFilter);

impl Indicator<1, 1> for SwakHp {
    const SPEC: Spec = filter_spec("swak_hp", "High-pass filter", Group::Cycle)
        .doc(
            "This filter keeps x without its trend: (1 - a / 2) * (x - x[1]) + (1 - a) * \
             y[1], with a = (cos(w) + sin(w) - 1) / cos(w) and w = 2 * pi / n; 0 for the \
             first row.",
            SOURCE,
        )
        .params(&[bars("timeperiod", 20, 5)])
        .example(&[5.0], &[&[0.0, 0.57919, -0.19786, 0.25826, 0.6201, -0.48098, 0.21342, 0.61299]]);

    fn lookback(_: &Params) -> usize {
        0
    }

    fn warmup(params: &Params) -> usize {
        fade_rows(1.0 - one_pole_alpha(params.real(0)))
    }

    fn new(params: &Params) -> Self {
        let alpha = one_pole_alpha(params.real(0));
        let feedback = [1.0 - alpha, 0.0];
        SwakHp(TwoPoleFilter::new(feedback, 1.0 - alpha / 2.0, [-1.0, 0.0], false))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Swak2php(TwoPoleFilter);

impl Indicator<1, 1> for Swak2php {
    const SPEC: Spec = filter_spec("swak_2php", "High-pass filter with two poles", Group::Cycle)
        .doc(
            "This filter keeps x without its trend, with the poles of the Gaussian filter: (1 \
             - a / 2)^2 * (x - 2 * x[1] + x[2]) + 2 * p * y[1] - p^2 * y[2], with p = 1 - a \
             as for swak_gauss; 0 for the first row.",
            SOURCE,
        )
        .params(&[sorted_bars("timeperiod", 20, 2)])
        .example(
            &[4.0],
            &[&[0.0, 0.33045, -0.39674, 0.20426, 0.23527, -0.59504, 0.31225, 0.27204]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn warmup(params: &Params) -> usize {
        SwakGauss::warmup(params)
    }

    fn new(params: &Params) -> Self {
        let alpha = two_pole_alpha(params.real(0));
        let (pole, gain) = (1.0 - alpha, 1.0 - alpha / 2.0);
        let feedback = [2.0 * pole, -(pole * pole)];
        Swak2php(TwoPoleFilter::new(feedback, gain * gain, [-2.0, 1.0], false))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SwakBp(TwoPoleFilter);

impl Indicator<1, 1> for SwakBp {
    const SPEC: Spec = filter_spec("swak_bp", "Band-pass filter", Group::Cycle)
        .doc(
            "The cycle of about n rows in x: (1 - a) / 2 * (x - x[2]) + cos(2 * pi / n) * (1 \
             + a) * y[1] - a * y[2], with a = (1 - sin(w)) / cos(w) and w = 4 * pi * delta / \
             n; 0 for the first row.",
            SOURCE,
        )
        .params(&[
            Param { max: 2000.0, ..bars("timeperiod", 20, 5) },
            bounded_real("delta", 0.1, 0.05, 0.5),
        ])
        .example(
            &[5.0, 0.1],
            &[&[0.0, 0.11216, 0.11762, -0.02246, 0.06468, 0.05291, -0.07722, 0.08483]],
        );

    fn lookback(_: &Params) -> usize {
        0
    }

    fn warmup(params: &Params) -> usize {
        fade_rows(band_pole(params.real(0), params.real(1)).abs().sqrt())
    }

    fn new(params: &Params) -> Self {
        let (period, pole) = (params.real(0), band_pole(params.real(0), params.real(1)));
        let feedback = [(2.0 * PI / period).cos() * (1.0 + pole), -pole];
        SwakBp(TwoPoleFilter::new(feedback, (1.0 - pole) / 2.0, [0.0, -1.0], false))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}
