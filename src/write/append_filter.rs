//! Filters out the rows that a target already holds: those of a symbol up to its watermark.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch};
use datafusion::arrow::compute::{cast, filter_record_batch, partition};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::error::ArrowError;

use crate::store::SymbolRange;

/// A filter that passes only rows after the watermarks of a target.
#[derive(Debug)]
pub struct AppendFilter {
    last: HashMap<String, i64>,
}

impl AppendFilter {
    /// Creates the filter. `time` is the type of the time column.
    ///
    /// # Errors
    /// A watermark has no value of this type.
    pub fn from_watermarks(
        ranges: &BTreeMap<String, SymbolRange>,
        time: &DataType,
    ) -> Result<Self, ArrowError> {
        let last = ranges.iter().map(|(symbol, range)| match range.last.to_epoch_units(time) {
            Some(number) => Ok((symbol.clone(), number)),
            None => Err(ArrowError::CastError(format!(
                "the watermark {} of {symbol} is no {time}",
                range.last
            ))),
        });
        Ok(Self { last: last.collect::<Result<_, _>>()? })
    }

    /// Returns the new rows of a batch, and the number of rows left out. Rows must be sorted by entity
    /// and time.
    ///
    /// # Errors
    /// The values of the time column are not times.
    pub fn filter_new_rows(
        &self,
        batch: RecordBatch,
        entity: usize,
        time: usize,
    ) -> Result<(RecordBatch, u64), ArrowError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok((batch, 0));
        }
        let symbols = cast(batch.column(entity), &DataType::Utf8View)?;
        let symbols = symbols.as_string_view();
        let times = times_as_int64(batch.column(time))?;
        let times = times.as_primitive::<Int64Type>().values();
        let mut keep = BooleanBufferBuilder::new(rows);
        for run in partition(&[ArrayRef::clone(batch.column(entity))])?.ranges() {
            let known = self.last.get(symbols.value(run.start));
            let held = known.map_or(0, |last| times[run.clone()].partition_point(|t| t <= last));
            keep.append_n(held, false);
            keep.append_n(run.len() - held, true);
        }
        let keep = BooleanArray::new(keep.finish(), None);
        let skipped = (rows - keep.true_count()) as u64;
        Ok((if skipped == 0 { batch } else { filter_record_batch(&batch, &keep)? }, skipped))
    }
}

/// Returns times as integers in the same order.
fn times_as_int64(times: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match times.data_type() {
        DataType::Date32 => cast(&cast(times, &DataType::Int32)?, &DataType::Int64),
        _ => cast(times, &DataType::Int64),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn rows_up_to_the_watermark_are_held() {
        let range = |last: &str| {
            let last = last.parse().unwrap();
            SymbolRange { first: last, last, rows: 1 }
        };
        let ranges =
            BTreeMap::from([("A".into(), range("2024-01-02")), ("B".into(), range("2024-01-03"))]);
        let symbols: ArrayRef = Arc::new(StringArray::from(vec!["A", "A", "B", "C"]));
        let times = ["2024-01-02", "2024-01-03", "2024-01-03", "2020-01-01"];
        let times: ArrayRef = Arc::new(StringArray::from(times.to_vec()));
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("America/New_York".into()));
        for ty in [DataType::Date32, DataType::Timestamp(TimeUnit::Nanosecond, None), zoned] {
            let times = cast(&times, &ty).unwrap();
            let batch =
                RecordBatch::try_from_iter([("s", ArrayRef::clone(&symbols)), ("t", times)]);
            let after = AppendFilter::from_watermarks(&ranges, &ty).unwrap();
            let (rest, skipped) = after.filter_new_rows(batch.unwrap(), 0, 1).unwrap();
            let rest: Vec<_> = rest.column(0).as_string::<i32>().iter().flatten().collect();
            assert_eq!((rest, skipped), (vec!["A", "C"], 2), "{ty}");
        }
        let late = BTreeMap::from([("A".to_string(), range("3000-01-01"))]);
        assert!(
            AppendFilter::from_watermarks(&late, &DataType::Timestamp(TimeUnit::Nanosecond, None))
                .is_err()
        );
    }
}
