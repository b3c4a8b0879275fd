//! Forms that the planner reads as something other than SQL means: each is an error.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Distinct, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TimezoneInfo, Value, Visitor,
    WildcardAdditionalOptions, visit_expressions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{Sql, normalize_ident, span_place};
use crate::error::{Error, Result};

/// A misread form in the words of the statement, the hint, and its span.
type MisreadForm = (&'static str, &'static str, Span);

const SETTINGS_HINT: &str = "use the flags of the command, or windrow.yaml";

impl Sql {
    /// Refuses forms that would compute something else.
    ///
    /// # Errors
    /// The first such form.
    pub fn refuse_misread_forms(&self) -> Result<()> {
        if self.is_reset() {
            return Err(Error::query("RESET is not supported").hint(SETTINGS_HINT));
        }
        match self.visit_statement(&mut MisreadFormFinder) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break((what, way_out, span)) => {
                Err(Error::query(format!("{what} is not supported"))
                    .hint(way_out)
                    .at_place(span_place(span)))
            }
        }
    }
}

fn refuse_form_if(
    is: bool,
    what: &'static str,
    way_out: &'static str,
    span: Span,
) -> ControlFlow<MisreadForm> {
    if is { ControlFlow::Break((what, way_out, span)) } else { ControlFlow::Continue(()) }
}

/// Refuses EXCEPT ALL and INTERSECT ALL: the planner does not count equal rows.
fn check_set_operation(body: &SetExpr, span: Span) -> ControlFlow<MisreadForm> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else {
        return ControlFlow::Continue(());
    };
    let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    let counts = matches!(op, SetOperator::Except | SetOperator::Intersect | SetOperator::Minus);
    let way_out = "leave ALL out, or number equal rows by row_number() and compare the number too";
    refuse_form_if(all && counts, "EXCEPT ALL or INTERSECT ALL", way_out, span)?;
    check_set_operation(left, span)?;
    check_set_operation(right, span)
}

/// Refuses USING and NATURAL in a RIGHT or FULL JOIN: the common column would be NULL where its side has no
/// row.
fn check_merged_key(select: &Select, span: Span) -> ControlFlow<MisreadForm> {
    use JoinOperator::{FullOuter, Right, RightOuter};
    let joins = select.from.iter().flat_map(|table| &table.joins);
    for join in joins {
        let (Right(on) | RightOuter(on) | FullOuter(on)) = &join.join_operator else { continue };
        let merges = matches!(on, JoinConstraint::Using(_) | JoinConstraint::Natural);
        let way_out = "write ON a.symbol = b.symbol, and coalesce(a.symbol, b.symbol) AS symbol";
        refuse_form_if(merges, "USING or NATURAL of a RIGHT or FULL JOIN", way_out, span)?;
    }
    ControlFlow::Continue(())
}

fn check_wildcard(options: &WildcardAdditionalOptions, span: Span) -> ControlFlow<MisreadForm> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude: _, // Planned.
        opt_except: _,  // Planned.
        opt_replace: _, // Planned.
        opt_rename: _,  // Refused by the planner.
        opt_alias: _,   // Refused by the planner.
    } = options;
    refuse_form_if(opt_ilike.is_some(), "ILIKE behind *", "name the columns", span)
}

/// Refuses DISTINCT where the planner would use all values.
fn check_distinct(name: &str, function: &Function, span: Span) -> ControlFlow<MisreadForm> {
    const OF_ONE_VALUE: &[&str] = &[
        "array_agg",
        "avg",
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "count",
        "max",
        "mean",
        "median",
        "min",
        "string_agg",
        "sum",
    ];
    let FunctionArguments::List(list) = &function.args else { return ControlFlow::Continue(()) };
    if list.duplicate_treatment != Some(DuplicateTreatment::Distinct) {
        return ControlFlow::Continue(());
    }
    let of_all = matches!(
        list.args.first(),
        Some(FunctionArg::Unnamed(
            FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_)
        ))
    );
    let way_out = "count the rows of (SELECT DISTINCT * FROM ...)";
    refuse_form_if(of_all, "count(DISTINCT *)", way_out, span)?;
    let way_out = "aggregate the rows of (SELECT DISTINCT ... FROM ...)";
    refuse_form_if(!OF_ONE_VALUE.contains(&name), "DISTINCT in this function", way_out, span)
}

/// Refuses DISTINCT ON with an expression that contains another one of the list: the planner takes the inner one for a
/// column, and then does not find the table of the others.
fn check_distinct_keys(select: &Select) -> ControlFlow<MisreadForm> {
    let Some(Distinct::On(keys)) = &select.distinct else { return ControlFlow::Continue(()) };
    let mut composed = keys.iter().filter(|key| !is_column_name(key));
    let nested = composed.find(|key| {
        let others = keys.iter().filter(|other| other != key && !is_column_name(other));
        others.into_iter().any(|other| contains_expr(key, other))
    });
    let Some(nested) = nested else { return ControlFlow::Continue(()) };
    let way_out = "make the inner one a column: SELECT DISTINCT ON (a, f(a)) ... FROM (SELECT *, ... AS a FROM ...)";
    refuse_form_if(
        true,
        "DISTINCT ON with an expression inside another one",
        way_out,
        nested.span(),
    )
}

