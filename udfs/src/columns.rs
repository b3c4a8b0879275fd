//! The Arrow columns that go into an indicator and come out of it.

use crate::indicator::Spec;
use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, internal_datafusion_err, internal_err};
use pulp::{Simd, WithSimd};
use std::ops::Range;
use std::sync::Arc;

/// The growing results of one indicator: one column of numbers per output, NaN for NULL.
#[derive(Debug)]
pub struct OutputColumns {
    fields: Option<Fields>,
    /// For each column, true if it is of whole numbers.
    integers: Vec<bool>,
    values: Vec<Vec<f64>>,
}

impl OutputColumns {
    /// Creates empty columns for the outputs of a function, with room for `capacity` rows.
    pub fn new(spec: &Spec, capacity: usize) -> Self {
        let fields = match output_type(spec) {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        };
        let integers = spec.outputs.iter().map(|output| spec.integers.contains(output)).collect();
        let values = vec![Vec::with_capacity(capacity); spec.outputs.len()];
        OutputColumns { fields, integers, values }
    }

    /// Returns the number of rows so far.
    pub fn len(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// Returns whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the array of all rows: Float64 or Int32, or a struct that is NULL where all its fields are.
    pub fn finish(self) -> ArrayRef {
        let array = |(values, integer)| {
            if integer { integer_array(values) } else { nullable_array(values) }
        };
        let arrays: Vec<ArrayRef> = self.values.into_iter().zip(self.integers).map(array).collect();
        let Some(fields) = self.fields else {
            return arrays.into_iter().next().unwrap_or_else(|| nullable_array(Vec::new()));
        };
        // The struct is NULL where all fields are; None if one field has no NULL.
        let known = |array: &ArrayRef| array.nulls().map(|nulls| nulls.inner().clone());
        let known: Option<Vec<BooleanBuffer>> = arrays.iter().map(known).collect();
        let any = known.and_then(|known| known.into_iter().reduce(|a, b| &a | &b));
        let nulls = any.map(NullBuffer::new).filter(|nulls| nulls.null_count() > 0);
        Arc::new(StructArray::new(fields, arrays, nulls))
    }

    /// Adds rows of NULL and returns them for writing; None if there are not `O` outputs.
    pub(crate) fn grow_rows<const O: usize>(&mut self, rows: usize) -> Option<[&mut [f64]; O]> {
        let values: &mut [Vec<f64>; O] = self.values.as_mut_slice().try_into().ok()?;
        Some(values.each_mut().map(|column| {
            let start = column.len();
            column.resize(start + rows, f64::NAN);
            &mut column[start..]
        }))
    }
}

/// Returns numbers as an array with NULL for values that are not finite.
pub(crate) fn nullable_array(values: Vec<f64>) -> ArrayRef {
    let mut words = Vec::with_capacity(values.len().div_ceil(64));
    let missing = pulp::Arch::new().dispatch(ValidityScan { values: &values, words: &mut words });
    let finite = || BooleanBuffer::new(words.into(), 0, values.len());
    let nulls = (missing > 0).then(|| NullBuffer::new(finite()));
    Arc::new(Float64Array::new(values.into(), nulls))
}

/// Returns whole numbers as an array with NULL for values that are not finite.
fn integer_array(values: Vec<f64>) -> ArrayRef {
    let whole = |value: f64| value.is_finite().then_some(value as i32);
    Arc::new(values.into_iter().map(whole).collect::<Int32Array>())
}

/// A scan that counts the values that are not finite, and sets the validity bits of those that are.
pub(crate) struct ValidityScan<'a> {
    values: &'a [f64],
    words: &'a mut Vec<u64>,
}

impl WithSimd for ValidityScan<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let mut missing = 0;
        for values in self.values.chunks(64) {
            // Most words are full, and checking that is faster than assembling the bits.
            let mut word = u64::MAX >> (64 - values.len());
            let count = values.iter().filter(|value| !value.is_finite()).count();
            if count > 0 {
                missing += count;
                for (bit, value) in values.iter().enumerate() {
                    word &= !(u64::from(!value.is_finite()) << bit);
                }
            }
            self.words.push(word);
        }
        missing
    }
}

/// Returns the type of a function's result.
pub(crate) fn output_type(spec: &Spec) -> DataType {
    let number = |name: &str| match spec.integers.contains(&name) {
        true => DataType::Int32,
        false => DataType::Float64,
    };
    match spec.outputs {
        [one] => number(one),
        many => DataType::Struct(
            many.iter().map(|name| Field::new(*name, number(name), true)).collect(),
        ),
    }
}

/// Returns the input columns after checking their number and types.
pub(crate) fn input_columns<'a, const I: usize>(
    spec: &Spec,
    inputs: &'a [ArrayRef],
) -> Result<[&'a Float64Array; I]> {
    let name = spec.name;
    let mut columns = Vec::with_capacity(I);
    for input in inputs {
        match input.as_any().downcast_ref::<Float64Array>() {
            Some(column) => columns.push(column),
            None => return internal_err!("{name}: an input is {}, not Float64", input.data_type()),
        }
    }
    columns.try_into().map_err(|_| internal_datafusion_err!("{name}: {} inputs", inputs.len()))
}

pub(crate) fn has_null(column: &Float64Array, rows: &Range<usize>) -> bool {
    column.nulls().is_some_and(|nulls| nulls.slice(rows.start, rows.len()).null_count() > 0)
}

/// Returns the rows, counted from the start of the range, in which every input is a finite number.
pub(crate) fn valid_rows(columns: &[&Float64Array], rows: Range<usize>) -> Vec<usize> {
    let start = rows.start;
    let valid = |row: &usize| {
        columns.iter().all(|c| c.is_valid(row + start) && c.value(row + start).is_finite())
    };
    (0..rows.len()).filter(valid).collect()
}

pub(crate) fn scatter_values(rows: &[usize], values: &[f64], target: &mut [f64]) {
    for (row, value) in rows.iter().zip(values) {
        target[*row] = *value;
    }
}

/// Returns whether all values are finite. It counts without leaving early, which compiles to vector
/// instructions.
pub(crate) fn all_finite(values: &[f64]) -> bool {
    values.iter().map(|value| usize::from(!value.is_finite())).sum::<usize>() == 0
}
