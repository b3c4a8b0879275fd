//! Patterns of four and five candles.

use super::{BULLISH, Pattern, pattern, pattern_spec, penetration_param, signal_if};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candle, Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] = &[
    pattern::<ConcealBabySwallow>(),
    pattern::<LadderBottom>(),
    pattern::<Breakaway>(),
    pattern::<MatHold>(),
    pattern::<RiseFallThreeMethods>(),
];

enum ConcealBabySwallow {}

impl Pattern for ConcealBabySwallow {
    const SPEC: Spec = pattern_spec("cdlconcealbabyswall", "Concealing baby swallow")
        .doc(
            "Two black marubozu, a black candle below them with a shadow that reaches into \
             the second, and a black one that covers it with its shadows.",
            "TA-Lib CDLCONCEALBABYSWALL",
        )
        .pattern_example(
            &[],
            &[
                [16.0, 16.0, 10.0, 10.0],
                [14.5, 14.5, 10.5, 10.5],
                [10.0, 11.75, 8.75, 9.0],
                [15.25, 15.75, 4.5, 4.5],
            ],
            &[&[0.0, 0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 13;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third, last] = candles.last();
        let found = !(first.is_white() || second.is_white() || third.is_white() || last.is_white())
            && third.gaps_below(second)
            && third.high > second.close
            && last.high > third.high
            && last.low < third.low
            && [3, 2].into_iter().all(|age| candles.lacks_lower(age) && candles.lacks_upper(age))
            && third.upper_shadow() > candles.yardstick(Yardstick::NO_SHADOW, 1);
        signal_if(found, BULLISH)
    }
}

enum LadderBottom {}

impl Pattern for LadderBottom {
    const SPEC: Spec = pattern_spec("cdlladderbottom", "Ladder bottom")
        .doc(
            "Three black candles with lower opens and closes, a black one with a shadow \
             above, then a white one that opens above its body and closes above its high.",
            "TA-Lib CDLLADDERBOTTOM",
        )
        .pattern_example(
            &[],
            &[
                [12.75, 12.75, 11.0, 11.5],
                [11.25, 12.0, 7.25, 8.25],
                [9.5, 10.5, 5.0, 6.0],
                [7.0, 7.75, 5.5, 5.5],
                [8.75, 15.0, 8.75, 13.25],
            ],
            &[&[0.0, 0.0, 0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 14;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third, fourth, last] = candles.last();
        let found =
            !(first.is_white() || second.is_white() || third.is_white() || fourth.is_white())
                && last.is_white()
                && first.open > second.open
                && second.open > third.open
                && first.close > second.close
                && second.close > third.close
                && last.open > fourth.open
                && last.close > fourth.high
                && fourth.upper_shadow() > candles.yardstick(Yardstick::NO_SHADOW, 1);
        signal_if(found, BULLISH)
    }
}

enum Breakaway {}

impl Pattern for Breakaway {
    const SPEC: Spec = pattern_spec("cdlbreakaway", "Breakaway")
        .doc(
            "After a long candle, one beyond a gap, two that go on the same way, then one of \
             the other colour that closes within the gap: 100 if the last is white, -100 if \
             it is black.",
            "TA-Lib CDLBREAKAWAY",
        )
        .pattern_example(
            &[],
            &[
                [3.5, 7.0, 1.75, 6.75],
                [8.5, 10.75, 8.25, 10.25],
                [10.25, 11.5, 9.75, 11.0],
                [12.75, 13.0, 12.75, 13.0],
                [11.5, 14.25, 7.5, 8.0],
            ],
            &[&[0.0, 0.0, 0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 14;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third, fourth, last] = candles.last();
        let white = first.is_white();
        let colours =
            second.is_white() == white && fourth.is_white() == white && last.is_white() != white;
        let found = if white {
            second.gaps_above(first)
                && third.high > second.high
                && third.low > second.low
                && fourth.high > third.high
                && fourth.low > third.low
                && last.close < second.open
                && last.close > first.close
        } else {
            second.gaps_below(first)
                && third.high < second.high
                && third.low < second.low
                && fourth.high < third.high
                && fourth.low < third.low
                && last.close > second.open
                && last.close < first.close
        };
        signal_if(colours && found && candles.is_long(4), BULLISH * last.colour())
    }
}

enum MatHold {}

impl Pattern for MatHold {
    const SPEC: Spec = pattern_spec("cdlmathold", "Mat hold")
        .doc(
            "After a long white candle, three short ones, the first black and above a gap, \
             that come back no deeper into its body than penetration times its length, then a \
             white one that closes above all their highs.",
            "TA-Lib CDLMATHOLD",
        )
        .params(&[penetration_param(0.5)])
        .pattern_example(
            &[0.5],
            &[
                [-3.75, 11.75, -3.75, 9.5],
                [12.25, 13.25, 10.5, 12.0],
                [9.0, 9.5, 6.75, 7.5],
                [5.0, 9.0, 4.0, 6.5],
                [12.5, 13.5, 11.5, 13.5],
            ],
            &[&[0.0, 0.0, 0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 14;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        let [first, second, third, fourth, last] = candles.last();
        let floor = first.close - first.body() * penetration;
        let holds = |candle: &Candle| candle.bottom() < first.close && candle.bottom() > floor;
        let found = first.is_white()
            && !second.is_white()
            && last.is_white()
            && second.gaps_above(first)
            && holds(third)
            && holds(fourth)
            && third.top() < second.open
            && fourth.top() < third.top()
            && last.open > fourth.close
            && last.close > second.high.max(third.high).max(fourth.high)
            && candles.is_long(4)
            && (1..4).all(|age| candles.is_short(age));
        signal_if(found, BULLISH)
    }
}

enum RiseFallThreeMethods {}

impl Pattern for RiseFallThreeMethods {
    const SPEC: Spec = pattern_spec("cdlrisefall3methods", "Rising/falling three methods")
        .doc(
            "After a long candle, three short ones of the other colour that go back within \
             its range, then a long one of its colour that closes beyond it: 100 if it is \
             white, -100 if it is black.",
            "TA-Lib CDLRISEFALL3METHODS",
        )
        .pattern_example(
            &[],
            &[
                [15.75, 18.25, 11.5, 13.25],
                [12.0, 12.0, 10.0, 12.0],
                [14.25, 17.5, 13.25, 14.5],
                [16.0, 19.75, 13.25, 16.25],
                [12.25, 12.75, 7.0, 7.5],
            ],
            &[&[0.0, 0.0, 0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 14;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third, fourth, last] = candles.last();
        let (white, sign) = (first.is_white(), first.colour());
        let colours = [second, third, fourth].iter().all(|candle| candle.is_white() != white)
            && last.is_white() == white;
        let within = |candle: &&Candle| candle.bottom() < first.high && candle.top() > first.low;
        let found = colours
            && [second, third, fourth].iter().all(within)
            && third.close * sign < second.close * sign
            && fourth.close * sign < third.close * sign
            && last.open * sign > fourth.close * sign
            && last.close * sign > first.close * sign
            && candles.is_long(4)
            && (1..4).all(|age| candles.is_short(age))
            && candles.is_long(0);
        signal_if(found, BULLISH * sign)
    }
}
