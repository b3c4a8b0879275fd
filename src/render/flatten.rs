//! Flattens nested columns for CSV: a struct becomes one column per field, named as a target names
//! it (`macd_macdsignal`); other nested values become JSON text.

use super::from_arrow;
use crate::error::Result;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::is_null;
use arrow::compute::kernels::nullif::nullif;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use std::sync::Arc;

/// Returns the batch with flat columns only; unchanged if it has no nested columns.
pub(super) fn flatten_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    if !batch.schema().fields().iter().any(|field| is_nested(field.data_type())) {
        return Ok(batch.clone());
    }
    let mut flat = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        push_flattened(&mut flat, field.name(), column)?;
    }
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = flat.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(from_arrow)
}

fn is_nested(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_nested(value),
        other => other.is_nested(),
    }
}

fn push_flattened(
    flat: &mut Vec<(FieldRef, ArrayRef)>,
    name: &str,
    column: &ArrayRef,
) -> Result<()> {
    match column.data_type() {
        DataType::Struct(fields) => {
            let record = column.as_struct();
            for (field, values) in fields.iter().zip(record.columns()) {
                // A field of a NULL struct is NULL, whatever value its own array stores.
                let values = match record.nulls() {
                    Some(_) => {
                        nullif(values, &is_null(record).map_err(from_arrow)?).map_err(from_arrow)?
                    }
                    None => Arc::clone(values),
                };
                push_flattened(flat, &format!("{name}_{}", field.name()), &values)?;
            }
        }
        kind if is_nested(kind) => {
            let text: ArrayRef = Arc::new(json_text(column)?);
            flat.push((Arc::new(Field::new(name, DataType::Utf8, true)), text));
        }
        kind => flat.push((Arc::new(Field::new(name, kind.clone(), true)), Arc::clone(column))),
    }
    Ok(())
}

/// Formats each value as JSON: writes records of one field and strips the braces and the name.
fn json_text(column: &ArrayRef) -> Result<StringArray> {
    let field = Field::new("v", column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(column)])
        .map_err(from_arrow)?;
    let mut bytes = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut bytes);
    writer.write(&batch).map_err(from_arrow)?;
    let text = String::from_utf8_lossy(&bytes);
    let values = text.lines().enumerate().map(|(row, line)| {
        let value = line.strip_prefix("{\"v\":").and_then(|line| line.strip_suffix('}'));
        value.filter(|_| column.is_valid(row))
    });
    Ok(values.collect())
}
