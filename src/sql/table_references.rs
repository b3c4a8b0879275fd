//! The tables that a statement reads, without the names that its WITH clauses define.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, TableFactor, Visitor};

use super::{location_place, normalize_ident};
use crate::error::TextPlace;

/// The names of one WITH clause, while its query is visited.
struct WithScope {
    names: Vec<String>,
    /// The queries of the clause, by address.
    queries: Vec<*const Query>,
    is_recursive: bool,
    /// The number of names that can be read at the current place: a query of the clause reads the earlier ones, and
    /// itself if the clause is recursive.
    visible: usize,
}

/// Collects tables with their places.
#[derive(Default)]
pub(super) struct TableReferences {
    pub(super) read: Vec<(String, TextPlace)>,
    scopes: Vec<WithScope>,
}

impl TableReferences {
    pub(super) fn add_relation(&mut self, name: &ObjectName) {
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
        {
            let name = normalize_ident(ident);
            let is_defined = |scope: &WithScope| scope.names[..scope.visible].contains(&name);
            if !self.scopes.iter().any(is_defined) {
                self.read.push((name, location_place(ident.span.start)));
            }
        }
    }

    /// The scope of the WITH clause that a query belongs to, and its number there.
    fn scope_of(&mut self, query: &Query) -> Option<(&mut WithScope, usize)> {
        let scope = self.scopes.last_mut()?;
        let number = scope.queries.iter().position(|known| std::ptr::eq(*known, query))?;
        Some((scope, number))
    }
}

impl Visitor for TableReferences {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some((scope, number)) = self.scope_of(query) {
            scope.visible = number + usize::from(scope.is_recursive);
        }
        let ctes = || query.with.iter().flat_map(|with| &with.cte_tables);
        let names: Vec<String> = ctes().map(|cte| normalize_ident(&cte.alias.name)).collect();
        self.scopes.push(WithScope {
            visible: names.len(),
            names,
            queries: ctes().map(|cte| std::ptr::from_ref(cte.query.as_ref())).collect(),
            is_recursive: query.with.as_ref().is_some_and(|with| with.recursive),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some((scope, _)) = self.scope_of(query) {
            scope.visible = scope.names.len();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        // A name with arguments is a table function.
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.add_relation(name);
        }
        ControlFlow::Continue(())
    }
}
