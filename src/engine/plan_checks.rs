//! Checks of a plan, before type coercion, for statements that DataFusion would compute as something else than they
//! say. Each is an error.

use std::borrow::Cow;
use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast, WindowFrameBound,
    WindowFrameUnits,
};

use super::mixed_type_checks::{self, Operand, check_comparable, check_zones};
use super::plan_messages::{at_first_column, display_expr, display_value};
use super::subquery_checks::{check_pulled_conditions, check_subquery};
use crate::error::{Error, Result, group_digits};
use crate::guards::{is_comparison, nanoseconds_per_unit};
use crate::limits::PLAN_NODES;
use crate::sql::diagnose_error;

/// Refuses a plan that grows too large. A query that is read under several names stands in the plan several times,
/// and a chain of queries that each read the one before twice doubles it with each step.
fn check_plan_size(plan: &LogicalPlan) -> Result<()> {
    let mut known = HashMap::new();
    let nodes = count_plan_nodes(plan, &mut known);
    if nodes <= PLAN_NODES {
        return Ok(());
    }
    let most = group_digits(PLAN_NODES);
    Err(Error::query(format!("the plan of the statement goes past the limit of {most} steps"))
        .hint("write what is read again and again to a target, and read that"))
}

/// Counts the steps of a plan. Parts are shared, so each is walked once, however often it counts.
fn count_plan_nodes(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, u64>) -> u64 {
    if let Some(nodes) = known.get(&std::ptr::from_ref(plan)) {
        return *nodes;
    }
    let mut sum = plan
        .inputs()
        .into_iter()
        .fold(1, |sum: u64, input| sum.saturating_add(count_plan_nodes(input, known)));
    if let LogicalPlan::TableScan(scan) = plan
        && let Some(Cow::Borrowed(view)) = scan.source.get_logical_plan()
    {
        sum = sum.saturating_add(count_plan_nodes(view, known));
    }
    known.insert(std::ptr::from_ref(plan), sum);
    sum
}

/// Refuses a plan that fails one of the checks.
///
/// # Errors
/// The first fault, with its position if known.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    check_plan_size(plan)?;
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        let schemas = node.inputs().into_iter().map(|input| input.schema().as_ref().clone());
        let schema = schemas.reduce(|mut all, one| {
            all.merge(&one);
            all
        });
        let schema = schema.unwrap_or_else(DFSchema::empty);
        found = found.take().or(mixed_type_checks::check_mixed_node(node)?);
        if let LogicalPlan::Sort(sort) = node {
            let order =
                || sort.expr.iter().find_map(|sort| check_interval_order(&sort.expr, &schema));
            found = found.take().or_else(order);
        }
        if let LogicalPlan::Subquery(subquery) = node {
            found = found.take().or(check_pulled_conditions(subquery)?);
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                found = found.take().or(check_expr(part, &schema)?);
                Ok(match found {
                    Some(_) => TreeNodeRecursion::Stop,
                    None => TreeNodeRecursion::Continue,
                })
            })
        })
    });
    walked.map_err(|error| diagnose_error(&error, "", &[]))?;
    found.map_or(Ok(()), Err)
}

