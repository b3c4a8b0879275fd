//! Times beyond the calendar: they have no date, and a printer would show an error text in their place.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};

use crate::error::{Error, Result};

/// The seconds since 1970 that have a date in every time zone.
const CALENDAR_SECONDS: std::ops::RangeInclusive<i64> = -8_334_601_142_400..=8_210_266_790_400;

/// Refuses rows with a time beyond the calendar.
///
/// # Errors
/// If a column holds such a time; the error names the column and the time.
pub fn check_times(batch: &RecordBatch) -> Result<()> {
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if let Some(value) = find_invalid_time(column) {
            return Err(Error::data(format!(
                "{} holds a time beyond the calendar ({value}, as it is stored)",
                field.name()
            ))
            .hint("correct the value, or leave its rows out"));
        }
    }
    Ok(())
}

/// Returns a time beyond the calendar, as the stored integer, if there is one.
fn find_invalid_time(array: &ArrayRef) -> Option<i64> {
    const DAY: i64 = 86_400;
    match array.data_type() {
        DataType::Date32 => {
            find_out_of_range::<Date32Type>(array, |days| i64::from(days) * DAY).map(i64::from)
        }
        DataType::Date64 => find_out_of_range::<Date64Type>(array, |ms| ms.div_euclid(1000)),
        DataType::Timestamp(TimeUnit::Second, _) => {
            find_out_of_range::<TimestampSecondType>(array, |s| s)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            find_out_of_range::<TimestampMillisecondType>(array, |ms| ms.div_euclid(1000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            find_out_of_range::<TimestampMicrosecondType>(array, |us| us.div_euclid(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            find_out_of_range::<TimestampNanosecondType>(array, |ns| ns.div_euclid(1_000_000_000))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().find_map(find_invalid_time),
        DataType::List(_) => find_invalid_time(array.as_list::<i32>().values()),
        DataType::LargeList(_) => find_invalid_time(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => find_invalid_time(array.as_fixed_size_list().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().find_map(find_invalid_time),
        DataType::Dictionary(..) => find_invalid_time(array.as_any_dictionary().values()),
        _ => None,
    }
}

/// Returns the smallest or the largest value if its second has no date.
fn find_out_of_range<T>(array: &ArrayRef, second: impl Fn(T::Native) -> i64) -> Option<T::Native>
where
    T: ArrowPrimitiveType,
    T::Native: PartialOrd,
{
    let values = array.as_primitive::<T>();
    let ends = [min(values), max(values)];
    ends.into_iter().flatten().find(|value| !CALENDAR_SECONDS.contains(&second(*value)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, ListArray, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn times_of_no_calendar_are_refused() {
        let told = |column: ArrayRef| {
            let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
            check_times(&batch).err().map(|error| error.message().to_string())
        };
        let far: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None, Some(i32::MAX)]));
        let expected = "x holds a time beyond the calendar (2147483647, as it is stored)";
        assert_eq!(told(far).as_deref(), Some(expected));
        assert_eq!(told(Arc::new(Date32Array::from(vec![-719_162, 2_932_896]))), None);
        let late =
            TimestampMillisecondArray::from(vec![i64::MAX]).with_timezone("America/New_York");
        assert!(told(Arc::new(late)).is_some());
        let within = ListArray::from_iter_primitive::<Date32Type, _, _>([Some([Some(i32::MIN)])]);
        assert!(told(Arc::new(within)).is_some());
    }
}
