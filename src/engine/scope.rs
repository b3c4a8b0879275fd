//! What a run computes: symbols and a range of time.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use crate::error::{Error, Result};
use crate::target::Bounds;

/// Symbols x time range that a run computes. None is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
            let shown = instant(flag, text, time_type)?.to_array().and_then(|time| {
                let time = cast(&time, &DataType::Utf8)?;
                Ok(time.as_string::<i32>().value(0).to_string())
            });
            shown.map(Some).map_err(|error| Error::internal(error.to_string()))
        };
        Ok(Bounds {
            symbols: self.symbols.clone(),
            from: exact("--from", &self.from)?,
            until: exact("--until", &self.until)?,
        })
    }

    /// Whether a target's rows of one symbol all lie within this scope. Times are ISO 8601.
    pub(super) fn covers(&self, symbol: &str, first: &str, last: &str) -> bool {
        let symbol_in = self.symbols.as_ref().is_none_or(|s| s.iter().any(|s| s == symbol));
        let after = self.from.as_ref().is_none_or(|from| comparable(first) >= comparable(from));
        let before = self.until.as_ref().is_none_or(|until| comparable(last) < comparable(until));
        symbol_in && after && before
    }
}

/// ISO 8601 text that compares as time: a bare date is its midnight, `T` and space are one.
fn comparable(text: &str) -> String {
    let text = text.trim().replace(' ', "T");
    if text.len() == 10 { text + "T00:00:00" } else { text }
}

/// A time as typed, in the type of the time column: a bare date is midnight in the column's zone.
fn instant(flag: &str, text: &str, ty: &DataType) -> Result<ScalarValue> {
    let wrong = || {
        Error::usage(format!("{flag}: {text} is no date or time"))
            .hint("write 2024-01-31 or 2024-01-31T09:30:00")
    };
    let parse = |ty: &DataType| {
        ScalarValue::Utf8(Some(text.trim().to_string())).cast_to(ty).ok().filter(|v| !v.is_null())
    };
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
        ];
        for (text, ty, value) in cases {
            assert_eq!(instant("--from", text, &ty).unwrap(), value, "{text}");
        }
        assert_eq!(
            instant("--from", "soon", &micro).unwrap_err().to_string(),
            "--from: soon is no date or time; write 2024-01-31 or 2024-01-31T09:30:00"
        );
    }

    #[test]
    fn a_scope_covers_what_lies_in_it() {
        let scope = Scope {
            symbols: Some(vec!["A".into()]),
            from: Some("2024-01-01".into()),
            until: Some("2024-02-01".into()),
        };
        assert!(scope.covers("A", "2024-01-01", "2024-01-31"));
        assert!(scope.covers("A", "2024-01-01T00:00:00", "2024-01-31T23:59:59"));
        assert!(!scope.covers("A", "2023-12-31", "2024-01-31"));
        assert!(!scope.covers("A", "2024-01-01", "2024-02-01"));
        assert!(!scope.covers("B", "2024-01-01", "2024-01-31"));
        assert!(Scope::default().covers("B", "1900-01-01", "2100-01-01"));
    }
}
