//! What a query says that its author most likely did not mean; nothing here is an error of SQL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, Query, Select, Spanned, Visitor, WindowType,
};
use windrow_udfs::Kind;

use super::calls::shared_with_sql;
use super::{Sql, at, fold, walk};
use crate::error::Error;

/// Window functions of SQL that mean nothing without an order.
const ORDERED: &[&str] =
    &["lag", "lead", "row_number", "rank", "dense_rank", "first_value", "last_value", "nth_value"];

impl Sql {
    /// Findings with their places. Call it after [`Sql::rewrite`] on a copy, so that named windows
    /// are resolved. `entity` and `time` are the key columns.
    pub fn lint(&self, entity: &str, time: &str) -> Vec<Error> {
        let mut lint = Lint { entity, time, ..Default::default() };
        if let Some(query) = self.query() {
            let _ = walk::read(query, &mut lint);
        }
        lint.both_deviations();
        lint.found
    }
}

#[derive(Default)]
struct Lint<'a> {
    entity: &'a str,
    time: &'a str,
    found: Vec<Error>,
    sample: Option<Error>,
    population: bool,
}

impl Visitor for Lint<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if has_window(select) {
            let mut conditions = Conditions { time: self.time, found: Vec::new() };
            // Conditions of this SELECT and of the subqueries it reads.
            let _ = walk::read(&select.from, &mut conditions);
            conditions.check(select.selection.as_ref());
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
            self.window(function);
        }
        ControlFlow::Continue(())
    }
}

impl Lint<'_> {
    fn window(&mut self, function: &Function) {
        let Some(WindowType::WindowSpec(window)) = &function.over else { return };
        let Some(ident) = function.name.0.last().and_then(|part| part.as_ident()) else { return };
        let name = fold(ident);
        let place = at(ident.span);
        let entry = windrow_udfs::find(&name);
        // SQL has functions of the same names, which take no period.
        let ours =
            entry.filter(|e| !shared_with_sql(e) || arguments(function) > e.spec.inputs.len());
        self.deviation(&name, ours.is_some(), function);
        let by = |column: &str| window.partition_by.iter().any(|e| names(e, column));
        let (entity, time) = (self.entity, self.time);
        let cross_section = ours.is_some_and(|e| e.spec.kind() == Kind::CrossSection);
        if cross_section && !by(time) {
            let error = Error::query(format!("{name} is not partitioned by {time}"));
            self.found
                .push(error.hint(format!("write OVER (PARTITION BY {time})")).at(place.clone()));
        } else if !cross_section && !by(entity) && !by(time) {
            let error = Error::query(format!("{name} mixes the rows of all symbols"));
            let hint = format!("write OVER (PARTITION BY {entity} ORDER BY {time})");
            self.found.push(error.hint(hint).at(place.clone()));
        }
        if window.order_by.is_empty() && ORDERED.contains(&name.as_str()) {
            let error = Error::query(format!("{name} has no ORDER BY: which row it means is open"));
            let hint = format!("write OVER (PARTITION BY {entity} ORDER BY {time})");
            self.found.push(error.hint(hint).at(place));
        }
    }

    fn deviation(&mut self, name: &str, ours: bool, function: &Function) {
        match name {
            "stddev" | "var" if ours => self.population = true,
            "stddev" | "stddev_samp" | "var" | "var_samp" => {
                let at = at(function.name.span());
                self.sample.get_or_insert_with(|| {
                    Error::query(format!(
                        "{name}(x) is the sample statistic of SQL, {name}(x, period) in this file the population one of TA-Lib"
                    ))
                    .hint("use stddev_pop(x) and var_pop(x), or the period everywhere")
                    .at(at)
                });
            }
            _ => {}
        }
    }

    fn both_deviations(&mut self) {
        if self.population
            && let Some(error) = self.sample.take()
        {
            self.found.push(error);
        }
    }
}

fn arguments(function: &Function) -> usize {
    match &function.args {
        datafusion::sql::sqlparser::ast::FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    }
}

/// Whether an expression is, or is made of, a column.
fn names(expr: &Expr, column: &str) -> bool {
    struct Names<'a>(&'a str);
    impl Visitor for Names<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let ident = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            if ident.is_some_and(|ident| fold(ident) == self.0) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    walk::read(expr, &mut Names(column)).is_break()
}

/// Whether a SELECT has window functions of its own.
fn has_window(select: &Select) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(Function { over: Some(_), .. }) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    walk::read(&select.projection, &mut Find).is_break()
}

/// Conditions on the time column.
struct Conditions<'a> {
    time: &'a str,
    found: Vec<Error>,
}

impl Visitor for Conditions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.check(select.selection.as_ref());
        ControlFlow::Continue(())
    }
}

impl Conditions<'_> {
    fn check(&mut self, condition: Option<&Expr>) {
        if let Some(condition) = condition.filter(|c| names(c, self.time)) {
            let time = self.time;
            let error = Error::query(format!(
                "WHERE on {time} under a window cuts the rows that its values start from"
            ));
            let hint = "leave it out and restrict the output with --from and --until, or filter in an outer SELECT";
            self.found.push(error.hint(hint).at(at(condition.span())));
        }
    }
}
