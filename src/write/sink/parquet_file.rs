//! One parquet file: columns of floats are encoded here, all others by the parquet crate.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use datafusion::parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use datafusion::parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use datafusion::parquet::basic;
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::types::ColumnPath;

use super::float_encoder::{ColumnScratch, FloatColumn};
use super::page_compressor::PageCompressor;
use crate::config::Compression;

/// Bytes passed to the system at a time.
const BUFFER: usize = 256 << 10;

/// A writer of one parquet file, faster than that of the parquet crate for columns of floats.
pub struct ParquetFile {
    writer: SerializedFileWriter<BufWriter<Box<dyn Write + Send>>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// Which columns are encoded here.
    own: Vec<bool>,
    /// The compression of those columns.
    compression: basic::Compression,
    /// The maximum rows of a row group.
    most: usize,
    kept: FileScratch,
    /// The column writers of the open row group, one for each leaf.
    open: Vec<LeafWriter>,
    rows: usize,
}

/// State that a file passes to the next one of its schema: memory, and the best compression of its
/// columns.
pub struct FileScratch {
    compressor: PageCompressor,
    /// The state that the last row group left, for each leaf.
    columns: Vec<ColumnScratch>,
}

impl std::fmt::Debug for FileScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileScratch").field("columns", &self.columns.len()).finish_non_exhaustive()
    }
}

impl FileScratch {
    /// Creates the scratch for a first file with this compression.
    ///
    /// # Errors
    /// The compressor cannot be created.
    pub fn new(compression: Compression) -> Result<Self> {
        Ok(Self { compressor: PageCompressor::new(compression)?, columns: Vec::new() })
    }
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("rows", &self.rows).finish_non_exhaustive()
    }
}

enum LeafWriter {
    FloatColumn(Box<FloatColumn>),
    Other(Box<ArrowColumnWriter>),
}

