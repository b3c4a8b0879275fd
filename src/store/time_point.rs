//! Moments of a time column: they compare as instants, and are shown in the form of their column.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat};
use chrono::{TimeDelta, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit};
use datafusion::arrow::error::ArrowError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment with nanosecond precision. In JSON it is ISO 8601 text, with the offset if its column has a
/// zone.
#[derive(Clone, Copy, Debug)]
pub struct TimePoint {
    /// The time in UTC; for a column without a zone, the local time of the column.
    at: NaiveDateTime,
    form: TimeForm,
}

/// The form in which a moment is written. It does not affect comparisons.
#[derive(Clone, Copy, Debug)]
enum TimeForm {
    /// `2024-01-31`.
    Date,
    /// `2024-01-31T09:30:00`.
    Plain,
    /// `2024-01-31T09:30:00-05:00`, or with `Z`.
    Offset(FixedOffset),
}

impl TimePoint {
    /// The day in UTC; for a column without a zone, the local day.
    pub fn calendar_day(&self) -> NaiveDate {
        self.at.date()
    }

    /// Converts the moment to the days or units since 1970 of a column of type `ty`, rounded down. For
    /// a column with a zone, a moment without an offset is local time in that zone. None for another
    /// type, or if the value is out of its range.
    pub fn to_epoch_units(&self, ty: &DataType) -> Option<i64> {
        let at = match (ty, self.form) {
            (DataType::Timestamp(_, Some(zone)), TimeForm::Date | TimeForm::Plain) => {
                let zone = Tz::from_str(zone).ok()?;
                zone.from_local_datetime(&self.at).earliest()?.naive_utc()
            }
            _ => self.at,
        };
        let day = at.date().signed_duration_since(NaiveDate::default()).num_days();
        let of_day = at.time().signed_duration_since(NaiveTime::MIN);
        let (per_day, of_day): (i64, i64) = match ty {
            DataType::Date32 => (1, 0),
            DataType::Timestamp(TimeUnit::Second, _) => (86_400, of_day.num_seconds()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                (86_400_000, of_day.num_milliseconds())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                (86_400_000_000, of_day.num_microseconds()?)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (86_400_000_000_000, of_day.num_nanoseconds()?)
            }
            _ => return None,
        };
        i64::try_from(i128::from(day) * i128::from(per_day) + i128::from(of_day)).ok()
    }
}

impl PartialEq for TimePoint {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for TimePoint {}

impl PartialOrd for TimePoint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TimePoint {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl fmt::Display for TimePoint {
    /// Writes the moment as Arrow shows the value of the column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.form {
            TimeForm::Date => self.at.date().fmt(f),
            TimeForm::Plain => write!(f, "{:?}", self.at),
            TimeForm::Offset(offset) => {
                let at = offset.from_utc_datetime(&self.at);
                f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }
}

impl FromStr for TimePoint {
    type Err = String;

    /// Parses ISO 8601: a date, or a time with or without an offset.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self { at: day.and_time(NaiveTime::MIN), form: TimeForm::Date });
        }
        if let Ok(at) = text.parse::<NaiveDateTime>() {
            return Ok(Self { at, form: TimeForm::Plain });
        }
        match text.parse::<DateTime<FixedOffset>>() {
            Ok(at) => Ok(Self { at: at.naive_utc(), form: TimeForm::Offset(*at.offset()) }),
            Err(_) => Err(format!("{text} is no date or time")),
        }
    }
}

impl Serialize for TimePoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimePoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The values of a time column as moments.
pub struct TimeColumn {
    /// Days or units since 1970.
    numbers: ArrayRef,
    ty: DataType,
    zone: Option<Tz>,
}

impl TimeColumn {
    /// Reads a column of dates or timestamps.
    ///
    /// # Errors
    /// Another type, or an unknown zone.
    pub fn from_array(column: &ArrayRef) -> Result<Self, ArrowError> {
        let ty = column.data_type().clone();
        let (numbers, zone) = match &ty {
            DataType::Date32 => (cast(column, &DataType::Int32)?, None),
            DataType::Timestamp(_, zone) => {
                let zone = zone.as_deref().map(Tz::from_str).transpose()?;
                (cast(column, &DataType::Int64)?, zone)
            }
            other => return Err(ArrowError::CastError(format!("{other} is no date or timestamp"))),
        };
        Ok(Self { numbers, ty, zone })
    }

