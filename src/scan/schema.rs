//! Builds one schema for the files of a source: canonical types, and one type where files differ.
//!
//! This module knows column names and arrow types, not files or plans.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::{Error, Result};

/// Columns whose names mean prices, volumes or factors: always 64-bit floats, so that `close /
/// lag(close)` is never an integer division.
const MEASURES: &[&str] =
    &["open", "high", "low", "close", "volume", "vwap", "adj_close", "factor"];

/// Returns whether a column is a measure by its name.
pub(super) fn is_measure(name: &str) -> bool {
    MEASURES.contains(&name)
}

/// Returns the columns of an unbound `bars`, for `check` and `explain` without data.
pub fn standard_bar_fields() -> Vec<Field> {
    let mut fields = vec![
        Field::new("symbol", DataType::Utf8View, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ];
    fields.extend(
        ["open", "high", "low", "close", "volume"]
            .map(|name| Field::new(name, DataType::Float64, true)),
    );
    fields
}

/// The names of the key columns of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumns {
    /// The entity column: `symbol`.
    pub entity: String,
    /// The time column: `ts`.
    pub time: String,
}

/// Merges the schemas of files into the schema of the source. Each item is the name of a file and
/// its schema; columns keep the order in which they first appear.
///
/// # Errors
/// The types of a column cannot be reconciled, or a measure is no number.
pub(crate) fn reconcile_schemas<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a SchemaRef)>,
    keys: &KeyColumns,
) -> Result<SchemaRef> {
    let mut merged: Vec<(Field, &str)> = Vec::new();
    let mut last: Option<&SchemaRef> = None;
    for (file, schema) in files {
        if last.is_some_and(|l| Arc::ptr_eq(l, schema) || l == schema) {
            continue;
        }
        last = Some(schema);
        let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
        let shares = |(known, _): &(Field, &str)| {
            schema.fields().iter().any(|field| same(field.name(), known.name()))
        };
        if let Some((_, first)) = merged.first()
            && !schema.fields().is_empty()
            && !merged.iter().any(shares)
        {
            let found: Vec<&str> =
                schema.fields().iter().map(|f| f.name().as_str()).take(4).collect();
            return Err(Error::data(format!(
                "{file} has none of the columns of {first}: its own are {}",
                found.join(", ")
            ))
            .hint("give it a header if it has none, or name the files that agree with a glob")
            .with_bad_file(file));
        }
        for field in schema.fields() {
            let ty = canonical_type(field.name(), field.data_type(), keys, file)?;
            match merged.iter_mut().find(|(f, _)| f.name() == field.name()) {
                None => {
                    let alike = |name: &str| {
                        name.trim().eq_ignore_ascii_case(field.name().trim())
                            && schema.field_with_name(name).is_err()
                    };
                    if let Some((known, first)) = merged.iter().find(|(f, _)| alike(f.name())) {
                        return Err(Error::data(format!(
                            "a column is called {:?} in {first} and {:?} in {file}",
                            known.name(),
                            field.name()
                        ))
                        .hint("give it one name in all files, or name the files that agree with a glob")
                        .with_bad_file(file));
                    }
                    merged.push((Field::new(field.name(), ty, true), file));
                }
                Some((known, first)) => {
                    let unified = common_type(known.data_type(), &ty).ok_or_else(|| {
                        Error::data(format!(
                            "column {} is {} in {first} and {} in {file}",
                            field.name(),
                            known.data_type(),
                            ty
                        ))
                        .hint("convert one of the files, or name the files that agree with a glob")
                        .with_bad_file(file)
                    })?;
                    *known = Field::new(field.name(), unified, true);
                }
            }
        }
    }
    let fields = merged.into_iter().map(|(field, _)| field);
    Ok(Arc::new(Schema::new(
        fields
            .map(|f| {
                if *f.data_type() == DataType::Null {
                    f.with_data_type(DataType::Utf8View)
                } else {
                    f
                }
            })
            .collect::<Vec<_>>(),
    )))
}

