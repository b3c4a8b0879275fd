//! The hikkake patterns, which a later candle may confirm.

use super::{BEARISH, BULLISH, Pattern, pattern, pattern_spec};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candle, Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] = &[pattern::<Hikkake>(), pattern::<HikkakeMod>()];

/// Candles after a pattern that may confirm it.
const CONFIRMED_WITHIN: usize = 3;

enum Hikkake {}

impl Pattern for Hikkake {
    const SPEC: Spec = pattern_spec("cdlhikkake", "Hikkake pattern")
        .doc(
            "A candle within the range of the one before, then a false break: 100 if it has a \
             lower high and low, -100 if it has a higher high and low. A close beyond the \
             inside candle's high or low within three bars confirms it: 200 or -200.",
            "Chesler 2004; TA-Lib CDLHIKKAKE",
        )
        .pattern_example(
            &[],
            &[
                [7.75, 15.0, 7.25, 14.0],
                [12.75, 14.0, 12.75, 13.5],
                [7.75, 13.25, 7.75, 12.25],
                [10.25, 17.5, 8.25, 16.75],
            ],
            &[&[0.0, 0.0, 100.0, 200.0]],
        );

    const LOOKBACK: usize = 5;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        confirmed_signal(candles, |age| {
            let (first, inside) = (candles.candle(age + 2), candles.candle(age + 1));
            if is_within(inside, first) { false_break(candles.candle(age), inside) } else { 0.0 }
        })
    }
}

enum HikkakeMod {}

impl Pattern for HikkakeMod {
    const SPEC: Spec = pattern_spec("cdlhikkakemod", "Modified hikkake pattern")
        .doc(
            "A hikkake after two candles each within the range of the one before, of which \
             the first closes near its low for 100 and near its high for -100; confirmed like \
             a hikkake, 200 or -200.",
            "Chesler 2004; TA-Lib CDLHIKKAKEMOD",
        )
        .pattern_example(
            &[],
            &[
                [6.5, 15.75, 4.5, 13.75],
                [12.75, 12.75, 6.0, 6.25],
                [10.25, 11.25, 9.25, 10.0],
                [6.5, 8.75, 6.5, 8.5],
                [8.75, 14.5, 8.75, 13.25],
            ],
            &[&[0.0, 0.0, 0.0, 100.0, 200.0]],
        );

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        confirmed_signal(candles, |age| {
            let [first, second, inside] = [3, 2, 1].map(|more| candles.candle(age + more));
            if !is_within(second, first) || !is_within(inside, second) {
                return 0.0;
            }
            let signal = false_break(candles.candle(age), inside);
            let near = candles.yardstick(Yardstick::NEAR, age + 2);
            let at_end = match signal > 0.0 {
                true => second.close <= second.low + near,
                false => second.close >= second.high - near,
            };
            if at_end { signal } else { 0.0 }
        })
    }
}

fn is_within(candle: &Candle, before: &Candle) -> bool {
    candle.high < before.high && candle.low > before.low
}

/// Returns the signal of a candle that leaves the range of the one before on one side only.
fn false_break(last: &Candle, inside: &Candle) -> f64 {
    if last.high < inside.high && last.low < inside.low {
        BULLISH
    } else if last.high > inside.high && last.low > inside.low {
        BEARISH
    } else {
        0.0
    }
}

/// Returns the signal of a pattern at the last candle, or twice that of the newest pattern before if the last
/// candle is the first one to confirm it. `signal_at` finds the pattern of some bars ago.
fn confirmed_signal(candles: &Candles, signal_at: impl Fn(usize) -> f64) -> f64 {
    for age in 0..=CONFIRMED_WITHIN {
        let signal = signal_at(age);
        if signal == 0.0 {
            continue;
        }
        let inside = candles.candle(age + 1);
        let confirms = |age: usize| {
            let close = candles.candle(age).close;
            if signal > 0.0 { close > inside.high } else { close < inside.low }
        };
        return match age {
            0 => signal,
            _ if confirms(0) && !(1..age).any(confirms) => 2.0 * signal,
            _ => 0.0,
        };
    }
    0.0
}
