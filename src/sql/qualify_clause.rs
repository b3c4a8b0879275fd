//! QUALIFY with a condition on plain columns, next to a window in the SELECT list: DataFusion 55.2 treats it
//! as a QUALIFY without windows (apache/datafusion#16933).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Select, SelectItem, Visitor};

use super::{normalize_ident, walk};

/// Adds a window that decides nothing to such a condition: `AND (w IS NULL OR w IS NOT NULL)`.
pub(super) fn add_qualify_window(select: &mut Select) {
    let Some(condition) = &select.qualify else { return };
    if first_window(condition, &[]).is_some() {
        return;
    }
    let named = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, alias } => {
            first_window(expr, &[]).map(|_| normalize_ident(alias))
        }
        _ => None,
    };
    let aliases: Vec<String> = select.projection.iter().filter_map(named).collect();
    if first_window(condition, &aliases).is_some() {
        return;
    }
    let window = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
            first_window(expr, &[])
        }
        _ => None,
    });
    let (Some(window), Some(condition)) = (window, select.qualify.take()) else { return };
    let anything = binary_expr(
        Expr::IsNull(Box::new(window.clone())),
        BinaryOperator::Or,
        Expr::IsNotNull(Box::new(window)),
    );
    let nested = |expr| Expr::Nested(Box::new(expr));
    select.qualify = Some(binary_expr(nested(condition), BinaryOperator::And, nested(anything)));
}

/// Returns whether the outputs or QUALIFY call a window function outside their subqueries.
pub(super) fn has_own_window(select: &Select) -> bool {
    let outputs = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => Some(expr),
        _ => None,
    });
    outputs.chain(&select.qualify).any(|expr| first_window(expr, &[]).is_some())
}

fn binary_expr(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Returns the first window function of an expression outside its subqueries, or the first column whose name
/// is one of `names`.
fn first_window(expr: &Expr, names: &[String]) -> Option<Expr> {
    struct OuterWindowFinder<'a> {
        names: &'a [String],
        queries: usize,
    }
    impl Visitor for OuterWindowFinder<'_> {
        type Break = Expr;
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Expr> {
            self.queries += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Expr> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Expr> {
            let found = match expr {
                Expr::Function(function) => function.over.is_some(),
                Expr::Identifier(ident) => self.names.contains(&normalize_ident(ident)),
                _ => false,
            };
            match found && self.queries == 0 {
                true => ControlFlow::Break(expr.clone()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    match walk::read(expr, &mut OuterWindowFinder { names, queries: 0 }) {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}
