//! Nested windows: `ema(rsi(close, 14) OVER w, 9) OVER w` computes the inner window in a subquery.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    ExceptSelectItem, Expr, Function, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr,
    Spanned, TableAlias, TableFactor, TableWithJoins, VisitMut, Visitor, VisitorMut,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{named_windows::for_each_select, normalize_ident, span_place, walk};
use crate::error::{Error, Result};

/// Hoists the nested windows of each SELECT of one query, level by level.
pub(super) fn hoist_windows(query: &mut Query) -> Result<()> {
    hoist_level(query, 1)
}

/// Hoists one level of windows. `level` is the depth of the new subquery; it keeps generated names distinct.
fn hoist_level(query: &mut Query, level: usize) -> Result<()> {
    let order_by = &mut query.order_by;
    for_each_select(&mut query.body, &mut |select| {
        if let Some(span) = first_nested_span(select) {
            let renamed = hoist_select(select, span, level)?;
            if let Some(order_by) = order_by.as_mut() {
                rename_columns(order_by, &renamed);
            }
        }
        Ok(())
    })
}

/// Returns the span of the first window inside another window's arguments.
fn first_nested_span(select: &Select) -> Option<Span> {
    struct NestedWindowFinder {
        depth: usize,
    }
    impl Visitor for NestedWindowFinder {
        type Break = Span;
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Span> {
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
            if is_window_call(expr) {
                if self.depth > 0 {
                    return ControlFlow::Break(expr.span());
                }
                self.depth += 1;
            }
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
            if is_window_call(expr) {
                self.depth -= 1;
            }
            ControlFlow::Continue(())
        }
    }
    let mut find = NestedWindowFinder { depth: 0 };
    let found = match walk::read(&select.projection, &mut find) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    };
    found.or_else(|| match walk::read(&select.qualify, &mut find) {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    })
}

fn is_window_call(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(Function { over: Some(_), .. }))
}

type RenamedColumns = Vec<(Vec<Ident>, Ident)>;

/// Moves the windows directly inside other windows into a subquery of FROM. Returns the new names of
/// qualified columns, for the ORDER BY of the query.
fn hoist_select(select: &mut Select, span: Span, level: usize) -> Result<RenamedColumns> {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    if grouped || select.having.is_some() {
        return Err(Error::query("a window inside a window cannot stand over GROUP BY")
            .hint("write the GROUP BY in a WITH query and the windows over it")
            .at_place(span_place(span)));
    }
    // Outputs keep the names that they have without the rewrite.
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let alias = Ident::with_quote('"', expr.to_string());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    let mut moved: Vec<(Expr, Ident)> = Vec::new();
    let mut take = WindowHoister { depth: 0, level, moved: &mut moved };
    let _ = walk::rewrite(&mut select.projection, &mut take);
    let _ = walk::rewrite(&mut select.qualify, &mut take);
    // A window that is hoisted and also used on its own is computed once.
    let mut reuse = WindowReuser { moved: &moved };
    let _ = walk::rewrite(&mut select.projection, &mut reuse);
    let _ = walk::rewrite(&mut select.qualify, &mut reuse);

    let single = matches!(select.from.as_slice(), [from] if from.joins.is_empty());
    let alias = if single { relation_name(&select.from[0].relation) } else { None };
    let mut inner = select.clone();
    inner.qualify = None;
    inner.distinct = None;
    let mut renamed = RenamedColumns::new();
    inner.projection = if single {
        exclude_hoisted(&mut select.projection, &moved);
        vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())]
    } else {
        let columns = outer_columns(select, &moved)?;
        renamed = columns.iter().filter(|(parts, _)| parts.len() > 1).cloned().collect();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr @ Expr::CompoundIdentifier(_)) = item
                && let Expr::CompoundIdentifier(parts) = &*expr
                && let Some(alias) = parts.last().cloned()
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        rename_columns(&mut select.projection, &renamed);
        rename_columns(&mut select.qualify, &renamed);
        columns
            .into_iter()
            .map(|(parts, alias)| SelectItem::ExprWithAlias {
                expr: match <[Ident; 1]>::try_from(parts) {
                    Ok([ident]) => Expr::Identifier(ident),
                    Err(parts) => Expr::CompoundIdentifier(parts),
                },
                alias,
            })
            .collect()
    };
    let windows = moved.into_iter().map(|(expr, alias)| SelectItem::ExprWithAlias { expr, alias });
    inner.projection.extend(windows);
    let mut subquery = query_from_select(inner);
    hoist_level(&mut subquery, level + 1)?;
    select.selection = None;
    select.from = vec![TableWithJoins {
        relation: TableFactor::Derived {
            lateral: false,
            subquery: Box::new(subquery),
            alias: Some(TableAlias {
                explicit: true,
                name: alias.unwrap_or_else(|| Ident::new(format!("__from{level}"))),
                columns: vec![],
                at: None,
            }),
            sample: None,
        },
        joins: vec![],
    }];
    Ok(renamed)
}

