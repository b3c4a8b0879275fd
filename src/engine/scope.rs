//! The scope of a run: symbols and a time range.

use std::sync::Arc;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, BooleanArray, Datum, RecordBatch};
use datafusion::arrow::compute::kernels::cmp::{gt_eq, lt};
use datafusion::arrow::compute::{and, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{Expr, lit};
use serde::{Deserialize, Serialize};

use crate::commit::ScopeBounds;
use crate::error::{Error, Result};
use crate::guards::{append_seconds, nanoseconds_per_unit, timestamp_scalar};
use crate::store::TimeColumn;

/// The symbols and the time range that a run computes. None means all.
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
    /// Returns whether the scope is everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a symbol is in the scope.
    pub(super) fn contains_symbol(&self, symbol: &str) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.iter().any(|known| known == symbol))
    }

    /// Returns the condition on output rows; None for everything.
    pub(super) fn filter_expr(
        &self,
        entity: &str,
        time: &str,
        time_type: &DataType,
    ) -> Result<Option<Expr>> {
        let mut parts = Vec::new();
        if let Some(symbols) = &self.symbols {
            let values = symbols.iter().map(|symbol| lit(symbol.as_str())).collect();
            parts.push(exact_column(entity).in_list(values, false));
        }
        if let Some(from) = &self.from {
            parts.push(exact_column(time).gt_eq(lit(parse_time_bound("--from", from, time_type)?)));
        }
        if let Some(until) = &self.until {
            parts.push(exact_column(time).lt(lit(parse_time_bound("--until", until, time_type)?)));
        }
        Ok(parts.into_iter().reduce(Expr::and))
    }

    /// Returns the scope in exact times, for a time column of this type.
    pub(super) fn exact_bounds(&self, time_type: &DataType) -> Result<ScopeBounds> {
        let exact = |flag: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let time = parse_time_bound(flag, text, time_type)?.to_array();
            let time = time.and_then(|time| Ok(TimeColumn::from_array(&time)?.time_at(0)?));
            time.map_err(|error| Error::internal(error.to_string()))
        };
        Ok(ScopeBounds {
            symbols: self.symbols.clone(),
            from: exact("--from", &self.from)?,
            until: exact("--until", &self.until)?,
        })
    }
}

/// A range of times of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeRange {
    from: Option<ScalarValue>,
    until: Option<ScalarValue>,
}

impl TimeRange {
    /// Parses the times of a scope for a time column of this type.
    ///
    /// # Errors
    /// If one of them is no time.
    pub fn parse(scope: &Scope, time_type: &DataType) -> Result<Self> {
        let parse = |name: &str, text: &Option<String>| {
            text.as_ref().map(|text| parse_time_bound(name, text, time_type)).transpose()
        };
        Ok(Self { from: parse("from", &scope.from)?, until: parse("until", &scope.until)? })
    }

    /// Returns the rows whose time is in the range.
    ///
    /// # Errors
    /// If the column at `time` has another type.
    pub fn select_rows(&self, batch: &RecordBatch, time: usize) -> Result<RecordBatch> {
        let wrong = |error: DataFusionError| Error::internal(error.to_string());
        let compare = |bound: &ScalarValue, kernel: CompareKernel| {
            let bound = bound.to_scalar().map_err(wrong)?;
            kernel(batch.column(time), &bound).map_err(|error| Error::from_arrow_error(&error))
        };
        let from = self.from.as_ref().map(|from| compare(from, gt_eq)).transpose()?;
        let until = self.until.as_ref().map(|until| compare(until, lt)).transpose()?;
        let inside = match (from, until) {
            (None, None) => return Ok(batch.clone()),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(from), Some(until)) => {
                and(&from, &until).map_err(|error| Error::from_arrow_error(&error))?
            }
        };
        // Sorted rows are one slice, which copies nothing.
        let rows = inside.true_count();
        let first = (0..inside.len()).find(|row| inside.is_valid(*row) && inside.value(*row));
        let first = first.unwrap_or(0);
        if inside.slice(first, rows).true_count() == rows {
            return Ok(batch.slice(first, rows));
        }
        filter_record_batch(batch, &inside).map_err(|error| Error::from_arrow_error(&error))
    }
}

/// A comparison of two columns.
type CompareKernel = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

/// Parses a time as typed into the type of the time column; a bare date is midnight in the zone of the column.
fn parse_time_bound(flag: &str, text: &str, ty: &DataType) -> Result<ScalarValue> {
    let wrong = || {
        Error::usage(format!("{flag}: {text} is no date or time"))
            .hint("write 2024-01-31 or 2024-01-31T09:30:00")
    };
    let whole = append_seconds(text).unwrap_or_else(|| text.trim().to_string());
    let parse = |ty: &DataType| {
        ScalarValue::Utf8(Some(whole.clone())).cast_to(ty).ok().filter(|v| !v.is_null())
    };
    if let DataType::Timestamp(unit, zone) = ty {
        let exact = parse(&DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()));
        return match exact {
            Some(ScalarValue::TimestampNanosecond(Some(nanoseconds), _)) => {
                Ok(round_up_to_unit(nanoseconds, *unit, zone.clone()))
            }
            _ => match parse(ty) {
                Some(time) => Ok(time), // Beyond the range of nanoseconds.
                None => match (zone, parse_wall_clock(&whole)) {
                    (Some(zone), Some(clock)) => resolve_wall_clock(flag, text, clock, *unit, zone),
                    _ => Err(wrong()),
                },
            },
        };
    }
    if *ty != DataType::Date32 {
        return parse(ty).ok_or_else(wrong);
    }
    if text.trim().parse::<chrono::NaiveDate>().is_ok() {
        return parse(ty).ok_or_else(wrong);
    }
    // A date column is compared with a time of day: the first day that is not before it begins at the next
    // midnight.
    let micros = parse(&DataType::Timestamp(TimeUnit::Microsecond, None)).ok_or_else(wrong)?;
    let ScalarValue::TimestampMicrosecond(Some(micros), _) = micros else { return Err(wrong()) };
    const DAY: i64 = 86_400_000_000;
    let days = micros.div_euclid(DAY) + i64::from(micros.rem_euclid(DAY) > 0);
    i32::try_from(days).map(|days| ScalarValue::Date32(Some(days))).map_err(|_| wrong())
}