/// Returns the type of a column in the source, given its type in a file.
pub(crate) fn canonical_type(
    name: &str,
    ty: &DataType,
    keys: &KeyColumns,
    file: &str,
) -> Result<DataType> {
    let ty = match ty {
        DataType::Dictionary(_, value) => value.as_ref(),
        other => other,
    };
    let wrong = |expected: &str| {
        Error::data(format!("column {name} is {ty} in {file}, expected {expected}"))
            .with_bad_file(file)
    };
    if let DataType::Timestamp(_, Some(zone)) = ty
        && Tz::from_str(zone).is_err()
    {
        return Err(Error::data(format!(
            "column {name} has the unknown time zone {zone} in {file}"
        ))
        .hint("write it again with a zone of the tz database, such as America/New_York, or +02:00")
        .with_bad_file(file));
    }
    if name == keys.entity {
        return match ty {
            t if t.is_string() || t.is_integer() || *t == DataType::Null => Ok(DataType::Utf8View),
            _ => Err(wrong("text").hint("store symbols as text")),
        };
    }
    if name == keys.time {
        return match ty {
            DataType::Date32 | DataType::Timestamp(..) | DataType::Null => Ok(ty.clone()),
            DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Millisecond, None)),
            t if t.is_numeric() => Err(wrong("a date or a timestamp").hint(
                "if it counts seconds, write `time: none` under the source in windrow.yaml, so that it is a plain \
                 table, and select to_timestamp_seconds(...) AS ts from it in a set",
            )),
            _ => Err(wrong("a date or a timestamp").hint(
                "write `time: none` under the source in windrow.yaml, so that it is a plain table, and convert \
                 it in a set, for example with to_timestamp(...) AS ts",
            )),
        };
    }
    if is_measure(name) {
        return match ty {
            t if t.is_numeric() || *t == DataType::Null => Ok(DataType::Float64),
            _ => Err(wrong("a number").hint("convert it to a number and store it again")),
        };
    }
    Ok(match ty {
        t if t.is_string() => DataType::Utf8View,
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    })
}

/// Returns the type that holds the values of both; None if there is none.
fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match (a, b) {
        (a, b) if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (a, b) if a.is_signed_integer() && b.is_signed_integer() => Int64,
        (a, b) if a.is_unsigned_integer() && b.is_unsigned_integer() => UInt64,
        (a, b)
            if (a.is_decimal() || b.is_decimal())
                && decimal_digits(a).is_some()
                && decimal_digits(b).is_some() =>
        {
            common_decimal(decimal_digits(a)?, decimal_digits(b)?)
        }
        (a, b) if a.is_numeric() && b.is_numeric() => Float64,
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Timestamp(*unit, zone.clone())
        }
        (Timestamp(a, za), Timestamp(b, zb)) if same_zone(za.as_deref(), zb.as_deref()) => {
            Timestamp(finer_time_unit(*a, *b), za.clone())
        }
        _ => return None,
    })
}

/// Returns the digits of an exact number before and after its decimal point.
fn decimal_digits(ty: &DataType) -> Option<(u8, i8)> {
    use DataType::*;
    match ty {
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => u8::try_from(i16::from(*precision) - i16::from(*scale))
            .ok()
            .map(|whole| (whole, *scale)),
        UInt64 => Some((20, 0)),
        ty if ty.is_integer() => Some((19, 0)),
        _ => None,
    }
}

/// Returns the decimal type that holds the digits of both, or a float if there is none.
fn common_decimal(a: (u8, i8), b: (u8, i8)) -> DataType {
    let (whole, scale) = (a.0.max(b.0), a.1.max(b.1));
    match i16::from(whole) + i16::from(scale) {
        1..=38 => DataType::Decimal128(whole.saturating_add_signed(scale), scale),
        39..=76 => DataType::Decimal256(whole.saturating_add_signed(scale), scale),
        _ => DataType::Float64,
    }
}

