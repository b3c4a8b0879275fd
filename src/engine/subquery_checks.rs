//! Checks of correlated subqueries. DataFusion turns them into joins and pulls the conditions on outer columns out.
//! An aggregate without GROUP BY, a LIMIT, an OFFSET, DISTINCT or a window function would then take in the rows of all
//! outer rows, and the condition of one side of an outer join would remove rows of both. Pulled columns are told apart
//! by their name alone.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Join, Limit, LogicalPlan, Operator, Subquery, Window,
};

use crate::error::Error;

/// Refuses a correlated subquery that DataFusion would compute wrongly.
pub(super) fn check_subquery(expr: &Expr) -> PlanResult<Option<Error>> {
    let (Subquery { subquery, outer_ref_columns, .. }, name) = match expr {
        Expr::Exists(found) => (&found.subquery, "EXISTS"),
        Expr::InSubquery(found) => (&found.subquery, "IN"),
        Expr::SetComparison(found) => (&found.subquery, "ANY or ALL"),
        _ => return Ok(None),
    };
    let exists = matches!(expr, Expr::Exists(_));
    if outer_ref_columns.is_empty() {
        return Ok(None);
    }
    let mut found = None;
    let topmost = topmost_limit(subquery);
    subquery.apply(|node| {
        let wrong = match node {
            LogicalPlan::Aggregate(of) if always_has_row(of) => Some((
                "an aggregate without GROUP BY, which always has a row",
                "compare with the aggregate: x = (SELECT max(y) FROM ... WHERE ...)",
            )),
            LogicalPlan::Limit(limit)
                if !(exists
                    && keeps_one_row(limit)
                    && topmost.is_some_and(|topmost| std::ptr::eq(topmost, limit))) =>
            {
                Some(("LIMIT or OFFSET", "number the rows by row_number() and compare the number"))
            }
            _ => None,
        };
        if let Some((what, way_out)) = wrong
            && reads_outer(node)
        {
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

/// Returns the limit of the whole result, if there is one: nothing but columns and order are chosen after it.
fn topmost_limit(plan: &LogicalPlan) -> Option<&Limit> {
    let mut plan = plan;
    loop {
        plan = match plan {
            LogicalPlan::Projection(of) => &of.input,
            LogicalPlan::SubqueryAlias(of) => &of.input,
            LogicalPlan::Sort(of) => &of.input,
            LogicalPlan::Limit(limit) => return Some(limit),
            _ => return None,
        };
    }
}

/// Returns whether an aggregate may have a row for no rows: it has no GROUP BY, or one with an empty set of columns,
/// as in ROLLUP.
fn always_has_row(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty() || has_grouping_sets(aggregate)
}

fn has_grouping_sets(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
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

/// Refuses a correlated subquery of any form (a value, EXISTS, IN, ANY, LATERAL) with an operator that DataFusion
/// would compute before the conditions on outer columns, though SQL computes it after them.
pub(super) fn check_pulled_conditions(subquery: &Subquery) -> PlanResult<Option<Error>> {
    let mut found = None;
    subquery.subquery.apply(|node| {
        let wrong = match node {
            LogicalPlan::Window(window) if !has_outer_keys(window) => Some((
                "a window function over the rows that these columns select",
                "compute the window in a query of its own (WITH), and join it; or let every window be over \
                 PARTITION BY the column that WHERE compares by `=`",
            )),
            LogicalPlan::Join(join) if reads_outer_in_outer_join(join) => Some((
                "a condition on them in an outer join",
                "join without them in a query of its own (WITH), and write the condition into WHERE",
            )),
            LogicalPlan::Filter(_) if filters_whole_aggregate(node) && reads_outer(node) => Some((
                "a condition (HAVING, or WHERE outside) on an aggregate without GROUP BY",
                "write the condition into the query around it, or CASE WHEN count(*) > 1 THEN sum(x) END",
            )),
            LogicalPlan::Distinct(_) if reads_outer(node) => Some((
                "DISTINCT",
                "use GROUP BY, or leave DISTINCT out where equal rows make no difference",
            )),
            LogicalPlan::Aggregate(of) if has_grouping_sets(of) && reads_outer(node) => Some((
                "ROLLUP, CUBE or GROUPING SETS",
                "group in a query of its own (WITH), and join it",
            )),
            // A subquery in this one is looked at by itself.
            LogicalPlan::Subquery(_) => return Ok(TreeNodeRecursion::Jump),
            _ => None,
        };
        Ok(match wrong {
            None => TreeNodeRecursion::Continue,
            Some((what, way_out)) => {
                let error = Error::query(format!(
                    "a subquery that reads columns of the query around it cannot have {what}"
                ));
                found = Some(error.hint(way_out));
                TreeNodeRecursion::Stop
            }
        })
    })?;
    match found {
        None => check_equal_names(&subquery.subquery),
        found => Ok(found),
    }
}

fn reads_outer(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

/// Refuses a correlated subquery with a pulled column whose name another table of the subquery has too, if that other
/// column is pulled or read as well: DataFusion would take one for the other.
fn check_equal_names(subquery: &LogicalPlan) -> PlanResult<Option<Error>> {
    let (mut pulled, mut others, mut read) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    subquery.apply(|node| {
        match node {
            LogicalPlan::Subquery(_) => return Ok(TreeNodeRecursion::Jump),
            LogicalPlan::Filter(filter) => {
                let parts = split_conjunction(&filter.predicate).into_iter();
                for column in parts.filter(|part| part.contains_outer()).flat_map(Expr::column_refs)
                {
                    let twins = filter.input.schema().columns().into_iter();
                    others.extend(twins.filter(|o| o.name == column.name && o != column));
                    pulled.insert(column.clone());
                }
            }
            LogicalPlan::Join(_) => {}
            node => {
                node.apply_expressions(|expr| {
                    read.extend(expr.column_refs().into_iter().cloned());
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let taken = others.into_iter().find(|other| pulled.contains(other) || read.contains(other));
    Ok(taken.map(|column| {
        let name = column.name;
        Error::query(format!(
            "a subquery that compares {name} with a column of the query around it reads {name} of another table too"
        ))
        .hint(format!("read one of the tables as (SELECT {name} AS other_{name}, ... FROM ...)"))
    }))
}

/// Returns whether the conditions on outer columns below a window each select whole partitions of it, so that its
/// values are the same before and after them.
fn has_outer_keys(window: &Window) -> bool {
    let mut input = &window.input;
    while let LogicalPlan::Filter(filter) = input.as_ref() {
        let conditions = split_conjunction(&filter.predicate).into_iter();
        if !conditions.filter(|part| part.contains_outer()).all(|part| is_key_of(part, window)) {
            return false;
        }
        input = &filter.input;
    }
    !reads_outer(input)
}

/// Returns whether a condition compares an outer column by `=` with a column that is in PARTITION BY of every window
/// function of the operator.
fn is_key_of(condition: &Expr, window: &Window) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return false;
    };
    let key = match (left.as_ref(), right.as_ref()) {
        (Expr::OuterReferenceColumn(..), key @ Expr::Column(_))
        | (key @ Expr::Column(_), Expr::OuterReferenceColumn(..)) => key,
        _ => return false,
    };
    window.window_expr.iter().all(|expr| {
        matches!(expr.clone().unalias(), Expr::WindowFunction(call) if call.params.partition_by.contains(key))
    })
}

/// Returns whether ON of an outer join reads outer columns, or its side that may have no row for a row of the other.
fn reads_outer_in_outer_join(join: &Join) -> bool {
    let in_condition = join.filter.iter().any(Expr::contains_outer)
        || join.on.iter().any(|(left, right)| left.contains_outer() || right.contains_outer());
    match join.join_type {
        JoinType::Left | JoinType::Right | JoinType::Full if in_condition => true,
        JoinType::Left => reads_outer(&join.right),
        JoinType::Right => reads_outer(&join.left),
        JoinType::Full => reads_outer(&join.left) || reads_outer(&join.right),
        _ => false,
    }
}

/// Returns whether an operator filters the row of an aggregate without GROUP BY.
fn filters_whole_aggregate(node: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = node else { return false };
    let mut input = &filter.input;
    loop {
        input = match input.as_ref() {
            LogicalPlan::Projection(of) => &of.input,
            LogicalPlan::SubqueryAlias(of) => &of.input,
            LogicalPlan::Filter(of) => &of.input,
            LogicalPlan::Aggregate(of) => return always_has_row(of),
            _ => return false,
        };
    }
}
