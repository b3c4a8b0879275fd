//! `a IS DISTINCT FROM b AND c`, which the parser reads as `a IS DISTINCT FROM (b AND c)`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, UnaryOperator, Value, VisitorMut,
};

use super::walk;

/// Regroups IS DISTINCT FROM, and the operators in front of it, so that each has its own operands only.
pub(super) fn bind_distinct_from(query: &mut Query) {
    struct DistinctFromBinder;
    impl VisitorMut for DistinctFromBinder {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let part = std::mem::replace(expr, Expr::Value(Value::Null.with_empty_span()));
            *expr = rebind_expr(part);
            ControlFlow::Continue(())
        }
    }
    let _ = walk::rewrite(query, &mut DistinctFromBinder);
}

/// Returns the expression regrouped so that its last operand is no chain of AND and OR without brackets. AND
/// and OR bind less tightly than every operator whose operand they can be.
fn rebind_expr(expr: Expr) -> Expr {
    match expr {
        Expr::IsDistinctFrom(left, right) => {
            hoist_chain(*right, true, Box::new(|right| Expr::IsDistinctFrom(left, Box::new(right))))
        }
        Expr::IsNotDistinctFrom(left, right) => hoist_chain(
            *right,
            true,
            Box::new(|right| Expr::IsNotDistinctFrom(left, Box::new(right))),
        ),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            let not = |expr| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) };
            hoist_chain(*expr, true, Box::new(not))
        }
        Expr::BinaryOp { left, op, right } if op != BinaryOperator::Or => {
            let tight = op != BinaryOperator::And;
            let make = |right| Expr::BinaryOp { left, op, right: Box::new(right) };
            hoist_chain(*right, tight, Box::new(make))
        }
        other => other,
    }
}

/// Applies `make` to the first part of a chain of AND and OR, and returns the chain around the result.
fn hoist_chain(last: Expr, over_and: bool, make: Box<dyn FnOnce(Expr) -> Expr>) -> Expr {
    use BinaryOperator::{And, Or};
    match last {
        Expr::BinaryOp { left, op, right } if op == Or || (op == And && over_and) => {
            Expr::BinaryOp { left: Box::new(hoist_chain(*left, over_and, make)), op, right }
        }
        last => make(last),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn and_and_or_bind_least() {
        for (written, meant) in [
            ("a IS DISTINCT FROM b AND c", "a IS DISTINCT FROM b AND c"),
            ("a IS NOT DISTINCT FROM b OR c AND d", "a IS NOT DISTINCT FROM b OR c AND d"),
            ("a IS DISTINCT FROM (b AND c)", "a IS DISTINCT FROM (b AND c)"),
        ] {
            let mut sql = parse(&format!("SELECT 1 FROM t WHERE {written}")).unwrap();
            sql.rewrite_statement().unwrap();
            let shown = format!("{:?}", sql.query().unwrap().body);
            let outer = |name: &str| shown.find(name).unwrap_or(usize::MAX);
            let distinct = outer("IsDistinctFrom").min(outer("IsNotDistinctFrom"));
            assert_eq!(outer("BinaryOp") < distinct, !written.contains('('), "{written}");
            assert!(sql.normalized_text().ends_with(meant), "{}", sql.normalized_text());
        }
    }
}
