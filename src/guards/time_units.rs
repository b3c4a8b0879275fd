//! Conversions of units of time.

use std::sync::Arc;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::common::ScalarValue;

/// Returns the nanoseconds in one unit.
pub fn nanoseconds_per_unit(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Returns the timestamp `units` after the start of 1970.
pub fn timestamp_scalar(units: i64, unit: TimeUnit, zone: Option<Arc<str>>) -> ScalarValue {
    match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(units), zone),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(units), zone),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(units), zone),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(units), zone),
    }
}
