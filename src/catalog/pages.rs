//! The pages of a parquet file that lies in memory, decompressed with one context per thread.
//!
//! The parquet crate makes two zstd contexts per column and row group, which is most of the time
//! that a file of a few rows takes. Here it gives the pages as they lie in the file.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups, RowSelection,
};
use datafusion::parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use datafusion::parquet::basic::Compression;
use datafusion::parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::serialized_reader::SerializedPageReader;
use zstd::bulk::Decompressor;

/// Reads some columns of a file, `rows` at a time.
pub(super) fn read(
    file: Bytes,
    meta: &ArrowReaderMetadata,
    mask: ProjectionMask,
    rows: usize,
    selection: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader> {
    let fields = meta.schema().fields();
    let levels = parquet_to_arrow_field_levels(meta.parquet_schema(), mask, Some(fields))?;
    let pages = Pages { file, meta: Arc::clone(meta.metadata()) };
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, rows, selection)
}

struct Pages {
    file: Bytes,
    meta: Arc<ParquetMetaData>,
}

impl RowGroups for Pages {
    fn num_rows(&self) -> usize {
        usize::try_from(self.meta.file_metadata().num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let (file, meta) = (Arc::new(self.file.clone()), Arc::clone(&self.meta));
        Ok(Box::new(Chunks { file, meta, column, next: 0 }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.meta.row_groups().iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.meta
    }
}

/// One column, row group by row group.
struct Chunks {
    file: Arc<Bytes>,
    meta: Arc<ParquetMetaData>,
    column: usize,
    next: usize,
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.meta.row_groups().get(self.next)?;
        self.next += 1;
        Some(self.open(group))
    }
}

impl PageIterator for Chunks {}

impl Chunks {
    fn open(&self, group: &RowGroupMetaData) -> Result<Box<dyn PageReader>> {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let chunk = group.column(self.column);
        let file = Arc::clone(&self.file);
        if !matches!(chunk.compression(), Compression::ZSTD(_)) {
            return Ok(Box::new(SerializedPageReader::new(file, chunk, rows, None)?));
        }
        let as_it_lies =
            chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        Ok(Box::new(Zstd(SerializedPageReader::new(file, &as_it_lies, rows, None)?)))
    }
}

/// Pages of one column that are compressed with zstd.
struct Zstd(SerializedPageReader<Bytes>);

impl Iterator for Zstd {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Zstd {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.0.get_next_page()?.map(plain).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }
}

/// The page without its compression.
fn plain(mut page: Page) -> Result<Page> {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
            *buf = decompressed(buf, 0)?;
        }
        Page::DataPageV2 {
            buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, ..
        } => {
            if *is_compressed {
                *buf = decompressed(buf, (*def_levels_byte_len + *rep_levels_byte_len) as usize)?;
            }
        }
    }
    Ok(page)
}

/// The bytes with all but the first `levels` of them decompressed.
fn decompressed(bytes: &Bytes, levels: usize) -> Result<Bytes> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let Some((levels, frame)) = bytes.split_at_checked(levels) else {
        return Err(ParquetError::General("a page is shorter than its levels".to_string()));
    };
    let mut out = levels.to_vec();
    if frame.is_empty() {
        return Ok(out.into());
    }
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    let Some(size) = size.and_then(|size| usize::try_from(size).ok()).filter(|s| *s < MOST) else {
        out.extend(zstd::decode_all(frame)?);
        return Ok(out.into());
    };
    let values = CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            none => none.insert(Decompressor::new()?),
        };
        context.decompress(frame, size)
    });
    out.extend(values?);
    Ok(out.into())
}

/// A page that claims to be larger is taken step by step: the claim may be damaged.
const MOST: usize = 64 << 20;
