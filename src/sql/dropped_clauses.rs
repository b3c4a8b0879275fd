//! Clauses that the parser accepts and the planner silently drops: each is an error.
//!
//! Every struct of the parser is destructured in full. A field that a later version adds breaks the build
//! until this module handles it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Interval, Join, JoinConstraint, JoinOperator, LimitClause, NullTreatment, OrderBy,
    OrderByExpr, OrderByKind, Query, Select, SelectItem, Spanned, TableAlias, TableFactor,
    UnaryOperator, Value, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::qualify_clause::has_own_window;
use super::{Sql, normalize_ident, span_place};
use crate::error::{Error, Result};

/// A dropped clause in the words of the statement, the hint, and its span.
type DroppedClause = (&'static str, &'static str, Span);

/// The hint for a clause that changes no value.
const LEAVE_OUT: &str = "leave it out";

impl Sql {
    /// Refuses clauses that would silently have no effect. `is_scalar` returns whether a function computes
    /// one value for each row; such a function takes neither groups nor an order.
    ///
    /// # Errors
    /// The first such clause.
    pub fn refuse_dropped_clauses(&self, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
        match self.visit_statement(&mut DroppedClauseFinder { is_scalar }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break((what, way_out, span)) => {
                Err(Error::query(format!("{what} is not supported"))
                    .hint(way_out)
                    .at_place(span_place(span)))
            }
        }
    }
}

/// Breaks with the clause if `is` is true.
fn refuse_clause_if(
    is: bool,
    what: &'static str,
    way_out: &'static str,
    span: Span,
) -> ControlFlow<DroppedClause> {
    if is { ControlFlow::Break((what, way_out, span)) } else { ControlFlow::Continue(()) }
}

/// Refuses an interval that is a number without a unit: it would be months in a frame, and seconds elsewhere.
fn check_interval_unit(interval: &Interval, span: Span) -> ControlFlow<DroppedClause> {
    let number = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().parse::<f64>().is_ok(),
            Value::Number(..) => true,
            _ => false,
        },
        _ => false,
    };
    let bare = number && interval.leading_field.is_none();
    refuse_clause_if(bare, "INTERVAL without a unit", "write INTERVAL '7 days', for example", span)
}

/// Words of other engines that follow a table, and that the parser reads as its alias.
const NO_NAMES: &[&str] = &[
    "ALL",
    "ANY",
    "ANTI",
    "ASOF",
    "FINAL",
    "FORCE",
    "GLOBAL",
    "IGNORE",
    "LATEST",
    "LT",
    "NOLOCK",
    "PASTE",
    "POSITIONAL",
    "READPAST",
    "SAMPLE",
    "SEMI",
    "SPLICE",
    "STRAIGHT_JOIN",
];

/// Refuses an alias of a table that is probably a word of another engine, and AT behind a table.
fn check_table_alias(alias: Option<&TableAlias>, span: Span) -> ControlFlow<DroppedClause> {
    let Some(TableAlias { explicit, name, columns: _, at }) = alias else {
        return ControlFlow::Continue(());
    };
    let span = if name.span == Span::empty() { span } else { name.span };
    let plain = !explicit && name.quote_style.is_none();
    if let Some(word) = NO_NAMES.iter().find(|w| plain && name.value.eq_ignore_ascii_case(w)) {
        let way_out = "write AS in front of it if it is meant as another name, or leave it out";
        return ControlFlow::Break((word, way_out, span));
    }
    refuse_clause_if(at.is_some(), "AT behind a table", LEAVE_OUT, span)
}

