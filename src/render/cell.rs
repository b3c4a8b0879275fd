//! One value -> text for people: short numbers, no control characters.
//!
//! CSV and JSON, which programs read, do not use this module: they keep every digit.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt::Write;

/// The text for NULL.
pub(super) const NULL: &str = "NULL";

/// Returns whether values of this type are aligned to the right.
pub(super) fn is_right_aligned(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_right_aligned(value),
        other => other.is_numeric(),
    }
}

/// Formats the value at `row` as one line of text.
pub(super) fn display_cell(array: &dyn Array, row: usize) -> String {
    let mut out = String::new();
    write_value(&mut out, array, row);
    out
}

fn write_value(out: &mut String, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        return out.push_str(NULL);
    }
    match array.data_type() {
        DataType::Float64 => {
            out.push_str(&format_number(array.as_primitive::<Float64Type>().value(row)))
        }
        DataType::Float32 => {
            out.push_str(&format_float32(array.as_primitive::<Float32Type>().value(row)));
        }
        DataType::Float16 => {
            out.push_str(&format_number(f64::from(array.as_primitive::<Float16Type>().value(row))));
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.normalized_keys().get(row).copied().unwrap_or_default();
            write_value(out, dictionary.values().as_ref(), key);
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            write_list(out, ['{', '}'], fields.len(), |out, index| {
                let _ = write!(out, "{}: ", fields[index].name());
                write_value(out, columns[index].as_ref(), row);
            });
        }
        DataType::List(_) => write_items(out, array.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => write_items(out, array.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(_, _) => {
            write_items(out, array.as_fixed_size_list().value(row).as_ref());
        }
        _ => write_formatted(out, array, row),
    }
}

fn write_items(out: &mut String, items: &dyn Array) {
    write_list(out, ['[', ']'], items.len(), |out, index| write_value(out, items, index));
}

fn write_list(
    out: &mut String,
    [open, close]: [char; 2],
    len: usize,
    mut item: impl FnMut(&mut String, usize),
) {
    out.push(open);
    for index in 0..len {
        if index > 0 {
            out.push_str(", ");
        }
        item(out, index);
    }
    out.push(close);
}

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
    .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"));

fn write_formatted(out: &mut String, array: &dyn Array, row: usize) {
    match ArrayFormatter::try_new(array, &OPTIONS) {
        Ok(formatter) => out.push_str(&escape_controls(&formatter.value(row).to_string())),
        Err(_) => out.push('?'),
    }
}

/// Escapes control characters: data must not control the terminal or break a line of the table.
pub(super) fn escape_controls(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_string();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
        out
    })
}

/// Formats a number for people: six decimals, or six significant digits if it is small; scientific if it is
/// very small or very large.
pub(super) fn format_number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".into()
        } else if value > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    if size != 0.0 && !(1e-5..1e15).contains(&size) {
        return format_scientific(value);
    }
    let decimals = if size == 0.0 || size >= 1.0 { 6 } else { 5 - size.log10().floor() as i32 };
    trim_zeros(format!("{value:.*}", decimals.max(6) as usize))
}

/// Returns the shortest text that reads back to the same value if it is shorter than that of
/// [`format_number`]: `100.1`, not `100.099998`.
fn format_float32(value: f32) -> String {
    let (exact, rounded) = (value.to_string(), format_number(f64::from(value)));
    let exact =
        if exact.contains('.') || !value.is_finite() { exact } else { format!("{exact}.0") };
    if exact.len() < rounded.len() { exact } else { rounded }
}

fn format_scientific(value: f64) -> String {
    let text = format!("{value:.5e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", trim_zeros(digits.to_string())),
        None => text,
    }
}

/// Removes zeros at the end. One decimal stays, so that a double does not look like an integer.
fn trim_zeros(mut text: String) -> String {
    while text.ends_with('0') && !text.ends_with(".0") {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (187.25, "187.25"),
            (1.0 / 3.0, "0.333333"),
            (100.0 / 3.0, "33.333333"),
            (0.000123456789, "0.000123457"),
            (0.0000123456789, "0.0000123457"),
            (0.00000123456789, "1.23457e-6"),
            (123456789.123, "123456789.123"),
            (1e15, "1.0e15"),
            (-1.5e300, "-1.5e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(format_number(value), expected, "{value}");
        }
        assert_eq!(format_float32(0.1), "0.1");
        assert_eq!(format_float32(3.0), "3.0");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(escape_controls("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(escape_controls("plain é"), "plain é");
    }
}
