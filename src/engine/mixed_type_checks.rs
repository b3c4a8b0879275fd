//! Checks for values of mixed kinds that have no common meaning, wherever a statement combines them: text and
//! numbers (007 and 7 are two symbols), times with and without a zone, and intervals (a month has no fixed number
//! of days).

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::plan_messages::{at_first_column, display_expr};
use crate::error::Error;

/// A value that a statement combines with another.
pub(super) struct Operand {
    text: String,
    ty: DataType,
    /// True if the value depends on rows; a literal takes the kind of the other side.
    of_rows: bool,
    place: Expr,
}

impl Operand {
    /// Returns the operand of an expression over a schema; None if it has no type yet.
    pub(super) fn from_expr(expr: &Expr, schema: &DFSchema) -> Option<Self> {
        let of_rows = expr
            .exists(|part| Ok(matches!(part, Expr::Column(_) | Expr::OuterReferenceColumn(..))))
            .unwrap_or(false);
        let ty = expr.get_type(schema).ok()?;
        Some(Self { text: display_expr(expr), ty, of_rows, place: expr.clone() })
    }

    /// Returns the operand of the column of a plan at an index.
    fn from_plan_column(plan: &LogicalPlan, at: usize) -> Option<Self> {
        let (table, field) = plan.schema().iter().nth(at)?;
        let column = Expr::Column(datafusion::common::Column::from((table, field)));
        let (text, ty) = (field.name().clone(), field.data_type().clone());
        Some(Self { text, ty, of_rows: true, place: column })
    }
}

/// Refuses values that are compared with each other, or that are alternatives of one result.
pub(super) fn check_comparable(parts: &[Operand]) -> Option<Error> {
    let pairs =
        parts.iter().enumerate().flat_map(|(at, a)| parts[at + 1..].iter().map(move |b| (a, b)));
    pairs.into_iter().find_map(|(a, b)| check_zones(a, b).or_else(|| check_text_number(a, b)))
}

/// Refuses a column of instants next to a column of wall clock times, because the zone of the latter is unknown.
pub(super) fn check_zones(left: &Operand, right: &Operand) -> Option<Error> {
    let zone = |part: &Operand| match &part.ty {
        DataType::Timestamp(_, zone) if part.of_rows => Some(zone.is_some()),
        _ => None,
    };
    let (zoned, plain) = match (zone(left)?, zone(right)?) {
        (true, false) => (left, right),
        (false, true) => (right, left),
        _ => return None,
    };
    let (zoned_name, plain_name) = (&zoned.text, &plain.text);
    let error = Error::query(format!("{zoned_name} has a time zone, and {plain_name} none"));
    let error = error.hint(format!(
        "write to_local_time({zoned_name}), or {plain_name} AT TIME ZONE 'America/New_York' for example"
    ));
    Some(at_first_column(error, &zoned.place))
}

/// Refuses a column of text next to a number: as numbers, 007 and 7 would be one symbol.
fn check_text_number(left: &Operand, right: &Operand) -> Option<Error> {
    let (text, number) = match () {
        () if left.ty.is_string() && right.ty.is_numeric() => (left, right),
        () if left.ty.is_numeric() && right.ty.is_string() => (right, left),
        () => return None,
    };
    let way_out = match &number.place {
        Expr::Literal(value, _) => format!("write '{value}' in quotes"),
        _ => format!("write CAST({} AS DOUBLE)", text.text),
    };
    let error = || Error::query(format!("{} is text, and {} a number", text.text, number.text));
    text.of_rows.then(|| at_first_column(error().hint(way_out), &text.place))
}

/// Refuses to test intervals for equality by value: 1 day and 24 hours may or may not be equal.
fn check_interval_equality(parts: &[Operand]) -> Option<Error> {
    let interval = parts.iter().find(|part| matches!(part.ty, DataType::Interval(_)))?;
    let error = Error::query("an INTERVAL is compared by operators only").hint(
        "compare the difference of two times with it: ts - lag(ts) OVER ... = INTERVAL '1 day'",
    );
    Some(at_first_column(error, &interval.place))
}

/// Refuses mixed values that an expression combines in other ways than by an operator.
pub(super) fn check_mixed_expr(expr: &Expr, schema: &DFSchema) -> Option<Error> {
    let parts = |all: &mut dyn Iterator<Item = &Expr>| -> Vec<Operand> {
        all.filter_map(|expr| Operand::from_expr(expr, schema)).collect()
    };
    match expr {
        Expr::InSubquery(found) => {
            let both = [
                Operand::from_expr(&found.expr, schema)?,
                Operand::from_plan_column(&found.subquery.subquery, 0)?,
            ];
            check_comparable(&both).or_else(|| check_interval_equality(&both))
        }
        Expr::Case(case) => {
            let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
            let compared = parts(&mut case.expr.iter().map(AsRef::as_ref).chain(whens));
            let compared = if case.expr.is_some() { compared } else { Vec::new() };
            let thens = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            let given = parts(&mut thens.chain(case.else_expr.iter().map(AsRef::as_ref)));
            check_comparable(&compared)
                .or_else(|| check_interval_equality(&compared))
                .or_else(|| check_comparable(&given))
        }
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            let takes =
                matches!(name, "coalesce" | "nullif" | "greatest" | "least" | "nvl" | "nvl2");
            let given = if takes { parts(&mut call.args.iter()) } else { Vec::new() };
            let by_length = matches!(name, "nullif" | "greatest" | "least");
            let equal = if by_length { check_interval_equality(&given) } else { None };
            equal.or_else(|| check_comparable(&given))
        }
        _ => None,
    }
}

/// Refuses mixed values that a plan node combines: join keys, the queries of a UNION, and rows that DISTINCT or
/// GROUP BY compare.
pub(super) fn check_mixed_node(node: &LogicalPlan) -> PlanResult<Option<Error>> {
    Ok(match node {
        LogicalPlan::Join(join) => join.on.iter().find_map(|(left, right)| {
            let left = Operand::from_expr(left, join.left.schema())?;
            let both = [left, Operand::from_expr(right, join.right.schema())?];
            check_comparable(&both).or_else(|| check_interval_equality(&both))
        }),
        LogicalPlan::Union(union) => (0..union.schema.fields().len()).find_map(|at| {
            let inputs = union.inputs.iter();
            check_comparable(
                &inputs
                    .filter_map(|input| Operand::from_plan_column(input, at))
                    .collect::<Vec<_>>(),
            )
        }),
        LogicalPlan::Distinct(distinct) => {
            let input = distinct.input();
            let columns = 0..input.schema().fields().len();
            check_interval_equality(
                &columns.filter_map(|at| Operand::from_plan_column(input, at)).collect::<Vec<_>>(),
            )
        }
        LogicalPlan::Aggregate(of) => {
            let keys = of.group_expr.iter();
            let keys: Vec<Operand> =
                keys.filter_map(|key| Operand::from_expr(key, of.input.schema())).collect();
            check_interval_equality(&keys)
        }
        _ => None,
    })
}
