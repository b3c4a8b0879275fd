//! `x IN (SELECT ...)` that is neither a condition of its own nor part of an OR. DataFusion 55.2 treats an unknown
//! answer (x is NULL, or the rows have a NULL) as false, which NOT, `=` and IS turn into true.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, lit, not, scalar_subquery,
    when,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The optimizer rule that replaces such a condition with a CASE of three values: true, false and NULL.
#[derive(Debug)]
pub(super) struct Membership;

/// The role of a condition within a WHERE.
#[derive(Clone, Copy, PartialEq)]
enum ConditionRole {
    /// A condition of its own: rows are kept where it is true. DataFusion plans it as a join, which handles NULLs.
    Conjunct,
    /// A part of an OR: rows are kept if it is true, and false and unknown make no difference.
    Either,
    /// A value that another expression reads.
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
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else {
            return Ok(Transformed::no(plan));
        };
        rewrite_membership(predicate, ConditionRole::Conjunct, config.alias_generator())?
            .map_data(|predicate| Filter::try_new(predicate, input).map(LogicalPlan::Filter))
    }
}

fn rewrite_membership(
    expr: Expr,
    place: ConditionRole,
    alias: &Arc<AliasGenerator>,
) -> Result<Transformed<Expr>> {
    let below = match &expr {
        Expr::InSubquery(found) => {
            let known = match place {
                // NOT IN needs a column on its left and none of the outer query: a join takes conditions for keys.
                ConditionRole::Conjunct => !found.negated || has_null_aware_join(found),
                ConditionRole::Either => !found.negated,
                ConditionRole::Value => false,
            };
            return match expr {
                Expr::InSubquery(found) if !known => {
                    three_valued_membership(found, alias).map(Transformed::yes)
                }
                Expr::InSubquery(found) if place == ConditionRole::Either => {
                    alias_subquery(found, alias)
                        .map(|found| Transformed::yes(Expr::InSubquery(found)))
                }
                known => Ok(Transformed::no(known)),
            };
        }
        Expr::Not(inner)
            if place == ConditionRole::Conjunct
                && matches!(&**inner, Expr::InSubquery(found) if has_null_aware_join(found)) =>
        {
            return Ok(Transformed::no(expr));
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => place,
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) if place != ConditionRole::Value => {
            ConditionRole::Either
        }
        _ => ConditionRole::Value,
    };
    expr.map_children(|part| rewrite_membership(part, below, alias))
}

/// Returns whether DataFusion's join handles NULLs on both sides of the condition.
fn has_null_aware_join(found: &InSubquery) -> bool {
    found.subquery.outer_ref_columns.is_empty() && found.expr.any_column_refs()
}

/// Gives the subquery a name of its own, since DataFusion puts its columns next to those of the outer query.
fn alias_subquery(mut found: InSubquery, alias: &Arc<AliasGenerator>) -> Result<InSubquery> {
    let columns = found.subquery.subquery.schema().columns();
    if let ([column], []) = (columns.as_slice(), found.subquery.outer_ref_columns.as_slice()) {
        let rows = LogicalPlanBuilder::from(Arc::clone(&found.subquery.subquery));
        let rows = rows.project(vec![Expr::Column(column.clone()).alias("value")])?;
        found.subquery.subquery = Arc::new(rows.alias(alias.next("__rows"))?.build()?);
    }
    Ok(found)
}

fn three_valued_membership(found: InSubquery, alias: &Arc<AliasGenerator>) -> Result<Expr> {
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
    let is_in = Expr::InSubquery(alias_subquery(InSubquery { negated: false, ..found }, alias)?);
    let exact = when(is_in, lit(true))
        .when(all.eq(lit(0_i64)), lit(false))
        .when(is_unknown, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(false))?;
    Ok(if negated { not(exact) } else { exact })
}
