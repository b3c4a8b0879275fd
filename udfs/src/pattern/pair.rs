//! Patterns of two candles.

use super::{BEARISH, BULLISH, Pattern, pattern, pattern_spec, penetration_param, signal_if};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] = &[
    pattern::<Hammer>(),
    pattern::<HangingMan>(),
    pattern::<InvertedHammer>(),
    pattern::<ShootingStar>(),
    pattern::<DojiStar>(),
    pattern::<Engulfing>(),
    pattern::<Harami>(),
    pattern::<HaramiCross>(),
    pattern::<HomingPigeon>(),
    pattern::<Piercing>(),
    pattern::<DarkCloudCover>(),
    pattern::<InNeck>(),
    pattern::<OnNeck>(),
    pattern::<Thrusting>(),
    pattern::<MatchingLow>(),
    pattern::<Counterattack>(),
    pattern::<SeparatingLines>(),
    pattern::<Kicking>(),
    pattern::<KickingByLength>(),
];

enum Hammer {}

impl Pattern for Hammer {
    const SPEC: Spec = pattern_spec("cdlhammer", "Hammer")
        .doc(
            "A short body near the low of the candle before, with a long shadow below and \
             none above.",
            "TA-Lib CDLHAMMER",
        )
        .pattern_example(
            &[],
            &[[13.25, 14.5, 12.0, 12.5], [11.25, 11.25, 4.5, 10.75]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = candles.is_short(0)
            && candles.has_long_lower(0)
            && candles.lacks_upper(0)
            && last.bottom() <= before.low + candles.yardstick(Yardstick::NEAR, 1);
        signal_if(found, BULLISH)
    }
}

enum HangingMan {}

impl Pattern for HangingMan {
    const SPEC: Spec = pattern_spec("cdlhangingman", "Hanging man")
        .doc(
            "A short body near the high of the candle before, with a long shadow below and \
             none above.",
            "TA-Lib CDLHANGINGMAN",
        )
        .pattern_example(
            &[],
            &[[13.75, 14.0, 12.25, 12.75], [14.5, 14.5, 13.0, 14.0]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = candles.is_short(0)
            && candles.has_long_lower(0)
            && candles.lacks_upper(0)
            && last.bottom() >= before.high - candles.yardstick(Yardstick::NEAR, 1);
        signal_if(found, BEARISH)
    }
}

enum InvertedHammer {}

impl Pattern for InvertedHammer {
    const SPEC: Spec = pattern_spec("cdlinvertedhammer", "Inverted hammer")
        .doc(
            "A short body below that of the candle before, with a long shadow above and none \
             below.",
            "TA-Lib CDLINVERTEDHAMMER",
        )
        .pattern_example(
            &[],
            &[[13.75, 13.75, 7.25, 9.25], [7.0, 8.75, 7.0, 7.75]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = last.gaps_below(before)
            && candles.is_short(0)
            && candles.has_long_upper(0)
            && candles.lacks_lower(0);
        signal_if(found, BULLISH)
    }
}

enum ShootingStar {}

impl Pattern for ShootingStar {
    const SPEC: Spec = pattern_spec("cdlshootingstar", "Shooting star")
        .doc(
            "A short body above that of the candle before, with a long shadow above and none \
             below.",
            "TA-Lib CDLSHOOTINGSTAR",
        )
        .pattern_example(
            &[],
            &[[6.5, 14.25, 4.5, 13.75], [16.5, 18.5, 15.75, 15.75]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = last.gaps_above(before)
            && candles.is_short(0)
            && candles.has_long_upper(0)
            && candles.lacks_lower(0);
        signal_if(found, BEARISH)
    }
}

enum DojiStar {}

impl Pattern for DojiStar {
    const SPEC: Spec = pattern_spec("cdldojistar", "Doji star")
        .doc(
            "A doji that gaps away from a long candle the way that one went: -100 after a \
             white candle, 100 after a black one.",
            "TA-Lib CDLDOJISTAR",
        )
        .pattern_example(
            &[],
            &[[13.0, 13.25, 6.75, 9.0], [6.25, 7.25, 4.0, 6.25]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let away = match before.is_white() {
            true => last.gaps_above(before),
            false => last.gaps_below(before),
        };
        signal_if(away && candles.is_long(1) && candles.is_doji(0), BEARISH * before.colour())
    }
}

enum Engulfing {}

impl Pattern for Engulfing {
    const SPEC: Spec = pattern_spec("cdlengulfing", "Engulfing pattern")
        .doc(
            "A body that covers the body of the candle before, which has the other colour: \
             100 if it is white, -100 if it is black, 80 and -80 if one end of the bodies is \
             the same.",
            "TA-Lib CDLENGULFING",
        )
        .pattern_example(
            &[],
            &[[14.0, 15.0, 11.5, 11.75], [7.0, 14.5, 7.0, 14.25]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 2;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let covers = match last.is_white() {
            true => last.close >= before.open && last.open <= before.close,
            false => last.open >= before.close && last.close <= before.open,
        };
        let (open, close) = (last.open == before.close, last.close == before.open);
        if before.is_white() == last.is_white() || !covers || open && close {
            return 0.0;
        }
        (if open || close { 80.0 } else { BULLISH }) * last.colour()
    }
}

enum Harami {}

impl Pattern for Harami {
    const SPEC: Spec = pattern_spec("cdlharami", "Harami")
        .doc(
            "A body that is not long inside the long body of the candle before: -100 after a \
             white candle, 100 after a black one, -80 and 80 if an end of the bodies is the \
             same.",
            "TA-Lib CDLHARAMI",
        )
        .pattern_example(
            &[],
            &[[16.5, 16.5, 9.5, 10.5], [14.0, 14.5, 9.75, 13.0]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        if candles.is_long(1) && candles.is_not_long(0) { enclosed_signal(candles) } else { 0.0 }
    }
}

enum HaramiCross {}

impl Pattern for HaramiCross {
    const SPEC: Spec = pattern_spec("cdlharamicross", "Harami cross")
        .doc(
            "A doji inside the long body of the candle before: -100 after a white candle, 100 \
             after a black one, -80 and 80 if an end of the bodies is the same.",
            "TA-Lib CDLHARAMICROSS",
        )
        .pattern_example(
            &[],
            &[[14.5, 14.5, 8.0, 9.5], [13.0, 14.0, 11.25, 13.0]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        if candles.is_long(1) && candles.is_doji(0) { enclosed_signal(candles) } else { 0.0 }
    }
}

enum HomingPigeon {}

impl Pattern for HomingPigeon {
    const SPEC: Spec = pattern_spec("cdlhomingpigeon", "Homing pigeon")
        .doc(
            "A black body that is not long inside the long body of a black candle.",
            "TA-Lib CDLHOMINGPIGEON",
        )
        .pattern_example(
            &[],
            &[[11.5, 12.25, 6.5, 7.0], [7.75, 7.75, 7.25, 7.25]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = !before.is_white()
            && !last.is_white()
            && last.open < before.open
            && last.close > before.close
            && candles.is_long(1)
            && candles.is_not_long(0);
        signal_if(found, BULLISH)
    }
}

enum Piercing {}

impl Pattern for Piercing {
    const SPEC: Spec = pattern_spec("cdlpiercing", "Piercing pattern")
        .doc(
            "After a long black candle, a long white one that opens below its low and closes \
             in the upper half of its body.",
            "TA-Lib CDLPIERCING",
        )
        .pattern_example(
            &[],
            &[[14.0, 14.0, 11.5, 11.75], [6.5, 14.0, 6.5, 13.75]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = !before.is_white()
            && last.is_white()
            && last.open < before.low
            && last.close < before.open
            && last.close > before.close + before.body() * 0.5
            && candles.is_long(1)
            && candles.is_long(0);
        signal_if(found, BULLISH)
    }
}

enum DarkCloudCover {}

impl Pattern for DarkCloudCover {
    const SPEC: Spec = pattern_spec("cdldarkcloudcover", "Dark cloud cover")
        .doc(
            "After a long white candle, a black one that opens above its high and closes \
             within its body, deeper than penetration times the body.",
            "TA-Lib CDLDARKCLOUDCOVER",
        )
        .params(&[penetration_param(0.5)])
        .pattern_example(
            &[0.5],
            &[[9.0, 11.75, 8.0, 10.75], [12.5, 12.5, 8.25, 9.75]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        let [before, last] = candles.last();
        let found = before.is_white()
            && !last.is_white()
            && last.open > before.high
            && last.close > before.open
            && last.close < before.close - before.body() * penetration
            && candles.is_long(1);
        signal_if(found, BEARISH)
    }
}

enum InNeck {}

impl Pattern for InNeck {
    const SPEC: Spec = pattern_spec("cdlinneck", "In-neck pattern")
        .doc(
            "After a long black candle, a white one that opens below its low and closes just \
             inside its body.",
            "TA-Lib CDLINNECK",
        )
        .pattern_example(
            &[],
            &[[17.0, 17.75, 14.75, 14.75], [8.5, 16.25, 7.0, 14.75]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = opens_below_black(candles)
            && last.close <= before.close + candles.yardstick(Yardstick::EQUAL, 1)
            && last.close >= before.close;
        signal_if(found, BEARISH)
    }
}

enum OnNeck {}

impl Pattern for OnNeck {
    const SPEC: Spec = pattern_spec("cdlonneck", "On-neck pattern")
        .doc(
            "After a long black candle, a white one that opens below its low and closes at \
             that low.",
            "TA-Lib CDLONNECK",
        )
        .pattern_example(
            &[],
            &[[10.25, 12.25, 8.0, 8.25], [6.5, 8.5, 6.0, 8.0]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = opens_below_black(candles)
            && candles.is_within(Yardstick::EQUAL, 1, last.close, before.low);
        signal_if(found, BEARISH)
    }
}

enum Thrusting {}

impl Pattern for Thrusting {
    const SPEC: Spec = pattern_spec("cdlthrusting", "Thrusting pattern")
        .doc(
            "After a long black candle, a white one that opens below its low and closes \
             within the lower half of its body.",
            "TA-Lib CDLTHRUSTING",
        )
        .pattern_example(
            &[],
            &[[14.5, 15.5, 11.75, 11.75], [6.5, 13.0, 6.25, 12.5]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = opens_below_black(candles)
            && last.close > before.close + candles.yardstick(Yardstick::EQUAL, 1)
            && last.close <= before.close + before.body() * 0.5;
        signal_if(found, BEARISH)
    }
}

enum MatchingLow {}

impl Pattern for MatchingLow {
    const SPEC: Spec = pattern_spec("cdlmatchinglow", "Matching low")
        .doc("Two black candles that close at the same price.", "TA-Lib CDLMATCHINGLOW")
        .pattern_example(
            &[],
            &[[14.0, 15.0, 11.5, 11.75], [12.75, 12.75, 11.75, 11.75]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 6;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = !before.is_white()
            && !last.is_white()
            && candles.is_within(Yardstick::EQUAL, 1, last.close, before.close);
        signal_if(found, BULLISH)
    }
}

enum Counterattack {}

impl Pattern for Counterattack {
    const SPEC: Spec = pattern_spec("cdlcounterattack", "Counterattack")
        .doc(
            "Two long candles of opposite colour that close at the same price: 100 if the \
             second is white, -100 if it is black.",
            "TA-Lib CDLCOUNTERATTACK",
        )
        .pattern_example(
            &[],
            &[[11.25, 11.5, 7.25, 9.25], [7.5, 9.25, 7.0, 9.25]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let found = before.is_white() != last.is_white()
            && candles.is_within(Yardstick::EQUAL, 1, last.close, before.close)
            && candles.is_long(1)
            && candles.is_long(0);
        signal_if(found, BULLISH * last.colour())
    }
}

enum SeparatingLines {}

impl Pattern for SeparatingLines {
    const SPEC: Spec = pattern_spec("cdlseparatinglines", "Separating lines")
        .doc(
            "After a candle of the other colour, a long one that opens at the same price and \
             has no shadow at its open: 100 if it is white, -100 if it is black.",
            "TA-Lib CDLSEPARATINGLINES",
        )
        .pattern_example(&[], &[[7.0, 8.5, 4.5, 6.5], [7.0, 12.0, 7.0, 11.5]], &[&[0.0, 100.0]]);

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let bare = |candles: &Candles| match last.is_white() {
            true => candles.lacks_lower(0),
            false => candles.lacks_upper(0),
        };
        let found = before.is_white() != last.is_white()
            && candles.is_within(Yardstick::EQUAL, 1, last.open, before.open)
            && candles.is_long(0)
            && bare(candles);
        signal_if(found, BULLISH * last.colour())
    }
}

enum Kicking {}

impl Pattern for Kicking {
    const SPEC: Spec = pattern_spec("cdlkicking", "Kicking")
        .doc(
            "Two marubozu of opposite colour with a gap between them the way the second goes: \
             100 if it is white, -100 if it is black.",
            "TA-Lib CDLKICKING",
        )
        .pattern_example(
            &[],
            &[[8.5, 8.5, 4.25, 4.25], [9.25, 10.75, 9.25, 10.75]],
            &[&[0.0, 100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        signal_if(kicks(candles), BULLISH * candles.candle(0).colour())
    }
}

enum KickingByLength {}

impl Pattern for KickingByLength {
    const SPEC: Spec = pattern_spec("cdlkickingbylength", "Kicking by length")
        .doc(
            "Two marubozu of opposite colour with a gap between them the way the second goes: \
             the colour of the longer one decides, 100 for white and -100 for black.",
            "TA-Lib CDLKICKINGBYLENGTH",
        )
        .pattern_example(
            &[],
            &[[8.5, 8.5, 4.25, 4.25], [9.25, 10.75, 9.25, 10.75]],
            &[&[0.0, -100.0]],
        );

    const LOOKBACK: usize = 11;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [before, last] = candles.last();
        let longer = if last.body() > before.body() { last } else { before };
        signal_if(kicks(candles), BULLISH * longer.colour())
    }
}

/// Returns the signal of a body within the one before: weaker if an end of the bodies is the same.
fn enclosed_signal(candles: &Candles) -> f64 {
    let [before, last] = candles.last();
    let signal = if last.is_inside(before) {
        BEARISH
    } else {
        signal_if(last.top() <= before.top() && last.bottom() >= before.bottom(), -80.0)
    };
    // Adding 0 makes a negative 0 a positive one.
    signal * before.colour() + 0.0
}

/// Returns whether a white candle opens below the low of a long black one.
fn opens_below_black(candles: &Candles) -> bool {
    let [before, last] = candles.last();
    !before.is_white() && last.is_white() && last.open < before.low && candles.is_long(1)
}

/// Returns whether the last candles are marubozu of opposite colour with a gap between their ranges.
fn kicks(candles: &Candles) -> bool {
    let [before, last] = candles.last();
    let away = match last.is_white() {
        true => last.low > before.high,
        false => last.high < before.low,
    };
    let marubozu =
        |age| candles.is_long(age) && candles.lacks_upper(age) && candles.lacks_lower(age);
    before.is_white() != last.is_white() && away && marubozu(1) && marubozu(0)
}