/// Refuses a JOIN without a condition, which would join all rows with all rows, and join forms of other
/// engines.
fn check_join(join: &Join, span: Span) -> ControlFlow<DroppedClause> {
    use JoinOperator::{Anti, Semi, StraightJoin};
    use JoinOperator::{CrossApply, OuterApply};
    use JoinOperator::{FullOuter, Inner, Left, LeftOuter, Right, RightOuter};
    let Join { relation: _, global, join_operator } = join;
    refuse_clause_if(*global, "GLOBAL in front of JOIN", LEAVE_OUT, span)?;
    match join_operator {
        JoinOperator::Join(on)
        | Inner(on)
        | Left(on)
        | LeftOuter(on)
        | Right(on)
        | RightOuter(on)
        | FullOuter(on) => {
            let way_out = "write ON or USING behind it, or CROSS JOIN for all pairs of rows";
            refuse_clause_if(
                matches!(on, JoinConstraint::None),
                "JOIN without a condition",
                way_out,
                span,
            )
        }
        StraightJoin(_) => refuse_clause_if(true, "STRAIGHT_JOIN", "write JOIN ... ON", span),
        CrossApply | OuterApply => {
            refuse_clause_if(true, "APPLY", "write JOIN, or JOIN LATERAL (...) ON true", span)
        }
        Semi(_) | Anti(_) => refuse_clause_if(
            true,
            "SEMI or ANTI without a side",
            "write LEFT SEMI JOIN or EXISTS",
            span,
        ),
        _ => ControlFlow::Continue(()), // Planned in full, or refused by the planner.
    }
}

/// Refuses `1_000`, which the parser reads as the number 1 with the alias `_000`.
fn check_digit_separator(item: &SelectItem) -> ControlFlow<DroppedClause> {
    let SelectItem::ExprWithAlias { expr: Expr::Value(value), alias } = item else {
        return ControlFlow::Continue(());
    };
    let number = matches!(value.value, Value::Number(..)) && alias.quote_style.is_none();
    let within = number && alias.value.starts_with('_') && value.span.end == alias.span.start;
    refuse_clause_if(within, "_ within a number", "write the digits without it", value.span)
}

/// Refuses clauses of ORDER BY and LIMIT that the planner ignores.
fn check_order_and_limit(query: &Query, span: Span) -> ControlFlow<DroppedClause> {
    if let Some(OrderBy { kind, interpolate }) = &query.order_by {
        let fills = |by: &OrderByExpr| by.with_fill.is_some();
        let fills = matches!(kind, OrderByKind::Expressions(all) if all.iter().any(fills));
        let way_out = "join generate_series(...) for the times that are missing";
        refuse_clause_if(
            fills || interpolate.is_some(),
            "WITH FILL or INTERPOLATE",
            way_out,
            span,
        )?;
    }
    if let Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) = &query.limit_clause {
        let way_out = "write QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY ts) <= 5";
        refuse_clause_if(!limit_by.is_empty(), "LIMIT ... BY", way_out, span)?;
    }
    refuse_clause_if(query.fetch.is_some(), "FETCH", "write LIMIT", span)
}

/// Refuses arguments and clauses of a function that would have no effect, or less effect than they state.
fn check_function_call(
    name: &str,
    list: &FunctionArgumentList,
    function: &Function,
    span: Span,
) -> ControlFlow<DroppedClause> {
    const SKIPPING: &[&str] = &["first_value", "last_value", "nth_value", "lag", "lead"];
    let ignores = matches!(function.null_treatment, Some(NullTreatment::IgnoreNulls));
    let way_out = "leave it out: lag, lead, first_value, last_value and nth_value have it; aggregates and indicators skip NULL";
    refuse_clause_if(ignores && !SKIPPING.contains(&name), "IGNORE NULLS here", way_out, span)?;
    let second = list.args.get(1).map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => Some(&value.value),
        _ => None,
    });
    let null = matches!(second, Some(Some(Value::Null)));
    let way_out = "write a number of rows";
    refuse_clause_if(null && matches!(name, "lag" | "lead"), "an offset of NULL", way_out, span)?;
    let zero = matches!(second, Some(Some(Value::Number(n, _))) if n.parse() == Ok(0.0));
    let negative = matches!(
        list.args.get(1),
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::UnaryOp {
            op: UnaryOperator::Minus,
            ..
        })))
    );
    let way_out = "rows of a frame count from 1; last_value is the last of them";
    let none = (zero || negative) && name == "nth_value";
    refuse_clause_if(none, "a row of a frame before its first", way_out, span)?;
    let most = match name {
        "first_value" | "last_value" => 1,
        "nth_value" => 2,
        _ => usize::MAX,
    };
    let way_out = "leave it out; nth_value(x, n) is the row n of a frame";
    refuse_clause_if(
        list.args.len() > most,
        "one argument more than the function has",
        way_out,
        span,
    )?;
    let way_out = "write count(*) FILTER (WHERE a IS NOT NULL AND b IS NOT NULL)";
    refuse_clause_if(
        second.is_some() && name == "count",
        "count of more than one value",
        way_out,
        span,
    )
}

