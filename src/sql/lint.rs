//! Finds parts of a query that its author most likely did not mean. None of them is an error in SQL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, Query, Select, Spanned, Visitor, WindowType,
};
use windrow_udfs::FunctionKind;

use super::indicator_calls::is_shared_with_sql;
use super::{Sql, normalize_ident, span_place, walk};
use crate::error::Error;

/// Window functions of SQL that are meaningless without an order.
const ORDERED: &[&str] =
    &["lag", "lead", "row_number", "rank", "dense_rank", "first_value", "last_value", "nth_value"];

impl Sql {
    /// Returns the findings with their places. Call it after [`Sql::rewrite_statement`] on a copy, so that
    /// named windows are resolved. `entity` and `time` are the key columns.
    pub fn lint(&self, entity: &str, time: &str) -> Vec<Error> {
        let mut lint = QueryLint { entity, time, ..Default::default() };
        if let Some(query) = self.query() {
            let _ = walk::read(query, &mut lint);
        }
        lint.report_mixed_deviations();
        lint.found
    }
}

#[derive(Default)]
struct QueryLint<'a> {
    entity: &'a str,
    time: &'a str,
    found: Vec<Error>,
    sample: Option<Error>,
    population: bool,
}

impl Visitor for QueryLint<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if has_window_function(select) {
            let mut conditions = TimeConditions { time: self.time, found: Vec::new() };
            // The conditions of this SELECT, and of the subqueries that it reads.
            let _ = walk::read(&select.from, &mut conditions);
            conditions.check_time_condition(select.selection.as_ref());
            for error in conditions.found {
                if !self.found.iter().any(|known| known.place() == error.place()) {
                    self.found.push(error);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.lint_window(function);
        }
        ControlFlow::Continue(())
    }
}

impl QueryLint<'_> {
    fn lint_window(&mut self, function: &Function) {
        let Some(WindowType::WindowSpec(window)) = &function.over else { return };
        let Some(ident) = function.name.0.last().and_then(|part| part.as_ident()) else { return };
        let name = normalize_ident(ident);
        let place = span_place(ident.span);
        let entry = windrow_udfs::find_function(&name);
        // SQL has functions of the same names that take no period.
        let ours = entry
            .filter(|e| !is_shared_with_sql(e) || argument_count(function) > e.spec.inputs.len());
        self.note_deviation(&name, ours.is_some(), function);
        let by = |column: &str| window.partition_by.iter().any(|e| mentions_column(e, column));
        let (entity, time) = (self.entity, self.time);
        let cross_section =
            ours.is_some_and(|e| e.spec.function_kind() == FunctionKind::CrossSection);
        if cross_section && !by(time) {
            let error = Error::query(format!("{name} is not partitioned by {time}"));
            self.found.push(
                error.hint(format!("write OVER (PARTITION BY {time})")).at_place(place.clone()),
            );
        } else if !cross_section && !by(entity) && !by(time) {
            let error = Error::query(format!("{name} mixes the rows of all symbols"));
            let hint = format!("write OVER (PARTITION BY {entity} ORDER BY {time})");
            self.found.push(error.hint(hint).at_place(place.clone()));
        }
        if window.order_by.is_empty() && ORDERED.contains(&name.as_str()) {
            let error = Error::query(format!("{name} has no ORDER BY: which row it means is open"));
            let hint = format!("write OVER (PARTITION BY {entity} ORDER BY {time})");
            self.found.push(error.hint(hint).at_place(place));
        }
    }

    fn note_deviation(&mut self, name: &str, ours: bool, function: &Function) {
        match name {
            "stddev" | "var" if ours => self.population = true,
            "stddev" | "stddev_samp" | "var" | "var_samp" => {
                let at = span_place(function.name.span());
                self.sample.get_or_insert_with(|| {
                    Error::query(format!(
                        "{name}(x) is the sample statistic of SQL, {name}(x, period) in this file the population one of TA-Lib"
                    ))
                    .hint("use stddev_pop(x) and var_pop(x), or the period everywhere")
                    .at_place(at)
                });
            }
            _ => {}
        }
    }

    fn report_mixed_deviations(&mut self) {
        if self.population
            && let Some(error) = self.sample.take()
        {
            self.found.push(error);
        }
    }
}

fn argument_count(function: &Function) -> usize {
    match &function.args {
        datafusion::sql::sqlparser::ast::FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    }
}

/// Returns whether an expression is, or contains, a column.
fn mentions_column(expr: &Expr, column: &str) -> bool {
    struct ColumnFinder<'a>(&'a str);
    impl Visitor for ColumnFinder<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let ident = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            if ident.is_some_and(|ident| normalize_ident(ident) == self.0) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    walk::read(expr, &mut ColumnFinder(column)).is_break()
}

/// Returns whether the outputs of a SELECT contain window functions.
fn has_window_function(select: &Select) -> bool {
    struct OwnWindowFinder;
    impl Visitor for OwnWindowFinder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(Function { over: Some(_), .. }) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    walk::read(&select.projection, &mut OwnWindowFinder).is_break()
}

/// The search for conditions on the time column.
struct TimeConditions<'a> {
    time: &'a str,
    found: Vec<Error>,
}

impl Visitor for TimeConditions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.check_time_condition(select.selection.as_ref());
        ControlFlow::Continue(())
    }
}

impl TimeConditions<'_> {
    fn check_time_condition(&mut self, condition: Option<&Expr>) {
        if let Some(condition) = condition.filter(|c| mentions_column(c, self.time)) {
            let time = self.time;
            let error = Error::query(format!(
                "WHERE on {time} under a window cuts the rows that its values start from"
            ));
            let hint = "leave it out and restrict the output with --from and --until, or filter in an outer SELECT";
            self.found.push(error.hint(hint).at_place(span_place(condition.span())));
        }
    }
}
