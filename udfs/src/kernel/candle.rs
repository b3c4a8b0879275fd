//! Candles: the parts of a bar, and how long they are beside those of the bars before it.

use serde::{Deserialize, Serialize};

/// One bar as a candle.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Candle {
    /// The first price.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The last price.
    pub close: f64,
}

impl Candle {
    /// Returns whether the price did not fall.
    #[inline]
    pub fn is_white(&self) -> bool {
        self.close >= self.open
    }

    /// Returns 1 for a white candle and -1 for a black one.
    #[inline]
    pub fn colour(&self) -> f64 {
        if self.is_white() { 1.0 } else { -1.0 }
    }

    /// Returns the upper end of the body.
    #[inline]
    pub fn top(&self) -> f64 {
        if self.is_white() { self.close } else { self.open }
    }

    /// Returns the lower end of the body.
    #[inline]
    pub fn bottom(&self) -> f64 {
        if self.is_white() { self.open } else { self.close }
    }

    /// Returns the length of the body.
    #[inline]
    pub fn body(&self) -> f64 {
        (self.close - self.open).abs()
    }

    /// Returns the length of the shadow above the body.
    #[inline]
    pub fn upper_shadow(&self) -> f64 {
        self.high - self.top()
    }

    /// Returns the length of the shadow below the body.
    #[inline]
    pub fn lower_shadow(&self) -> f64 {
        self.bottom() - self.low
    }

    /// Returns the distance from the low to the high.
    #[inline]
    pub fn range(&self) -> f64 {
        self.high - self.low
    }

    /// Returns whether the body stands above that of `other`, without touching it.
    #[inline]
    pub fn gaps_above(&self, other: &Candle) -> bool {
        self.bottom() > other.top()
    }

    /// Returns whether the body stands below that of `other`, without touching it.
    #[inline]
    pub fn gaps_below(&self, other: &Candle) -> bool {
        self.top() < other.bottom()
    }

    /// Returns whether the body stands inside that of `other`, without touching its ends.
    #[inline]
    pub fn is_inside(&self, other: &Candle) -> bool {
        self.top() < other.top() && self.bottom() > other.bottom()
    }
}

/// The part of a candle that a yardstick is made of.
#[derive(Clone, Copy, Debug)]
enum CandlePart {
    Body,
    Range,
    /// Half of both shadows together.
    Shadow,
}

impl CandlePart {
    #[inline]
    fn measure_part(self, candle: &Candle) -> f64 {
        match self {
            CandlePart::Body => candle.body(),
            CandlePart::Range => candle.range(),
            CandlePart::Shadow => candle.upper_shadow() + candle.lower_shadow(),
        }
    }
}

/// A length to compare with: a factor times the mean of a part over the candles before, or that part of
/// the candle itself if `length` is 0.
#[derive(Clone, Copy, Debug)]
pub struct Yardstick {
    part: CandlePart,
    length: usize,
    factor: f64,
}

/// TA-Lib's yardsticks at its defaults.
impl Yardstick {
    /// A body of ordinary length: what is longer is long, what is shorter is short.
    pub const BODY: Yardstick = Yardstick { part: CandlePart::Body, length: 10, factor: 1.0 };
    /// The longest body of a doji.
    pub const DOJI: Yardstick = Yardstick { part: CandlePart::Range, length: 10, factor: 0.1 };
    /// A shadow that is longer than the body is long.
    pub const LONG_SHADOW: Yardstick = Yardstick { part: CandlePart::Body, length: 0, factor: 1.0 };
    /// A shadow that is longer than twice the body is very long.
    pub const VERY_LONG_SHADOW: Yardstick =
        Yardstick { part: CandlePart::Body, length: 0, factor: 2.0 };
    /// A shadow that is shorter than the usual one is short.
    pub const SHORT_SHADOW: Yardstick =
        Yardstick { part: CandlePart::Shadow, length: 10, factor: 1.0 };
    /// A shadow that is shorter is hardly there.
    pub const NO_SHADOW: Yardstick = Yardstick { part: CandlePart::Range, length: 10, factor: 0.1 };
    /// Prices that are not further apart are near.
    pub const NEAR: Yardstick = Yardstick { part: CandlePart::Range, length: 5, factor: 0.2 };
    /// Bodies that differ by more are far from each other in length.
    pub const FAR: Yardstick = Yardstick { part: CandlePart::Range, length: 5, factor: 0.6 };
    /// Prices that are not further apart are equal.
    pub const EQUAL: Yardstick = Yardstick { part: CandlePart::Range, length: 5, factor: 0.05 };
}

