//! Operands whose types DataFusion would coerce with a loss, adapted before it does. A decimal next to a double
//! becomes a double and not the other way round, a date gets hours once some are added, and `'2024-01-31 15:30'` gets
//! seconds.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Case, Cast, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Union, cast, when,
};
use datafusion::optimizer::AnalyzerRule;

use super::{is_comparison, nanoseconds_per_unit};

/// The analyzer rule that adapts operands to each other before DataFusion coerces their types.
#[derive(Debug)]
pub(super) struct ExactOperands;

impl AnalyzerRule for ExactOperands {
    fn name(&self) -> &str {
        "exact_operands"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(adapt_plan_node)?.data)
    }
}

fn adapt_plan_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Join(mut join) => {
            let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
            for (ours, theirs) in &mut join.on {
                if mixes_decimal_and_float(&[ours.get_type(&left)?, theirs.get_type(&right)?]) {
                    *ours = cast_if_decimal(ours.clone(), &left)?;
                    *theirs = cast_if_decimal(theirs.clone(), &right)?;
                }
            }
            LogicalPlan::Join(join)
        }
        LogicalPlan::Union(mut union) => {
            let columns = 0..union.schema.fields().len();
            let of = |input: &Arc<LogicalPlan>, at: usize| {
                input.schema().fields().get(at).map_or(DataType::Null, |f| f.data_type().clone())
            };
            let mixed: Vec<bool> = columns
                .map(|at| {
                    mixes_decimal_and_float(
                        &union.inputs.iter().map(|input| of(input, at)).collect::<Vec<_>>(),
                    )
                })
                .collect();
            if mixed.contains(&true) {
                for input in &mut union.inputs {
                    *input = Arc::new(cast_decimal_columns(input, &mixed)?);
                }
                let union = Union::try_new_with_loose_types(union.inputs)?;
                return Ok(Transformed::yes(LogicalPlan::Union(union)));
            }
            return Ok(Transformed::no(LogicalPlan::Union(union)));
        }
        other => other,
    };
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let adapted = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(adapt_operands(expr, &schema)?.update_data(|expr| name.restore(expr)))
    })?;
    adapted.map_data(|plan| plan.recompute_schema())
}

/// Adapts the operands within an expression to each other.
pub(super) fn adapt_operands(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|part| adapt_expr_part(part, schema))
}

