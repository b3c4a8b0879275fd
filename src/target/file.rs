//! One parquet file: columns of floats are encoded here, all others by the parquet crate.

use std::io::{BufWriter, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;

use super::floats::{Floats, Hint};
use super::press::Press;
use crate::config::Compression;

/// Bytes that are handed to the system at a time.
const BUFFER: usize = 256 << 10;

/// A parquet file that is being written, as fast as windrow can.
pub struct ParquetFile {
    writer: SerializedFileWriter<BufWriter<Box<dyn Write + Send>>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// The columns that are encoded here.
    own: Vec<bool>,
    /// Rows of a row group at most.
    most: usize,
    press: Press,
    /// The columns of the open row group: one for each leaf.
    open: Vec<Column>,
    rows: usize,
    /// What each column of the last row group tells of the next.
    hints: Vec<Hint>,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("rows", &self.rows).finish_non_exhaustive()
    }
}

enum Column {
    Floats(Box<Floats>),
    Other(Box<ArrowColumnWriter>),
}

impl ParquetFile {
    /// An empty file. `own` says which columns are encoded here: columns of floats whose properties
    /// ask for BYTE_STREAM_SPLIT, without dictionary. `compression` is that of the properties.
    ///
    /// # Errors
    /// A type that parquet does not have, or a file that cannot be written.
    pub fn new(
        file: Box<dyn Write + Send>,
        schema: SchemaRef,
        properties: WriterProperties,
        compression: Compression,
        own: Vec<bool>,
    ) -> Result<Self> {
        let most = properties.max_row_group_row_count().unwrap_or(usize::MAX);
        let file = BufWriter::with_capacity(BUFFER, file);
        let writer = ArrowWriter::try_new(file, SchemaRef::clone(&schema), Some(properties))?;
        let (writer, factory) = writer.into_serialized_writer()?;
        let press = Press::new(compression)?;
        let (open, hints) = (Vec::new(), Vec::new());
        Ok(Self { writer, factory, schema, own, most, press, open, rows: 0, hints })
    }

    /// Rows of the open row group.
    pub(super) fn open_rows(&self) -> usize {
        self.rows
    }

    /// Writes rows; a row group that is full ends.
    ///
    /// # Errors
    /// Columns that are not those of the schema, or a file that cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let count = (self.most - self.rows).min(batch.num_rows() - from);
            self.append(&batch.slice(from, count))?;
            from += count;
            if self.rows == self.most {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.open.is_empty() {
            self.open = self.columns()?;
        }
        let mut open = self.open.iter_mut();
        for (field, values) in self.schema.fields().iter().zip(batch.columns()) {
            let mut next = || open.next().ok_or_else(|| missing(field.name()));
            let mut leaves = None;
            loop {
                match next()? {
                    Column::Floats(column) => {
                        column.append(values, &mut self.press)?;
                        break;
                    }
                    Column::Other(column) => {
                        let leaves = match &mut leaves {
                            Some(leaves) => leaves,
                            none => none.insert(compute_leaves(field, values)?.into_iter()),
                        };
                        let leaf = leaves.next().ok_or_else(|| missing(field.name()))?;
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

    /// The columns of a new row group.
    fn columns(&self) -> Result<Vec<Column>> {
        let group = self.writer.flushed_row_groups().len();
        let leaves = self.writer.schema_descr();
        let compression = self.writer.properties().compression(leaves.column(0).path());
        let others = self.factory.create_column_writers(group)?.into_iter().enumerate();
        Ok(others
            .map(|(leaf, other)| {
                if !self.own[leaves.get_column_root_idx(leaf)] {
                    return Column::Other(Box::new(other));
                }
                let hint = self.hints.get(leaf).copied().unwrap_or_default();
                let column = leaves.column(leaf);
                Column::Floats(Box::new(Floats::new(column, compression, self.most, hint)))
            })
            .collect())
    }

    /// Ends the row group, if one is open.
    pub(super) fn end_group(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        self.hints.clear();
        for column in self.open.drain(..) {
            match column {
                Column::Other(column) => {
                    column.close()?.append_to_row_group(&mut group)?;
                    self.hints.push(Hint::default());
                }
                Column::Floats(column) => {
                    let chunk = column.close(&mut self.press)?;
                    self.hints.push(chunk.hint);
                    group.append_column(&chunk.bytes, chunk.close)?;
                }
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn close(mut self) -> Result<()> {
        self.end_group()?;
        let mut file = self.writer.into_inner()?;
        Ok(file.flush()?)
    }
}

fn missing(column: &str) -> ParquetError {
    ParquetError::General(format!("column {column} has no writer"))
}
