//! Translates filters on the keys to the server's SQL.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::scan::schema::KeyColumns;
use crate::store::quote_ident;

/// Translates a condition on the keys to the server's SQL; None if it refers to anything else. A
/// filter on another column must see the row that won among duplicates.
pub(crate) fn filter_to_sql(filter: &Expr, keys: &KeyColumns) -> Option<String> {
    Some(match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            format!("({} AND {})", filter_to_sql(left, keys)?, filter_to_sql(right, keys)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            format!("({} OR {})", filter_to_sql(left, keys)?, filter_to_sql(right, keys)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
                (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
                _ => return None,
            };
            let op = match op {
                Operator::Eq => "=",
                Operator::NotEq => "<>",
                Operator::Lt => "<",
                Operator::LtEq => "<=",
                Operator::Gt => ">",
                Operator::GtEq => ">=",
                _ => return None,
            };
            format!("{} {op} {}", key_column_sql(&column.name, keys)?, key_value_sql(value)?)
        }
        Expr::Between(between) => {
            let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                (between.expr.as_ref(), between.low.as_ref(), between.high.as_ref())
            else {
                return None;
            };
            let not = if between.negated { "NOT " } else { "" };
            let column = key_column_sql(&column.name, keys)?;
            format!("{column} {not}BETWEEN {} AND {}", key_value_sql(low)?, key_value_sql(high)?)
        }
        Expr::InList(list) => {
            let Expr::Column(column) = list.expr.as_ref() else { return None };
            let value = |expr: &Expr| match expr {
                Expr::Literal(value, _) => key_value_sql(value),
                _ => None,
            };
            let values = list.list.iter().map(value).collect::<Option<Vec<_>>>()?;
            if values.is_empty() {
                return None;
            }
            let not = if list.negated { "NOT " } else { "" };
            format!("{} {not}IN ({})", key_column_sql(&column.name, keys)?, values.join(", "))
        }
        _ => return None,
    })
}

/// Returns the SQL of a key column that compares as windrow does: text byte by byte.
fn key_column_sql(name: &str, keys: &KeyColumns) -> Option<String> {
    if name == keys.entity {
        return Some(format!("{}::text COLLATE \"C\"", quote_ident(name)));
    }
    (name == keys.time).then(|| quote_ident(name))
}

/// Returns the SQL of a value of a key; None for NULL and for types that no key has.
fn key_value_sql(value: &ScalarValue) -> Option<String> {
    let text =
        |text: &str| (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")));
    let at = |micros: i64, ty: &str| {
        let time = chrono::DateTime::from_timestamp_micros(micros)?;
        Some(format!("'{}'::{ty}", time.format("%Y-%m-%d %H:%M:%S%.6f+00")))
    };
    match value {
        ScalarValue::Utf8(Some(value))
        | ScalarValue::LargeUtf8(Some(value))
        | ScalarValue::Utf8View(Some(value)) => {
            // Backslashes stand for themselves, as in the SQL standard and by the server's default.
            text(value)
        }
        ScalarValue::Date32(Some(days)) => {
            let micros = i64::from(*days) * 86_400_000_000;
            let day = chrono::DateTime::from_timestamp_micros(micros)?;
            Some(format!("'{}'::date", day.format("%Y-%m-%d")))
        }
        // A time without a zone is written with an offset, which its type ignores.
        ScalarValue::TimestampMicrosecond(Some(micros), None) => at(*micros, "timestamp"),
        ScalarValue::TimestampMicrosecond(Some(micros), Some(_)) => at(*micros, "timestamptz"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn keys_are_filtered_by_the_server() {
        let keys = KeyColumns { entity: "symbol".into(), time: "ts".into() };
        let day = lit(ScalarValue::Date32(Some(18_000)));
        let moment = lit(ScalarValue::TimestampMicrosecond(Some(1_500_000), None));
        let cases = [
            (col("symbol").eq(lit("O'X")), Some("\"symbol\"::text COLLATE \"C\" = 'O''X'")),
            (lit("A").lt(col("symbol")), Some("\"symbol\"::text COLLATE \"C\" > 'A'")),
            (
                col("symbol").in_list(vec![lit("A"), lit("B")], true),
                Some("\"symbol\"::text COLLATE \"C\" NOT IN ('A', 'B')"),
            ),
            (col("ts").gt_eq(day.clone()), Some("\"ts\" >= '2019-04-14'::date")),
            (col("ts").lt(moment), Some("\"ts\" < '1970-01-01 00:00:01.500000+00'::timestamp")),
            (
                col("ts").between(day.clone(), day.clone()),
                Some("\"ts\" BETWEEN '2019-04-14'::date AND '2019-04-14'::date"),
            ),
            (
                col("ts").gt(day.clone()).or(col("symbol").eq(lit("A"))),
                Some("(\"ts\" > '2019-04-14'::date OR \"symbol\"::text COLLATE \"C\" = 'A')"),
            ),
            (col("close").gt(lit(1.0)), None),
            (col("ts").gt(day).and(col("close").gt(lit(1.0))), None),
            (col("symbol").like(lit("A%")), None),
        ];
        for (filter, expected) in cases {
            assert_eq!(filter_to_sql(&filter, &keys).as_deref(), expected, "{filter}");
        }
    }
}
