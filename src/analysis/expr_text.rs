//! The text of an expression as a user would write it, in names of the source: `volume > 0`. Keys and filters
//! are compared by this text, so different computations have different texts.

use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Cast, InList, TryCast, WindowFunction};
use datafusion::logical_expr::{BinaryExpr, Expr};

/// Returns the name of a column.
pub(super) type ColumnNamer<'a> = &'a dyn Fn(&Column) -> String;

/// The frames of windows that specify none.
const DEFAULT_FRAMES: [&str; 2] = [
    "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
];

/// The longest text, in bytes. Without a limit, columns built from columns would grow without end.
const LONGEST: usize = 400;

/// Returns the text of an expression. A long text is cut to its beginning and a digest.
pub(super) fn bounded_expr_text(expr: &Expr, name: ColumnNamer) -> String {
    let text = full_expr_text(expr, name);
    if text.len() <= LONGEST {
        return text;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let start: String = text.chars().take(60).collect();
    format!("{start}... #{:x}", hasher.finish())
}

fn full_expr_text(expr: &Expr, name: ColumnNamer) -> String {
    match expr {
        Expr::Column(column) => name(column),
        Expr::Alias(alias) => full_expr_text(&alias.expr, name),
        Expr::Literal(value, _) => literal_text(value),
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let inner = full_expr_text(expr, name);
            match **expr {
                // The planner casts literals to the type of their column.
                Expr::Literal(..) => inner,
                _ => format!("CAST({inner} AS {})", field.data_type()),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let own = op.precedence();
            let left = operand_text(left, name, |inner| inner < own);
            format!("{left} {op} {}", operand_text(right, name, |inner| inner <= own))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let not = if *negated { "NOT " } else { "" };
            format!("{} {not}IN ({})", full_expr_text(expr, name), join_expr_texts(list, name))
        }
        Expr::ScalarFunction(call) => {
            format!("{}({})", call.func.name(), join_expr_texts(&call.args, name))
        }
        Expr::WindowFunction(call) => window_text(call, name),
        other => fallback_expr_text(other, name),
    }
}

/// Returns the text of one side of an operator, in parentheses where precedence requires them.
fn operand_text(expr: &Expr, name: ColumnNamer, looser: impl Fn(u8) -> bool) -> String {
    match expr {
        Expr::BinaryExpr(inner) if looser(inner.op.precedence()) => {
            format!("({})", full_expr_text(expr, name))
        }
        _ => full_expr_text(expr, name),
    }
}

fn join_expr_texts(exprs: &[Expr], name: ColumnNamer) -> String {
    exprs.iter().map(|expr| full_expr_text(expr, name)).collect::<Vec<_>>().join(", ")
}

fn literal_text(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn window_text(call: &WindowFunction, name: ColumnNamer) -> String {
    let params = &call.params;
    let mut over = Vec::new();
    if !params.partition_by.is_empty() {
        over.push(format!("PARTITION BY {}", join_expr_texts(&params.partition_by, name)));
    }
    if !params.order_by.is_empty() {
        let order = params.order_by.iter().map(|sort| {
            let direction = if sort.asc { "" } else { " DESC" };
            full_expr_text(&sort.expr, name) + direction
        });
        over.push(format!("ORDER BY {}", order.collect::<Vec<_>>().join(", ")));
    }
    let frame = params.window_frame.to_string();
    if !DEFAULT_FRAMES.contains(&frame.as_str()) {
        over.push(frame);
    }
    let mut text = format!("{}({})", call.fun.name(), join_expr_texts(&params.args, name));
    if params.distinct {
        text += " DISTINCT";
    }
    if let Some(filter) = &params.filter {
        text += &format!(" FILTER (WHERE {})", full_expr_text(filter, name));
    }
    if let Some(nulls) = &params.null_treatment {
        text += &format!(" {nulls}");
    }
    format!("{text} OVER ({})", over.join(" "))
}

/// Returns DataFusion's text of an expression, with the texts of this module for its parts.
fn fallback_expr_text(expr: &Expr, name: ColumnNamer) -> String {
    let lists = matches!(expr, Expr::AggregateFunction(_) | Expr::Case(_));
    let named = expr.clone().map_children(|part| {
        let text = full_expr_text(&part, name);
        let text = match part {
            Expr::BinaryExpr(_) if !lists => format!("({text})"),
            _ => text,
        };
        Ok(Transformed::yes(Expr::Column(Column::new_unqualified(text))))
    });
    match named {
        Ok(named) => named.data.human_display().to_string(),
        Err(_) => expr.human_display().to_string(),
    }
}
