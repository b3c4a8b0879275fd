//! Named windows: replaces every `OVER w` by the window that `w` stands for.
//!
//! DataFusion resolves names only in the select list. It supports neither `WINDOW w2 AS (w ROWS ...)` nor
//! `OVER (w ROWS ...)`; SQL has both.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, NamedWindowExpr, Query, Select, SetExpr, Spanned,
    TableWithJoins, VisitMut, Visitor, VisitorMut, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{normalize_ident, qualify_clause, span_place, walk};
use crate::error::{Error, Result, did_you_mean};

/// Resolves the windows of each SELECT of one query, but not of the queries within it.
pub(super) fn resolve_windows(query: &mut Query) -> Result<()> {
    let mut named = Vec::new();
    for_each_select(&mut query.body, &mut |select| {
        named = resolve_select_windows(select)?;
        Ok(())
    })?;
    // ORDER BY of a plain SELECT may use its windows.
    match &mut query.order_by {
        Some(order_by) => substitute_windows(order_by, &named),
        None => Ok(()),
    }
}

/// Calls `f` on each SELECT of a body: one, or several under UNION, INTERSECT and EXCEPT.
pub(super) fn for_each_select(
    body: &mut SetExpr,
    f: &mut dyn FnMut(&mut Select) -> Result<()>,
) -> Result<()> {
    match body {
        SetExpr::Select(select) => f(select),
        SetExpr::SetOperation { left, right, .. } => {
            for_each_select(left, f)?;
            for_each_select(right, f)
        }
        _ => Ok(()),
    }
}

/// Returns the span of a window function in an expression, ignoring subqueries.
fn window_span(expr: &Expr) -> Option<Span> {
    #[derive(Default)]
    struct WindowSpanFinder {
        queries: usize,
    }
    impl Visitor for WindowSpanFinder {
        type Break = Span;
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Span> {
            self.queries += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Span> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
            match expr {
                Expr::Function(f) if f.over.is_some() && self.queries == 0 => {
                    ControlFlow::Break(expr.span())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match walk::read(expr, &mut WindowSpanFinder::default()) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    }
}

/// Returns the conditions of the joins of a FROM.
fn join_conditions(from: &[TableWithJoins]) -> impl Iterator<Item = &Expr> {
    from.iter().flat_map(|table| &table.joins).filter_map(|join| match &join.join_operator {
        JoinOperator::Join(JoinConstraint::On(on))
        | JoinOperator::Inner(JoinConstraint::On(on))
        | JoinOperator::Left(JoinConstraint::On(on))
        | JoinOperator::LeftOuter(JoinConstraint::On(on))
        | JoinOperator::Right(JoinConstraint::On(on))
        | JoinOperator::RightOuter(JoinConstraint::On(on))
        | JoinOperator::FullOuter(JoinConstraint::On(on)) => Some(on),
        _ => None,
    })
}

type NamedWindows = Vec<(String, WindowSpec)>;

fn resolve_select_windows(select: &mut Select) -> Result<NamedWindows> {
    for (part, clause) in [(&select.selection, "WHERE"), (&select.having, "HAVING")] {
        if let Some(span) = part.as_ref().and_then(window_span) {
            return Err(Error::query(format!("a window function cannot stand in {clause}"))
                .hint("write QUALIFY in its place, behind WINDOW")
                .at_place(span_place(span)));
        }
    }
    if let Some(span) = join_conditions(&select.from).find_map(window_span) {
        return Err(Error::query("a window function cannot stand in the condition of a join")
            .hint("compute it in a WITH query and join that")
            .at_place(span_place(span)));
    }
    let mut named: NamedWindows = Vec::new();
    for definition in std::mem::take(&mut select.named_window) {
        let spec = match definition.1 {
            NamedWindowExpr::NamedWindow(base) => find_window(&base, &named)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => inherit_window(spec, &named)?,
        };
        let name = normalize_ident(&definition.0);
        if named.iter().any(|(known, _)| *known == name) {
            return Err(Error::query(format!("the window {name} is there twice"))
                .hint("give each a name of its own")
                .at_place(span_place(definition.0.span)));
        }
        named.push((name, spec));
    }
    substitute_windows(&mut select.projection, &named)?;
    if let Some(qualify) = &mut select.qualify {
        substitute_windows(qualify, &named)?;
    }
    qualify_clause::add_qualify_window(select);
    Ok(named)
}

fn find_window<'a>(name: &Ident, named: &'a NamedWindows) -> Result<&'a WindowSpec> {
    let wanted = normalize_ident(name);
    named.iter().find(|(known, _)| *known == wanted).map(|(_, spec)| spec).ok_or_else(|| {
        let known: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        let hint = if known.is_empty() {
            format!("add WINDOW {wanted} AS (PARTITION BY symbol ORDER BY ts) behind FROM")
        } else {
            did_you_mean(&wanted, "windows", known)
        };
        Error::query(format!("unknown window {wanted}")).hint(hint).at_place(span_place(name.span))
    })
}

/// Completes a window that may build on a named one: the named window supplies the parts that it does not
/// set.
fn inherit_window(mut spec: WindowSpec, named: &NamedWindows) -> Result<WindowSpec> {
    let Some(base) = spec.window_name.take() else { return Ok(spec) };
    let name = base;
    let base = find_window(&name, named)?.clone();
    let refused = |what: &str| {
        Err(Error::query(format!(
            "the window that builds on {} has {what}",
            normalize_ident(&name)
        ))
        .hint("write the whole window without the name")
        .at_place(span_place(name.span)))
    };
    match () {
        () if !spec.partition_by.is_empty() => return refused("a PARTITION BY of its own"),
        () if !spec.order_by.is_empty() && !base.order_by.is_empty() => {
            return refused("another ORDER BY than that one");
        }
        () if base.window_frame.is_some()
            && !(spec.order_by.is_empty() && spec.window_frame.is_none()) =>
        {
            return refused("more to say than a frame that is there already");
        }
        () => {}
    }
    spec.partition_by = base.partition_by;
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by;
    }
    if spec.window_frame.is_none() {
        spec.window_frame = base.window_frame;
    }
    Ok(spec)
}

fn substitute_windows<T: VisitMut>(part: &mut T, named: &NamedWindows) -> Result<()> {
    struct WindowSubstituter<'a>(&'a NamedWindows);
    impl VisitorMut for WindowSubstituter<'_> {
        type Break = Error;
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let resolved = match function.over.take() {
                None => return ControlFlow::Continue(()),
                Some(WindowType::NamedWindow(name)) => find_window(&name, self.0).cloned(),
                Some(WindowType::WindowSpec(spec)) => inherit_window(spec, self.0),
            };
            match resolved {
                Ok(spec) => {
                    function.over = Some(WindowType::WindowSpec(spec));
                    ControlFlow::Continue(())
                }
                Err(error) => ControlFlow::Break(error),
            }
        }
    }
    match walk::rewrite(part, &mut WindowSubstituter(named)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
