//! Patterns of three candles around a small one that stands apart.

use super::{BEARISH, BULLISH, Pattern, pattern, pattern_spec, penetration_param, signal_if};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] = &[
    pattern::<MorningStar>(),
    pattern::<MorningDojiStar>(),
    pattern::<EveningStar>(),
    pattern::<EveningDojiStar>(),
    pattern::<AbandonedBaby>(),
    pattern::<Tristar>(),
    pattern::<TwoCrows>(),
    pattern::<UpsideGapTwoCrows>(),
    pattern::<UniqueThreeRiver>(),
    pattern::<StickSandwich>(),
    pattern::<ThreeInside>(),
    pattern::<ThreeOutside>(),
];

enum MorningStar {}

impl Pattern for MorningStar {
    const SPEC: Spec = pattern_spec("cdlmorningstar", "Morning star")
        .doc(
            "After a long black candle, a body that is not long below it, then a white one \
             that is not short and closes deeper in the first body than penetration times its \
             length.",
            "TA-Lib CDLMORNINGSTAR",
        )
        .params(&[penetration_param(0.3)])
        .pattern_example(
            &[0.3],
            &[[10.25, 12.25, 8.25, 8.25], [7.25, 8.25, 4.75, 7.5], [6.0, 11.0, 5.5, 10.0]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        signal_if(candles.is_not_long(1) && rises_from_star(candles, penetration), BULLISH)
    }
}

enum MorningDojiStar {}

impl Pattern for MorningDojiStar {
    const SPEC: Spec = pattern_spec("cdlmorningdojistar", "Morning doji star")
        .doc("A morning star with a doji in the middle.", "TA-Lib CDLMORNINGDOJISTAR")
        .params(&[penetration_param(0.3)])
        .pattern_example(
            &[0.3],
            &[[10.25, 12.25, 8.25, 8.25], [7.0, 7.0, 5.25, 7.0], [6.0, 11.0, 5.5, 10.0]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        signal_if(candles.is_doji(1) && rises_from_star(candles, penetration), BULLISH)
    }
}

enum EveningStar {}

impl Pattern for EveningStar {
    const SPEC: Spec = pattern_spec("cdleveningstar", "Evening star")
        .doc(
            "After a long white candle, a body that is not long above it, then a black one \
             that is not short and closes deeper in the first body than penetration times its \
             length.",
            "TA-Lib CDLEVENINGSTAR",
        )
        .params(&[penetration_param(0.3)])
        .pattern_example(
            &[0.3],
            &[[8.25, 10.25, 7.5, 9.75], [10.75, 11.0, 6.25, 10.75], [13.75, 13.75, 7.25, 9.25]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        signal_if(candles.is_not_long(1) && falls_from_star(candles, penetration), BEARISH)
    }
}

enum EveningDojiStar {}

impl Pattern for EveningDojiStar {
    const SPEC: Spec = pattern_spec("cdleveningdojistar", "Evening doji star")
        .doc("An evening star with a doji in the middle.", "TA-Lib CDLEVENINGDOJISTAR")
        .params(&[penetration_param(0.3)])
        .pattern_example(
            &[0.3],
            &[[12.0, 12.75, 11.5, 12.75], [13.0, 16.25, 11.5, 13.0], [12.5, 13.0, 4.5, 6.5]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        signal_if(candles.is_doji(1) && falls_from_star(candles, penetration), BEARISH)
    }
}

enum AbandonedBaby {}

impl Pattern for AbandonedBaby {
    const SPEC: Spec = pattern_spec("cdlabandonedbaby", "Abandoned baby")
        .doc(
            "A doji star that stands apart from both its neighbours, shadows included: 100 if \
             the last candle is white, -100 if it is black.",
            "TA-Lib CDLABANDONEDBABY",
        )
        .params(&[penetration_param(0.3)])
        .pattern_example(
            &[0.3],
            &[[11.25, 12.0, 8.25, 8.25], [7.0, 7.0, 5.25, 7.0], [7.5, 14.0, 7.5, 12.0]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, penetration: f64) -> f64 {
        let [first, star, last] = candles.last();
        let deep = first.body() * penetration;
        let found = match last.is_white() {
            true => {
                !first.is_white()
                    && last.close > first.close + deep
                    && star.high < first.low
                    && last.low > star.high
            }
            false => {
                first.is_white()
                    && last.close < first.close - deep
                    && star.low > first.high
                    && last.high < star.low
            }
        };
        let lengths = candles.is_long(2) && candles.is_doji(1) && candles.is_long(0);
        signal_if(found && lengths, BULLISH * last.colour())
    }
}

enum Tristar {}

impl Pattern for Tristar {
    const SPEC: Spec = pattern_spec("cdltristar", "Tristar")
        .doc(
            "Three doji of which the middle one stands apart: -100 if it stands above, 100 if \
             it stands below.",
            "TA-Lib CDLTRISTAR",
        )
        .pattern_example(
            &[],
            &[[11.75, 12.75, 11.25, 11.75], [16.0, 16.0, 12.75, 16.0], [9.75, 9.75, 9.75, 9.75]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, star, last] = candles.last();
        let most = candles.yardstick(Yardstick::DOJI, 2);
        if [first, star, last].iter().any(|candle| candle.body() > most) {
            0.0
        } else if star.gaps_above(first) && last.top() < star.top() {
            BEARISH
        } else {
            signal_if(star.gaps_below(first) && last.bottom() > star.bottom(), BULLISH)
        }
    }
}

enum TwoCrows {}

impl Pattern for TwoCrows {
    const SPEC: Spec = pattern_spec("cdl2crows", "Two crows")
        .doc(
            "After a long white candle, a black one above its body, then a black one that \
             opens in the second body and closes in the first.",
            "TA-Lib CDL2CROWS",
        )
        .pattern_example(
            &[],
            &[[10.5, 16.5, 8.5, 12.0], [15.25, 16.0, 12.0, 12.5], [13.0, 13.0, 10.25, 10.75]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, crow, last] = candles.last();
        let found = first.is_white()
            && !crow.is_white()
            && !last.is_white()
            && crow.gaps_above(first)
            && last.open < crow.open
            && last.open > crow.close
            && last.close > first.open
            && last.close < first.close
            && candles.is_long(2);
        signal_if(found, BEARISH)
    }
}

enum UpsideGapTwoCrows {}

impl Pattern for UpsideGapTwoCrows {
    const SPEC: Spec = pattern_spec("cdlupsidegap2crows", "Upside gap two crows")
        .doc(
            "After a long white candle, a black body that is not long above it, then a black \
             one that covers the second and stays above the first.",
            "TA-Lib CDLUPSIDEGAP2CROWS",
        )
        .pattern_example(
            &[],
            &[[8.75, 14.5, 8.25, 10.0], [11.25, 13.25, 9.5, 10.75], [12.0, 12.0, 10.25, 10.25]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, crow, last] = candles.last();
        let found = first.is_white()
            && !crow.is_white()
            && !last.is_white()
            && crow.gaps_above(first)
            && last.open > crow.open
            && last.close < crow.close
            && last.close > first.close
            && candles.is_long(2)
            && candles.is_not_long(1);
        signal_if(found, BEARISH)
    }
}

enum UniqueThreeRiver {}

impl Pattern for UniqueThreeRiver {
    const SPEC: Spec = pattern_spec("cdlunique3river", "Unique three river")
        .doc(
            "After a long black candle, a black one inside its body with a lower low, then a \
             short white one above that low.",
            "TA-Lib CDLUNIQUE3RIVER",
        )
        .pattern_example(
            &[],
            &[[7.25, 8.0, 4.75, 6.5], [7.0, 8.5, 3.0, 6.75], [8.75, 10.0, 5.75, 8.75]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, middle, last] = candles.last();
        let found = !first.is_white()
            && !middle.is_white()
            && last.is_white()
            && middle.close > first.close
            && middle.open <= first.open
            && middle.low < first.low
            && last.open > middle.low
            && candles.is_long(2)
            && candles.is_short(0);
        signal_if(found, BULLISH)
    }
}

enum StickSandwich {}

impl Pattern for StickSandwich {
    const SPEC: Spec = pattern_spec("cdlsticksandwich", "Stick sandwich")
        .doc(
            "A white candle that stays above the close of the black one before, then a black \
             one that closes at that price again.",
            "TA-Lib CDLSTICKSANDWICH",
        )
        .pattern_example(
            &[],
            &[[8.0, 8.25, 7.75, 7.75], [10.25, 16.0, 9.25, 15.75], [11.0, 11.0, 7.75, 7.75]],
            &[&[0.0, 0.0, 100.0]],
        );

