//! Row groups of whole symbols: a reader of one symbol reads only the row groups of that symbol.

use datafusion::arrow::array::RecordBatch;
use datafusion::parquet::errors::Result;

use super::parquet_file::{FileScratch, ParquetFile};

/// A parquet file whose row groups hold whole symbols. A symbol larger than a row group has row groups
/// of its own.
///
/// A symbol's size is known only when the symbol ends, so its rows are held back until then. Together
/// with the rows of the open row group they never exceed one row group.
pub(super) struct SymbolGroupWriter {
    file: ParquetFile,
    /// The maximum rows of a row group.
    most: usize,
    held: Vec<RecordBatch>,
    /// Rows of the open group before the current symbol.
    before: usize,
    /// Rows of the current symbol so far.
    symbol: usize,
    /// True if rows of the current symbol are written at once, because it has the row group to itself.
    alone: bool,
}

impl SymbolGroupWriter {
    /// Creates a writer of row groups of at most `most` rows, which is also the limit of the file.
    pub(super) fn new(file: ParquetFile, most: usize) -> Self {
        Self { file, most, held: Vec::new(), before: 0, symbol: 0, alone: true }
    }

    /// Writes rows sorted by symbol; `starts` are the rows at which another symbol begins.
    pub(super) fn write_symbols(&mut self, batch: &RecordBatch, starts: &[usize]) -> Result<()> {
        let rows = batch.num_rows();
        let (mut from, mut begin, mut new) = (0, 0, false); // Rows before `from` are written.
        let ends = starts.iter().copied().chain([rows]);
        for end in ends {
            if new {
                self.flush_held()?;
                if self.symbol > self.most {
                    self.write_range(batch, from, begin)?;
                    from = begin;
                    self.file.end_group()?;
                }
                self.symbol = 0;
                self.before = self.file.open_rows() + begin - from;
                self.alone = self.before == 0;
            }
            self.symbol += end - begin;
            if !self.alone && self.before + self.symbol > self.most {
                self.write_range(batch, from, begin)?;
                from = begin;
                self.file.end_group()?;
                self.flush_held()?;
                self.alone = true;
            }
            if end < rows {
                begin = end;
            }
            new = true;
        }
        if self.alone {
            return self.write_range(batch, from, rows);
        }
        self.write_range(batch, from, begin)?;
        self.held.push(batch.slice(begin, rows - begin));
        Ok(())
    }

    /// Closes the file.
    pub(super) fn close(mut self) -> Result<FileScratch> {
        self.flush_held()?;
        self.file.close()
    }

    fn write_range(&mut self, batch: &RecordBatch, from: usize, to: usize) -> Result<()> {
        if from == to { Ok(()) } else { self.file.write(&batch.slice(from, to - from)) }
    }

    fn flush_held(&mut self) -> Result<()> {
        self.held.drain(..).try_for_each(|batch| self.file.write(&batch))
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::ROW_GROUP_ROWS;
    use std::sync::Arc;

    use datafusion::arrow::array::{Array, AsArray, Int32Array};
    use datafusion::arrow::datatypes::Int32Type;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use datafusion::parquet::file::properties::WriterProperties;

    use super::*;
    use crate::config::Compression;

    /// Writes symbols with these numbers of rows in batches of `size` rows; returns the rows of each
    /// row group, and the symbols read back.
    fn groups(symbols: &[usize], size: usize) -> (Vec<i64>, Vec<i32>) {
        let numbers = symbols.iter().enumerate();
        let all: Vec<i32> = numbers.flat_map(|(i, n)| std::iter::repeat_n(i as i32, *n)).collect();
        let column = Int32Array::from(all.clone());
        let batch =
            RecordBatch::try_from_iter([("s", Arc::new(column) as Arc<dyn Array>)]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
        let handle = Box::new(file.reopen().unwrap());
        let kept = FileScratch::new(Compression::None).unwrap();
        let written =
            ParquetFile::new(handle, batch.schema(), properties, vec![false], kept).unwrap();
        let mut groups = SymbolGroupWriter::new(written, ROW_GROUP_ROWS);
        for from in (0..all.len()).step_by(size) {
            let to = (from + size).min(all.len());
            let starts: Vec<usize> =
                (from..to).filter(|i| *i > 0 && all[*i] != all[i - 1]).map(|i| i - from).collect();
            groups.write_symbols(&batch.slice(from, to - from), &starts).unwrap();
        }
        groups.close().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
        let sizes = reader.metadata().row_groups().iter().map(|g| g.num_rows()).collect();
        let mut found = Vec::new();
        for batch in reader.build().unwrap() {
            found.extend(batch.unwrap().column(0).as_primitive::<Int32Type>().values());
        }
        assert_eq!(found, all);
        (sizes, found)
    }

    #[test]
    fn symbols_are_not_cut() {
        const FULL: i64 = ROW_GROUP_ROWS as i64;
        let cases: &[(&[usize], &[i64])] = &[
            (&[10, 20, 30], &[60]),
            (&[60_000, 60_000, 60_000], &[120_000, 60_000]),
            (&[ROW_GROUP_ROWS, 1], &[FULL, 1]),
            (&[1, ROW_GROUP_ROWS - 1, 1], &[FULL, 1]),
            (&[1, ROW_GROUP_ROWS], &[1, FULL]),
            (&[5, 300_000, 7], &[5, FULL, FULL, 300_000 - 2 * FULL, 7]),
            (&[300_000, 300_000], &[FULL, FULL, 37_856, FULL, FULL, 37_856]),
            (&[100_000, 100_000, 20_000, 20_000], &[100_000, 120_000, 20_000]),
        ];
        for (symbols, expected) in cases {
            for size in [1_000, 8_192, 70_000, 1 << 20] {
                assert_eq!(groups(symbols, size).0, *expected, "{symbols:?} in batches of {size}");
            }
        }
        let many = vec![3; 100_000];
        let (sizes, _) = groups(&many, 8_192);
        assert_eq!(sizes, [131_070, 131_070, 37_860]);
    }
}
