//! Single values in the format of PostgreSQL's binary COPY: their length, then the bytes that the
//! type's `recv` function reads (PostgreSQL documentation, "COPY", file formats; `numeric_recv` and
//! similar functions in the server's source).

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringViewArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

/// Days from 1970 to 2000, the server's epoch for dates.
const EPOCH_DAYS: i64 = 10_957;

/// Microseconds from 1970 to 2000, the server's epoch for times.
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * 86_400 * 1_000_000;

/// The length that marks a NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// The values of one column.
pub(super) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: CellValues<'a>,
    rows: usize,
}

enum CellValues<'a> {
    Boolean(&'a BooleanArray),
    Smallint(&'a [i16]),
    Integer(&'a [i32]),
    Bigint(&'a [i64]),
    Real(&'a [f32]),
    Double(&'a [f64]),
    /// The digits, and how many of them follow the decimal point.
    Numeric(&'a [i128], u8),
    /// Days since 1970.
    Date(&'a [i32]),
    /// Microseconds since 1970.
    Timestamp(&'a [i64]),
    Text(&'a StringViewArray),
    Bytea(&'a BinaryArray),
}

impl<'a> Cells<'a> {
    /// Returns the cells of a column; None if the type is not sent over the wire.
    pub(super) fn from_column(column: &'a ArrayRef) -> Option<Self> {
        let values = match column.data_type() {
            DataType::Boolean => CellValues::Boolean(column.as_boolean()),
            DataType::Int16 => CellValues::Smallint(column.as_primitive::<Int16Type>().values()),
            DataType::Int32 => CellValues::Integer(column.as_primitive::<Int32Type>().values()),
            DataType::Int64 => CellValues::Bigint(column.as_primitive::<Int64Type>().values()),
            DataType::Float32 => CellValues::Real(column.as_primitive::<Float32Type>().values()),
            DataType::Float64 => CellValues::Double(column.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(_, scale) => {
                let digits = column.as_primitive::<Decimal128Type>().values();
                CellValues::Numeric(digits, u8::try_from(*scale).ok()?)
            }
            DataType::Date32 => CellValues::Date(column.as_primitive::<Date32Type>().values()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                CellValues::Timestamp(column.as_primitive::<TimestampMicrosecondType>().values())
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                CellValues::Bigint(column.as_primitive::<Time64MicrosecondType>().values())
            }
            DataType::Utf8View => CellValues::Text(column.as_string_view()),
            DataType::Binary => CellValues::Bytea(column.as_binary()),
            _ => return None,
        };
        Some(Self { nulls: column.nulls(), values, rows: column.len() })
    }

    /// Estimates the bytes that all cells take.
    pub(super) fn estimate_bytes(&self) -> usize {
        let value = match self.values {
            CellValues::Boolean(_) => 1,
            CellValues::Smallint(_) => 2,
            CellValues::Integer(_) | CellValues::Real(_) | CellValues::Date(_) => 4,
            CellValues::Bigint(_) | CellValues::Double(_) | CellValues::Timestamp(_) => 8,
            CellValues::Text(_) | CellValues::Bytea(_) | CellValues::Numeric(..) => 16,
        };
        self.rows * (NULL.len() + value)
    }

    /// Writes the value of a row.
    ///
    /// # Errors
    /// A description of a value that the server cannot represent.
    #[inline]
    pub(super) fn write_cell(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&NULL);
            return Ok(());
        }
        match &self.values {
            CellValues::Double(values) => write_eight_bytes(values[row].to_be_bytes(), out),
            CellValues::Bigint(values) => write_eight_bytes(values[row].to_be_bytes(), out),
            CellValues::Timestamp(values) => {
                let time = since_2000(values[row], EPOCH_MICROSECONDS, i64::MIN, "µs")?;
                write_eight_bytes(time.to_be_bytes(), out);
            }
            CellValues::Text(values) => return write_sized(values.value(row).as_bytes(), out),
            CellValues::Date(values) => {
                let (day, least) = (i64::from(values[row]), i64::from(i32::MIN));
                let day = since_2000(day, EPOCH_DAYS, least, "days")?;
                write_four_bytes((day as i32).to_be_bytes(), out);
            }
            CellValues::Real(values) => write_four_bytes(values[row].to_be_bytes(), out),
            CellValues::Integer(values) => write_four_bytes(values[row].to_be_bytes(), out),
            CellValues::Smallint(values) => {
                let [high, low] = values[row].to_be_bytes();
                out.extend_from_slice(&[0, 0, 0, 2, high, low]);
            }
            CellValues::Boolean(values) => {
                out.extend_from_slice(&[0, 0, 0, 1, u8::from(values.value(row))]);
            }
            CellValues::Bytea(values) => return write_sized(values.value(row), out),
            CellValues::Numeric(values, scale) => write_numeric(values[row], *scale, out),
        }
        Ok(())
    }
}

/// Converts a time since 1970 into one since 2000. The smallest number is the server's -infinity.
fn since_2000(value: i64, epoch: i64, least: i64, unit: &str) -> Result<i64, String> {
    value
        .checked_sub(epoch)
        .filter(|since| *since > least)
        .ok_or_else(|| format!("{value} {unit} since 1970 is before all times that a table holds"))
}

/// Writes a value of four bytes.
fn write_four_bytes(value: [u8; 4], out: &mut Vec<u8>) {
    let mut cell = [0, 0, 0, 4, 0, 0, 0, 0];
    cell[4..].copy_from_slice(&value);
    out.extend_from_slice(&cell);
}

/// Writes a value of eight bytes.
fn write_eight_bytes(value: [u8; 8], out: &mut Vec<u8>) {
    let mut cell = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    cell[4..].copy_from_slice(&value);
    out.extend_from_slice(&cell);
}

/// Writes a value of any length.
fn write_sized(value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let Ok(length) = i32::try_from(value.len()) else {
        return Err(format!("a value of {} bytes is more than a table holds", value.len()));
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// Writes a decimal number: digits of base 10,000, aligned at the decimal point, without zeros at
/// either end.
fn write_numeric(value: i128, scale: u8, out: &mut Vec<u8>) {
    let ten_to = |n: u8| 10_u128.pow(u32::from(n));
    let magnitude = value.unsigned_abs();
    let (mut whole, mut fraction) = (magnitude / ten_to(scale), magnitude % ten_to(scale));
    let mut digits: Vec<u16> = Vec::with_capacity(12);
    while whole > 0 {
        digits.push((whole % 10_000) as u16);
        whole /= 10_000;
    }
    digits.reverse();
    let mut weight = digits.len() as i16 - 1;
    let mut left = scale;
    while left > 0 && fraction > 0 {
        let digit = match left.checked_sub(4) {
            Some(rest) => {
                let digit = fraction / ten_to(rest);
                fraction %= ten_to(rest);
                left = rest;
                digit
            }
            None => {
                let digit = fraction * ten_to(4 - left);
                left = 0;
                digit
            }
        };
        if digits.is_empty() && digit == 0 {
            weight -= 1;
        } else {
            digits.push(digit as u16);
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        weight = 0;
    }
    let length = 8 + 2 * digits.len() as i32;
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    out.extend_from_slice(&length.to_be_bytes());
    for part in [digits.len() as u16, weight as u16, sign, u16::from(scale)] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of digits, the weight, the sign, the digits after the point, and the digits.
    fn parts(value: i128, scale: u8) -> (i16, i16, bool, i16, Vec<i16>) {
        let mut out = Vec::new();
        write_numeric(value, scale, &mut out);
        assert_eq!(out[..4], (out.len() as i32 - 4).to_be_bytes());
        let parts: Vec<i16> =
            out[4..].chunks(2).map(|two| i16::from_be_bytes([two[0], two[1]])).collect();
        (parts[0], parts[1], parts[2] == 0x4000, parts[3], parts[4..].to_vec())
    }

    #[test]
    fn numerics_as_the_server_sends_them() {
        // `SELECT encode(numeric_send(x), 'hex')` of PostgreSQL 15.
        assert_eq!(parts(0, 0), (0, 0, false, 0, vec![]));
        assert_eq!(parts(1, 0), (1, 0, false, 0, vec![1]));
        assert_eq!(parts(-1234567, 0), (2, 1, true, 0, vec![123, 4567]));
        assert_eq!(parts(10_000, 0), (1, 1, false, 0, vec![1]));
        assert_eq!(parts(123_456, 2), (2, 0, false, 2, vec![1234, 5600]));
        assert_eq!(parts(5, 5), (1, -2, false, 5, vec![5000]));
        assert_eq!(parts(100_000_001, 5), (3, 0, false, 5, vec![1000, 0, 1000]));
        assert_eq!(parts(i128::from(u64::MAX), 0).4, [1844, 6744, 737, 955, 1615]);
        let most = 10_i128.pow(38) - 1;
        assert_eq!(parts(most, 38).4, [vec![9999; 9], vec![9900]].concat());
        assert_eq!(parts(most, 37).4, [vec![9], vec![9999; 9], vec![9000]].concat());
    }
}
