//! Columns of JOIN ... USING that are written without a table: DataFusion 55.2 rejects them as ambiguous
//! inside any operator or function. In an inner or left join they are the columns of the first table.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};

use super::{normalize_ident, walk};

/// Qualifies such columns with the first table.
pub(super) fn qualify_using_columns(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let merged: Vec<(String, Ident)> = select.from.iter().flat_map(merged_columns).collect();
    if merged.is_empty() {
        return;
    }
    let mut qualify = ColumnQualifier { merged, queries: 0 };
    let Select { projection, selection, group_by, having, qualify: kept, .. } = select.as_mut();
    for part in projection.iter_mut() {
        // DataFusion resolves a column that is an output of its own, and the column keeps its name.
        if !matches!(part, SelectItem::UnnamedExpr(Expr::Identifier(_))) {
            qualify_part(part, &mut qualify);
        }
    }
    qualify_part(selection, &mut qualify);
    qualify_part(group_by, &mut qualify);
    qualify_part(having, &mut qualify);
    qualify_part(kept, &mut qualify);
}

fn qualify_part<T: VisitMut>(part: &mut T, qualify: &mut ColumnQualifier) {
    let _ = walk::rewrite(part, qualify);
}

/// Returns the USING columns of the first join of a chain, with the name of the chain's first table.
fn merged_columns(chain: &TableWithJoins) -> Vec<(String, Ident)> {
    let Some(table) = factor_name(&chain.relation) else { return Vec::new() };
    let mut columns: Vec<(String, Ident)> = Vec::new();
    for (number, join) in chain.joins.iter().enumerate() {
        use JoinOperator::{Inner, Left, LeftOuter};
        let (Inner(on) | JoinOperator::Join(on) | Left(on) | LeftOuter(on)) = &join.join_operator
        else {
            return columns;
        };
        let JoinConstraint::Using(names) = on else { continue };
        for name in names.iter().filter_map(|name| name.0.last()?.as_ident()) {
            // A column of a later join may be of a table in between.
            if number == 0 {
                columns.push((normalize_ident(name), table.clone()));
            }
        }
    }
    columns
}

fn factor_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

struct ColumnQualifier {
    merged: Vec<(String, Ident)>,
    queries: usize,
}

impl VisitorMut for ColumnQualifier {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // A subquery has its own tables.
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        if let Expr::Identifier(column) = expr
            && let Some((_, table)) =
                self.merged.iter().find(|(name, _)| *name == normalize_ident(column))
        {
            *expr = Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
        }
        ControlFlow::Continue(())
    }
}