impl ParquetFile {
    /// Creates an empty file. `own` marks the columns that are encoded here: columns of floats whose
    /// properties set BYTE_STREAM_SPLIT, without a dictionary. The compression of `kept` must be that
    /// of the properties.
    ///
    /// # Errors
    /// Parquet lacks a type of the schema, or the file cannot be written.
    pub fn new(
        file: Box<dyn Write + Send>,
        schema: SchemaRef,
        properties: WriterProperties,
        own: Vec<bool>,
        mut kept: FileScratch,
    ) -> Result<Self> {
        let most = properties.max_row_group_row_count().unwrap_or(usize::MAX);
        let compression = properties.compression(&ColumnPath::new(Vec::new()));
        let mut facts = properties.key_value_metadata().cloned().unwrap_or_default();
        facts.push(arrow_schema_metadata(&schema));
        let mut properties = properties.into_builder().set_key_value_metadata(Some(facts));
        // The crate creates writers for these columns, too, each with a compressor unless uncompressed.
        for (field, _) in schema.fields().iter().zip(&own).filter(|(_, own)| **own) {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_compression(path, basic::Compression::UNCOMPRESSED);
        }
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true);
        let file = BufWriter::with_capacity(BUFFER, file);
        let writer = ArrowWriter::try_new_with_options(file, SchemaRef::clone(&schema), options)?;
        let (writer, factory) = writer.into_serialized_writer()?;
        kept.columns.resize_with(writer.schema_descr().num_columns(), ColumnScratch::default);
        let open = Vec::new();
        Ok(Self { writer, factory, schema, own, compression, most, kept, open, rows: 0 })
    }

    /// The rows of the open row group.
    pub(super) fn open_rows(&self) -> usize {
        self.rows
    }

    /// Writes rows; ends each row group that becomes full.
    ///
    /// # Errors
    /// The columns do not match the schema, or the file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let count = (self.most - self.rows).min(batch.num_rows() - from);
            self.append_to_group(&batch.slice(from, count))?;
            from += count;
            if self.rows == self.most {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn append_to_group(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.open.is_empty() {
            self.open = self.create_leaf_writers()?;
        }
        let mut open = self.open.iter_mut();
        for (field, values) in self.schema.fields().iter().zip(batch.columns()) {
            let mut next = || open.next().ok_or_else(|| missing_writer_error(field.name()));
            let mut leaves = None;
            loop {
                match next()? {
                    LeafWriter::FloatColumn(column) => {
                        column.append_array(values, &mut self.kept.compressor)?;
                        break;
                    }
                    LeafWriter::Other(column) => {
                        let leaves = match &mut leaves {
                            Some(leaves) => leaves,
                            none => none.insert(compute_leaves(field, values)?.into_iter()),
                        };
                        let leaf =
                            leaves.next().ok_or_else(|| missing_writer_error(field.name()))?;
                        column.write(&leaf)?;
                        if leaves.len() == 0 {
                            break;
                        }
                    }
                }
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Creates the column writers of a new row group.
    fn create_leaf_writers(&mut self) -> Result<Vec<LeafWriter>> {
        let group = self.writer.flushed_row_groups().len();
        let leaves = self.writer.schema_descr();
        let others = self.factory.create_column_writers(group)?.into_iter().enumerate();
        Ok(others
            .map(|(leaf, other)| {
                if !self.own[leaves.get_column_root_idx(leaf)] {
                    return LeafWriter::Other(Box::new(other));
                }
                let before = std::mem::take(&mut self.kept.columns[leaf]);
                let column = leaves.column(leaf);
                LeafWriter::FloatColumn(Box::new(FloatColumn::new(
                    column,
                    self.compression,
                    self.most,
                    before,
                )))
            })
            .collect())
    }

    /// Ends the row group if one is open.
    pub(super) fn end_group(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (column, before) in self.open.drain(..).zip(&mut self.kept.columns) {
            match column {
                LeafWriter::Other(column) => column.close()?.append_to_row_group(&mut group)?,
                LeafWriter::FloatColumn(column) => {
                    let chunk = column.close_chunk(&mut self.kept.compressor)?;
                    group.append_column(&chunk.bytes, chunk.close)?;
                    *before = chunk.before;
                    before.recycle_chunk(chunk.bytes);
                }
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Closes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(mut self) -> Result<FileScratch> {
        self.end_group()?;
        let mut file = self.writer.into_inner()?;
        file.flush()?;
        Ok(self.kept)
    }
}

/// Returns Arrow's schema for the metadata. It gives readers what parquet's schema lacks: time zones
/// and notes. Text columns are declared as plain strings: pyarrow 26 reads string views, but neither
/// compares nor sorts them.
fn arrow_schema_metadata(schema: &Schema) -> KeyValue {
    let fields: Fields = schema.fields().iter().map(field_without_views).collect();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    KeyValue::new(ARROW_SCHEMA_META_KEY.to_string(), encode_arrow_schema(&schema))
}

/// Replaces view types in a field by plain ones.
fn field_without_views(field: &FieldRef) -> FieldRef {
    let ty = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(field_without_views).collect())
        }
        DataType::List(item) => DataType::List(field_without_views(item)),
        DataType::LargeList(item) => DataType::LargeList(field_without_views(item)),
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(ty))
}

fn missing_writer_error(column: &str) -> ParquetError {
    ParquetError::General(format!("column {column} has no writer"))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        ArrayRef, ListArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    };
    use datafusion::arrow::buffer::OffsetBuffer;
    use datafusion::arrow::datatypes::{Field, TimeUnit};
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn texts_are_plain_to_readers_and_zones_keep_their_names() {
        let words = || Arc::new(StringViewArray::from(vec!["one", "a word of more bytes"]));
        let item = |ty| Arc::new(Field::new("item", ty, false));
        let list = |words| {
            let offsets = OffsetBuffer::from_lengths([1, 1]);
            ListArray::new(item(DataType::Utf8View), offsets, words, None)
        };
        let zone = "America/New_York";
        let times = TimestampMicrosecondArray::from(vec![1, 2]).with_timezone(zone);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("word", words()),
            ("time", Arc::new(times)),
            ("list", Arc::new(list(words()))),
            ("group", Arc::new(StructArray::from(vec![(item(DataType::Utf8View), words() as _)]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let fact = KeyValue::new("known".to_string(), "before".to_string());
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![fact]));
        let handle = Box::new(file.reopen().unwrap());
        let kept = FileScratch::new(Compression::default()).unwrap();
        let own = vec![false; 4];
        let mut writer =
            ParquetFile::new(handle, batch.schema(), properties.build(), own, kept).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
        let types: Vec<DataType> =
            reader.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let expected = [
            DataType::Utf8,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into())),
            DataType::List(item(DataType::Utf8)),
            DataType::Struct(vec![item(DataType::Utf8)].into()),
        ];
        assert_eq!(types, expected);
        let facts = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(facts.iter().any(|fact| fact.value.as_deref() == Some("before")), "{facts:?}");
        assert_eq!(facts.iter().filter(|fact| fact.key == ARROW_SCHEMA_META_KEY).count(), 1);
        let read = reader.build().unwrap().next().unwrap().unwrap();
        for (read, wrote) in read.columns().iter().zip(batch.columns()) {
            let read = datafusion::arrow::compute::cast(read, wrote.data_type()).unwrap();
            assert_eq!(&read, wrote);
        }
    }
}