fn is_column_name(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_column_name(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => true,
        _ => false,
    }
}

/// Returns whether an expression contains another one.
fn contains_expr(outer: &Expr, inner: &Expr) -> bool {
    let plain = |expr: &Expr| {
        let mut expr = expr;
        while let Expr::Nested(nested) = expr {
            expr = nested;
        }
        expr.to_string()
    };
    let wanted = plain(inner);
    let found = visit_expressions(outer, |part: &Expr| match plain(part) == wanted {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Returns whether the text of a time has a zone: letters or a sign behind the date.
fn has_zone(text: &str) -> bool {
    let clock = text.trim().get(10..).unwrap_or_default();
    let clock = clock.strip_prefix(['T', 't', ' ']).unwrap_or(clock);
    clock.contains(|c: char| c.is_alphabetic() || matches!(c, '+' | '-'))
}

/// Refuses a quoted time with a zone that its type does not store.
fn check_timestamp_literal(text: &Value, ty: &DataType, span: Span) -> ControlFlow<MisreadForm> {
    let Value::SingleQuotedString(text) = text else { return ControlFlow::Continue(()) };
    let plain = matches!(
        ty,
        DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
            | DataType::Datetime(_)
    );
    let way_out = "write TIMESTAMPTZ, or leave the zone out";
    refuse_form_if(plain && has_zone(text), "a zone in a TIMESTAMP", way_out, span)
}

/// Refuses a quoted date with a time of day.
fn check_date_literal(text: &Value, span: Span) -> ControlFlow<MisreadForm> {
    let Value::SingleQuotedString(text) = text else { return ControlFlow::Continue(()) };
    let way_out = "write TIMESTAMP, or the day alone";
    refuse_form_if(text.trim().len() > 10, "a time of day in a DATE", way_out, span)
}

struct MisreadFormFinder;

impl Visitor for MisreadFormFinder {
    type Break = MisreadForm;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<MisreadForm> {
        let changes = matches!(
            statement,
            Statement::Insert(_)
                | Statement::Update(_)
                | Statement::Delete(_)
                | Statement::Merge(_)
        );
        let way_out = "`windrow run` writes a target";
        refuse_form_if(
            changes,
            "a statement that changes rows (INSERT, UPDATE, DELETE, MERGE)",
            way_out,
            statement.span(),
        )?;
        // DataFusion would take settings that switch guards off.
        let sets = matches!(statement, Statement::Set(_));
        refuse_form_if(sets, "SET", SETTINGS_HINT, statement.span())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<MisreadForm> {
        check_set_operation(&query.body, query.span())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<MisreadForm> {
        let span = select.span();
        let nothing = select.projection.is_empty();
        refuse_form_if(nothing, "FROM without SELECT", "write SELECT * FROM ...", span)?;
        refuse_form_if(
            select.into.is_some(),
            "SELECT INTO",
            "write CREATE VIEW ... AS SELECT",
            span,
        )?;
        for item in &select.projection {
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item
            {
                check_wildcard(options, item.span())?;
            }
        }
        check_distinct_keys(select)?;
        check_merged_key(select, span)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<MisreadForm> {
        let span = expr.span();
        match expr {
            Expr::BinaryOp { op: BinaryOperator::BitwiseXor, .. } => refuse_form_if(
                true,
                "^",
                "write power(x, 2), or a # b for the bits of whole numbers",
                span,
            ),
            Expr::TypedString(typed) => {
                if typed.data_type == DataType::Date {
                    check_date_literal(&typed.value.value, span)?;
                }
                check_timestamp_literal(&typed.value.value, &typed.data_type, span)
            }
            Expr::Cast { expr, data_type, .. } => match expr.as_ref() {
                Expr::Value(value) => check_timestamp_literal(&value.value, data_type, span),
                _ => ControlFlow::Continue(()),
            },
            Expr::Value(value) => refuse_form_if(
                matches!(value.value, Value::HexStringLiteral(_)),
                "a hexadecimal literal",
                "write a number in decimal digits, or decode('ff', 'hex') for bytes",
                span,
            ),
            Expr::SimilarTo { .. } => {
                refuse_form_if(true, "SIMILAR TO", "write LIKE, or symbol ~ '^A.*$'", span)
            }
            Expr::Function(function) => match function.name.0.as_slice() {
                [name] => match name.as_ident().map(normalize_ident) {
                    Some(name) => check_distinct(&name, function, span),
                    None => ControlFlow::Continue(()),
                },
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}
