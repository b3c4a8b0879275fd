//! Expressions and values in messages about a plan: their text, and their position in the file.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;

use crate::error::{Error, TextPlace};

/// Formats a value as a person writes it.
pub(super) fn display_value(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) => format!("'{text}'"),
        other => other.to_string(),
    }
}

/// Formats an expression as a person writes it, cut to a length that fits a sentence.
pub(super) fn display_expr(expr: &Expr) -> String {
    let text = match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(value, _) => display_value(value),
        other => other.to_string(),
    };
    text.chars().take(60).collect()
}

/// Adds the position of the first column of an expression to an error.
pub(super) fn at_first_column(error: Error, expr: &Expr) -> Error {
    let mut place = None;
    let _ = expr.apply(|part| {
        if let Expr::Column(column) = part
            && let Some(span) = column.spans.first()
            && span.start.line > 0
        {
            place = Some(TextPlace {
                file: String::new(),
                line: usize::try_from(span.start.line).unwrap_or(1),
                column: usize::try_from(span.start.column).unwrap_or(1),
            });
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match place {
        Some(place) => error.at_place(place),
        None => error,
    }
}
