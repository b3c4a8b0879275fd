//! Arithmetic of integers and decimals, and shifts, that fail if the result does not fit its type. DataFusion wraps
//! around, or gives more digits than the type has.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, try_binary};
use datafusion::arrow::datatypes::{DataType, Decimal128Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

/// Replaces `+`, `-`, `*`, `<<`, `>>` and unary minus of integers, and `+`, `-`, `*` and `/` of decimals, with
/// [`CheckedArithmetic`].
pub(super) fn check_arithmetic(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(of) = checkable_arithmetic(&expr, schema) else { return Ok(Transformed::no(expr)) };
    let (text, ty) = (expr.human_display().to_string(), expr.get_type(schema)?);
    let args = match expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => vec![*left, *right],
        Expr::Negative(inner) => vec![*inner],
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(ScalarUDF::new_from_impl(CheckedArithmetic::new(of, text, ty)).call(args)))
}

/// Returns the operation of an expression, or None if it needs no check. The right side, which is the short one of a
/// chain, is examined first.
fn checkable_arithmetic(expr: &Expr, schema: &DFSchema) -> Option<Arithmetic> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let of = Arithmetic::from_operator(*op)?;
            let ty = right.get_type(schema).ok()?;
            if matches!(ty, DataType::Decimal128(..)) {
                let shifts = matches!(of, Arithmetic::ShiftLeft | Arithmetic::ShiftRight);
                return left
                    .get_type(schema)
                    .is_ok_and(|left| left.is_decimal() && !shifts)
                    .then_some(of);
            }
            let integers = ty.is_integer() && of != Arithmetic::Divide;
            (integers && left.get_type(schema).is_ok_and(|left| left == ty)).then_some(of)
        }
        Expr::Negative(inner) => {
            let signed = inner.get_type(schema).is_ok_and(|ty| ty.is_signed_integer());
            signed.then_some(Arithmetic::Negate)
        }
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    /// Checked for decimals only: with integers, only the least number by -1 overflows, and that is an error anyway.
    Divide,
    Negate,
    ShiftLeft,
    ShiftRight,
}

impl Arithmetic {
    fn from_operator(op: Operator) -> Option<Self> {
        match op {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Subtract),
            Operator::Multiply => Some(Self::Multiply),
            Operator::Divide => Some(Self::Divide),
            Operator::BitwiseShiftLeft => Some(Self::ShiftLeft),
            Operator::BitwiseShiftRight => Some(Self::ShiftRight),
            _ => None,
        }
    }

    fn operator_sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
        }
    }

    fn apply_checked(self, args: &[Box<dyn Datum>]) -> std::result::Result<ArrayRef, ArrowError> {
        let array = self.apply_kernel(args)?;
        if let DataType::Decimal128(precision, _) = array.data_type() {
            let digits =
                array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision);
            digits.map_err(|error| ArrowError::ArithmeticOverflow(error.to_string()))?;
        }
        Ok(array)
    }

    fn apply_kernel(self, args: &[Box<dyn Datum>]) -> std::result::Result<ArrayRef, ArrowError> {
        match (self, args) {
            (Self::Add, [a, b]) => numeric::add(a.as_ref(), b.as_ref()),
            (Self::Subtract, [a, b]) => numeric::sub(a.as_ref(), b.as_ref()),
            (Self::Multiply, [a, b]) => numeric::mul(a.as_ref(), b.as_ref()),
            (Self::Divide, [a, b]) => numeric::div(a.as_ref(), b.as_ref()),
            (Self::Negate, [a]) => numeric::neg(a.get().0),
            (Self::ShiftLeft, [a, b]) => {
                shift_integers(a.as_ref(), b.as_ref(), |value, by| value << by)
            }
            (Self::ShiftRight, [a, b]) => {
                shift_integers(a.as_ref(), b.as_ref(), |value, by| value >> by)
            }
            _ => Err(ArrowError::InvalidArgumentError("arithmetic of other arguments".into())),
        }
    }
}

