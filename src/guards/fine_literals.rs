//! Times that are finer than what they are compared with: `ts < '2024-01-02 00:00:00.0005'` over
//! milliseconds, `day >= '2024-01-02 10:00:00'`. DataFusion cuts the time to the unit of the column.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast, lit, not, when};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};

use super::{nanoseconds_per_unit, timestamp_scalar};

/// Puts a comparison with the same answer in the place of one whose time would be cut.
pub(super) fn rewrite_fine_comparison(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let found = match (floor_fine_time(&left, &right, schema), op.swap()) {
                (Some((column, floor)), _) => compare_with_floor(&column, op, floor)?,
                (None, Some(swapped)) => match floor_fine_time(&right, &left, schema) {
                    Some((column, floor)) => compare_with_floor(&column, swapped, floor)?,
                    None => None,
                },
                _ => None,
            };
            let same = || Expr::BinaryExpr(BinaryExpr { left, op, right });
            Ok(found.map_or_else(|| Transformed::no(same()), Transformed::yes))
        }
        Expr::Between(Between { expr, negated, low, high })
            if floor_fine_time(&expr, &low, schema).is_some()
                || floor_fine_time(&expr, &high, schema).is_some() =>
        {
            let within = expr.clone().gt_eq(*low).and(expr.lt_eq(*high));
            Ok(Transformed::yes(if negated { not(within) } else { within }))
        }
        Expr::InList(InList { expr, mut list, negated })
            if list.iter().any(|item| floor_fine_time(&expr, item, schema).is_some()) =>
        {
            list.retain(|item| floor_fine_time(&expr, item, schema).is_none());
            if list.is_empty() {
                return constant_unless_null(&expr, negated).map(Transformed::yes);
            }
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The comparison of a column with a time between the last that its type holds, `floor_to_unit`, and the next.
fn compare_with_floor(column: &Expr, op: Operator, floor: ScalarValue) -> Result<Option<Expr>> {
    let column = || column.clone();
    Ok(Some(match op {
        Operator::Lt | Operator::LtEq => column().lt_eq(lit(floor)),
        Operator::Gt | Operator::GtEq => column().gt(lit(floor)),
        Operator::Eq => constant_unless_null(&column(), false)?,
        Operator::NotEq => constant_unless_null(&column(), true)?,
        Operator::IsDistinctFrom => lit(true),
        Operator::IsNotDistinctFrom => lit(false),
        _ => return Ok(None),
    }))
}

/// An answer that is the same for all values, and unknown for NULL.
fn constant_unless_null(column: &Expr, answer: bool) -> Result<Expr> {
    when(column.clone().is_not_null(), lit(answer)).end()
}

/// If a column is compared with a time that its type does not hold: the column, and the last value of its type
/// before that time.
fn floor_fine_time(column: &Expr, time: &Expr, schema: &DFSchema) -> Option<(Expr, ScalarValue)> {
    let nanoseconds = constant_nanoseconds(time, schema)?;
    let column = strip_column_cast(column, schema);
    let (floor, exact) = match column.get_type(schema).ok()? {
        DataType::Date32 => {
            let (day, exact) = floor_to_unit(nanoseconds, 86_400_000_000_000);
            (ScalarValue::Date32(Some(i32::try_from(day).ok()?)), exact)
        }
        DataType::Timestamp(unit, zone) => {
            let (value, exact) = floor_to_unit(nanoseconds, nanoseconds_per_unit(unit));
            (timestamp_scalar(value, unit, zone), exact)
        }
        _ => return None,
    };
    (!exact).then(|| (column.clone(), floor))
}

/// A column in the type that it is stored in: what adapts it to a finer type of the same clock is taken off.
fn strip_column_cast<'a>(column: &'a Expr, schema: &DFSchema) -> &'a Expr {
    let Expr::Cast(Cast { expr, field }) = column else { return column };
    let same_clock = match (expr.get_type(schema), field.data_type()) {
        (Ok(DataType::Timestamp(_, of)), DataType::Timestamp(_, to)) => {
            of.is_some() == to.is_some() || matches!(to.as_deref(), Some("UTC" | "+00:00"))
        }
        (Ok(DataType::Date32), DataType::Timestamp(_, to)) => to.is_none(),
        _ => false,
    };
    if same_clock { expr } else { column }
}

/// Nanoseconds of a time that no row decides; None if it is none, or beyond what they hold.
fn constant_nanoseconds(time: &Expr, schema: &DFSchema) -> Option<i64> {
    let constant = !time.any_column_refs() && !time.contains_outer() && !time.is_volatile();
    let zone = match constant.then(|| time.get_type(schema).ok())?? {
        DataType::Date32 => None,
        DataType::Timestamp(_, zone) => zone,
        _ => return None,
    };
    // What it was before it was cast to the unit of the column.
    let mut whole = time.clone();
    while let Expr::Cast(Cast { expr, field }) = whole {
        let clock = match field.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        whole = match expr.get_type(schema).ok()? {
            DataType::Date32 | DataType::Timestamp(..) => *expr,
            _ => {
                whole = cast(*expr, DataType::Timestamp(TimeUnit::Nanosecond, clock));
                break;
            }
        };
    }
    let whole = ExprSimplifier::new(SimplifyContext::default()).simplify(whole).ok()?;
    let Expr::Literal(value, _) = whole else { return None };
    match value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone)).ok()? {
        ScalarValue::TimestampNanosecond(value, _) => value,
        _ => None,
    }
}

/// Whole units, rounded down, and whether nothing is left of it.
fn floor_to_unit(nanoseconds: i64, unit: i64) -> (i64, bool) {
    (nanoseconds.div_euclid(unit), nanoseconds.rem_euclid(unit) == 0)
}
