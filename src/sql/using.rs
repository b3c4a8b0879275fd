//! Columns of JOIN ... USING that stand without a table: DataFusion 55.2 takes them for ambiguous wherever an operator
//! or a function is around them. In an inner or left join they are those of the first table.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};

use super::{fold, walk};

/// Puts the first table before such columns.
pub(super) fn qualify(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let merged: Vec<(String, Ident)> = select.from.iter().flat_map(merged).collect();
    if merged.is_empty() {
        return;
    }
    let mut qualify = Qualify { merged, queries: 0 };
    let Select { projection, selection, group_by, having, qualify: kept, .. } = select.as_mut();
    for part in projection.iter_mut() {
        // A column alone is understood, and keeps its name.
        if !matches!(part, SelectItem::UnnamedExpr(Expr::Identifier(_))) {
            rewrite(part, &mut qualify);
        }
    }
    rewrite(selection, &mut qualify);
    rewrite(group_by, &mut qualify);
    rewrite(having, &mut qualify);
    rewrite(kept, &mut qualify);
}

fn rewrite<T: VisitMut>(part: &mut T, qualify: &mut Qualify) {
    let _ = walk::rewrite(part, qualify);
}

/// The columns that all joins of a chain have in common, with the name of its first table.
fn merged(chain: &TableWithJoins) -> Vec<(String, Ident)> {
    let Some(table) = name_of(&chain.relation) else { return Vec::new() };
    let mut columns: Vec<(String, Ident)> = Vec::new();
    for (number, join) in chain.joins.iter().enumerate() {
        use JoinOperator::{Inner, Left, LeftOuter};
        let (Inner(on) | JoinOperator::Join(on) | Left(on) | LeftOuter(on)) = &join.join_operator
        else {
            return columns;
        };
        let JoinConstraint::Using(names) = on else { continue };
        for name in names.iter().filter_map(|name| name.0.last()?.as_ident()) {
            // What a later join takes may be of a table in between.
            if number == 0 {
                columns.push((fold(name), table.clone()));
            }
        }
    }
    columns
}

fn name_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

struct Qualify {
    merged: Vec<(String, Ident)>,
    queries: usize,
}

impl VisitorMut for Qualify {
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
        // A subquery has tables of its own.
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        if let Expr::Identifier(column) = expr
            && let Some((_, table)) = self.merged.iter().find(|(name, _)| *name == fold(column))
        {
            *expr = Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
        }
        ControlFlow::Continue(())
    }
}
