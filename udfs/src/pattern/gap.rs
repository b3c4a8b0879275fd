//! Patterns of candles on both sides of a gap.

use super::{BEARISH, BULLISH, Pattern, pattern, pattern_spec, signal_if};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] =
    &[pattern::<GapSideBySideWhite>(), pattern::<TasukiGap>(), pattern::<XSideGapThreeMethods>()];

enum GapSideBySideWhite {}

impl Pattern for GapSideBySideWhite {
    const SPEC: Spec = pattern_spec("cdlgapsidesidewhite", "Up/down-gap side-by-side white lines")
        .doc(
            "Two white candles of the same size and with the same open on one side of a gap: \
             100 above it, -100 below it.",
            "TA-Lib CDLGAPSIDESIDEWHITE",
        )
        .pattern_example(
            &[],
            &[[12.25, 13.25, 10.75, 12.25], [6.0, 6.75, 6.0, 6.25], [6.0, 6.75, 5.0, 6.25]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 7;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, last] = candles.last();
        let above = second.gaps_above(first) && last.gaps_above(first);
        let below = second.gaps_below(first) && last.gaps_below(first);
        let found = (above || below)
            && second.is_white()
            && last.is_white()
            && candles.is_within(Yardstick::NEAR, 1, last.body(), second.body())
            && candles.is_within(Yardstick::EQUAL, 1, last.open, second.open);
        signal_if(found, if above { BULLISH } else { BEARISH })
    }
}

enum TasukiGap {}

impl Pattern for TasukiGap {
    const SPEC: Spec = pattern_spec("cdltasukigap", "Tasuki gap")
        .doc(
            "A candle beyond a gap, then one of the other colour and about the same size that \
             opens in its body and closes within the gap: 100 for a gap up, -100 for one \
             down.",
            "TA-Lib CDLTASUKIGAP",
        )
        .pattern_example(
            &[],
            &[[11.75, 15.75, 11.25, 15.75], [8.75, 9.5, 7.0, 8.0], [8.5, 12.25, 8.25, 9.25]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 7;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, last] = candles.last();
        let found = if second.is_white() {
            second.gaps_above(first)
                && !last.is_white()
                && last.open < second.close
                && last.open > second.open
                && last.close < second.open
                && last.close > first.top()
        } else {
            second.gaps_below(first)
                && last.is_white()
                && last.open < second.open
                && last.open > second.close
                && last.close > second.open
                && last.close < first.bottom()
        };
        let near = candles.yardstick(Yardstick::NEAR, 1);
        signal_if(found && (second.body() - last.body()).abs() < near, BULLISH * second.colour())
    }
}

enum XSideGapThreeMethods {}

impl Pattern for XSideGapThreeMethods {
    const SPEC: Spec = pattern_spec("cdlxsidegap3methods", "Upside/downside gap three methods")
        .doc(
            "Two candles of one colour with a gap between them, then one of the other colour \
             that opens in the second body and closes in the first: 100 for a gap up, -100 \
             for one down.",
            "TA-Lib CDLXSIDEGAP3METHODS",
        )
        .pattern_example(
            &[],
            &[[6.25, 12.25, 5.25, 11.25], [12.5, 15.5, 11.0, 14.75], [13.5, 13.75, 6.5, 7.5]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 2;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, last] = candles.last();
        let gap = match first.is_white() {
            true => second.gaps_above(first),
            false => second.gaps_below(first),
        };
        let found = gap
            && first.is_white() == second.is_white()
            && second.is_white() != last.is_white()
            && last.open < second.top()
            && last.open > second.bottom()
            && last.close < first.top()
            && last.close > first.bottom();
        signal_if(found, BULLISH * first.colour())
    }
}
