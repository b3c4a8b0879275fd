//! Comparisons with times that are finer than the unit of the column: `ts < '2024-01-02 00:00:00.0005'` over
//! milliseconds, `day >= '2024-01-02 10:00:00'`. DataFusion cuts the time to the unit of the column.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast, lit, not, when};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};

use super::{nanoseconds_per_unit, timestamp_scalar};

/// Replaces a comparison whose time DataFusion would cut with one that has the same answer and needs no cut.
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

/// Compares a column with a time that its type does not hold; `floor` is the last value of the type before that time.
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

/// Returns a condition with the same answer for all values, and NULL for NULL.
fn constant_unless_null(column: &Expr, answer: bool) -> Result<Expr> {
    when(column.clone().is_not_null(), lit(answer)).end()
}

/// Returns the column and the last value of its type before `time`. None if that type holds `time`, or if this is not
/// a comparison of a date or timestamp with a constant time.
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

/// Returns a column in the type in which it is stored: removes a cast to a finer type of the same clock.
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

/// Returns the nanoseconds of a time that depends on no row. None if it depends on one, is no time, or is beyond the
/// range of nanoseconds.
fn constant_nanoseconds(time: &Expr, schema: &DFSchema) -> Option<i64> {
    let constant = !time.any_column_refs() && !time.contains_outer() && !time.is_volatile();
    let zone = match constant.then(|| time.get_type(schema).ok())?? {
        DataType::Date32 => None,
        DataType::Timestamp(_, zone) => zone,
        _ => return None,
    };
    // The time as it was before its cast to the unit of the column.
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

/// Returns the whole units, rounded down, and whether they are exact.
fn floor_to_unit(nanoseconds: i64, unit: i64) -> (i64, bool) {
    (nanoseconds.div_euclid(unit), nanoseconds.rem_euclid(unit) == 0)
}