struct DroppedClauseFinder<'a> {
    is_scalar: &'a dyn Fn(&str) -> bool,
}

impl Visitor for DroppedClauseFinder<'_> {
    type Break = DroppedClause;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<DroppedClause> {
        let span = query.span();
        let Query {
            with,
            body: _,
            order_by: _,     // Checked below.
            limit_clause: _, // Checked below.
            fetch: _,        // Checked below.
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators: _, // Planned, or refused by the planner.
        } = query;
        for Cte { alias: _, query: _, from, materialized, closing_paren_token: _ } in
            with.iter().flat_map(|with| &with.cte_tables)
        {
            refuse_clause_if(from.is_some(), "FROM behind a WITH query", LEAVE_OUT, span)?;
            let way_out = "leave it out: what is read twice is computed once";
            refuse_clause_if(materialized.is_some(), "MATERIALIZED", way_out, span)?;
        }
        refuse_clause_if(!locks.is_empty(), "FOR UPDATE or FOR SHARE", LEAVE_OUT, span)?;
        refuse_clause_if(for_clause.is_some(), "FOR XML, FOR JSON or FOR BROWSE", LEAVE_OUT, span)?;
        refuse_clause_if(settings.is_some(), "SETTINGS", "use flags and windrow.yaml", span)?;
        refuse_clause_if(format_clause.is_some(), "FORMAT", "use --format", span)?;
        check_order_and_limit(query, span)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<DroppedClause> {
        // DataFusion keeps all rows then.
        let no_window = select.qualify.as_ref().filter(|_| !has_own_window(select));
        if let Some(condition) = no_window {
            let way_out = "write the condition into WHERE or HAVING";
            refuse_clause_if(true, "QUALIFY without a window function", way_out, condition.span())?;
        }
        let span = select.span();
        let Select {
            select_token: _,
            optimizer_hints: _, // Hints are comments.
            distinct: _,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into: _, // Refused as a misread form.
            from,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor: _, // FROM in front of SELECT has the same meaning.
        } = select;
        from.iter().flat_map(|table| &table.joins).try_for_each(|one| check_join(one, span))?;
        projection.iter().try_for_each(check_digit_separator)?;
        refuse_clause_if(top.is_some(), "TOP", "write LIMIT at the end", span)?;
        refuse_clause_if(!lateral_views.is_empty(), "LATERAL VIEW", "write unnest(...)", span)?;
        let by = !cluster_by.is_empty() || !sort_by.is_empty();
        refuse_clause_if(by, "CLUSTER BY or SORT BY", "write ORDER BY", span)?;
        refuse_clause_if(select_modifiers.is_some(), "a modifier behind SELECT", LEAVE_OUT, span)?;
        let way_out = "write EXCLUDE directly behind the *";
        refuse_clause_if(exclude.is_some(), "EXCLUDE at the end of SELECT", way_out, span)?;
        refuse_clause_if(prewhere.is_some(), "PREWHERE", "write WHERE", span)?;
        refuse_clause_if(!connect_by.is_empty(), "CONNECT BY", "write WITH RECURSIVE", span)?;
        refuse_clause_if(!distribute_by.is_empty(), "DISTRIBUTE BY", LEAVE_OUT, span)?;
        refuse_clause_if(value_table_mode.is_some(), "SELECT AS", "name the columns", span)?;
        match group_by {
            GroupByExpr::All(_) => refuse_clause_if(true, "GROUP BY ALL", "name the columns", span),
            GroupByExpr::Expressions(_, modifiers) => {
                let way_out = "write GROUP BY ROLLUP (...), CUBE (...) or GROUPING SETS (...)";
                refuse_clause_if(
                    !modifiers.is_empty(),
                    "WITH ROLLUP, WITH CUBE or WITH TOTALS",
                    way_out,
                    span,
                )
            }
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<DroppedClause> {
        const SAMPLE: (&str, &str) =
            ("TABLESAMPLE", "take rows by a condition, such as WHERE random() < 0.1");
        let span = factor.span();
        match factor {
            TableFactor::Table {
                name: _,
                alias,
                args: _,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                check_table_alias(alias.as_ref(), span)?;
                let way_out = "write AS in front of it if it is meant as another name";
                let hints = !with_hints.is_empty() || !index_hints.is_empty();
                refuse_clause_if(hints, "a hint behind a table", way_out, span)?;
                refuse_clause_if(
                    version.is_some(),
                    "a version of a table",
                    "name its location",
                    span,
                )?;
                refuse_clause_if(*with_ordinality, "WITH ORDINALITY", "use row_number()", span)?;
                refuse_clause_if(
                    !partitions.is_empty(),
                    "PARTITION behind a table",
                    "write WHERE",
                    span,
                )?;
                refuse_clause_if(json_path.is_some(), "a path behind a table", LEAVE_OUT, span)?;
                refuse_clause_if(sample.is_some(), SAMPLE.0, SAMPLE.1, span)
            }
            TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
                check_table_alias(alias.as_ref(), span)?;
                refuse_clause_if(sample.is_some(), SAMPLE.0, SAMPLE.1, span)
            }
            TableFactor::Function { with_ordinality, .. } => {
                refuse_clause_if(*with_ordinality, "WITH ORDINALITY", "use row_number()", span)
            }
            // Planned in full, or refused by the planner.
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<DroppedClause> {
        let span = expr.span();
        if let Expr::Interval(interval) = expr {
            return check_interval_unit(interval, span);
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Function {
            name,
            uses_odbc_syntax: _, // {fn f(x)} means f(x).
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        let given = !matches!(parameters, FunctionArguments::None);
        let way_out = "write all arguments in one pair of brackets";
        refuse_clause_if(given, "a second pair of brackets behind a function", way_out, span)?;
        let plain = match name.0.as_slice() {
            [part] => part.as_ident().map(normalize_ident),
            _ => None,
        };
        let Some(plain) = plain else { return ControlFlow::Continue(()) };
        if !(self.is_scalar)(&plain) {
            return match args {
                FunctionArguments::List(list) => check_function_call(&plain, list, function, span),
                _ => ControlFlow::Continue(()),
            };
        }
        let way_out = "leave it out: the function has one value for each row";
        refuse_clause_if(over.is_some(), "OVER behind a function of one row", way_out, span)?;
        refuse_clause_if(filter.is_some(), "FILTER behind a function of one row", way_out, span)?;
        refuse_clause_if(!within_group.is_empty(), "WITHIN GROUP here", way_out, span)?;
        refuse_clause_if(
            null_treatment.is_some(),
            "IGNORE NULLS or RESPECT NULLS here",
            way_out,
            span,
        )?;
        let FunctionArguments::List(list) = args else { return ControlFlow::Continue(()) };
        refuse_clause_if(
            list.duplicate_treatment.is_some(),
            "DISTINCT or ALL here",
            way_out,
            span,
        )?;
        refuse_clause_if(!list.clauses.is_empty(), "a clause in these brackets", way_out, span)
    }
}
