//! Candlestick patterns: each is one test of the last candles, and one adapter makes indicators of them.

pub(crate) mod five;
pub(crate) mod gap;
pub(crate) mod hikkake;
pub(crate) mod march;
pub(crate) mod pair;
pub(crate) mod single;
pub(crate) mod star;

use crate::entry::{Entry, entry};
use crate::indicator::{Group, Indicator, Param, Params, Spec, bounded_real};
use crate::kernel::{Candle, Candles};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// The signal of a pattern that promises rising prices.
const BULLISH: f64 = 100.0;

/// The signal of a pattern that promises falling prices.
const BEARISH: f64 = -100.0;

/// A pattern: a test of the last candles.
trait Pattern: 'static {
    /// The description for users.
    const SPEC: Spec;

    /// Candles before the last one that the test reads, those of its yardsticks included.
    const LOOKBACK: usize;

    /// Returns the signal of the pattern that ends with the last candle, and 0 if there is none.
    fn find_signal(candles: &Candles, penetration: f64) -> f64;
}

const fn pattern_spec(name: &'static str, title: &'static str) -> Spec {
    Spec::new(name, title, Group::Pattern)
        .inputs(&["open", "high", "low", "close"])
        .outputs(&["integer"])
        .integers(&["integer"])
}

/// Returns the parameter that says how far a close must come into the body of an earlier candle.
const fn penetration_param(default: f64) -> Param {
    bounded_real("penetration", default, 0.0, 3e37)
}

/// Returns the table row of a pattern.
const fn pattern<P: Pattern>() -> Entry {
    entry::<PatternIndicator<P>, 4, 1>()
}

/// Returns `signal` if the pattern is there.
#[inline]
fn signal_if(found: bool, signal: f64) -> f64 {
    if found { signal } else { 0.0 }
}

/// A pattern as an indicator.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct PatternIndicator<P: Pattern> {
    candles: Candles,
    penetration: f64,
    pattern: PhantomData<fn() -> P>,
}

impl<P: Pattern> fmt::Debug for PatternIndicator<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:?}", P::SPEC.name, self.candles)
    }
}

impl<P: Pattern> Indicator<4, 1> for PatternIndicator<P> {
    const SPEC: Spec = P::SPEC;

    fn lookback(_: &Params) -> usize {
        P::LOOKBACK
    }

    fn new(params: &Params) -> Self {
        PatternIndicator {
            candles: Candles::default(),
            penetration: params.real(0),
            pattern: PhantomData,
        }
    }

    fn next(&mut self, [open, high, low, close]: [f64; 4]) -> [f64; 1] {
        self.candles.push_candle(Candle { open, high, low, close });
        [P::find_signal(&self.candles, self.penetration)]
    }
}
