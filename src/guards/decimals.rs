//! Casts of decimals to the nearest doubles. Arrow casts the digits to a double and divides it, which rounds twice.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// Returns the doubles nearest to decimals.
///
/// # Errors
/// If the values are no decimals.
pub fn nearest_doubles(decimals: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    /// Limits below which powers of ten and digits are exact doubles.
    const SCALES: usize = 23;
    const DIGITS: u128 = 1 << 53;
    let by_text = || -> Result<ArrayRef, ArrowError> {
        let text = cast(decimals, &DataType::Utf8)?;
        let double = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
        Ok(Arc::new(text.as_string::<i32>().iter().map(double).collect::<Float64Array>()))
    };
    let DataType::Decimal128(_, scale) = decimals.data_type() else { return by_text() };
    let values = decimals.as_primitive::<Decimal128Type>();
    let exact = values.iter().flatten().all(|digits| digits.unsigned_abs() <= DIGITS);
    match usize::try_from(*scale) {
        // Both operands are exact, so that only the division rounds.
        Ok(places @ 0..SCALES) if exact => {
            let power = (0..places).fold(1.0, |power, _| power * 10.0);
            Ok(Arc::new(values.unary::<_, datafusion::arrow::datatypes::Float64Type>(|digits| {
                digits as f64 / power
            })))
        }
        _ => by_text(),
    }
}

/// Replaces casts of decimals to doubles with [`NearestDouble`].
pub(super) fn replace_decimal_casts(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::Cast(Cast { expr, field }) = expr else { return Ok(Transformed::no(expr)) };
    let of_decimal = expr.get_type(schema).is_ok_and(|ty| ty.is_decimal());
    if !of_decimal || *field.data_type() != DataType::Float64 {
        return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
    }
    let nearest = ScalarUDF::new_from_impl(NearestDouble::default());
    Ok(Transformed::yes(nearest.call(vec![*expr])))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NearestDouble {
    signature: Signature,
}

impl Default for NearestDouble {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NearestDouble {
    fn name(&self) -> &str {
        "nearest_double"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(nearest_doubles(array)?)),
            Some(ColumnarValue::Scalar(value)) => {
                let double = nearest_doubles(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&double, 0)?))
            }
            None => internal_err!("a cast of nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Decimal128Array;

    use super::*;

    #[test]
    fn doubles_are_the_nearest() {
        let digits = [12_345, 9_007_199_254_740_993, 99_999_999_999_999_999, -1, 0];
        for scale in [0, 2, 4, 18, 30] {
            let decimals: Decimal128Array = digits.into_iter().map(Some).collect();
            let decimals = decimals.with_precision_and_scale(38, scale).unwrap();
            let texts: Vec<String> = (0..5).map(|row| decimals.value_as_string(row)).collect();
            for (row, text) in texts.iter().enumerate() {
                // A row alone may take the division where all rows together go through text.
                let one: ArrayRef = Arc::new(decimals.slice(row, 1));
                let double = nearest_doubles(&one).unwrap();
                let double = double.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
                assert_eq!(double.value(0), text.parse::<f64>().unwrap(), "{text}");
            }
        }
    }
}