/// Returns whether two zone names mean the same clock.
fn same_zone(a: Option<&str>, b: Option<&str>) -> bool {
    const UTC: [&str; 8] = ["UTC", "+00:00", "Z", "Etc/UTC", "GMT", "+0000", "00:00", "Zulu"];
    let utc = |zone: Option<&str>| zone.is_some_and(|zone| UTC.contains(&zone));
    a == b || (utc(a) && utc(b))
}

fn finer_time_unit(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |unit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// Infers the type of a hive partition column from all its values.
pub(crate) fn partition_type<'a>(
    name: &str,
    keys: &KeyColumns,
    values: impl Iterator<Item = Option<&'a str>> + Clone,
) -> DataType {
    let mut known = values.flatten().peekable();
    if name == keys.entity || known.peek().is_none() {
        return DataType::Utf8View;
    }
    let all: Vec<&str> = known.collect();
    if is_measure(name) {
        return DataType::Float64;
    }
    if all.iter().all(|v| v.parse::<chrono::NaiveDate>().is_ok()) {
        DataType::Date32
    } else if name == keys.time {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    } else if all.iter().all(|v| v.parse::<i64>().is_ok() && !(v.len() > 1 && v.starts_with('0'))) {
        DataType::Int64
    } else {
        DataType::Utf8View
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> KeyColumns {
        KeyColumns { entity: "symbol".into(), time: "ts".into() }
    }

    fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
        let fields = fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    #[test]
    fn files_that_differ_are_reconciled() {
        use DataType::*;
        let a = schema(&[("symbol", Utf8), ("ts", Date32), ("close", Int64), ("n", Int32)]);
        let b = schema(&[
            ("ts", Timestamp(TimeUnit::Second, None)),
            ("symbol", Dictionary(Box::new(Int32), Box::new(Utf8))),
            ("close", Decimal128(10, 2)),
            ("n", Float32),
            ("sector", LargeUtf8),
        ]);
        let merged = reconcile_schemas([("a", &a), ("b", &b)], &keys()).unwrap();
        let found: Vec<_> =
            merged.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
        assert_eq!(
            found,
            [
                ("symbol", Utf8View),
                ("ts", Timestamp(TimeUnit::Second, None)),
                ("close", Float64),
                ("n", Float64),
                ("sector", Utf8View)
            ]
        );
    }

    #[test]
    fn exact_numbers_stay_exact() {
        use DataType::*;
        for (a, b, both) in [
            (Decimal128(10, 2), Decimal128(8, 4), Decimal128(12, 4)),
            (Decimal128(10, 2), Int64, Decimal128(21, 2)),
            (Decimal128(38, 0), Decimal128(20, 20), Decimal256(58, 20)),
            (Decimal32(5, 2), Decimal64(12, 2), Decimal128(12, 2)),
            (Decimal128(10, 2), Float64, Float64),
            (Int64, UInt64, Float64),
        ] {
            assert_eq!(common_type(&a, &b), Some(both.clone()), "{a} {b}");
            assert_eq!(common_type(&b, &a), Some(both), "{b} {a}");
        }
    }

    #[test]
    fn types_that_cannot_be_reconciled_name_both_files() {
        let zone = Some("UTC".into());
        let a = schema(&[("ts", DataType::Timestamp(TimeUnit::Second, None))]);
        let b = schema(&[("ts", DataType::Timestamp(TimeUnit::Second, zone))]);
        let error = reconcile_schemas([("a.parquet", &a), ("b.parquet", &b)], &keys()).unwrap_err();
        assert!(
            error.to_string().starts_with("column ts is Timestamp(s) in a.parquet and"),
            "{error}"
        );
        let c = schema(&[("close", DataType::Utf8)]);
        let error = reconcile_schemas([("c.parquet", &c)], &keys()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column close is Utf8 in c.parquet, expected a number; convert it to a number and store it again"
        );
    }
}
