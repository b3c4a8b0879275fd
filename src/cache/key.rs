//! The key of a result.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::digest_texts;

/// The share of its life by which an entry may live shorter or longer, so that entries that were written together do
/// not expire together.
const JITTER: f64 = 0.1;

/// The key of the rows of one symbol: equal only for requests whose results are equal bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(Arc<str>);

impl CacheKey {
    /// Returns the key of a symbol in the results of an identity, from and until a time. No time differs from an
    /// empty one.
    pub fn new(identity: &str, symbol: &str, from: Option<&str>, until: Option<&str>) -> Self {
        let bound =
            |time: Option<&str>| time.map_or("none".to_string(), |time| format!("at {time}"));
        Self(digest_texts(&["rows", identity, symbol, &bound(from), &bound(until)]).into())
    }

    /// Returns the key that a text of 32 hexadecimal digits denotes.
    pub(super) fn from_digits(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.into()))
    }

    /// The digits.
    pub(super) fn digits(&self) -> &str {
        &self.0
    }

    /// The first two digits, by which entries are spread over folders.
    pub(super) fn shelf(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }

    /// Returns the life of this entry in microseconds: the same in every process.
    pub(super) fn life_micros(&self, ttl: Duration) -> i64 {
        let digits = self.0.get(24..).unwrap_or_default();
        let fraction =
            u32::from_str_radix(digits, 16).map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX));
        (ttl.as_micros() as f64 * (1.0 - JITTER + 2.0 * JITTER * fraction)) as i64
    }
}

impl fmt::Display for CacheKey {
    /// Writes the 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
