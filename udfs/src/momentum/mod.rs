//! Momentum: oscillators and rates of change, one file per family.

pub(crate) mod averages;
pub(crate) mod change;
pub(crate) mod direction;
pub(crate) mod oscillator;
pub(crate) mod stochastic;
pub(crate) mod strength;
pub(crate) mod swing;
pub(crate) mod trend;
pub(crate) mod wave;

use crate::indicator::{Group, Spec};

const fn momentum_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Momentum)
}
