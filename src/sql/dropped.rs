//! Clauses that the parser accepts and the planner drops without a word: each is an error.
//!
//! Every struct of the parser is taken apart in full, so that a field which a later version adds does
//! not compile before somebody says what becomes of it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, DataType, Expr, Function, FunctionArguments, GroupByExpr, Interval, Join, Query, Select,
    Spanned, TableFactor, TimezoneInfo, Value, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{Sql, at, fold, walk};
use crate::error::{Error, Result};

/// What was found, in the words of the statement, with the way out.
type Dropped = (&'static str, &'static str, Span);

/// The way out of what changes no value.
const LEAVE_OUT: &str = "leave it out";

impl Sql {
    /// Refuses clauses that would change nothing and say nothing. `is_scalar` says whether a function has
    /// one value for each row, and thus neither groups nor an order.
    ///
    /// # Errors
    /// The first of them.
    pub fn check_dropped(&self, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
        let Some(statement) = self.statement() else { return Ok(()) };
        match walk::read(statement, &mut Finder { is_scalar }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break((what, way_out, span)) => {
                Err(Error::query(format!("{what} is not supported")).hint(way_out).at(at(span)))
            }
        }
    }
}

/// Stops with what is dropped, if it is there.
fn found(is: bool, what: &'static str, way_out: &'static str, span: Span) -> ControlFlow<Dropped> {
    if is { ControlFlow::Break((what, way_out, span)) } else { ControlFlow::Continue(()) }
}

/// Refuses an interval of a number alone: in a frame it would be months, elsewhere seconds.
fn unit(interval: &Interval, span: Span) -> ControlFlow<Dropped> {
    let number = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().parse::<f64>().is_ok(),
            Value::Number(..) => true,
            _ => false,
        },
        _ => false,
    };
    let bare = number && interval.leading_field.is_none();
    found(bare, "INTERVAL without a unit", "write INTERVAL '7 days', for example", span)
}

/// Whether a time is written with its zone: behind the day stands Z, or a plus or minus.
fn has_zone(text: &str) -> bool {
    let text = text.trim();
    let clock = text.get(10..).unwrap_or_default();
    !clock.is_empty() && (clock.ends_with(['Z', 'z']) || clock.contains(['+', '-']))
}

struct Finder<'a> {
    is_scalar: &'a dyn Fn(&str) -> bool,
}