    /// Returns the moment of a row; None for NULL.
    ///
    /// # Errors
    /// The moment is beyond the calendar, which ends at year 262,142 in both directions.
    pub fn time_at(&self, row: usize) -> Result<Option<TimePoint>, ArrowError> {
        if self.numbers.is_null(row) {
            return Ok(None);
        }
        let moment = |at: NaiveDateTime| {
            let form = match (&self.ty, self.zone) {
                (DataType::Date32, _) => TimeForm::Date,
                (_, None) => TimeForm::Plain,
                (_, Some(zone)) => TimeForm::Offset(zone.offset_from_utc_datetime(&at).fix()),
            };
            TimePoint { at, form }
        };
        let (number, since) = match self.ty {
            DataType::Date32 => {
                let days = i64::from(self.numbers.as_primitive::<Int32Type>().value(row));
                (days, TimeDelta::try_days(days))
            }
            _ => {
                let number = self.numbers.as_primitive::<Int64Type>().value(row);
                (number, units_to_delta(&self.ty, number))
            }
        };
        let at = since.and_then(|since| NaiveDateTime::default().checked_add_signed(since));
        match at {
            Some(at) => Ok(Some(moment(at))),
            None => {
                let text = format!("{number} as {} lies beyond the calendar", self.ty);
                Err(ArrowError::CastError(text))
            }
        }
    }
}

/// Converts a number of timestamp units to a time span; None if it is too long.
fn units_to_delta(ty: &DataType, number: i64) -> Option<TimeDelta> {
    match ty {
        DataType::Timestamp(TimeUnit::Second, _) => TimeDelta::try_seconds(number),
        DataType::Timestamp(TimeUnit::Millisecond, _) => TimeDelta::try_milliseconds(number),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(TimeDelta::microseconds(number)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(TimeDelta::nanoseconds(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::*;

    fn at(text: &str) -> TimePoint {
        text.parse().unwrap()
    }

    #[test]
    fn moments_compare_as_time_and_not_as_text() {
        let earlier_and_later = [
            ("2024-01-02T00:00:00Z", "2024-01-02T00:00:00.500Z"),
            ("2024-01-02T09:00:00+09:00", "2024-01-02T01:00:00Z"),
            // The hour that occurs twice when clocks are set back.
            ("2024-11-03T01:59:00-04:00", "2024-11-03T01:00:00-05:00"),
            ("2024-01-02", "2024-01-02T00:00:00.000000001"),
            ("9999-12-31", "+10000-01-01"),
            ("-0044-03-15", "0001-01-01"),
        ];
        for (earlier, later) in earlier_and_later {
            assert!(at(earlier) < at(later), "{earlier} {later}");
            assert_eq!(at(earlier).to_string(), earlier);
        }
        assert_eq!(at("2024-01-02T09:30:00-05:00"), at("2024-01-02T14:30:00Z"));
        assert_eq!(at("2024-01-02"), at("2024-01-02T00:00:00"));
        assert!("soon".parse::<TimePoint>().is_err());
    }

    #[test]
    fn moments_are_shown_as_arrow_shows_them_and_come_back_from_json() {
        let texts = ["2024-03-10", "1969-12-31T23:59:59.250", "2024-11-03T06:00:00.000001"];
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let zones =
            [None, Some("UTC".into()), Some("America/New_York".into()), Some("+05:30".into())];
        let units =
            [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
        let times = units.iter().flat_map(|unit| {
            zones.iter().map(|zone: &Option<Arc<str>>| DataType::Timestamp(*unit, zone.clone()))
        });
        for ty in times.chain([DataType::Date32]) {
            let column = cast(&texts, &ty).unwrap();
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(&column, &options).unwrap();
            let instants = TimeColumn::from_array(&column).unwrap();
            let numbers = match &ty {
                DataType::Date32 => {
                    cast(&cast(&column, &DataType::Int32).unwrap(), &DataType::Int64)
                }
                _ => cast(&column, &DataType::Int64),
            };
            let numbers = numbers.unwrap();
            for row in 0..column.len() {
                let instant = instants.time_at(row).unwrap().unwrap();
                let text = shown.value(row).to_string();
                assert_eq!(instant.to_string(), text, "{ty}");
                let json = serde_json::to_string(&instant).unwrap();
                assert_eq!(json, format!("{text:?}"));
                let back: TimePoint = serde_json::from_str(&json).unwrap();
                assert_eq!((back, back.to_string()), (instant, text), "{ty}");
                let number = numbers.as_primitive::<Int64Type>().value(row);
                assert_eq!(instant.to_epoch_units(&ty), Some(number), "{ty}");
            }
        }
    }

    #[test]
    fn what_no_calendar_reaches_is_an_error() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), None]));
        let column = cast(&numbers, &DataType::Timestamp(TimeUnit::Second, None)).unwrap();
        let instants = TimeColumn::from_array(&column).unwrap();
        assert!(instants.time_at(0).unwrap_err().to_string().contains("beyond the calendar"));
        assert!(instants.time_at(1).unwrap().is_none());
        assert!(TimeColumn::from_array(&numbers).is_err());
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(at("2300-01-01").to_epoch_units(&nanos), None);
        assert_eq!(at("1969-12-31T23:59:59.5").to_epoch_units(&nanos), Some(-500_000_000));
    }
}
