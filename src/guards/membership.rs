//! `x IN (SELECT ...)` that is neither a condition of its own nor part of an OR: DataFusion 55.2 takes what it does
//! not know (x is NULL, or the rows have a NULL) for false, so that NOT, `=` and IS make a true of it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, lit, not, scalar_subquery,
    when,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Puts a CASE of three values in the place of such a condition.
#[derive(Debug)]
pub(super) struct Membership;

/// What becomes of a condition within a WHERE.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Rows are kept where it is true: DataFusion makes a join of it, which knows NULLs.
    Conjunct,
    /// Rows are kept if it is true, whatever it is otherwise.
    Either,
    /// Something else is made of it.
    Value,
}

impl OptimizerRule for Membership {
    fn name(&self) -> &str {
        "membership_of_three_values"
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
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else {
            return Ok(Transformed::no(plan));
        };
        exact(predicate, Place::Conjunct)?
            .map_data(|predicate| Filter::try_new(predicate, input).map(LogicalPlan::Filter))
    }
}

fn exact(expr: Expr, place: Place) -> Result<Transformed<Expr>> {
    let below = match &expr {
        Expr::InSubquery(found) => {
            let known = match place {
                // Without a column of the query around it, for the join takes conditions for keys.
                Place::Conjunct => !found.negated || found.subquery.outer_ref_columns.is_empty(),
                Place::Either => !found.negated,
                Place::Value => false,
            };
            return match expr {
                Expr::InSubquery(found) if !known => three_valued(found).map(Transformed::yes),
                known => Ok(Transformed::no(known)),
            };
        }
        Expr::Not(inner)
            if place == Place::Conjunct
                && matches!(&**inner, Expr::InSubquery(found) if found.subquery.outer_ref_columns.is_empty()) =>
        {
            return Ok(Transformed::no(expr));
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => place,
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) if place != Place::Value => {
            Place::Either
        }
        _ => Place::Value,
    };
    expr.map_children(|part| exact(part, below))
}

fn three_valued(found: InSubquery) -> Result<Expr> {
    if !found.subquery.outer_ref_columns.is_empty() {
        return plan_err!(
            "IN (SELECT ...) under NOT, = or IS cannot read columns of the query around it; write [NOT] EXISTS (SELECT ...)"
        );
    }
    let rows = &found.subquery.subquery;
    let [value] = rows
        .schema()
        .columns()
        .try_into()
        .or_else(|_| plan_err!("IN (SELECT ...) needs one column"))?;
    let value = Expr::Column(value);
    let count = |of: Expr| -> Result<Expr> {
        let counted = LogicalPlanBuilder::from(Arc::clone(rows))
            .aggregate(Vec::<Expr>::new(), vec![count(of)])?
            .build()?;
        Ok(scalar_subquery(Arc::new(counted)))
    };
    let (all, known) = (count(lit(1_i64))?, count(value)?);
    let is_unknown = found.expr.clone().is_null().or(known.lt(all.clone()));
    let negated = found.negated;
    let is_in = Expr::InSubquery(InSubquery { negated: false, ..found });
    let exact = when(is_in, lit(true))
        .when(all.eq(lit(0_i64)), lit(false))
        .when(is_unknown, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(false))?;
    Ok(if negated { not(exact) } else { exact })
}
