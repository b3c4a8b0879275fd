//! `date_part`, `date_bin`, `to_timestamp` and its variants. DataFusion parses text into timestamps without the zone
//! that it declares for them, and the plan fails. It clamps floating-point seconds to the range of nanoseconds, and
//! turns NaN into 1970. `date_bin` is NULL for times that nanoseconds do not hold.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, make_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type, TimeUnit};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

use super::nanoseconds_per_unit;

/// Returns `date_part` without DataFusion's rewrite of conditions on it to ranges, which nanoseconds may not hold.
pub(super) fn date_part() -> ScalarUDF {
    DatePart { inner: datetime::date_part() }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [part, ColumnarValue::Array(span)] = args.args.as_slice()
            && let ColumnarValue::Scalar(part) = part
            && part.try_as_str().flatten().is_some_and(|part| part.eq_ignore_ascii_case("epoch"))
            && let DataType::Duration(unit) = span.data_type()
        {
            return duration_seconds(span, *unit).map(ColumnarValue::Array);
        }
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Returns the seconds of differences of times, with the fraction that DataFusion cuts off.
fn duration_seconds(spans: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef> {
    let each = (nanoseconds_per_unit(TimeUnit::Second) / nanoseconds_per_unit(unit)) as f64;
    let counts = cast(spans, &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    Ok(Arc::new(counts.unary::<_, Float64Type>(|count| count as f64 / each)))
}

/// Returns `date_bin` that fails where DataFusion's has NULL for a time.
pub(super) fn date_bin() -> ScalarUDF {
    DateBin { inner: datetime::date_bin() }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateBin {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (given, rows) = (args.args.clone(), args.number_rows);
        let result = self.inner.invoke_with_args(args)?;
        let unknown = match &result {
            ColumnarValue::Scalar(value) => value.is_null(),
            ColumnarValue::Array(values) => values.null_count() > 0,
        };
        if unknown {
            let (given, result) =
                (ColumnarValue::values_to_arrays(&given)?, result.to_array(rows)?);
            check_binned(&given, &result)?;
        }
        Ok(result)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Refuses a NULL of `date_bin` in a row whose arguments are all known.
fn check_binned(given: &[ArrayRef], result: &ArrayRef) -> Result<()> {
    // One value stands for all rows.
    let row_of = |values: &ArrayRef, row: usize| if values.len() == 1 { 0 } else { row };
    let lost = (0..result.len()).find(|row| {
        result.is_null(*row) && given.iter().all(|values| values.is_valid(row_of(values, *row)))
    });
    match (lost, given.get(1)) {
        (Some(row), Some(times)) => exec_err!(
            "date_bin: {} is not in the years 1677 to 2262, which nanoseconds hold",
            array_value_to_string(times, row_of(times, row))?
        ),
        _ => Ok(()),
    }
}

/// Returns `to_timestamp` and its variants for a session with these settings.
pub(super) fn timestamp_functions(settings: &ConfigOptions) -> Vec<ScalarUDF> {
    let functions = [
        datetime::to_timestamp(settings),
        datetime::to_timestamp_seconds(settings),
        datetime::to_timestamp_millis(settings),
        datetime::to_timestamp_micros(settings),
        datetime::to_timestamp_nanos(settings),
    ];
    functions.into_iter().map(|inner| TimestampFunction { inner }.into()).collect()
}

/// A function of DataFusion whose results have the type that it declares.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimestampFunction {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for TimestampFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }

    fn with_updated_config(&self, settings: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(settings)?);
        Some(Self { inner }.into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ty = args.return_field.data_type().clone();
        if self.name() == "to_timestamp" {
            args.args.first().map_or(Ok(()), check_seconds)?;
        }
        Ok(match self.inner.inner().invoke_with_args(args)? {
            ColumnarValue::Array(array) if *array.data_type() != ty => {
                // Only the type changes: a cast would read the values as clock times in the zone.
                let data = array.to_data().into_builder().data_type(ty);
                ColumnarValue::Array(make_array(data.build()?))
            }
            result => result,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Refuses floating-point seconds beyond the range of nanoseconds, which DataFusion would clamp to its last instant.
fn check_seconds(seconds: &ColumnarValue) -> Result<()> {
    if !seconds.data_type().is_floating() {
        return Ok(());
    }
    let seconds = cast(&seconds.to_array(1)?, &DataType::Float64)?;
    let seconds = seconds.as_primitive::<Float64Type>();
    let reach = i64::MAX as f64 / 1e9;
    let beyond = |value: &f64| value.is_nan() || value.abs() >= reach;
    match seconds.iter().flatten().find(beyond) {
        Some(value) => exec_err!(
            "to_timestamp: {} is no number of seconds from 1677 to 2262",
            ScalarValue::from(value)
        ),
        None => Ok(()),
    }
}
