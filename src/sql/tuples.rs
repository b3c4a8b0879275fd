//! Rewrites comparisons of rows, `(a, b) = (c, d)`, as comparisons of their values. DataFusion would compare
//! structs: these are equal where both have a NULL, and their comparison is never unknown.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Spanned, VisitorMut};

use super::{span_place, walk};
use crate::error::{Error, Result};

/// Replaces comparisons of rows by comparisons of their values.
///
/// # Errors
/// The rows differ in length, or the operator does not compare rows.
pub(super) fn expand_tuples(query: &mut Query) -> Result<()> {
    struct TupleExpander;
    impl VisitorMut for TupleExpander {
        type Break = Error;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            match expand_comparison(expr) {
                Ok(Some(by_values)) => *expr = Expr::Nested(Box::new(by_values)),
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(error.at_place(span_place(expr.span()))),
            }
            ControlFlow::Continue(())
        }
    }
    match walk::rewrite(query, &mut TupleExpander) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn expand_comparison(expr: &Expr) -> Result<Option<Expr>> {
    match expr {
        Expr::BinaryOp { left, op, right } => match (tuple_values(left), tuple_values(right)) {
            (Some(left), Some(right)) => compare_tuples(left, op, right).map(Some),
            _ => Ok(None),
        },
        Expr::InList { expr, list, negated } => {
            let Some(row) = tuple_values(expr) else { return Ok(None) };
            let equal = |item: &Expr| match tuple_values(item) {
                Some(item) => compare_tuples(row, &BinaryOperator::Eq, item),
                None => Err(Error::query("IN compares a row in brackets with what is none")),
            };
            let all: Vec<Expr> = list.iter().map(equal).collect::<Result<_>>()?;
            let any = combine_conditions(all, &BinaryOperator::Or)?;
            Ok(Some(if *negated { negate_expr(any) } else { any }))
        }
        Expr::Between { expr, negated, low, high } => {
            let (Some(row), Some(low), Some(high)) =
                (tuple_values(expr), tuple_values(low), tuple_values(high))
            else {
                return Ok(None);
            };
            let above = compare_tuples(row, &BinaryOperator::GtEq, low)?;
            let below = compare_tuples(row, &BinaryOperator::LtEq, high)?;
            let within = bracketed_binary(above, &BinaryOperator::And, below);
            Ok(Some(if *negated { negate_expr(within) } else { within }))
        }
        _ => Ok(None),
    }
}

/// Returns the values of a row; None for anything else, and for a row of fewer than two values.
fn tuple_values(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(values) if values.len() > 1 => Some(values),
        Expr::Nested(inner) => tuple_values(inner),
        _ => None,
    }
}

fn compare_tuples(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Expr> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    if left.len() != right.len() {
        let (left, right) = (left.len(), right.len());
        return Err(Error::query(format!(
            "a row of {left} values is compared with one of {right}"
        ))
        .hint("write as many on both sides"));
    }
    let each = |op: &BinaryOperator| -> Vec<Expr> {
        left.iter().zip(right).map(|(l, r)| bracketed_binary(l.clone(), op, r.clone())).collect()
    };
    match op {
        Eq => combine_conditions(each(&Eq), &And),
        NotEq => combine_conditions(each(&NotEq), &Or),
        // (a, b) < (c, d) is a < c OR a = c AND b < d: the last values decide if all others are equal.
        Lt | LtEq | Gt | GtEq => {
            let strict = if matches!(op, Lt | LtEq) { Lt } else { Gt };
            let mut all = Vec::new();
            for first in 0..left.len() {
                let last = first + 1 == left.len();
                let mut parts = each(&Eq);
                parts.truncate(first);
                let here = if last { op } else { &strict };
                parts.push(bracketed_binary(left[first].clone(), here, right[first].clone()));
                all.push(combine_conditions(parts, &And)?);
            }
            combine_conditions(all, &Or)
        }
        other => Err(Error::query(format!("{other} does not compare rows in brackets"))
            .hint("compare their values one by one")),
    }
}

fn bracketed_binary(left: Expr, op: &BinaryOperator, right: Expr) -> Expr {
    let (left, right) = (Box::new(bracket_expr(left)), Box::new(bracket_expr(right)));
    Expr::BinaryOp { left, op: op.clone(), right }
}

fn negate_expr(expr: Expr) -> Expr {
    let expr = Box::new(bracket_expr(expr));
    Expr::UnaryOp { op: datafusion::sql::sqlparser::ast::UnaryOperator::Not, expr }
}

fn bracket_expr(expr: Expr) -> Expr {
    match expr {
        plain @ (Expr::Nested(_)
        | Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)) => plain,
        other => Expr::Nested(Box::new(other)),
    }
}

fn combine_conditions(all: Vec<Expr>, op: &BinaryOperator) -> Result<Expr> {
    let joined = all.into_iter().reduce(|left, right| bracketed_binary(left, op, right));
    joined.ok_or_else(|| Error::query("a row in brackets has no values"))
}