fn adapt_expr_part(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match part {
        Expr::BinaryExpr(binary) => adapt_binary(binary, schema),
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut all = [*expr, *low, *high];
            let changed =
                cast_mixed_decimals(&mut all, schema)? | write_missing_seconds(&mut all, schema);
            let [expr, low, high] = all.map(Box::new);
            Ok(transformed_if(Expr::Between(Between { expr, negated, low, high }), changed))
        }
        Expr::InList(list) => adapt_in_list(list, schema),
        Expr::Case(case) => adapt_case(case, schema),
        Expr::ScalarFunction(call)
            if matches!(
                call.func.name(),
                "coalesce" | "nullif" | "greatest" | "least" | "nvl" | "nvl2"
            ) =>
        {
            adapt_choice(call, schema)
        }
        Expr::Cast(Cast { mut expr, field }) => {
            let timed = matches!(field.data_type(), DataType::Timestamp(..));
            let changed = timed && write_seconds(&mut expr);
            Ok(transformed_if(Expr::Cast(Cast { expr, field }), changed))
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if func.name().starts_with("to_timestamp") && args.len() == 1 =>
        {
            let changed = args.iter_mut().any(write_seconds);
            Ok(transformed_if(Expr::ScalarFunction(ScalarFunction { func, args }), changed))
        }
        Expr::WindowFunction(mut window) => {
            // Differences of times sort as their counts do, and RANGE frames work on integers.
            let mut changed = false;
            for sort in &mut window.params.order_by {
                if matches!(sort.expr.get_type(schema), Ok(DataType::Duration(_))) {
                    sort.expr = cast(std::mem::take(&mut sort.expr), DataType::Int64);
                    changed = true;
                }
            }
            Ok(transformed_if(Expr::WindowFunction(window), changed))
        }
        Expr::InSubquery(mut found) => {
            let changed = adapt_membership(&mut found, schema)?;
            Ok(transformed_if(Expr::InSubquery(found), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn transformed_if(expr: Expr, changed: bool) -> Transformed<Expr> {
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

fn adapt_binary(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let BinaryExpr { left, op, right } = binary;
    let mut pair = [*left, *right];
    let numbers = op.is_numerical_operators() || is_comparison(op);
    let changed = (numbers && cast_mixed_decimals(&mut pair, schema)?)
        | (is_comparison(op) && write_missing_seconds(&mut pair, schema))
        | (matches!(op, Operator::Plus | Operator::Minus)
            && refine_time_units(&mut pair, op, schema)?);
    let [left, right] = pair.map(Box::new);
    Ok(transformed_if(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed))
}

fn adapt_in_list(list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let InList { expr, list, negated } = list;
    let mut all: Vec<Expr> = std::iter::once(*expr).chain(list).collect();
    let mut changed =
        cast_mixed_decimals(&mut all, schema)? | write_missing_seconds(&mut all, schema);
    // DataFusion looks values up in a list by bits, in which 0 and -0 differ: a list with 0 gets -0, too.
    let zero = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if is_zero(value));
    let minus = ScalarValue::Float64(Some(-0.0));
    let signed = all.contains(&Expr::Literal(minus.clone(), None));
    if all[0].get_type(schema).is_ok_and(|ty| ty.is_floating())
        && all[1..].iter().any(zero)
        && !signed
    {
        all.push(Expr::Literal(minus, None));
        changed = true;
    }
    let expr = Box::new(all.remove(0));
    Ok(transformed_if(Expr::InList(InList { expr, list: all, negated }), changed))
}

/// Adapts the arguments of a function that returns one of them.
fn adapt_choice(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let ScalarFunction { func, mut args } = call;
    let changed = cast_mixed_decimals(&mut args, schema)?;
    // DataFusion's nullif compares bits, in which 0 and -0 differ.
    if func.name() == "nullif"
        && let [value, other] = args.as_slice()
        && !value.is_volatile()
        && args.iter().any(|arg| arg.get_type(schema).is_ok_and(|ty| ty.is_floating()))
    {
        let equal = value.clone().eq(other.clone());
        let null = Expr::Literal(ScalarValue::Null, None);
        return Ok(Transformed::yes(when(equal, null).otherwise(value.clone())?));
    }
    Ok(transformed_if(Expr::ScalarFunction(ScalarFunction { func, args }), changed))
}

fn adapt_case(case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (whens, thens): (Vec<_>, Vec<_>) = when_then_expr.into_iter().unzip();
    let unboxed = |all: Vec<Box<Expr>>| all.into_iter().map(|expr| *expr).collect::<Vec<_>>();
    let (of, otherwise) = (expr.is_some(), else_expr.is_some());
    let mut conditions: Vec<Expr> = expr.map(|expr| *expr).into_iter().collect();
    conditions.extend(unboxed(whens));
    let mut results = unboxed(thens);
    results.extend(else_expr.map(|expr| *expr));
    let changed = (of
        && (cast_mixed_decimals(&mut conditions, schema)?
            | write_missing_seconds(&mut conditions, schema)))
        | cast_mixed_decimals(&mut results, schema)?;
    let mut expr = of.then(|| Box::new(conditions.remove(0)));
    let mut changed = changed;
    // DataFusion looks the values of a CASE up by bits, in which 0 and -0 differ: each value becomes an `=`.
    if let Some(of) =
        expr.take_if(|of| of.get_type(schema).is_ok_and(|ty| ty.is_floating()) && !of.is_volatile())
    {
        for when in &mut conditions {
            *when = of.as_ref().clone().eq(std::mem::take(when));
        }
        changed = true;
    }
    let else_expr = if otherwise { results.pop().map(Box::new) } else { None };
    let when_then_expr = conditions
        .into_iter()
        .zip(results)
        .map(|(when, then)| (Box::new(when), Box::new(then)))
        .collect();
    Ok(transformed_if(Expr::Case(Case { expr, when_then_expr, else_expr }), changed))
}

fn adapt_membership(found: &mut InSubquery, schema: &DFSchema) -> Result<bool> {
    let rows = Arc::clone(&found.subquery.subquery);
    let Some(theirs) = rows.schema().fields().first().map(|field| field.data_type().clone()) else {
        return Ok(false);
    };
    if !mixes_decimal_and_float(&[found.expr.get_type(schema)?, theirs]) {
        return Ok(false);
    }
    *found.expr = cast_if_decimal(found.expr.as_ref().clone(), schema)?;
    found.subquery.subquery = Arc::new(cast_decimal_columns(&rows, &[true])?);
    Ok(true)
}

fn is_zero(value: &ScalarValue) -> bool {
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(value))) => value == 0.0,
        _ => false,
    }
}

/// Returns whether there are both decimals and floats among types.
fn mixes_decimal_and_float(types: &[DataType]) -> bool {
    types.iter().any(DataType::is_decimal) && types.iter().any(DataType::is_floating)
}

fn cast_if_decimal(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let decimal = expr.get_type(schema)?.is_decimal();
    Ok(if decimal { cast(expr, DataType::Float64) } else { expr })
}

/// Casts decimals to doubles if there are floats among the expressions, and returns whether it did.
fn cast_mixed_decimals(all: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    // The planner gives types to expressions without one of their own, such as placeholders.
    let types: Vec<DataType> =
        all.iter().map(|expr| expr.get_type(schema).unwrap_or(DataType::Null)).collect();
    let mixed = mixes_decimal_and_float(&types);
    for (expr, _) in all.iter_mut().zip(types).filter(|(_, ty)| mixed && ty.is_decimal()) {
        *expr = cast(std::mem::take(expr), DataType::Float64);
    }
    Ok(mixed)
}

/// Casts the decimals in some columns of a plan to doubles.
fn cast_decimal_columns(plan: &Arc<LogicalPlan>, columns: &[bool]) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let mut all = Vec::new();
    for (at, (table, field)) in schema.iter().enumerate() {
        let column = Expr::Column(Column::from((table, field)));
        let wanted = columns.get(at).copied().unwrap_or(false) && field.data_type().is_decimal();
        all.push(match wanted {
            true => cast(column, DataType::Float64).alias_qualified(table.cloned(), field.name()),
            false => column,
        });
    }
    LogicalPlanBuilder::from(Arc::clone(plan)).project(all)?.build()
}

/// Appends seconds to quoted times of only hours and minutes, if one of the expressions is a date or timestamp.
fn write_missing_seconds(all: &mut [Expr], schema: &DFSchema) -> bool {
    let timed = all.iter().any(|expr| {
        matches!(expr.get_type(schema), Ok(DataType::Timestamp(..) | DataType::Date32))
    });
    let mut changed = false;
    for expr in all.iter_mut().filter(|_| timed) {
        changed |= write_seconds(expr);
    }
    changed
}

/// Appends seconds to one such text.
fn write_seconds(expr: &mut Expr) -> bool {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr
        && let Some(whole) = append_seconds(text)
    {
        *text = whole;
        return true;
    }
    false
}

/// Returns `2024-01-31 15:30:00` for `2024-01-31 15:30`, and None for texts of any other form.
pub fn append_seconds(text: &str) -> Option<String> {
    let text = text.trim();
    let shape = |(at, c): (usize, char)| match at {
        4 | 7 => c == '-',
        10 => c == ' ' || c == 'T',
        13 => c == ':',
        _ => c.is_ascii_digit(),
    };
    (text.len() == 16 && text.chars().enumerate().all(shape)).then(|| format!("{text}:00"))
}

/// Casts times to a type that holds what is added to them, and subtracts timestamps of two zones in one zone.
fn refine_time_units(pair: &mut [Expr; 2], op: Operator, schema: &DFSchema) -> Result<bool> {
    let types = [pair[0].get_type(schema), pair[1].get_type(schema)];
    if let (
        Operator::Minus,
        [Ok(DataType::Timestamp(_, Some(a))), Ok(DataType::Timestamp(unit, Some(b)))],
    ) = (op, &types)
        && a != b
    {
        let ty = DataType::Timestamp(*unit, Some(Arc::clone(a)));
        pair[1] = cast(std::mem::take(&mut pair[1]), ty);
        return Ok(true);
    }
    for (time, interval) in [(0, 1), (1, 0)] {
        let Some(nanoseconds) = sub_day_nanoseconds(&pair[interval]) else { continue };
        let ty = match &types[time] {
            Ok(DataType::Date32) if nanoseconds != 0 => {
                let unit = needed_unit(TimeUnit::Microsecond, nanoseconds);
                Some(DataType::Timestamp(unit, None))
            }
            Ok(DataType::Timestamp(unit, zone)) => {
                let needed = needed_unit(*unit, nanoseconds);
                (needed != *unit).then(|| DataType::Timestamp(needed, zone.clone()))
            }
            _ => None,
        };
        if let Some(ty) = ty {
            pair[time] = cast(std::mem::take(&mut pair[time]), ty);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the part below a day of an interval that is a literal, in nanoseconds.
fn sub_day_nanoseconds(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            Some(interval.nanoseconds)
        }
        _ => None,
    }
}

/// Returns the coarsest unit that holds `nanoseconds` exactly and is at least as fine as `unit`.
fn needed_unit(unit: TimeUnit, nanoseconds: i64) -> TimeUnit {
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond];
    let mut finer = units.into_iter().skip_while(|of| *of != unit);
    finer
        .find(|unit| nanoseconds % nanoseconds_per_unit(*unit) == 0)
        .unwrap_or(TimeUnit::Nanosecond)
}
