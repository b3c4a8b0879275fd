//! Reads CSV files into the columns of a source.
//!
//! DataFusion's CSV scan takes columns by position and knows one spelling of NULL; market data
//! comes with headers in any order and with `NA`, `null` and `NaN`, so the files are read by name.

use std::io::BufReader;
use std::sync::Arc;
use std::task::Poll;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as PlanResult, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{Stream, stream};
use tokio::sync::mpsc;

use super::file_slice::FileSlice;
use super::footer::{CSV_NULL, corrupt, unreadable};
use crate::error::Result;

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
        let batches = files.into_iter().flat_map(move |file| match read(&file, &schema, rows) {
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
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), waiting(batches)))
    }
}

/// Batches of files on servers, by a thread of their own that may wait for them.
fn waiting(
    batches: impl Iterator<Item = PlanResult<RecordBatch>> + Send + 'static,
) -> impl Stream<Item = PlanResult<RecordBatch>> + Send {
    let (sender, mut receiver) = mpsc::channel(2);
    let end = sender.clone();
    let read = move || {
        for batch in batches {
            if sender.blocking_send(Some(batch)).is_err() {
                return; // Nobody wants more.
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
            // Without a word at the end, the thread did not come to it.
            sent.unwrap_or_else(|| Some(internal_err!("reading a file panicked")))
        })
    })
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The batches of one file in the columns of `schema`.
fn read(file: &FileSlice, schema: &SchemaRef, rows: usize) -> Result<Batches> {
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
    let handle = file.info.file.open(0).map_err(|error| unreadable(&path, &error))?;
    let reader = ReaderBuilder::new(Arc::new(Schema::new(typed)))
        .with_header(true)
        .with_null_regex(null)
        .with_batch_size(rows)
        .with_projection(wanted)
        .build(BufReader::with_capacity(64 << 10, handle.rest(0)))
        .map_err(|error| unreadable(&path, &error))?;
    let (schema, file) = (Arc::clone(schema), file.clone());
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|error| unreadable(&path, &error))?;
        file.adapt(&batch, &schema)
    })))
}
