//! SQL names of Arrow types.

use arrow::datatypes::{DataType, TimeUnit};

/// Returns the SQL name of a type: `double`, `timestamp(us, UTC)`, `struct(macd double, macdsignal double)`.
pub(super) fn type_name(kind: &DataType) -> String {
    let plain = match kind {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::UInt8 => "utinyint",
        DataType::UInt16 => "usmallint",
        DataType::UInt32 => "uinteger",
        DataType::UInt64 => "ubigint",
        DataType::Float16 => "half",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "blob",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        _ => "",
    };
    match kind {
        DataType::Timestamp(unit, None) => format!("timestamp({})", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp({}, {zone})", unit_name(*unit)),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p}, {s})"),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct({})", fields.join(", "))
        }
        other if plain.is_empty() => other.to_string().to_lowercase(),
        _ => plain.to_string(),
    }
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Fields};
    use std::sync::Arc;

    #[test]
    fn names() {
        let double = Arc::new(Field::new("x", DataType::Float64, true));
        let cases = [
            (DataType::Float64, "double"),
            (DataType::Utf8View, "varchar"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp(us)"),
            (DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), "timestamp(s, UTC)"),
            (DataType::Decimal128(18, 4), "decimal(18, 4)"),
            (DataType::Struct(Fields::from(vec![Arc::clone(&double)])), "struct(x double)"),
            (DataType::List(double), "double[]"),
        ];
        for (kind, expected) in cases {
            assert_eq!(type_name(&kind), expected);
        }
    }
}
