//! Completes calls of indicators: any subset of parameters by name, and defaults for the rest.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query,
    UnaryOperator, Value, Visitor, VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use windrow_udfs::{Entry, FunctionKind};

use super::{Sql, normalize_ident, span_place, walk};
use crate::error::{Error, Result, did_you_mean};

/// Completes every call of an indicator in a query.
pub(super) fn complete_calls(query: &mut Query) -> Result<()> {
    struct CallCompleter;
    impl VisitorMut for CallCompleter {
        type Break = Error;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            match complete_call(function) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }
    }
    match walk::rewrite(query, &mut CallCompleter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

impl Sql {
    /// Returns the name of the first window function that is called, with OVER or without.
    pub fn first_window_call(&self) -> Option<String> {
        struct WindowCallFinder;
        impl Visitor for WindowCallFinder {
            type Break = String;
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
                let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
                let [part] = function.name.0.as_slice() else { return ControlFlow::Continue(()) };
                let name = part.as_ident().map(normalize_ident).unwrap_or_default();
                let FunctionArguments::List(list) = &function.args else {
                    return ControlFlow::Continue(());
                };
                let ours = windrow_udfs::find_function(&name).is_some_and(|entry| {
                    !is_shared_with_sql(entry) || list.args.len() > entry.spec.inputs.len()
                });
                if ours || function.over.is_some() {
                    ControlFlow::Break(name)
                } else {
                    ControlFlow::Continue(())
                }
            }
        }
        match self.visit_statement(&mut WindowCallFinder) {
            ControlFlow::Break(name) => Some(name),
            ControlFlow::Continue(()) => None,
        }
    }
}

fn complete_call(function: &mut Function) -> Result<()> {
    let [part] = function.name.0.as_slice() else { return Ok(()) };
    let Some(name) = part.as_ident().cloned() else { return Ok(()) };
    let Some(entry) = windrow_udfs::find_function(&normalize_ident(&name)) else {
        return check_over(&normalize_ident(&name), function)
            .map_err(|error| error.at_place(span_place(name.span)));
    };
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let inputs = entry.spec.inputs.len();
    if is_shared_with_sql(entry) && list.args.len() <= inputs {
        return Ok(()); // `max(close)` is the aggregate of SQL.
    }
    let written: Vec<String> = list.args.iter().map(ToString::to_string).collect();
    let Some(WindowType::WindowSpec(window)) = &function.over else {
        let error =
            Error::query(format!("{} is a window function and has no OVER", entry.spec.name));
        return Err(error
            .hint(format!("write {}", example_call(entry, &written)))
            .at_place(span_place(name.span)));
    };
    let ordered = !window.order_by.is_empty();
    let wrong = match entry.spec.function_kind() {
        FunctionKind::Indicator if !ordered => Some("its window has no ORDER BY"),
        FunctionKind::Indicator if window.window_frame.is_some() => {
            Some("it takes no frame: its parameters say how far it looks back")
        }
        FunctionKind::CrossSection if ordered => {
            Some("its window has ORDER BY: it takes the whole group")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(Error::query(format!("{}: {wrong}", entry.spec.name))
            .hint(format!("write {}", example_call(entry, &written)))
            .at_place(span_place(name.span)));
    }
    let args = std::mem::take(&mut list.args);
    list.args = positional_arguments(entry, &name, args)?;
    Ok(())
}

/// Refuses a window function of SQL that has no OVER.
fn check_over(name: &str, function: &Function) -> Result<()> {
    const RANKS: [&str; 6] =
        ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"];
    let ranks = RANKS.contains(&name);
    if function.over.is_some() || !(ranks || matches!(name, "lag" | "lead")) {
        return Ok(());
    }
    let window =
        if ranks { "PARTITION BY ts ORDER BY close" } else { "PARTITION BY symbol ORDER BY ts" };
    let args = function.args.to_string();
    Err(Error::query(format!("{name} is a window function and has no OVER"))
        .hint(format!("write {name}{args} OVER ({window})")))
}

/// Returns whether SQL has an aggregate of the same name. The indicator is then meant only if a period is
/// given.
pub(super) fn is_shared_with_sql(entry: &Entry) -> bool {
    matches!(entry.spec.name, "max" | "median" | "min" | "sum" | "stddev" | "var")
}

/// Returns a correct call, with the arguments as written if there are any.
fn example_call(entry: &Entry, written: &[String]) -> String {
    let inputs = entry.spec.inputs.join(", ");
    let params: Vec<String> = entry.spec.params.iter().map(|p| p.default.to_string()).collect();
    let args = match written {
        [] if params.is_empty() => inputs,
        [] => format!("{inputs}, {}", params.join(", ")),
        written => written.join(", "),
    };
    match entry.spec.function_kind() {
        FunctionKind::Indicator => {
            format!("{}({args}) OVER (PARTITION BY symbol ORDER BY ts)", entry.spec.name)
        }
        FunctionKind::CrossSection => format!("{}({args}) OVER (PARTITION BY ts)", entry.spec.name),
    }
}

/// Returns all arguments by position: inputs, then every parameter, given or default.
fn positional_arguments(
    entry: &Entry,
    name: &Ident,
    args: Vec<FunctionArg>,
) -> Result<Vec<FunctionArg>> {
    let spec = &entry.spec;
    let names: Vec<&str> =
        spec.inputs.iter().copied().chain(spec.params.iter().map(|p| p.name)).collect();
    let bare = |message: String| {
        Error::query(format!("{}: {message}", spec.name)).at_place(span_place(name.span))
    };
    let wrong = |message: String| bare(message).hint(format!("write {}", spec.call_signature()));
    let mut slots: Vec<Option<FunctionArgExpr>> = vec![None; names.len()];
    let mut named = false;
    for (position, arg) in args.into_iter().enumerate() {
        let (slot, value) = match arg {
            FunctionArg::Unnamed(value) if parameter_comparison(&value, &names).is_some() => {
                let (name, value) = parameter_comparison(&value, &names).unwrap_or_default();
                let error = bare(format!("{name} = {value} compares"));
                return Err(error.hint(format!("write {name} => {value}")));
            }
            FunctionArg::Unnamed(_) if named => {
                return Err(wrong("a positional argument stands behind a named one".into()));
            }
            FunctionArg::Unnamed(value) if position < names.len() => (position, value),
            FunctionArg::Unnamed(_) => {
                return Err(wrong(format!("too many arguments, expected at most {}", names.len())));
            }
            FunctionArg::Named { name, arg, .. } => {
                named = true;
                (argument_slot(entry, &names, &normalize_ident(&name), name.span)?, arg)
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => {
                named = true;
                (argument_slot(entry, &names, &normalize_ident(&name), name.span)?, arg)
            }
            FunctionArg::ExprNamed { name, .. } => {
                return Err(wrong(format!("{name} is no parameter name")));
            }
        };
        if slots[slot].replace(value).is_some() {
            return Err(wrong(format!("{} is given twice", names[slot])));
        }
    }
    slots
        .into_iter()
        .enumerate()
        .map(|(slot, value)| {
            let param = slot.checked_sub(spec.inputs.len()).map(|i| &spec.params[i]);
            let value = match (value, param) {
                (Some(value), Some(param)) => {
                    resolve_value_name(value, |text| param.parse_name(text))
                }
                (Some(value), None) => match literal_argument(&value) {
                    Some(text) => {
                        let input = names[slot];
                        let message = format!("its input {input} is a column, and {text} none");
                        let name = text.trim_matches('\'');
                        return Err(match name == text {
                            true => wrong(message),
                            false => bare(message).hint(format!("write {name} without quotes")),
                        });
                    }
                    None => value,
                },
                (None, Some(param)) => FunctionArgExpr::Expr(number_literal(param.default)),
                (None, None) => {
                    return Err(wrong(format!("the input {} is missing", names[slot])));
                }
            };
            Ok(FunctionArg::Unnamed(value))
        })
        .collect()
}

/// Returns a number or text that is given where a column is expected: usually a parameter in the wrong
/// position.
fn literal_argument(value: &FunctionArgExpr) -> Option<String> {
    let FunctionArgExpr::Expr(expr) = value else { return None };
    let mut inner = expr;
    while let Expr::UnaryOp { expr, .. } | Expr::Nested(expr) = inner {
        inner = expr;
    }
    matches!(inner, Expr::Value(_)).then(|| expr.to_string())
}

/// Returns a parameter and its value if they are written as a comparison, `timeperiod = 14`.
fn parameter_comparison(value: &FunctionArgExpr, names: &[&str]) -> Option<(String, String)> {
    let FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right }) = value
    else {
        return None;
    };
    let Expr::Identifier(name) = left.as_ref() else { return None };
    let name = normalize_ident(name);
    names.contains(&name.as_str()).then(|| (name, right.to_string()))
}