/// Refuses a condition on one row that fails one of the checks.
///
/// # Errors
/// The first fault.
pub(super) fn check_condition(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let mut found = None;
    let walked = expr.apply(|part| {
        found = found.take().or(check_expr(part, schema)?);
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|error| diagnose_error(&error, "", &[]))?;
    found.map_or(Ok(()), Err)
}

fn check_expr(expr: &Expr, schema: &DFSchema) -> PlanResult<Option<Error>> {
    let found = match expr {
        Expr::WindowFunction(window) => check_window_frame(window, schema)
            .or_else(|| check_lag_default(window, schema))
            .or_else(|| {
                window.params.order_by.iter().find_map(|s| check_interval_order(&s.expr, schema))
            })
            .or_else(|| check_interval_extreme(window.fun.name(), &window.params.args, schema)),
        Expr::AggregateFunction(call) => {
            check_interval_extreme(call.func.name(), &call.params.args, schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            check_comparison(left, right, schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            match (Operand::from_expr(left, schema), Operand::from_expr(right, schema)) {
                (Some(left), Some(right)) => check_zones(&left, &right),
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_bitwise(*op) => {
            [left, right].into_iter().find_map(|side| check_bitwise_operand(side, *op, schema))
        }
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field })
            if is_date_or_timestamp(field.data_type()) || is_time_of_day(field.data_type()) =>
        {
            check_number_as_time(expr, schema)
        }
        Expr::Between(between) => check_comparison(&between.expr, &between.low, schema)
            .or_else(|| check_comparison(&between.expr, &between.high, schema)),
        Expr::InList(list) => {
            list.list.iter().find_map(|item| check_comparison(&list.expr, item, schema))
        }
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => check_subquery(expr)?,
        _ => None,
    };
    Ok(found.or_else(|| mixed_type_checks::check_mixed_expr(expr, schema)))
}

fn is_bitwise(op: Operator) -> bool {
    use Operator::{BitwiseAnd, BitwiseOr, BitwiseShiftLeft, BitwiseShiftRight, BitwiseXor};
    matches!(op, BitwiseAnd | BitwiseOr | BitwiseXor | BitwiseShiftLeft | BitwiseShiftRight)
}

/// Refuses bits of a number with a fraction, which would be cut off.
fn check_bitwise_operand(side: &Expr, op: Operator, schema: &DFSchema) -> Option<Error> {
    let ty = side.get_type(schema).ok()?;
    let fraction = ty.is_floating() || ty.is_decimal();
    let error = || {
        let error =
            Error::query(format!("{op} is of whole numbers, and {} is none", display_expr(side)));
        at_first_column(error.hint("CAST(x AS BIGINT) makes one"), side)
    };
    fraction.then(error)
}

/// Refuses a cast of a number to a time, because its unit is ambiguous: seconds, nanoseconds or days.
fn check_number_as_time(expr: &Expr, schema: &DFSchema) -> Option<Error> {
    let number = expr.get_type(schema).ok()?.is_numeric();
    let error = || {
        let error =
            Error::query(format!("{} is a number, and a time of no unit", display_expr(expr)));
        at_first_column(
            error.hint("write to_timestamp_seconds(x), to_timestamp_millis(x), to_timestamp_micros(x) or to_timestamp_nanos(x)"),
            expr,
        )
    };
    number.then(error)
}

/// Refuses a default of lag or lead that changes its value in the type of the column.
fn check_lag_default(window: &WindowFunction, schema: &DFSchema) -> Option<Error> {
    let (name, args) = (window.fun.name(), &window.params.args);
    let ([value, _, Expr::Literal(default, _)], "lag" | "lead") = (args.as_slice(), name) else {
        return None;
    };
    let ty = value.get_type(schema).ok()?;
    let same = default.cast_to(&ty).and_then(|cast| cast.cast_to(&default.data_type()));
    let fits = default.is_null() || same.is_ok_and(|same| same == *default);
    let error = || {
        let (value, default) = (display_expr(value), display_value(default));
        Error::query(format!("the default {default} of {name} does not fit the type of {value}"))
            .hint(format!("write {name}(CAST({value} AS DOUBLE), ...), or another default"))
    };
    (!fits).then(|| at_first_column(error(), value))
}

/// Refuses to order by intervals: a month has no fixed number of days.
fn check_interval_order(expr: &Expr, schema: &DFSchema) -> Option<Error> {
    let interval = matches!(expr.get_type(schema), Ok(DataType::Interval(_)));
    let error = || {
        Error::query(format!("{} is an INTERVAL, and those have no order", display_expr(expr)))
            .hint("order by the difference of two times, or by a number of days or seconds")
    };
    interval.then(|| at_first_column(error(), expr))
}

/// Refuses min and max of intervals.
fn check_interval_extreme(name: &str, args: &[Expr], schema: &DFSchema) -> Option<Error> {
    let [arg] = args else { return None };
    if matches!(name, "min" | "max") { check_interval_order(arg, schema) } else { None }
}

/// Refuses two operands of an operator that have no common meaning.
fn check_operands(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Error> {
    check_comparable(&[Operand::from_expr(left, schema)?, Operand::from_expr(right, schema)?])
}

/// Refuses to compare a date or a timestamp with a number, or another pair of values without a common meaning.
fn check_comparison(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Error> {
    let ty = |expr: &Expr| expr.get_type(schema).ok();
    let (left_type, right_type) = (ty(left)?, ty(right)?);
    let (time, number) = match (is_date_or_timestamp(&left_type), is_date_or_timestamp(&right_type))
    {
        (true, false) if right_type.is_numeric() => (left, right),
        (false, true) if left_type.is_numeric() => (right, left),
        _ => return check_operands(left, right, schema),
    };
    let way_out = match number {
        number if parse_unquoted_day(number).is_some() => {
            format!("write '{}'", parse_unquoted_day(number).unwrap_or_default())
        }
        _ => {
            "write a date in quotes, such as '2024-01-31'; to_timestamp(n) makes a time of seconds"
                .into()
        }
    };
    let error = Error::query(format!(
        "{} is a time, and {} a number",
        display_expr(time),
        display_expr(number)
    ))
    .hint(way_out);
    Some(at_first_column(error, time))
}

/// Parses a date that was written without quotes: 20240131, or 2024-01-31, which is a difference of numbers.
fn parse_unquoted_day(number: &Expr) -> Option<String> {
    let digits = match number {
        Expr::Literal(value, _) => value.to_string(),
        other => other.to_string().replace("Int64(", "").replace([')', ' '], ""),
    };
    let formats: [(&str, usize); 2] = [("%Y%m%d", 8), ("%Y-%m-%d", 8)];
    let of = |(format, least): &(&str, usize)| {
        let day = chrono::NaiveDate::parse_from_str(&digits, format).ok()?;
        (digits.len() >= *least).then(|| day.to_string())
    };
    formats.iter().find_map(of)
}

fn is_time_of_day(ty: &DataType) -> bool {
    matches!(ty, DataType::Time32(_) | DataType::Time64(_))
}

fn is_date_or_timestamp(ty: &DataType) -> bool {
    matches!(ty, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// Refuses a window frame with a negative distance, or with a distance that does not fit the values in the order.
fn check_window_frame(window: &WindowFunction, schema: &DFSchema) -> Option<Error> {
    let frame = &window.params.window_frame;
    let name = window.fun.name();
    let wrong = |why: &str, way_out: &str| {
        let error = Error::query(format!("the frame of {name} {why}")).hint(way_out);
        let order = window.params.order_by.first();
        Some(match order {
            Some(sort) => at_first_column(error, &sort.expr),
            None => error,
        })
    };
    for bound in [&frame.start_bound, &frame.end_bound] {
        let (WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)) = bound
        else {
            continue;
        };
        if value.is_null() {
            continue; // UNBOUNDED
        }
        if is_negative(value) {
            return wrong(
                &format!("has a negative distance, {value}"),
                "write PRECEDING for FOLLOWING, or the other way round",
            );
        }
        let over = window.params.order_by.first().and_then(|sort| sort.expr.get_type(schema).ok());
        let near = |ty: &DataType| ty.is_numeric() || is_date_or_timestamp(ty);
        if frame.units == WindowFrameUnits::Range && over.as_ref().is_some_and(|ty| !near(ty)) {
            return wrong(
                "has a distance over values that have none",
                "order by a number or a time, or write ROWS",
            );
        }
        if let Some(DataType::Timestamp(unit, _)) = &over
            && is_finer_than(value, *unit)
        {
            return wrong(
                "is finer than the times that it is over",
                "cast the times: ORDER BY CAST(ts AS TIMESTAMP(9))",
            );
        }
        if let (Some(DataType::Timestamp(_, Some(zone))), true) = (&over, has_calendar_units(value))
            && may_shift_clocks(zone)
        {
            return wrong(
                &format!("counts days over times of {zone}, where a day has 23 to 25 hours"),
                "write INTERVAL '24 hours', or order by to_local_time(ts)",
            );
        }
        // Before type coercion, distances are text.
        let plain = match value {
            ScalarValue::Utf8(Some(text)) => text.trim().parse::<f64>().is_ok(),
            other => other.data_type().is_numeric(),
        };
        if frame.units == WindowFrameUnits::Range
            && plain
            && over.is_some_and(|ty| is_date_or_timestamp(&ty))
        {
            return wrong(
                &format!("is {value} of no unit over times"),
                "write RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW, or ROWS",
            );
        }
    }
    None
}

/// Returns whether an interval has days or months, whose length depends on the zone.
fn has_calendar_units(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            interval.months != 0 || interval.days != 0
        }
        ScalarValue::IntervalDayTime(Some(interval)) => interval.days != 0,
        ScalarValue::IntervalYearMonth(Some(_)) => true,
        _ => false,
    }
}

/// Returns whether an interval has a part that is finer than a time unit.
fn is_finer_than(value: &ScalarValue, unit: TimeUnit) -> bool {
    let length = nanoseconds_per_unit(unit);
    matches!(value, ScalarValue::IntervalMonthDayNano(Some(i)) if i.nanoseconds % length != 0)
}

/// Returns whether the clocks of a zone may change.
fn may_shift_clocks(zone: &str) -> bool {
    !(zone.starts_with(['+', '-']) || matches!(zone, "UTC" | "Z" | "GMT" | "Etc/UTC" | "Zulu"))
}

fn is_negative(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            interval.months < 0 || interval.days < 0 || interval.nanoseconds < 0
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            interval.days < 0 || interval.milliseconds < 0
        }
        ScalarValue::IntervalYearMonth(Some(months)) => *months < 0,
        // Before type coercion, numbers are text here.
        ScalarValue::Utf8(Some(text)) => text.trim_start().starts_with('-'),
        number if number.data_type().is_numeric() => {
            let zero = ScalarValue::new_zero(&number.data_type()).ok();
            zero.and_then(|zero| number.partial_cmp(&zero)).is_some_and(std::cmp::Ordering::is_lt)
        }
        _ => false,
    }
}
