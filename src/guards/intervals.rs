//! Comparisons of intervals by their length. DataFusion compares months, then days, then the rest. There,
//! `ts - lag(ts) > INTERVAL '1 day'` is never true, since a difference has no days.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::{is_comparison, nanoseconds_per_unit};

/// Replaces intervals that are compared with their lengths.
pub(super) fn compare_interval_lengths(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_interval = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Interval(_)));
    let length = |side: Expr| {
        // A difference that was cast to an interval for the comparison is measured without the cast.
        let side = match side {
            Expr::Cast(Cast { expr, field })
                if matches!(expr.get_type(schema), Ok(DataType::Duration(_)))
                    && matches!(field.data_type(), DataType::Interval(_)) =>
            {
                *expr
            }
            other => other,
        };
        ScalarUDF::new_from_impl(IntervalLength::default()).call(vec![side])
    };
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_comparison(op) && is_interval(&right) && is_interval(&left) =>
        {
            let (left, right) = (Box::new(length(*left)), Box::new(length(*right)));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_interval(&expr) => {
            let expr = Box::new(length(*expr));
            let (low, high) = (Box::new(length(*low)), Box::new(length(*high)));
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) if is_interval(&expr) => {
            let list = list.into_iter().map(length).collect();
            let expr = Box::new(length(*expr));
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        other => Transformed::no(other),
    })
}

/// A function that returns the nanoseconds of an interval: a month is 30 days and a day 24 hours, as in PostgreSQL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalLength {
    signature: Signature,
}

impl Default for IntervalLength {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

const LENGTH_TYPE: DataType = DataType::Decimal128(38, 0);

const DAY: i128 = 86_400_000_000_000;

impl ScalarUDFImpl for IntervalLength {
    fn name(&self) -> &str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(LENGTH_TYPE)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match args.args.first() {
            Some(ColumnarValue::Array(array)) => ColumnarValue::Array(interval_nanoseconds(array)?),
            Some(ColumnarValue::Scalar(value)) => {
                let length = interval_nanoseconds(&value.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&length, 0)?)
            }
            None => ColumnarValue::Scalar(ScalarValue::try_new_null(&LENGTH_TYPE)?),
        })
    }
}

fn interval_nanoseconds(array: &ArrayRef) -> Result<ArrayRef> {
    let lengths: Decimal128Array = match array.data_type() {
        DataType::Duration(unit) => {
            let unit = i128::from(nanoseconds_per_unit(*unit));
            let counts = cast(array, &DataType::Int64)?;
            let counts = counts.as_primitive::<Int64Type>();
            counts.iter().map(|count| count.map(|count| i128::from(count) * unit)).collect()
        }
        _ => {
            let whole = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let parts = whole.as_primitive::<IntervalMonthDayNanoType>();
            let length = |days: i128, rest: i64| days * DAY + i128::from(rest);
            let days = |months: i32, days: i32| i128::from(months) * 30 + i128::from(days);
            parts
                .iter()
                .map(|part| part.map(|p| length(days(p.months, p.days), p.nanoseconds)))
                .collect()
        }
    };
    Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
}
