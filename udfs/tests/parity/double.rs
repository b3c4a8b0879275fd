//! Arithmetic with about 32 digits: each number is the sum of two that do not overlap.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number with twice the digits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Double {
    high: f64,
    low: f64,
}

impl From<f64> for Double {
    fn from(value: f64) -> Self {
        Double { high: value, low: 0.0 }
    }
}

fn exact_sum(a: f64, b: f64) -> Double {
    let high = a + b;
    let part = high - a;
    Double { high, low: (a - (high - part)) + (b - part) }
}

fn exact_product(a: f64, b: f64) -> Double {
    let high = a * b;
    Double { high, low: a.mul_add(b, -high) }
}

impl Double {
    pub fn value(self) -> f64 {
        self.high + self.low
    }

    pub fn sqrt(self) -> Double {
        if self.high <= 0.0 {
            return Double::default();
        }
        let mut root = Double::from(self.high.sqrt());
        for _ in 0..2 {
            root = (root + self / root) * Double::from(0.5);
        }
        root
    }
}

impl Add for Double {
    type Output = Double;

    fn add(self, other: Double) -> Double {
        let high = exact_sum(self.high, other.high);
        let low = exact_sum(self.low, other.low);
        let first = exact_sum(high.high, high.low + low.high);
        exact_sum(first.high, first.low + low.low)
    }
}

impl Neg for Double {
    type Output = Double;

    fn neg(self) -> Double {
        Double { high: -self.high, low: -self.low }
    }
}

impl Sub for Double {
    type Output = Double;

    fn sub(self, other: Double) -> Double {
        self + -other
    }
}

impl Mul for Double {
    type Output = Double;

    fn mul(self, other: Double) -> Double {
        let high = exact_product(self.high, other.high);
        exact_sum(high.high, high.low + (self.high * other.low + self.low * other.high))
    }
}

impl Div for Double {
    type Output = Double;

    fn div(self, other: Double) -> Double {
        let first = self.high / other.high;
        let rest = self - other * Double::from(first);
        let second = rest.high / other.high;
        let rest = rest - other * Double::from(second);
        exact_sum(first, second) + Double::from(rest.high / other.high)
    }
}