/// Shifts integers by 0 to 63 bits; any other count, or a result that does not fit, is an arithmetic overflow.
fn shift_integers(
    values: &dyn Datum,
    by: &dyn Datum,
    of: impl Fn(i128, i128) -> i128,
) -> std::result::Result<ArrayRef, ArrowError> {
    let ((values, one), (by, other)) = (values.get(), by.get());
    let ty = values.data_type();
    let overflow = || ArrowError::ArithmeticOverflow("a shift does not fit".into());
    let rows = if one && !other { by.len() } else { values.len() };
    let wide = |array: &dyn Array| {
        let indices: datafusion::arrow::array::UInt64Array =
            (0..rows as u64).map(|row| if array.len() == 1 { 0 } else { row }).collect();
        cast(&datafusion::arrow::compute::take(array, &indices, None)?, &WIDE)
    };
    let (values, by) = (wide(values)?, wide(by)?);
    let (values, by) =
        (values.as_primitive::<Decimal128Type>(), by.as_primitive::<Decimal128Type>());
    let shifted = try_binary::<_, _, _, Decimal128Type>(values, by, |value, by| match by {
        0..64 => Ok(of(value, by)),
        _ => Err(overflow()),
    })?;
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&shifted.with_data_type(WIDE), ty, &options).map_err(|_| overflow())
}

/// A type that holds every integer, and every integer shifted by 63 bits.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// A function that computes one checked operation on integers or decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedArithmetic {
    arithmetic: Arithmetic,
    /// The expression as it was written, for error messages.
    text: String,
    name: String,
    ty: DataType,
    signature: Signature,
}

impl CheckedArithmetic {
    fn new(of: Arithmetic, text: String, ty: DataType) -> Self {
        let name = format!("checked_{of:?}").to_lowercase();
        let args = if of == Arithmetic::Negate { 1 } else { 2 };
        Self {
            arithmetic: of,
            text,
            name,
            ty,
            signature: Signature::any(args, Volatility::Immutable),
        }
    }

    /// Returns the error that shows the first row whose result does not fit.
    fn overflow_error(&self, args: &[ColumnarValue], rows: usize) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> =
            args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        for row in 0..rows {
            let one: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(row, 1)).collect();
            let datums: Vec<Box<dyn Datum>> =
                one.iter().map(|array| Box::new(Arc::clone(array)) as Box<dyn Datum>).collect();
            if self.arithmetic.apply_checked(&datums).is_err() {
                let values: Vec<String> = one
                    .iter()
                    .map(|array| array_value_to_string(array, 0))
                    .collect::<std::result::Result<_, _>>()?;
                let sign = self.arithmetic.operator_sign();
                let shown = match values.as_slice() {
                    [only] => format!("-({only})"),
                    values => values.join(&format!(" {sign} ")),
                };
                return exec_err!(
                    "{} does not fit {}: {shown}; cast an operand to a wider type, such as CAST(... AS DOUBLE)",
                    self.text,
                    number_type_name(&self.ty)
                );
            }
        }
        internal_err!("{} failed for no row", self.text)
    }
}

/// Returns SQL's name of a type of integers or decimals.
pub(super) fn number_type_name(ty: &DataType) -> String {
    let name = match ty {
        DataType::Decimal128(precision, scale) => return format!("DECIMAL({precision}, {scale})"),
        DataType::Int8 => "TINYINT (8 bits)",
        DataType::Int16 => "SMALLINT (16 bits)",
        DataType::Int32 => "INT (32 bits)",
        DataType::Int64 => "BIGINT (64 bits)",
        DataType::UInt8 => "TINYINT UNSIGNED (8 bits)",
        DataType::UInt16 => "SMALLINT UNSIGNED (16 bits)",
        DataType::UInt32 => "INT UNSIGNED (32 bits)",
        DataType::UInt64 => "BIGINT UNSIGNED (64 bits)",
        _ => "its type",
    };
    name.to_string()
}

impl ScalarUDFImpl for CheckedArithmetic {
    fn name(&self) -> &str {
        &self.name
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.schema_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let sign = self.arithmetic.operator_sign();
        Ok(match args {
            [only] => format!("(- {})", only.schema_name()),
            args => {
                let args: Vec<String> = args.iter().map(|a| a.schema_name().to_string()).collect();
                args.join(&format!(" {sign} "))
            }
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.ty.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let datums: Vec<Box<dyn Datum>> = args.args.iter().map(to_datum).collect::<Result<_>>()?;
        match self.arithmetic.apply_checked(&datums) {
            Ok(array) if args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            Ok(array) => Ok(ColumnarValue::Array(array)),
            Err(ArrowError::ArithmeticOverflow(_)) => {
                self.overflow_error(&args.args, args.number_rows)
            }
            Err(other) => Err(other.into()),
        }
    }
}

fn to_datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}
