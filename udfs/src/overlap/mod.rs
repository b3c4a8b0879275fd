//! Overlap studies: indicators on the scale of the price, one file per family.

pub(crate) mod adaptive;
pub(crate) mod average;
pub(crate) mod band;
pub(crate) mod stop;

use crate::indicator::{Group, Param, Spec, bars};

const PERIOD: &[Param] = &[bars("timeperiod", 30, 1)];

const fn overlap_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Overlap).params(PERIOD)
}