impl Visitor for Finder<'_> {
    type Break = Dropped;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Dropped> {
        let span = query.span();
        let Query {
            with,
            body: _,
            order_by: _,
            limit_clause: _, // LIMIT BY is refused by the planner.
            fetch: _,        // Refused by the planner.
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators: _, // Planned, or refused by the planner.
        } = query;
        for Cte { alias: _, query: _, from, materialized, closing_paren_token: _ } in
            with.iter().flat_map(|with| &with.cte_tables)
        {
            found(from.is_some(), "FROM behind a WITH query", LEAVE_OUT, span)?;
            let way_out = "leave it out: what is read twice is computed once";
            found(materialized.is_some(), "MATERIALIZED", way_out, span)?;
        }
        found(!locks.is_empty(), "FOR UPDATE or FOR SHARE", LEAVE_OUT, span)?;
        found(for_clause.is_some(), "FOR XML, FOR JSON or FOR BROWSE", LEAVE_OUT, span)?;
        found(settings.is_some(), "SETTINGS", "use flags and windrow.yaml", span)?;
        found(format_clause.is_some(), "FORMAT", "use --format", span)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Dropped> {
        let span = select.span();
        let Select {
            select_token: _,
            optimizer_hints: _, // Comments.
            distinct: _,
            select_modifiers,
            top: _, // Refused by the planner.
            top_before_distinct: _,
            projection: _,
            exclude,
            into: _, // Planned as a new table, which is refused elsewhere.
            from,
            lateral_views: _, // Refused by the planner.
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by: _, // Refused by the planner.
            distribute_by,
            sort_by: _, // Refused by the planner.
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor: _, // FROM before SELECT means the same.
        } = select;
        for Join { relation: _, global, join_operator: _ } in from.iter().flat_map(|t| &t.joins) {
            found(*global, "GLOBAL in front of JOIN", LEAVE_OUT, span)?;
        }
        found(select_modifiers.is_some(), "a modifier behind SELECT", LEAVE_OUT, span)?;
        let way_out = "write EXCLUDE directly behind the *";
        found(exclude.is_some(), "EXCLUDE at the end of SELECT", way_out, span)?;
        found(prewhere.is_some(), "PREWHERE", "write WHERE", span)?;
        found(!connect_by.is_empty(), "CONNECT BY", "write WITH RECURSIVE", span)?;
        found(!distribute_by.is_empty(), "DISTRIBUTE BY", LEAVE_OUT, span)?;
        found(value_table_mode.is_some(), "SELECT AS", "name the columns", span)?;
        match group_by {
            GroupByExpr::All(_) => found(true, "GROUP BY ALL", "name the columns", span),
            GroupByExpr::Expressions(_, modifiers) => {
                let way_out = "write GROUP BY ROLLUP (...), CUBE (...) or GROUPING SETS (...)";
                found(!modifiers.is_empty(), "WITH ROLLUP, WITH CUBE or WITH TOTALS", way_out, span)
            }
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Dropped> {
        const SAMPLE: (&str, &str) =
            ("TABLESAMPLE", "take rows by a condition, such as WHERE random() < 0.1");
        let span = factor.span();
        match factor {
            TableFactor::Table {
                name: _,
                alias: _,
                args: _,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let way_out = "write AS in front of it if it is meant as another name";
                let hints = !with_hints.is_empty() || !index_hints.is_empty();
                found(hints, "a hint behind a table", way_out, span)?;
                found(version.is_some(), "a version of a table", "name its location", span)?;
                found(*with_ordinality, "WITH ORDINALITY", "use row_number()", span)?;
                found(!partitions.is_empty(), "PARTITION behind a table", "write WHERE", span)?;
                found(json_path.is_some(), "a path behind a table", LEAVE_OUT, span)?;
                found(sample.is_some(), SAMPLE.0, SAMPLE.1, span)
            }
            TableFactor::Derived { lateral: _, subquery: _, alias: _, sample } => {
                found(sample.is_some(), SAMPLE.0, SAMPLE.1, span)
            }
            TableFactor::Function { with_ordinality, .. } => {
                found(*with_ordinality, "WITH ORDINALITY", "use row_number()", span)
            }
            // Planned in full, or refused by the planner.
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Dropped> {
        let span = expr.span();
        if let Expr::Interval(interval) = expr {
            return unit(interval, span);
        }
        if let Expr::TypedString(typed) = expr
            && matches!(
                typed.data_type,
                DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
            )
            && let Value::SingleQuotedString(text) = &typed.value.value
        {
            let way_out = "write TIMESTAMPTZ, or leave the zone out";
            found(has_zone(text), "a zone in a TIMESTAMP", way_out, span)?;
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Function {
            name,
            uses_odbc_syntax: _, // {fn f(x)} is f(x).
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        let given = !matches!(parameters, FunctionArguments::None);
        let way_out = "write all arguments in one pair of brackets";
        found(given, "a second pair of brackets behind a function", way_out, span)?;
        let plain = match name.0.as_slice() {
            [part] => part.as_ident().map(fold),
            _ => None,
        };
        if !plain.is_some_and(|name| (self.is_scalar)(&name)) {
            return ControlFlow::Continue(());
        }
        let way_out = "leave it out: the function has one value for each row";
        found(over.is_some(), "OVER behind a function of one row", way_out, span)?;
        found(filter.is_some(), "FILTER behind a function of one row", way_out, span)?;
        found(!within_group.is_empty(), "WITHIN GROUP here", way_out, span)?;
        found(null_treatment.is_some(), "IGNORE NULLS or RESPECT NULLS here", way_out, span)?;
        let FunctionArguments::List(list) = args else { return ControlFlow::Continue(()) };
        found(list.duplicate_treatment.is_some(), "DISTINCT or ALL here", way_out, span)?;
        found(!list.clauses.is_empty(), "a clause in these brackets", way_out, span)
    }
}
