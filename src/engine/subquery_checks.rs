//! Checks of correlated subqueries. DataFusion turns them into joins and pulls the conditions on outer columns out.
//! An aggregate without GROUP BY, a LIMIT or an OFFSET below would then count the rows of all outer rows.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Subquery};

use crate::error::Error;

/// Refuses a correlated subquery that DataFusion would compute wrongly.
pub(super) fn check_subquery(expr: &Expr) -> PlanResult<Option<Error>> {
    let (Subquery { subquery, outer_ref_columns, .. }, exists) = match expr {
        Expr::Exists(found) => (&found.subquery, true),
        Expr::InSubquery(found) => (&found.subquery, false),
        _ => return Ok(None),
    };
    if outer_ref_columns.is_empty() {
        return Ok(None);
    }
    let mut found = None;
    subquery.apply(|node| {
        let wrong = match node {
            LogicalPlan::Aggregate(of) if of.group_expr.is_empty() => Some((
                "an aggregate without GROUP BY, which always has a row",
                "compare with the aggregate: x = (SELECT max(y) FROM ... WHERE ...)",
            )),
            LogicalPlan::Limit(limit) if !(exists && keeps_one_row(limit)) => {
                Some(("LIMIT or OFFSET", "number the rows by row_number() and compare the number"))
            }
            _ => None,
        };
        if let Some((what, way_out)) = wrong
            && !node.all_out_ref_exprs().is_empty()
        {
            let name = if exists { "EXISTS" } else { "IN" };
            let error = Error::query(format!(
                "{name} of a subquery that reads columns of the query around it cannot have {what}"
            ));
            found = Some(error.hint(way_out));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Returns whether a limit keeps at least one row of a non-empty input.
fn keeps_one_row(limit: &Limit) -> bool {
    let number = |expr: &Option<Box<Expr>>| match expr.as_deref() {
        None => None,
        Some(Expr::Literal(ScalarValue::Int64(Some(number)), _)) => Some(*number),
        Some(_) => Some(-1),
    };
    matches!(number(&limit.skip), None | Some(0)) && number(&limit.fetch).is_none_or(|n| n > 0)
}
