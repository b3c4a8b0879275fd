//! `x IN (SELECT ...)` that is neither a condition of its own nor part of an OR. DataFusion 55.2 treats an unknown
//! answer (x is NULL, or the rows have a NULL) as false, which NOT, `=` and IS turn into true.
//!
//! `x = ANY (SELECT ...)` too: DataFusion puts x next to the columns of the rows, and takes it for one of them if they
//! come from a table of the same name.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, SubqueryAlias, lit, not,
    scalar_subquery, when,
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
        let alias = config.alias_generator();
        let named = plan
            .map_expressions(|expr| expr.transform_up(|part| alias_set_comparison(part, alias)))?;
        named.transform_data(|plan| {
            let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else {
                return Ok(Transformed::no(plan));
            };
            rewrite_membership(predicate, ConditionRole::Conjunct, alias)?
                .map_data(|predicate| Filter::try_new(predicate, input).map(LogicalPlan::Filter))
        })
    }
}

/// Gives the rows of `x = ANY (SELECT ...)` or ALL a name of their own. DataFusion cannot plan new names for rows that
/// depend on columns of the query around them; if a table has one name inside and outside, that is an error.
fn alias_set_comparison(expr: Expr, alias: &Arc<AliasGenerator>) -> Result<Transformed<Expr>> {
    let Expr::SetComparison(mut comparison) = expr else { return Ok(Transformed::no(expr)) };
    let rows = &comparison.subquery.subquery;
    // The optimizer applies its rules more than once; one name is enough.
    if matches!(rows.as_ref(), LogicalPlan::SubqueryAlias(named) if is_row_alias(named)) {
        return Ok(Transformed::no(Expr::SetComparison(comparison)));
    }
    if !comparison.subquery.outer_ref_columns.is_empty() {
        if has_table_of(&comparison.expr, rows)? {
            return plan_err!(
                "ANY, ALL or SOME (SELECT ...) that reads columns of the query around it cannot read a table of the same name; give the table in the subquery another name"
            );
        }
        return Ok(Transformed::no(Expr::SetComparison(comparison)));
    }
    if let [column] = rows.schema().columns().as_slice() {
        comparison.subquery.subquery = alias_rows(rows, column, alias)?;
    }
    Ok(Transformed::yes(Expr::SetComparison(comparison)))
}

/// Returns whether a plan has a table of the name of one whose columns the expression reads.
fn has_table_of(expr: &Expr, plan: &LogicalPlan) -> Result<bool> {
    let columns = expr.column_refs();
    let mut found = false;
    plan.apply(|node| {
        found |= node.schema().iter().any(|(table, field)| {
            let same = |of: &&Column| match (&of.relation, table) {
                (Some(of), Some(table)) => of == table,
                // Columns of queries without a name are known by their own.
                _ => of.name == *field.name(),
            };
            columns.iter().any(same)
        });
        // An alias hides the names below it.
        let hides = matches!(node, LogicalPlan::SubqueryAlias(_));
        Ok(if hides { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
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
        found.subquery.subquery = alias_rows(&found.subquery.subquery, column, alias)?;
    }
    Ok(found)
}

/// The beginning of the names of aliased rows.
const ROW_ALIAS: &str = "__rows";

fn alias_rows(
    rows: &Arc<LogicalPlan>,
    column: &Column,
    alias: &AliasGenerator,
) -> Result<Arc<LogicalPlan>> {
    let rows = LogicalPlanBuilder::from(Arc::clone(rows));
    let rows = rows.project(vec![Expr::Column(column.clone()).alias("value")])?;
    rows.alias(alias.next(ROW_ALIAS))?.build().map(Arc::new)
}

fn is_row_alias(named: &SubqueryAlias) -> bool {
    named.alias.table().starts_with(ROW_ALIAS)
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