/// Replaces the windows one level inside other windows by names, and collects them.
struct WindowHoister<'a> {
    depth: usize,
    level: usize,
    moved: &'a mut Vec<(Expr, Ident)>,
}

impl VisitorMut for WindowHoister<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !is_window_call(expr) {
            return ControlFlow::Continue(());
        }
        if self.depth > 0 {
            let known = self.moved.iter().find(|(e, _)| e == expr).map(|(_, name)| name.clone());
            let name = known.unwrap_or_else(|| {
                let name = Ident::new(format!("__w{}_{}", self.level, self.moved.len() + 1));
                self.moved.push((expr.clone(), name.clone()));
                name
            });
            *expr = Expr::Identifier(name);
            return ControlFlow::Continue(());
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_window_call(expr) {
            self.depth -= 1;
        }
        ControlFlow::Continue(())
    }
}

/// Replaces hoisted windows by their names.
struct WindowReuser<'a> {
    moved: &'a [(Expr, Ident)],
}

impl VisitorMut for WindowReuser<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_window_call(expr)
            && let Some((_, name)) = self.moved.iter().find(|(moved, _)| moved == expr)
        {
            *expr = Expr::Identifier(name.clone());
        }
        ControlFlow::Continue(())
    }
}

fn relation_name(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last().and_then(|p| p.as_ident()).cloned(),
        _ => None,
    }
}

/// Keeps the hoisted windows out of `*`.
fn exclude_hoisted(projection: &mut [SelectItem], moved: &[(Expr, Ident)]) {
    let mut names = moved.iter().map(|(_, name)| name.clone());
    let Some(first_element) = names.next() else { return };
    let hidden = ExceptSelectItem { first_element, additional_elements: names.collect() };
    for item in projection {
        if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
            match &mut options.opt_except {
                Some(except) => {
                    except.additional_elements.push(hidden.first_element.clone());
                    except.additional_elements.extend(hidden.additional_elements.clone());
                }
                none => *none = Some(hidden.clone()),
            }
        }
    }
}

/// Returns the columns of a join that the outer SELECT still reads, with names that cannot clash.
fn outer_columns(select: &Select, moved: &[(Expr, Ident)]) -> Result<RenamedColumns> {
    let wildcard = select
        .projection
        .iter()
        .find(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    if let Some(wildcard) = wildcard {
        return Err(Error::query("a window inside a window cannot stand beside * over a join")
            .hint("name the columns")
            .at_place(span_place(wildcard.span())));
    }
    #[derive(Default)]
    struct ColumnCollector {
        seen: BTreeSet<String>,
        found: RenamedColumns,
    }
    impl Visitor for ColumnCollector {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let parts = match expr {
                Expr::Identifier(ident) => vec![ident.clone()],
                Expr::CompoundIdentifier(parts) => parts.clone(),
                _ => return ControlFlow::Continue(()),
            };
            let key: Vec<String> = parts.iter().map(normalize_ident).collect();
            if self.seen.insert(key.join(".")) {
                let alias = match parts.as_slice() {
                    [ident] => ident.clone(),
                    _ => Ident::with_quote('"', key.join("__")),
                };
                self.found.push((parts, alias));
            }
            ControlFlow::Continue(())
        }
    }
    let mut columns = ColumnCollector::default();
    let _ = walk::read(&select.projection, &mut columns);
    let _ = walk::read(&select.qualify, &mut columns);
    let hoisted = |parts: &[Ident]| moved.iter().any(|(_, name)| [name.clone()] == *parts);
    columns.found.retain(|(parts, _)| !hoisted(parts));
    Ok(columns.found)
}

fn rename_columns<T: VisitMut>(part: &mut T, renamed: &RenamedColumns) {
    struct ColumnRenamer<'a>(&'a RenamedColumns);
    impl VisitorMut for ColumnRenamer<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = expr {
                let same = |known: &[Ident]| {
                    known.iter().map(normalize_ident).eq(parts.iter().map(normalize_ident))
                };
                if let Some((_, alias)) = self.0.iter().find(|(known, _)| same(known)) {
                    *expr = Expr::Identifier(alias.clone());
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk::rewrite(part, &mut ColumnRenamer(renamed));
}

fn query_from_select(select: Select) -> Query {
    let select = Select { select_token: AttachedToken::empty(), ..select };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}