/// Candles that are kept: the longest pattern of five, and ten before its first.
const KEPT: usize = 16;

/// The last candles. Every mean is a fresh sum over a few of them, so that it depends on nothing else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Candles {
    ring: [Candle; KEPT],
    at: usize,
}

impl Candles {
    /// Takes the newest candle.
    #[inline]
    pub fn push_candle(&mut self, candle: Candle) {
        self.at = (self.at + 1) % KEPT;
        self.ring[self.at] = candle;
    }

    /// Returns the candle of `age` bars ago.
    #[inline]
    pub fn candle(&self, age: usize) -> &Candle {
        &self.ring[(self.at + KEPT - age) % KEPT]
    }

    /// Returns the last candles, the oldest first.
    #[inline]
    pub fn last<const COUNT: usize>(&self) -> [&Candle; COUNT] {
        std::array::from_fn(|i| self.candle(COUNT - 1 - i))
    }

    /// Returns a yardstick for the candle of `age` bars ago.
    #[inline]
    pub fn yardstick(&self, stick: Yardstick, age: usize) -> f64 {
        let mean = if stick.length == 0 {
            stick.part.measure_part(self.candle(age))
        } else {
            let before = (age + 1..=age + stick.length).rev();
            let sum: f64 = before.map(|age| stick.part.measure_part(self.candle(age))).sum();
            sum / stick.length as f64
        };
        match stick.part {
            CandlePart::Shadow => stick.factor * mean * 0.5,
            _ => stick.factor * mean,
        }
    }

    /// Returns whether the body is longer than usual.
    #[inline]
    pub fn is_long(&self, age: usize) -> bool {
        self.candle(age).body() > self.yardstick(Yardstick::BODY, age)
    }

    /// Returns whether the body is shorter than usual.
    #[inline]
    pub fn is_short(&self, age: usize) -> bool {
        self.candle(age).body() < self.yardstick(Yardstick::BODY, age)
    }

    /// Returns whether the body is not longer than usual.
    #[inline]
    pub fn is_not_long(&self, age: usize) -> bool {
        self.candle(age).body() <= self.yardstick(Yardstick::BODY, age)
    }

    /// Returns whether open and close are almost the same.
    #[inline]
    pub fn is_doji(&self, age: usize) -> bool {
        self.candle(age).body() <= self.yardstick(Yardstick::DOJI, age)
    }

    /// Returns whether the shadow above is hardly there.
    #[inline]
    pub fn lacks_upper(&self, age: usize) -> bool {
        self.candle(age).upper_shadow() < self.yardstick(Yardstick::NO_SHADOW, age)
    }

    /// Returns whether the shadow below is hardly there.
    #[inline]
    pub fn lacks_lower(&self, age: usize) -> bool {
        self.candle(age).lower_shadow() < self.yardstick(Yardstick::NO_SHADOW, age)
    }

    /// Returns whether the shadow above is longer than the body.
    #[inline]
    pub fn has_long_upper(&self, age: usize) -> bool {
        self.candle(age).upper_shadow() > self.yardstick(Yardstick::LONG_SHADOW, age)
    }

    /// Returns whether the shadow below is longer than the body.
    #[inline]
    pub fn has_long_lower(&self, age: usize) -> bool {
        self.candle(age).lower_shadow() > self.yardstick(Yardstick::LONG_SHADOW, age)
    }

    /// Returns whether a price is within a yardstick of another one; `age` is the candle of the yardstick.
    #[inline]
    pub fn is_within(&self, stick: Yardstick, age: usize, price: f64, other: f64) -> bool {
        let most = self.yardstick(stick, age);
        price <= other + most && price >= other - most
    }
}
