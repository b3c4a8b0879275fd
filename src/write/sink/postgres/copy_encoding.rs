//! Encodes batches for PostgreSQL's binary COPY.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringViewArray, UInt32Array,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
};
use datafusion::arrow::error::ArrowError;

use super::cells::Cells;
use crate::error::{Error, Result};

/// The start of a binary COPY: its signature, no flags, and no header extension.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The end of a binary COPY, in place of a row's number of columns.
const FOOTER: [u8; 2] = (-1_i16).to_be_bytes();

/// The layout of the features of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableLayout {
    /// One column for each feature.
    Wide,
    /// One row for each feature: entity, time, feature, value.
    Long,
}

/// The encoding of a run's batches as rows of a table.
pub struct CopyEncoding {
    layout: TableLayout,
    entity: usize,
    time: usize,
    /// The columns and types that are sent.
    wire: SchemaRef,
}

impl CopyEncoding {
    /// Creates the encoding for batches of a schema.
    ///
    /// # Errors
    /// A description of features that the long layout cannot store.
    pub fn new(
        layout: TableLayout,
        schema: SchemaRef,
        entity: usize,
        time: usize,
    ) -> Result<Self, String> {
        let wire =
            |field: &Arc<Field>| Field::new(field.name(), wire_type(field.data_type()), true);
        let fields: Vec<Field> = match layout {
            TableLayout::Wide => schema.fields().iter().map(wire).collect(),
            TableLayout::Long => {
                let features = schema.fields().iter().enumerate();
                let features = features.filter(|(i, _)| *i != entity && *i != time);
                let text = features.filter(|(_, field)| !is_number_like(field.data_type()));
                let text: Vec<String> = text.map(|(_, field)| field.name().clone()).collect();
                if !text.is_empty() {
                    return Err(format!(
                        "the long layout holds numbers, and {} is none",
                        text.join(", ")
                    ));
                }
                vec![
                    wire(&schema.fields()[entity]),
                    wire(&schema.fields()[time]),
                    Field::new("feature", DataType::Utf8View, false),
                    Field::new("value", DataType::Float64, true),
                ]
            }
        };
        Ok(Self { layout, entity, time, wire: Arc::new(Schema::new(fields)) })
    }

    /// Returns rows in the layout of the table.
    fn to_table_rows(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, ArrowError> {
        match self.layout {
            TableLayout::Wide => {
                let columns = batch.columns().iter().zip(self.wire.fields());
                let columns = columns.map(|(column, field)| to_wire(column, field.data_type()));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                Ok(vec![RecordBatch::try_new(Arc::clone(&self.wire), columns)?])
            }
            TableLayout::Long => {
                let schema = batch.schema();
                let features =
                    (0..batch.num_columns()).filter(|i| ![self.entity, self.time].contains(i));
                features.map(|i| self.feature_rows(batch, i, schema.field(i).name())).collect()
            }
        }
    }

    /// Returns the rows of one feature that have a value.
    fn feature_rows(
        &self,
        batch: &RecordBatch,
        feature: usize,
        name: &str,
    ) -> Result<RecordBatch, ArrowError> {
        let values = cast(batch.column(feature), &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let rows: UInt32Array =
            (0..values.len()).filter(|row| values.is_valid(*row)).map(|row| row as u32).collect();
        let key = |column: usize, wire: usize| {
            let column = to_wire(batch.column(column), self.wire.field(wire).data_type())?;
            take(&column, &rows, None)
        };
        let columns: Vec<ArrayRef> = vec![
            key(self.entity, 0)?,
            key(self.time, 1)?,
            Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(name, rows.len()))),
            Arc::new(
                rows.values()
                    .iter()
                    .map(|row| Some(values.value(*row as usize)))
                    .collect::<Float64Array>(),
            ),
        ];
        RecordBatch::try_new(Arc::clone(&self.wire), columns)
    }
}

/// Encoded rows in the format of COPY.
pub(super) struct CopyBuffer {
    bytes: Vec<u8>,
    rows: u64,
}

impl CopyBuffer {
    /// Creates an empty buffer in memory that may have been used before.
    pub(super) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.extend_from_slice(&HEADER);
        Self { bytes, rows: 0 }
    }

    /// Appends the rows of a batch.
    pub(super) fn encode_batch(
        &mut self,
        encoding: &CopyEncoding,
        batch: &RecordBatch,
    ) -> Result<()> {
        let laid_out = encoding.to_table_rows(batch).map_err(|error| match error {
            ArrowError::ComputeError(why) => Error::data(why)
                .hint("round the times in the set, with date_trunc('microsecond', ts)"),
            error => encoding_error(&error),
        })?;
        for batch in laid_out {
            self.encode_rows(&batch)?;
            self.rows += batch.num_rows() as u64;
        }
        Ok(())
    }

    fn encode_rows(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = batch.schema();
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| {
            Cells::from_column(column).ok_or_else(|| {
                encoding_error(&format!("{} is {}", field.name(), field.data_type()))
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let width =
            u16::try_from(columns.len()).map_err(|error| encoding_error(&error))?.to_be_bytes();
        let about: usize = columns.iter().map(Cells::estimate_bytes).sum();
        self.bytes.reserve(about + batch.num_rows() * width.len() + FOOTER.len());
        for row in 0..batch.num_rows() {
            self.bytes.extend_from_slice(&width);
            for (number, cells) in columns.iter().enumerate() {
                if let Err(why) = cells.write_cell(row, &mut self.bytes) {
                    return Err(Error::data(format!("{}: {why}", schema.field(number).name()))
                        .hint("leave such rows out of the set"));
                }
            }
        }
        Ok(())
    }

    /// The bytes encoded so far.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the complete bytes and the number of rows.
    pub(super) fn finish(mut self) -> (Vec<u8>, u64) {
        self.bytes.extend_from_slice(&FOOTER);
        (self.bytes, self.rows)
    }
}

fn encoding_error(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("rows cannot be encoded: {error}"))
}

/// Casts values to the type that is sent.
fn to_wire(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    if matches!(column.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) {
        let ticks = cast(column, &DataType::Int64)?;
        let finer = ticks.as_primitive::<Int64Type>().iter().flatten().find(|t| t % 1_000 != 0);
        if let Some(ticks) = finer {
            return Err(ArrowError::ComputeError(format!(
                "{ticks} ns since 1970 is no whole number of microseconds, the least that a table holds"
            )));
        }
    }
    cast(column, ty)
}

/// Returns whether values of a type are numbers, or Booleans, which count as 0 and 1.
fn is_number_like(ty: &DataType) -> bool {
    ty.is_numeric() || *ty == DataType::Boolean
}

/// Returns the type that values are cast to before they are encoded. `pg_type` has a column type for
/// it, and [`Cells`] write its values as that column reads them.
fn wire_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        other => other.clone(),
    }
}