fn argument_slot(entry: &Entry, names: &[&str], name: &str, span: Span) -> Result<usize> {
    names.iter().position(|known| *known == name).ok_or_else(|| {
        let params: Vec<&str> = names[entry.spec.inputs.len()..].to_vec();
        Error::query(format!("{}: unknown parameter {name}", entry.spec.name))
            .hint(did_you_mean(name, "parameters", params))
            .at_place(span_place(span))
    })
}

/// Replaces a value that is given by name, such as `'ema'` for a moving average, by its number.
fn resolve_value_name(
    value: FunctionArgExpr,
    parse: impl Fn(&str) -> Option<f64>,
) -> FunctionArgExpr {
    if let FunctionArgExpr::Expr(Expr::Value(literal)) = &value
        && let Value::SingleQuotedString(text) = &literal.value
        && let Some(parsed) = parse(text)
    {
        return FunctionArgExpr::Expr(number_literal(parsed));
    }
    value
}

fn number_literal(value: f64) -> Expr {
    let literal = |v: f64| Expr::Value(Value::Number(v.to_string(), false).with_empty_span());
    if value < 0.0 {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(literal(-value)) }
    } else {
        literal(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_sql_owns_are_known() {
        let aggregates = datafusion::functions_aggregate::all_default_aggregate_functions();
        let owned = |name: &str| {
            let names = |udf: &std::sync::Arc<datafusion::logical_expr::AggregateUDF>| {
                udf.name() == name || udf.aliases().iter().any(|alias| alias == name)
            };
            aggregates.iter().any(names)
        };
        for entry in windrow_udfs::all_functions() {
            assert_eq!(is_shared_with_sql(entry), owned(entry.spec.name), "{}", entry.spec.name);
        }
    }
}