    const LOOKBACK: usize = 7;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, middle, last] = candles.last();
        let found = !first.is_white()
            && middle.is_white()
            && !last.is_white()
            && middle.low > first.close
            && candles.is_within(Yardstick::EQUAL, 2, last.close, first.close);
        signal_if(found, BULLISH)
    }
}

enum ThreeInside {}

impl Pattern for ThreeInside {
    const SPEC: Spec = pattern_spec("cdl3inside", "Three inside up/down")
        .doc(
            "A body that is not long inside a long one, then a candle of the other colour \
             that closes beyond the open of the first: 100 if the last is white, -100 if it \
             is black.",
            "TA-Lib CDL3INSIDE",
        )
        .pattern_example(
            &[],
            &[[10.75, 16.5, 9.5, 12.0], [11.0, 11.25, 7.75, 11.25], [11.0, 11.0, 7.75, 7.75]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 12;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, middle, last] = candles.last();
        let beyond = match first.is_white() {
            true => !last.is_white() && last.close < first.open,
            false => last.is_white() && last.close > first.open,
        };
        let found =
            beyond && middle.is_inside(first) && candles.is_long(2) && candles.is_not_long(1);
        signal_if(found, BEARISH * first.colour())
    }
}

enum ThreeOutside {}

impl Pattern for ThreeOutside {
    const SPEC: Spec = pattern_spec("cdl3outside", "Three outside up/down")
        .doc(
            "A body that covers the one before, which has the other colour, then a close \
             further the same way: 100 up, -100 down.",
            "TA-Lib CDL3OUTSIDE",
        )
        .pattern_example(
            &[],
            &[[12.5, 13.25, 10.5, 13.0], [13.25, 13.25, 8.5, 8.5], [9.5, 10.5, 6.25, 7.25]],
            &[&[0.0, 0.0, -100.0]],
        );

    const LOOKBACK: usize = 3;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let [first, middle, last] = candles.last();
        let found = match middle.is_white() {
            true => {
                !first.is_white()
                    && middle.close > first.open
                    && middle.open < first.close
                    && last.close > middle.close
            }
            false => {
                first.is_white()
                    && middle.open > first.close
                    && middle.close < first.open
                    && last.close < middle.close
            }
        };
        signal_if(found, BULLISH * middle.colour())
    }
}

/// Returns whether a star stands below a long black candle, and a white one that is not short comes back.
fn rises_from_star(candles: &Candles, penetration: f64) -> bool {
    let [first, star, last] = candles.last();
    !first.is_white()
        && last.is_white()
        && star.gaps_below(first)
        && last.close > first.close + first.body() * penetration
        && candles.is_long(2)
        && candles.is_long(0)
}

/// Returns whether a star stands above a long white candle, and a black one that is not short comes back.
fn falls_from_star(candles: &Candles, penetration: f64) -> bool {
    let [first, star, last] = candles.last();
    first.is_white()
        && !last.is_white()
        && star.gaps_above(first)
        && last.close < first.close - first.body() * penetration
        && candles.is_long(2)
        && candles.is_long(0)
}
