//! One file of a source, adapted to the columns of the source: columns are found by name, cast, and
//! completed by the values in the names of its directories.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{and, cast, is_null};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;

use super::file_errors::unreadable_file_error;
use super::footer::FileInfo;
use super::schema::is_measure;
use super::sortedness::RowSlice;
use crate::error::{Error, Result};
use crate::guards::nearest_doubles;
use crate::store::display_path;

/// A file with the rows that a partition reads of it, and its hive values by column name.
#[derive(Clone, Debug)]
pub(crate) struct FileSlice {
    /// The file.
    pub(crate) info: Arc<FileInfo>,
    /// The position of the file in the order of the source, and the rows to read.
    pub(crate) slice: RowSlice,
    /// Hive partition values by column name.
    pub(crate) values: Vec<(String, ScalarValue)>,
}

impl FileSlice {
    /// Converts a batch to the columns of `schema`, the last of which is the file's ordinal.
    pub(crate) fn adapt_batch(
        &self,
        batch: &RecordBatch,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        // Checked even if the query needs other columns or the rows of one directory: its rows must
        // be right, too.
        for (name, value) in &self.values {
            if let Some(stored) = batch.column_by_name(name) {
                self.check_partition_column(name, value, stored)?;
            }
        }
        let last = schema.fields().len() - 1;
        let columns = schema.fields().iter().enumerate().map(|(i, field)| {
            if i == last {
                let ordinals = UInt32Array::from_value(self.slice.ordinal, batch.num_rows());
                return Ok(Arc::new(ordinals) as ArrayRef);
            }
            self.adapt_column(batch, field)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| self.decode_error(error))
    }

    /// Returns whether a column of the file is read: it is needed, or checked against the value of
    /// its directory.
    pub(crate) fn reads_column(&self, schema: &Schema, name: &str) -> bool {
        schema.field_with_name(name).is_ok() || self.values.iter().any(|(known, _)| known == name)
    }

    fn adapt_column(&self, batch: &RecordBatch, field: &Field) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        if let Some((_, value)) = self.values.iter().find(|(name, _)| name == field.name()) {
            return value.to_array_of_size(rows).map_err(|error| self.decode_error(error));
        }
        match batch.column_by_name(field.name()) {
            Some(values) if values.data_type() == field.data_type() => Ok(Arc::clone(values)),
            Some(values) => self.cast_lossless(values, field),
            None => Ok(new_null_array(field.data_type(), rows)),
        }
    }

    /// Refuses a column that the file stores with other values than its directory states.
    fn check_partition_column(
        &self,
        name: &str,
        value: &ScalarValue,
        stored: &ArrayRef,
    ) -> Result<()> {
        // Text such as 01 may be a number in the file, and the other way round.
        let same_as = |value: &ScalarValue, stored: &ArrayRef| -> Option<BooleanArray> {
            let cut = cast(stored, &value.data_type()).ok()?;
            let same = not_distinct(&cut, &value.to_scalar().ok()?).ok()?;
            // A timestamp is more than its day, so it must survive the cast to a day and back.
            if stored.data_type().is_temporal() {
                let back = cast(&cut, stored.data_type()).ok()?;
                return and(&same, &not_distinct(&back, stored).ok()?).ok();
            }
            Some(same)
        };
        let by_value = same_as(value, stored);
        if by_value.as_ref().is_some_and(|same| same.true_count() == same.len()) {
            return Ok(());
        }
        let of_file = value.cast_to(stored.data_type()).ok();
        let by_file = of_file.and_then(|value| same_as(&value, stored));
        let same = |row: usize| {
            let says = |same: &Option<BooleanArray>| same.as_ref().is_some_and(|s| s.value(row));
            says(&by_value) || says(&by_file)
        };
        let Some(row) = (0..stored.len()).find(|row| !same(*row)) else { return Ok(()) };
        let options = FormatOptions::default().with_null("NULL");
        let found =
            ArrayFormatter::try_new(stored, &options).map(|text| text.value(row).to_string());
        let file = display_path(&self.info.file.path);
        Err(Error::data(format!(
            "{name} is {} in {file}, whose directory says {value}",
            found.unwrap_or_default()
        ))
        .hint("move the file into the directory of its values, or take the column out of the file")
        .with_bad_file(file))
    }

    /// Casts all values to the type that the source gives their column, or fails.
    fn cast_lossless(&self, values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        let converted = match (values.data_type(), field.data_type()) {
            (decimal, DataType::Float64) if decimal.is_decimal() => nearest_doubles(values),
            (_, to) => cast(values, to),
        };
        let converted = converted.map_err(|error| self.decode_error(error))?;
        // Measures are floats by their nature. Other integers become floats only because files
        // differ, so the cast must be exact.
        let exact = values.data_type().is_integer()
            && field.data_type().is_floating()
            && !is_measure(field.name());
        let same = if exact {
            cast(&converted, values.data_type()).and_then(|back| not_distinct(values, &back))
        } else if converted.logical_null_count() == values.logical_null_count() {
            return Ok(converted);
        } else {
            is_null(values).and_then(|before| not_distinct(&before, &is_null(&converted)?))
        };
        let same = same.map_err(|error| self.decode_error(error))?;
        let Some(row) = (0..values.len()).find(|row| !same.value(*row)) else {
            return Ok(converted);
        };
        let value = ArrayFormatter::try_new(values, &FormatOptions::default())
            .map(|text| text.value(row).to_string())
            .unwrap_or_default();
        let (file, name) = (display_path(&self.info.file.path), field.name());
        Err(Error::data(format!(
            "{name} is {value} in {file}, which {} does not hold, the type that the files of the source have together",
            field.data_type()
        ))
        .hint("store the column in one type in all files, or name the files that agree with a glob")
        .with_bad_file(file))
    }

    /// Returns the error for a file that cannot be decoded.
    pub(crate) fn decode_error(&self, why: impl std::error::Error + 'static) -> Error {
        unreadable_file_error(&self.info.file.path, &why)
    }
}
