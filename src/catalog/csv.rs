//! Reads CSV files into the columns of a source.
//!
//! DataFusion's CSV scan takes columns by position and knows one spelling of NULL; market data
//! comes with headers in any order and with `NA`, `null` and `NaN`, so the files are read by name.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use super::footer::{CSV_NULL, FileInfo, corrupt};
use crate::error::Result;

/// One file with its place in the order of the source and its hive values by column name.
#[derive(Clone, Debug)]
pub(super) struct CsvFile {
    /// The file.
    pub info: Arc<FileInfo>,
    /// Its place in the order of the source.
    pub ordinal: u32,
    /// Hive partition values by column name.
    pub values: Vec<(String, ScalarValue)>,
}

/// The files that one partition of a scan reads, one after the other.
#[derive(Debug)]
pub(super) struct CsvPartition {
    /// The files, in order.
    pub files: Vec<CsvFile>,
    /// The columns to read; the last is the ordinal.
    pub schema: SchemaRef,
}

impl PartitionStream for CsvPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = context.session_config().batch_size();
        let schema = Arc::clone(&self.schema);
        let files = self.files.clone();
        let batches = files.into_iter().flat_map(move |file| match read(&file, &schema, rows) {
            Ok(batches) => batches,
            Err(error) => Box::new(std::iter::once(Err(error))),
        });
        let batches = batches.map(|b| b.map_err(|e| DataFusionError::External(Box::new(e))));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches)))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The batches of one file in the columns of `schema`.
fn read(file: &CsvFile, schema: &SchemaRef, rows: usize) -> Result<Batches> {
    let path = file.info.file.path.clone();
    let own = &file.info.schema;
    // The file's columns with the types that the source gives them, so that text is parsed once.
    let typed: Vec<Field> = own
        .fields()
        .iter()
        .map(|f| match schema.field_with_name(f.name()) {
            Ok(wanted) => Field::new(f.name(), wanted.data_type().clone(), true),
            Err(_) => f.as_ref().clone().with_nullable(true),
        })
        .collect();
    let wanted: Vec<usize> =
        (0..typed.len()).filter(|i| schema.field_with_name(typed[*i].name()).is_ok()).collect();
    let null = regex::Regex::new(CSV_NULL).map_err(|error| corrupt(&path, error))?;
    let handle = File::open(&path).map_err(|error| corrupt(&path, error))?;
    let reader = ReaderBuilder::new(Arc::new(Schema::new(typed)))
        .with_header(true)
        .with_null_regex(null)
        .with_batch_size(rows)
        .with_projection(wanted)
        .build(BufReader::new(handle))
        .map_err(|error| corrupt(&path, error))?;
    let (schema, file) = (Arc::clone(schema), file.clone());
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|error| corrupt(&path, error))?;
        let columns = schema.fields().iter().enumerate();
        let columns =
            columns.map(|(i, field)| column(&batch, field, i + 1 == schema.fields().len(), &file));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| corrupt(&path, error))
    })))
}

fn column(batch: &RecordBatch, field: &Field, ordinal: bool, file: &CsvFile) -> Result<ArrayRef> {
    let rows = batch.num_rows();
    let broken = |error: &dyn std::fmt::Display| corrupt(&file.info.file.path, error);
    if ordinal {
        return Ok(Arc::new(UInt32Array::from_value(file.ordinal, rows)));
    }
    if let Some((_, value)) = file.values.iter().find(|(name, _)| name == field.name()) {
        return value.to_array_of_size(rows).map_err(|error| broken(&error));
    }
    match batch.column_by_name(field.name()) {
        Some(values) => cast(values, field.data_type()).map_err(|error| broken(&error)),
        None => Ok(new_null_array(field.data_type(), rows)),
    }
}
