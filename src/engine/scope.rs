//! What a run computes: symbols and a range of time.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use serde::{Deserialize, Serialize};

use crate::commit::Bounds;
use crate::error::{Error, Result};
use crate::guards::{nanoseconds_of, timestamp, with_seconds};
use crate::store::Instants;

/// Symbols x time range that a run computes. None is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The symbols.
    pub symbols: Option<Vec<String>>,
    /// The first time, inclusive.
    pub from: Option<String>,
    /// The end, exclusive.
    pub until: Option<String>,
}

impl Scope {
    /// Whether it is everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a symbol is in it.
    pub(super) fn has(&self, symbol: &str) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.iter().any(|known| known == symbol))
    }

    /// The condition on output rows; None for everything.
    pub(super) fn condition(
        &self,
        entity: &str,
        time: &str,
        time_type: &DataType,
    ) -> Result<Option<Expr>> {
        let mut parts = Vec::new();
        if let Some(symbols) = &self.symbols {
            let values = symbols.iter().map(|symbol| lit(symbol.as_str())).collect();
            parts.push(exact(entity).in_list(values, false));
        }
        if let Some(from) = &self.from {
            parts.push(exact(time).gt_eq(lit(instant("--from", from, time_type)?)));
        }
        if let Some(until) = &self.until {
            parts.push(exact(time).lt(lit(instant("--until", until, time_type)?)));
        }
        Ok(parts.into_iter().reduce(Expr::and))
    }

    /// The scope in exact times, for a column of this type.
    pub(super) fn bounds(&self, time_type: &DataType) -> Result<Bounds> {
        let exact = |flag: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let time = instant(flag, text, time_type)?.to_array();
            let time = time.and_then(|time| Ok(Instants::of(&time)?.value(0)?));
            time.map_err(|error| Error::internal(error.to_string()))
        };
        Ok(Bounds {
            symbols: self.symbols.clone(),
            from: exact("--from", &self.from)?,
            until: exact("--until", &self.until)?,
        })
    }
}

/// A time as typed, in the type of the time column: a bare date is midnight in the column's zone.
fn instant(flag: &str, text: &str, ty: &DataType) -> Result<ScalarValue> {
    let wrong = || {
        Error::usage(format!("{flag}: {text} is no date or time"))
            .hint("write 2024-01-31 or 2024-01-31T09:30:00")
    };
    let whole = with_seconds(text).unwrap_or_else(|| text.trim().to_string());
    let parse = |ty: &DataType| {
        ScalarValue::Utf8(Some(whole.clone())).cast_to(ty).ok().filter(|v| !v.is_null())
    };
    if let DataType::Timestamp(unit, zone) = ty {
        let exact = parse(&DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()));
        return match exact {
            Some(ScalarValue::TimestampNanosecond(Some(nanoseconds), _)) => {
                Ok(at_least(nanoseconds, *unit, zone.clone()))
            }
            _ => parse(ty).ok_or_else(wrong), // Beyond nanoseconds.
        };
    }
    if *ty != DataType::Date32 {
        return parse(ty).ok_or_else(wrong);
    }
    if text.trim().parse::<chrono::NaiveDate>().is_ok() {
        return parse(ty).ok_or_else(wrong);
    }
    // Days are compared with a time of day: the days from the next midnight on are not before it.
    let micros = parse(&DataType::Timestamp(TimeUnit::Microsecond, None)).ok_or_else(wrong)?;
    let ScalarValue::TimestampMicrosecond(Some(micros), _) = micros else { return Err(wrong()) };
    const DAY: i64 = 86_400_000_000;
    let days = micros.div_euclid(DAY) + i64::from(micros.rem_euclid(DAY) > 0);
    i32::try_from(days).map(|days| ScalarValue::Date32(Some(days))).map_err(|_| wrong())
}

/// The first time of a unit that is not before an instant: times of the unit are before both or before none.
fn at_least(nanoseconds: i64, unit: TimeUnit, zone: Option<Arc<str>>) -> ScalarValue {
    let length = nanoseconds_of(unit);
    let up = nanoseconds.div_euclid(length) + i64::from(nanoseconds.rem_euclid(length) > 0);
    timestamp(up, unit, zone)
}

/// A column by its exact name, for expressions that are built and not parsed.
pub(super) fn exact(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::from_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        let micro = DataType::Timestamp(TimeUnit::Microsecond, None);
        let cases = [
            ("2024-01-02", DataType::Date32, ScalarValue::Date32(Some(19_724))),
            ("2024-01-02T09:30:00", DataType::Date32, ScalarValue::Date32(Some(19_725))),
            (
                "2024-01-02",
                micro.clone(),
                ScalarValue::TimestampMicrosecond(Some(1_704_153_600_000_000), None),
            ),
            (
                "2024-01-02T00:00:00.0000005",
                micro.clone(),
                ScalarValue::TimestampMicrosecond(Some(1_704_153_600_000_001), None),
            ),
            (
                "2024-01-02 00:00",
                DataType::Timestamp(TimeUnit::Second, None),
                ScalarValue::TimestampSecond(Some(1_704_153_600), None),
            ),
            (
                "9999-12-31",
                micro.clone(),
                ScalarValue::TimestampMicrosecond(Some(253_402_214_400_000_000), None),
            ),
        ];
        for (text, ty, value) in cases {
            assert_eq!(instant("--from", text, &ty).unwrap(), value, "{text}");
        }
        assert_eq!(
            instant("--from", "soon", &micro).unwrap_err().to_string(),
            "--from: soon is no date or time; write 2024-01-31 or 2024-01-31T09:30:00"
        );
    }
}
