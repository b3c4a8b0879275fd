//! Walks through parsed SQL with any visitor.
//!
//! sqlparser has one generic walk function for each of its types, and compiles all of them again for every
//! visitor. With the twenty or so visitors of this module that would be half of the compiler's work for the
//! whole program. Here a visitor is called through a table of functions, so there is only one walk that reads
//! and one that rewrites.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};

/// Defines a walk: its function, the parts it accepts, sqlparser's trait for visitors, the names of the trait
/// and of the struct that forward the calls, and the visitor's calls.
macro_rules! walk {
    ($(#[$doc:meta])* $walk:ident: $Part:ty, $Visitor:ident, $Calls:ident, $Caller:ident,
     $($call:ident: $Node:ty,)+) => {
        $(#[$doc])*
        pub(super) fn $walk<V: $Visitor>(part: $Part, visitor: &mut V) -> ControlFlow<V::Break> {
            let mut calls = (visitor, None);
            let _ = part.visit(&mut $Caller(&mut calls));
            match calls.1 {
                Some(found) => ControlFlow::Break(found),
                None => ControlFlow::Continue(()),
            }
        }

        /// The calls of a visitor, paired with the value that it stopped with.
        trait $Calls {
            $(fn $call(&mut self, node: $Node) -> ControlFlow<()>;)+
        }

        impl<V: $Visitor> $Calls for (&mut V, Option<V::Break>) {
            $(fn $call(&mut self, node: $Node) -> ControlFlow<()> {
                match self.0.$call(node) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                    ControlFlow::Break(found) => {
                        self.1 = Some(found);
                        ControlFlow::Break(())
                    }
                }
            })+
        }

        struct $Caller<'a>(&'a mut dyn $Calls);

        impl $Visitor for $Caller<'_> {
            type Break = ();
            $(fn $call(&mut self, node: $Node) -> ControlFlow<()> {
                self.0.$call(node)
            })+
        }
    };
}

walk! {
    /// Passes all nodes of a part to a visitor. Breaks with the value that the visitor stops with.
    read: &impl Visit, Visitor, Reads, Reader,
    pre_visit_query: &Query,
    post_visit_query: &Query,
    pre_visit_select: &Select,
    post_visit_select: &Select,
    pre_visit_relation: &ObjectName,
    post_visit_relation: &ObjectName,
    pre_visit_table_factor: &TableFactor,
    post_visit_table_factor: &TableFactor,
    pre_visit_expr: &Expr,
    post_visit_expr: &Expr,
    pre_visit_statement: &Statement,
    post_visit_statement: &Statement,
    pre_visit_value: &ValueWithSpan,
    post_visit_value: &ValueWithSpan,
}

walk! {
    /// Lets a visitor change all nodes of a part. Breaks with the value that the visitor stops with.
    rewrite: &mut impl VisitMut, VisitorMut, Rewrites, Rewriter,
    pre_visit_query: &mut Query,
    post_visit_query: &mut Query,
    pre_visit_select: &mut Select,
    post_visit_select: &mut Select,
    pre_visit_relation: &mut ObjectName,
    post_visit_relation: &mut ObjectName,
    pre_visit_table_factor: &mut TableFactor,
    post_visit_table_factor: &mut TableFactor,
    pre_visit_expr: &mut Expr,
    post_visit_expr: &mut Expr,
    pre_visit_statement: &mut Statement,
    post_visit_statement: &mut Statement,
    pre_visit_value: &mut ValueWithSpan,
    post_visit_value: &mut ValueWithSpan,
}