/// Parses a date and time without a zone; a bare date is its midnight.
fn parse_wall_clock(text: &str) -> Option<NaiveDateTime> {
    let time = ScalarValue::Utf8(Some(text.to_string()));
    let time = time.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None)).ok()?;
    let ScalarValue::TimestampMicrosecond(Some(micros), _) = time else { return None };
    Some(DateTime::from_timestamp_micros(micros)?.naive_utc())
}

/// Resolves a time that the clocks of a zone skip or show twice. A bare date is the first moment of that day;
/// anything else is an error that names the possible moments.
fn resolve_wall_clock(
    flag: &str,
    text: &str,
    clock: NaiveDateTime,
    unit: TimeUnit,
    zone: &Arc<str>,
) -> Result<ScalarValue> {
    let wrong = |error: &dyn std::fmt::Display| Error::usage(format!("{flag}: {text}: {error}"));
    let tz: Tz = zone.parse().map_err(|error: ArrowError| wrong(&error))?;
    let found = tz.from_local_datetime(&clock);
    let shown = |moment: DateTime<Tz>| moment.format("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
    let first = match found {
        MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => Some(moment),
        // The clocks skip this time: the offset before it leads to the moment at which they go forward.
        MappedLocalTime::None => (1..=96)
            .find_map(|quarters| {
                tz.from_local_datetime(&(clock - TimeDelta::minutes(15 * quarters))).latest()
            })
            .map(|before| {
                let offset = before.offset().fix();
                (clock - offset).and_utc().with_timezone(&tz)
            }),
    };
    let Some(first) = first else { return Err(wrong(&"the zone knows no such time")) };
    if text.trim().parse::<chrono::NaiveDate>().is_ok() {
        let nanoseconds = first.timestamp_nanos_opt();
        let nanoseconds =
            nanoseconds.ok_or_else(|| wrong(&"it is beyond what nanoseconds hold"))?;
        return Ok(round_up_to_unit(nanoseconds, unit, Some(Arc::clone(zone))));
    }
    Err(match found {
        MappedLocalTime::Ambiguous(first, second) => {
            Error::usage(format!("{flag}: {text} comes twice in {zone}, where clocks are set back"))
                .hint(format!("write {} or {}", shown(first), shown(second)))
        }
        _ => Error::usage(format!("{flag}: {text} does not exist in {zone}, where clocks skip it"))
            .hint(format!("write a time with its offset, such as {}", shown(first))),
    })
}

/// Returns the first time of a unit that is not before an instant. Every time of that unit is before both or before
/// neither.
fn round_up_to_unit(nanoseconds: i64, unit: TimeUnit, zone: Option<Arc<str>>) -> ScalarValue {
    let length = nanoseconds_per_unit(unit);
    let up = nanoseconds.div_euclid(length) + i64::from(nanoseconds.rem_euclid(length) > 0);
    timestamp_scalar(up, unit, zone)
}

/// Returns a column by its exact name, for expressions that are built and not parsed.
pub(super) fn exact_column(name: &str) -> Expr {
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
            assert_eq!(parse_time_bound("--from", text, &ty).unwrap(), value, "{text}");
        }
        assert_eq!(
            parse_time_bound("--from", "soon", &micro).unwrap_err().to_string(),
            "--from: soon is no date or time; write 2024-01-31 or 2024-01-31T09:30:00"
        );
    }

    #[test]
    fn times_that_clocks_skip_or_show_twice() {
        let zoned = |zone: &str| DataType::Timestamp(TimeUnit::Second, Some(zone.into()));
        let told =
            |text: &str, zone: &str| parse_time_bound("--from", text, &zoned(zone)).unwrap_err();
        assert_eq!(
            told("2024-03-10 02:30", "America/New_York").to_string(),
            "--from: 2024-03-10 02:30 does not exist in America/New_York, where clocks skip it; \
             write a time with its offset, such as 2024-03-10T03:30:00-04:00"
        );
        assert_eq!(
            told("2024-11-03T01:30:00", "America/New_York").to_string(),
            "--from: 2024-11-03T01:30:00 comes twice in America/New_York, where clocks are set back; \
             write 2024-11-03T01:30:00-04:00 or 2024-11-03T01:30:00-05:00"
        );
        // A day begins at its first moment, whatever the clocks show then.
        let days = [
            ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"), // 01:00, at -02:00
            ("2018-02-18", "America/Sao_Paulo", "2018-02-18T03:00:00Z"), // At -03:00, after 23:00 came twice.
            ("2023-10-29", "Atlantic/Azores", "2023-10-29T00:00:00Z"),   // 00:00 comes twice.
        ];
        for (text, zone, moment) in days {
            let seconds = moment.parse::<DateTime<chrono::Utc>>().unwrap().timestamp();
            let expected = ScalarValue::TimestampSecond(Some(seconds), Some(zone.into()));
            assert_eq!(
                parse_time_bound("--from", text, &zoned(zone)).unwrap(),
                expected,
                "{text} {zone}"
            );
        }
    }
}
