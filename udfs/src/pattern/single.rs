//! Patterns of one candle.

use super::{BULLISH, Pattern, pattern, pattern_spec, signal_if};
use crate::entry::Entry;
use crate::indicator::Spec;
use crate::kernel::{Candles, Yardstick};

pub(crate) static INDICATORS: &[Entry] = &[
    pattern::<Doji>(),
    pattern::<DragonflyDoji>(),
    pattern::<GravestoneDoji>(),
    pattern::<LongLeggedDoji>(),
    pattern::<RickshawMan>(),
    pattern::<Takuri>(),
    pattern::<HighWave>(),
    pattern::<SpinningTop>(),
    pattern::<LongLine>(),
    pattern::<ShortLine>(),
    pattern::<Marubozu>(),
    pattern::<ClosingMarubozu>(),
    pattern::<BeltHold>(),
];

enum Doji {}

impl Pattern for Doji {
    const SPEC: Spec = pattern_spec("cdldoji", "Doji")
        .doc(
            "Open and close are almost the same. It gives 100 whichever way the price goes.",
            "TA-Lib CDLDOJI",
        )
        .pattern_example(&[], &[[6.0, 6.0, 6.0, 6.0]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        signal_if(candles.is_doji(0), BULLISH)
    }
}

enum DragonflyDoji {}

impl Pattern for DragonflyDoji {
    const SPEC: Spec = pattern_spec("cdldragonflydoji", "Dragonfly doji")
        .doc("A doji without a shadow above and with one below.", "TA-Lib CDLDRAGONFLYDOJI")
        .pattern_example(&[], &[[6.0, 6.0, 5.75, 6.0]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let found = candles.is_doji(0)
            && candles.lacks_upper(0)
            && candles.candle(0).lower_shadow() > candles.yardstick(Yardstick::NO_SHADOW, 0);
        signal_if(found, BULLISH)
    }
}

enum GravestoneDoji {}

impl Pattern for GravestoneDoji {
    const SPEC: Spec = pattern_spec("cdlgravestonedoji", "Gravestone doji")
        .doc(
            "A doji without a shadow below and with one above. It gives 100 although many \
             read it as bearish.",
            "TA-Lib CDLGRAVESTONEDOJI",
        )
        .pattern_example(&[], &[[7.25, 8.75, 7.25, 7.25]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let found = candles.is_doji(0)
            && candles.lacks_lower(0)
            && candles.candle(0).upper_shadow() > candles.yardstick(Yardstick::NO_SHADOW, 0);
        signal_if(found, BULLISH)
    }
}

enum LongLeggedDoji {}

impl Pattern for LongLeggedDoji {
    const SPEC: Spec = pattern_spec("cdllongleggeddoji", "Long-legged doji")
        .doc("A doji with a long shadow above or below.", "TA-Lib CDLLONGLEGGEDDOJI")
        .pattern_example(&[], &[[6.0, 6.0, 5.75, 6.0]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let found = candles.is_doji(0) && (candles.has_long_lower(0) || candles.has_long_upper(0));
        signal_if(found, BULLISH)
    }
}

enum RickshawMan {}

impl Pattern for RickshawMan {
    const SPEC: Spec = pattern_spec("cdlrickshawman", "Rickshaw man")
        .doc(
            "A doji with long shadows above and below, and its body near the middle of the \
             range.",
            "TA-Lib CDLRICKSHAWMAN",
        )
        .pattern_example(&[], &[[12.5, 13.0, 12.0, 12.5]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let last = candles.candle(0);
        let (middle, near) = (last.low + last.range() / 2.0, candles.yardstick(Yardstick::NEAR, 0));
        let found = candles.is_doji(0)
            && candles.has_long_lower(0)
            && candles.has_long_upper(0)
            && last.bottom() <= middle + near
            && last.top() >= middle - near;
        signal_if(found, BULLISH)
    }
}

enum Takuri {}

impl Pattern for Takuri {
    const SPEC: Spec = pattern_spec("cdltakuri", "Takuri")
        .doc("A dragonfly doji with a very long shadow below.", "TA-Lib CDLTAKURI")
        .pattern_example(&[], &[[6.0, 6.0, 5.75, 6.0]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let found = candles.is_doji(0)
            && candles.lacks_upper(0)
            && candles.candle(0).lower_shadow() > candles.yardstick(Yardstick::VERY_LONG_SHADOW, 0);
        signal_if(found, BULLISH)
    }
}

enum HighWave {}

impl Pattern for HighWave {
    const SPEC: Spec = pattern_spec("cdlhighwave", "High-wave candle")
        .doc(
            "A short body with very long shadows above and below: 100 if it is white, -100 if \
             it is black.",
            "TA-Lib CDLHIGHWAVE",
        )
        .pattern_example(&[], &[[6.5, 6.75, 5.0, 6.5]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let (last, long) = (candles.candle(0), candles.yardstick(Yardstick::VERY_LONG_SHADOW, 0));
        let found = candles.is_short(0) && last.upper_shadow() > long && last.lower_shadow() > long;
        signal_if(found, BULLISH * last.colour())
    }
}

enum SpinningTop {}

impl Pattern for SpinningTop {
    const SPEC: Spec = pattern_spec("cdlspinningtop", "Spinning top")
        .doc(
            "A short body with longer shadows above and below: 100 if it is white, -100 if it \
             is black.",
            "TA-Lib CDLSPINNINGTOP",
        )
        .pattern_example(&[], &[[10.5, 16.75, 9.75, 10.75]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let last = candles.candle(0);
        let found = last.upper_shadow() > last.body()
            && last.lower_shadow() > last.body()
            && candles.is_short(0);
        signal_if(found, BULLISH * last.colour())
    }
}

enum LongLine {}

impl Pattern for LongLine {
    const SPEC: Spec = pattern_spec("cdllongline", "Long line candle")
        .doc(
            "A long body with short shadows: 100 if it is white, -100 if it is black.",
            "TA-Lib CDLLONGLINE",
        )
        .pattern_example(&[], &[[8.5, 11.5, 8.5, 11.5]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let (last, short) = (candles.candle(0), candles.yardstick(Yardstick::SHORT_SHADOW, 0));
        let found =
            candles.is_long(0) && last.upper_shadow() < short && last.lower_shadow() < short;
        signal_if(found, BULLISH * last.colour())
    }
}

enum ShortLine {}

impl Pattern for ShortLine {
    const SPEC: Spec = pattern_spec("cdlshortline", "Short line candle")
        .doc(
            "A short body with short shadows: 100 if it is white, -100 if it is black.",
            "TA-Lib CDLSHORTLINE",
        )
        .pattern_example(&[], &[[6.0, 6.0, 6.0, 6.0]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let (last, short) = (candles.candle(0), candles.yardstick(Yardstick::SHORT_SHADOW, 0));
        let found =
            candles.is_short(0) && last.upper_shadow() < short && last.lower_shadow() < short;
        signal_if(found, BULLISH * last.colour())
    }
}

enum Marubozu {}

impl Pattern for Marubozu {
    const SPEC: Spec = pattern_spec("cdlmarubozu", "Marubozu")
        .doc(
            "A long body without shadows: 100 if it is white, -100 if it is black.",
            "TA-Lib CDLMARUBOZU",
        )
        .pattern_example(&[], &[[8.5, 11.5, 8.5, 11.5]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let found = candles.is_long(0) && candles.lacks_upper(0) && candles.lacks_lower(0);
        signal_if(found, BULLISH * candles.candle(0).colour())
    }
}

enum ClosingMarubozu {}

impl Pattern for ClosingMarubozu {
    const SPEC: Spec = pattern_spec("cdlclosingmarubozu", "Closing marubozu")
        .doc(
            "A long body without a shadow at its close: 100 if it is white, -100 if it is \
             black.",
            "TA-Lib CDLCLOSINGMARUBOZU",
        )
        .pattern_example(&[], &[[8.5, 11.5, 8.5, 11.5]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let last = candles.candle(0);
        let bare = |candles: &Candles| match last.is_white() {
            true => candles.lacks_upper(0),
            false => candles.lacks_lower(0),
        };
        signal_if(candles.is_long(0) && bare(candles), BULLISH * last.colour())
    }
}

enum BeltHold {}

impl Pattern for BeltHold {
    const SPEC: Spec = pattern_spec("cdlbelthold", "Belt-hold")
        .doc(
            "A long body without a shadow at its open: 100 if it is white, -100 if it is \
             black.",
            "TA-Lib CDLBELTHOLD",
        )
        .pattern_example(&[], &[[9.25, 12.75, 9.25, 12.5]], &[&[100.0]]);

    const LOOKBACK: usize = 10;

    fn find_signal(candles: &Candles, _: f64) -> f64 {
        let last = candles.candle(0);
        let bare = |candles: &Candles| match last.is_white() {
            true => candles.lacks_lower(0),
            false => candles.lacks_upper(0),
        };
        signal_if(candles.is_long(0) && bare(candles), BULLISH * last.colour())
    }
}
