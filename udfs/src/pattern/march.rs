//! Patterns of candles that go one way together.

use super::{BEARISH, BULLISH, Pattern, pattern, pattern_spec, signal_if};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candle, Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] = &[
    pattern::<ThreeBlackCrows>(),
    pattern::<IdenticalThreeCrows>(),
    pattern::<ThreeWhiteSoldiers>(),
    pattern::<AdvanceBlock>(),
    pattern::<StalledPattern>(),
    pattern::<ThreeStarsInSouth>(),
    pattern::<ThreeLineStrike>(),
];

enum ThreeBlackCrows {}

impl Pattern for ThreeBlackCrows {
    const SPEC: Spec = pattern_spec("cdl3blackcrows", "Three black crows")
        .doc(
            "After a white candle, three black ones without shadows below, each opening in \
             the body before and closing lower.",
            "TA-Lib CDL3BLACKCROWS",
        )
        .pattern_example(
            &[],
            &[
                [11.5, 12.75, 10.25, 11.75],
                [17.25, 19.0, 12.25, 12.25],
                [17.0, 22.75, 10.0, 10.0],
                [12.5, 13.5, 8.75, 9.0],
            ],
            &[&[0.0, 0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 13;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [white, first, second, third] = candles.last();
        let opens_inside =
            |last: &Candle, before: &Candle| last.open < before.open && last.open > before.close;
        let found = white.is_white()
            && !(first.is_white() || second.is_white() || third.is_white())
            && opens_inside(second, first)
            && opens_inside(third, second)
            && white.high > first.close
            && first.close > second.close
            && second.close > third.close
            && (0..3).all(|age| candles.lacks_lower(age));
        signal_if(found, BEARISH)
    }
}

enum IdenticalThreeCrows {}

impl Pattern for IdenticalThreeCrows {
    const SPEC: Spec = pattern_spec("cdlidentical3crows", "Identical three crows")
        .doc(
            "Three black candles without shadows below, each opening at the close before and \
             closing lower.",
            "TA-Lib CDLIDENTICAL3CROWS",
        )
        .pattern_example(
            &[],
            &[[12.0, 12.0, 9.5, 9.5], [9.5, 13.75, 7.5, 7.5], [7.5, 11.0, 3.5, 3.5]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third] = candles.last();
        let found = !(first.is_white() || second.is_white() || third.is_white())
            && first.close > second.close
            && second.close > third.close
            && (0..3).all(|age| candles.lacks_lower(age))
            && candles.is_within(Yardstick::EQUAL, 2, second.open, first.close)
            && candles.is_within(Yardstick::EQUAL, 1, third.open, second.close);
        signal_if(found, BEARISH)
    }
}

enum ThreeWhiteSoldiers {}

impl Pattern for ThreeWhiteSoldiers {
    const SPEC: Spec = pattern_spec("cdl3whitesoldiers", "Three advancing white soldiers")
        .doc(
            "Three white candles without shadows above, each opening in or near the body \
             before and closing higher, none much shorter than the one before, the last not \
             short.",
            "TA-Lib CDL3WHITESOLDIERS",
        )
        .pattern_example(
            &[],
            &[[6.25, 7.25, 5.75, 7.25], [7.0, 13.0, 2.25, 13.0], [10.75, 17.0, 9.25, 17.0]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third] = candles.last();
        let found = rises_in_steps(candles)
            && (0..3).all(|age| candles.lacks_upper(age))
            && second.body() > first.body() - candles.yardstick(Yardstick::FAR, 2)
            && third.body() > second.body() - candles.yardstick(Yardstick::FAR, 1)
            && candles.is_long(0);
        signal_if(found, BULLISH)
    }
}

enum AdvanceBlock {}

impl Pattern for AdvanceBlock {
    const SPEC: Spec = pattern_spec("cdladvanceblock", "Advance block")
        .doc(
            "Three white candles, each opening in or near the body before and closing higher, \
             that weaken: bodies shrink or shadows above grow.",
            "TA-Lib CDLADVANCEBLOCK",
        )
        .pattern_example(
            &[],
            &[[6.25, 12.25, 5.25, 12.25], [9.75, 12.5, 7.75, 12.5], [11.5, 14.25, 10.5, 13.75]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        if !rises_in_steps(candles) || !candles.is_long(2) {
            return 0.0;
        }
        let [first, second, third] = candles.last::<3>().map(Candle::body);
        let [upper, second_upper, third_upper] = candles.last::<3>().map(Candle::upper_shadow);
        let short = |age| candles.yardstick(Yardstick::SHORT_SHADOW, age);
        let (near, far) =
            (candles.yardstick(Yardstick::NEAR, 1), |age| candles.yardstick(Yardstick::FAR, age));
        let weaker = second < first - far(2) && third < second + near
            || third < second - far(1)
            || third < second
                && second < first
                && (third_upper > short(0) || second_upper > short(1))
            || third < second && candles.has_long_upper(0);
        signal_if(upper < short(2) && weaker, BEARISH)
    }
}

enum StalledPattern {}

impl Pattern for StalledPattern {
    const SPEC: Spec = pattern_spec("cdlstalledpattern", "Stalled pattern")
        .doc(
            "Two long white candles, the second without a shadow above, then a short white \
             one on its shoulder.",
            "TA-Lib CDLSTALLEDPATTERN",
        )
        .pattern_example(
            &[],
            &[[8.75, 15.0, 8.75, 13.75], [12.0, 14.0, 5.75, 14.0], [17.25, 21.25, 14.5, 18.25]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third] = candles.last();
        let found = first.is_white()
            && second.is_white()
            && third.is_white()
            && third.close > second.close
            && second.close > first.close
            && second.open > first.open
            && second.open <= first.close + candles.yardstick(Yardstick::NEAR, 2)
            && candles.is_long(2)
            && candles.is_long(1)
            && candles.lacks_upper(1)
            && candles.is_short(0)
            && third.open >= second.close - third.body() - candles.yardstick(Yardstick::NEAR, 1);
        signal_if(found, BEARISH)
    }
}

enum ThreeStarsInSouth {}

impl Pattern for ThreeStarsInSouth {
    const SPEC: Spec = pattern_spec("cdl3starsinsouth", "Three stars in the south")
        .doc(
            "Three black candles: a long one with a long shadow below, a shorter one with a \
             higher low, and a short one without shadows inside its range.",
            "TA-Lib CDL3STARSINSOUTH",
        )
        .pattern_example(
            &[],
            &[[14.75, 19.75, 9.25, 12.75], [17.5, 18.75, 9.25, 15.75], [13.5, 13.75, 13.25, 13.25]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third] = candles.last();
        let found = !(first.is_white() || second.is_white() || third.is_white())
            && second.body() < first.body()
            && second.open > first.close
            && second.open <= first.high
            && second.low < first.close
            && second.low >= first.low
            && third.low > second.low
            && third.high < second.high
            && candles.is_long(2)
            && candles.has_long_lower(2)
            && second.lower_shadow() > candles.yardstick(Yardstick::NO_SHADOW, 1)
            && candles.is_short(0)
            && candles.lacks_lower(0)
            && candles.lacks_upper(0);
        signal_if(found, BULLISH)
    }
}

enum ThreeLineStrike {}

impl Pattern for ThreeLineStrike {
    const SPEC: Spec = pattern_spec("cdl3linestrike", "Three-line strike")
        .doc(
            "Three candles of one colour, each opening in or near the body before and closing \
             further, then one of the other colour that takes all of it back: 100 if the \
             three are white, -100 if they are black.",
            "TA-Lib CDL3LINESTRIKE",
        )
        .pattern_example(
            &[],
            &[
                [10.0, 15.5, 9.5, 10.5],
                [10.5, 14.25, 8.5, 11.75],
                [10.25, 18.5, 9.75, 12.0],
                [13.5, 13.5, 6.5, 7.5],
            ],
            &[&[0.0, 0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 8;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, second, third, last] = candles.last();
        let white = first.is_white();
        let found = if white {
            third.close > second.close
                && second.close > first.close
                && last.open > third.close
                && last.close < first.open
        } else {
            third.close < second.close
                && second.close < first.close
                && last.open < third.close
                && last.close > first.open
        };
        let opens_near = |age: usize, last: &Candle, before: &Candle| {
            let near = candles.yardstick(Yardstick::NEAR, age);
            last.open >= before.bottom() - near && last.open <= before.top() + near
        };
        let colours =
            second.is_white() == white && third.is_white() == white && last.is_white() != white;
        signal_if(
            colours && found && opens_near(3, second, first) && opens_near(2, third, second),
            BULLISH * first.colour(),
        )
    }
}

/// Returns whether three white candles each open in or near the body before and close higher.
fn rises_in_steps(candles: &Candles) -> bool {
    let [first, second, third] = candles.last();
    first.is_white()
        && second.is_white()
        && third.is_white()
        && third.close > second.close
        && second.close > first.close
        && second.open > first.open
        && second.open <= first.close + candles.yardstick(Yardstick::NEAR, 2)
        && third.open > second.open
        && third.open <= second.close + candles.yardstick(Yardstick::NEAR, 1)
}
