//! One NaN and one zero wherever floats are compared. DataFusion 55.2 sorts, groups and compares by bits: `0.0 / 0.0`,
//! which has a sign on some processors, comes before all numbers and differs from `'NaN'`, and `-0.0` comes before
//! `0.0`. SQL has one NaN, greater than all numbers, and `-0.0 = 0.0`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Cast, Sort as SortKey, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The functions that give NaN for some numbers, or the NaN of their argument with any sign.
const FUNCTIONS: [&str; 34] = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos",
    "cosh", "cot", "degrees", "exp", "floor", "isnan", "iszero", "ln", "log", "log10", "log2",
    "pow", "power", "radians", "round", "signum", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    "nanvl",
];

/// The optimizer rule that gives every float result one NaN, and keys of orders and groups of rows one zero too.
#[derive(Debug)]
pub(super) struct FloatKeys;

impl OptimizerRule for FloatKeys {
    fn name(&self) -> &str {
        "one_nan_and_zero"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        // The filters of a scan were conditions above it, and have been rewritten there.
        if matches!(plan, LogicalPlan::TableScan(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let sorts = matches!(plan, LogicalPlan::Sort(_));
        let replaced = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let mut replaced = unify_nans(expr, &schema)?;
            if sorts {
                replaced.transformed |= unify_key(&mut replaced.data, &schema);
                return Ok(replaced);
            }
            Ok(replaced.update_data(|expr| name.restore(expr)))
        })?;
        replaced.map_data(|plan| plan.recompute_schema())
    }
}

/// Gives one NaN to every float that an expression computes and that something else than arithmetic reads.
pub(super) fn unify_nans(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|part| unify_nans_of_part(part, schema))
}

fn unify_nans_of_part(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match part {
        Expr::WindowFunction(mut window) => {
            let mut changed = unify_keys(&mut window.params.partition_by, schema);
            changed |= unify_sort_keys(&mut window.params.order_by, schema);
            if window.params.distinct {
                changed |= unify_keys(&mut window.params.args, schema);
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(window), changed))
        }
        Expr::AggregateFunction(mut aggregate) => {
            let mut changed = unify_sort_keys(&mut aggregate.params.order_by, schema);
            if aggregate.params.distinct {
                changed |= unify_keys(&mut aggregate.params.args, schema);
            }
            Ok(Transformed::new_transformed(Expr::AggregateFunction(aggregate), changed))
        }
        Expr::ScalarFunction(call) if is_one_nan(&call.func) => {
            // Another pass of the optimizer has seen the argument.
            let mut args = call.args;
            match args.pop() {
                Some(inner @ Expr::ScalarFunction(_)) if is_unified(&inner) => {
                    Ok(Transformed::no(inner))
                }
                Some(inner) => Ok(Transformed::no(one_nan(inner))),
                None => internal_err!("one NaN of nothing"),
            }
        }
        part if computes_floats(&part, schema) => {
            Ok(Transformed::yes(one_nan(part.map_children(strip_one_nan)?.data)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Returns whether an expression is arithmetic, or a function, that can make a NaN or change the sign of one.
fn computes_floats(expr: &Expr, schema: &DFSchema) -> bool {
    let floating =
        |expr: &Expr| is_unified(expr) || expr.get_type(schema).is_ok_and(|ty| ty.is_floating());
    match expr {
        // Both sides have one type. The right side is the short one of a chain.
        Expr::BinaryExpr(BinaryExpr { right, op, .. }) => {
            use Operator::{Divide, Minus, Modulo, Multiply, Plus};
            matches!(op, Plus | Minus | Multiply | Divide | Modulo) && floating(right)
        }
        Expr::Negative(inner) => floating(inner),
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let exact = |ty: DataType| ty.is_integer() || ty.is_decimal() || ty.is_null();
            field.data_type().is_floating() && !expr.get_type(schema).is_ok_and(exact)
        }
        Expr::ScalarFunction(call) => FUNCTIONS.contains(&call.func.name()) && floating(expr),
        _ => false,
    }
}

fn unify_keys(keys: &mut [Expr], schema: &DFSchema) -> bool {
    keys.iter_mut().fold(false, |changed, key| unify_key(key, schema) | changed)
}

fn unify_sort_keys(keys: &mut [SortKey], schema: &DFSchema) -> bool {
    keys.iter_mut().fold(false, |changed, key| unify_key(&mut key.expr, schema) | changed)
}

/// Makes a float that orders, groups or distinguishes rows one without `-0.0` and with one NaN, and returns
/// whether it did.
fn unify_key(key: &mut Expr, schema: &DFSchema) -> bool {
    let zero = match key.get_type(schema) {
        Ok(DataType::Float64) => lit(0.0_f64),
        Ok(DataType::Float32) => lit(0.0_f32),
        _ => return false,
    };
    if let Expr::ScalarFunction(call) = &*key
        && is_one_nan(&call.func)
        && let [Expr::BinaryExpr(BinaryExpr { op: Operator::Plus, right, .. })] = &call.args[..]
        && **right == zero
    {
        return false;
    }
    // -0.0 + 0.0 is 0.0, and all else stays as it is.
    let plain = strip_one_nan(std::mem::take(key)).map_or_else(|_| Expr::default(), |key| key.data);
    *key = one_nan(plain + zero);
    true
}

fn one_nan(expr: Expr) -> Expr {
    ScalarUDF::new_from_impl(OneNan::default()).call(vec![expr])
}

fn is_one_nan(function: &ScalarUDF) -> bool {
    function.inner().is::<OneNan>()
}

fn is_unified(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if is_one_nan(&call.func))
}

fn strip_one_nan(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut call) if is_one_nan(&call.func) => match call.args.pop() {
            Some(inner) => Ok(Transformed::yes(inner)),
            None => internal_err!("one NaN of nothing"),
        },
        other => Ok(Transformed::no(other)),
    }
}

/// Returns floats with every NaN replaced by the one that is positive; shape and type stay.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OneNan {
    signature: Signature,
}

impl Default for OneNan {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OneNan {
    fn name(&self) -> &str {
        "one_nan"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [ty] => Ok(ty.clone()),
            _ => internal_err!("one NaN of several values"),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.pop() {
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(unify_array(array))),
            Some(ColumnarValue::Scalar(value)) => Ok(ColumnarValue::Scalar(match value {
                ScalarValue::Float64(Some(value)) if value.is_nan() => f64::NAN.into(),
                ScalarValue::Float32(Some(value)) if value.is_nan() => f32::NAN.into(),
                other => other,
            })),
            None => internal_err!("one NaN of nothing"),
        }
    }
}

fn unify_array(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => unify_values::<Float64Type>(array, f64::is_nan, f64::NAN),
        DataType::Float32 => unify_values::<Float32Type>(array, f32::is_nan, f32::NAN),
        _ => array,
    }
}

fn unify_values<T: ArrowPrimitiveType>(
    array: ArrayRef,
    is_nan: impl Fn(T::Native) -> bool,
    nan: T::Native,
) -> ArrayRef {
    let values: &PrimitiveArray<T> = array.as_primitive();
    // Without a branch, so that the compiler makes one instruction of several values.
    if !values.values().iter().fold(false, |found, value| found | is_nan(*value)) {
        return array;
    }
    Arc::new(values.unary::<_, T>(|value| if is_nan(value) { nan } else { value }))
}
