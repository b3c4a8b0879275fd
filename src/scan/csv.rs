//! Reads CSV files into the columns of a source.
//!
//! DataFusion's CSV scan takes columns by position and knows one spelling of NULL. Market data
//! comes with headers in any order and with `NA`, `null` and `NaN`. So the files are read by name
//! and as text: these words are NULL in a column of numbers or times, and text in a column of text.

use std::io::BufReader;
use std::sync::Arc;
use std::task::Poll;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as PlanResult, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{Stream, stream};
use tokio::sync::mpsc;

use super::csv_text;
use super::file_errors::unreadable_file_error;
use super::file_slice::FileSlice;
use super::schema::is_measure;
use crate::error::{Error, Result};

/// The files that one partition of a scan reads, one after the other.
#[derive(Debug)]
pub(crate) struct CsvPartition {
    /// The files, in order.
    pub files: Vec<FileSlice>,
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
        let batches =
            files.into_iter().flat_map(move |file| match read_csv_file(&file, &schema, rows) {
                Ok(batches) => batches,
                Err(error) => Box::new(std::iter::once(Err(error))),
            });
        let batches = batches.map(|b| b.map_err(|e| DataFusionError::External(Box::new(e))));
        if !self.files.iter().any(|part| part.info.file.object.is_some()) {
            return Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&self.schema),
                stream::iter(batches),
            ));
        }
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream_on_thread(batches)))
    }
}

/// Streams the batches of files on servers from a separate thread, which may block on them.
fn stream_on_thread(
    batches: impl Iterator<Item = PlanResult<RecordBatch>> + Send + 'static,
) -> impl Stream<Item = PlanResult<RecordBatch>> + Send {
    let (sender, mut receiver) = mpsc::channel(2);
    let end = sender.clone();
    let read = move || {
        for batch in batches {
            if sender.blocking_send(Some(batch)).is_err() {
                return; // The receiver was dropped.
            }
        }
        let _ = sender.blocking_send(None);
    };
    if std::thread::Builder::new().spawn(read).is_err() {
        let _ = end.try_send(Some(internal_err!("no thread to read a file")));
    }
    drop(end);
    let mut ended = false;
    stream::poll_fn(move |context| {
        if ended {
            return Poll::Ready(None);
        }
        receiver.poll_recv(context).map(|sent| {
            ended = !matches!(sent, Some(Some(Ok(_))));
            // A channel that closes without the end marker means that the thread panicked.
            sent.unwrap_or_else(|| Some(internal_err!("reading a file panicked")))
        })
    })
}

type CsvBatches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Returns the batches of one file in the columns of `schema`.
fn read_csv_file(file: &FileSlice, schema: &SchemaRef, rows: usize) -> Result<CsvBatches> {
    let path = file.info.file.path.clone();
    let own = &file.info.schema;
    // Every value is read as text, so that each column has its own words for NULL.
    let text: Vec<Field> =
        own.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
    let wanted: Vec<usize> =
        (0..text.len()).filter(|i| file.reads_column(schema, text[*i].name())).collect();
    let handle =
        file.info.file.open_reader(0).map_err(|error| unreadable_file_error(&path, &error))?;
    let reader = ReaderBuilder::new(Arc::new(Schema::new(text)))
        .with_header(true)
        .with_batch_size(rows)
        .with_projection(wanted)
        .build(BufReader::with_capacity(64 << 10, handle.reader_from(0)))
        .map_err(|error| unreadable_file_error(&path, &error))?;
    let (schema, file) = (Arc::clone(schema), file.clone());
    let mut before = 0;
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|error| csv_text::diagnose_csv(&file.info.file, &error))?;
        let typed = cast_text_batch(&file, &batch, &schema, before)?;
        before += batch.num_rows();
        file.adapt_batch(&typed, &schema)
    })))
}

/// Casts a batch of text to the types that the source gives its columns; `before` is the number of
/// rows of the file before the batch.
fn cast_text_batch(
    file: &FileSlice,
    batch: &RecordBatch,
    schema: &SchemaRef,
    before: usize,
) -> Result<RecordBatch> {
    let own = batch.schema();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in own.fields().iter().zip(batch.columns()) {
        let ty = schema.field_with_name(field.name()).map(Field::data_type);
        let ty = ty.unwrap_or(&DataType::Utf8);
        let text = column.as_string::<i32>();
        let column = parse_text_column(text, ty).and_then(|column| {
            // As in parquet files: a whole number that becomes a float because other values do must
            // stay the same number.
            let inexact = (*ty == DataType::Float64 && !is_measure(field.name()))
                .then(|| (0..text.len()).find(|row| csv_text::loses_digits(text, *row)));
            inexact.flatten().map_or(Ok(column), Err)
        });
        let column = column.map_err(|row| {
            let (name, value) = (field.name(), text.value(row));
            let line = csv_text::line_of_row(&file.info.file, before + row);
            csv_text::value_type_error(&file.info.file, line, name, value, ty)
        })?;
        columns.push((field.name(), column));
    }
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    // A query may need no column, only the number of rows.
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
        .map_err(|error| Error::internal(error.to_string()))
}

/// Parses text as values of a type; the error is the row of the first value that does not parse.
fn parse_text_column(text: &StringArray, ty: &DataType) -> std::result::Result<ArrayRef, usize> {
    let plain = if ty.is_string() { text.clone() } else { replace_null_words(text) };
    let parsed = match ty {
        DataType::Float64 => {
            let number = |text: Option<&str>| text.and_then(csv_text::parse_csv_number);
            Arc::new(plain.iter().map(number).collect::<Float64Array>()) as ArrayRef
        }
        ty => cast(&plain, ty).map_err(|_| 0_usize)?,
    };
    match (0..plain.len()).find(|row| plain.is_valid(*row) && parsed.is_null(*row)) {
        Some(row) => Err(row),
        None => Ok(parsed),
    }
}

/// Replaces the words for NULL with NULL, and trims blanks around the other values.
fn replace_null_words(text: &StringArray) -> StringArray {
    let value = |value: &str| (!csv_text::is_null_word(value)).then(|| value.trim().to_string());
    text.iter().map(|text| text.and_then(value)).collect()
}
