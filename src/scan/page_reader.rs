//! The pages of a parquet file, decompressed with one context per thread.
//!
//! The parquet crate creates two zstd contexts per column and row group, which takes most of the
//! time for a file of a few rows. Here it only delivers the pages as they are stored.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups, RowSelection,
};
use datafusion::parquet::arrow::{
    ARROW_SCHEMA_META_KEY, ProjectionMask, parquet_to_arrow_field_levels,
};
use datafusion::parquet::basic::{Compression, Type as PhysicalType};
use datafusion::parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::serialized_reader::SerializedPageReader;
use datafusion::parquet::schema::types::SchemaDescriptor;
use zstd::bulk::Decompressor;

use crate::store::FileReader;

/// Reads some columns of some row groups, at most `rows` rows at a time; text has the type that
/// `schema` gives it. The selection counts the rows of these row groups.
pub(crate) fn read_row_groups(
    file: FileReader,
    meta: &ArrowReaderMetadata,
    schema: &SchemaRef,
    mask: ProjectionMask,
    groups: Range<usize>,
    rows: usize,
    selection: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader> {
    let wanted = |field: &Arc<Field>| match schema.field_with_name(field.name()) {
        Ok(wanted)
            if is_utf8_type(field.data_type()) && *wanted.data_type() == DataType::Utf8View =>
        {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
        }
        _ => Arc::clone(field),
    };
    let fields: Fields = stored_fields(meta).iter().map(wanted).collect();
    let levels = parquet_to_arrow_field_levels(meta.parquet_schema(), mask, Some(&fields))?;
    let pages = RowGroupPages { file, meta: Arc::clone(meta.metadata()), groups };
    // The reader allocates a whole batch, so the batch is no larger than the row groups.
    let rows = rows.min(pages.num_rows()).max(1);
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, rows, selection)
}

/// Returns the columns of a file. Times that Spark and Impala store as INT96 become microseconds:
/// the parquet crate makes nanoseconds of them, which cannot hold years before 1678 and after 2262.
/// Times written in a unit that parquet lacks (seconds) keep the zone that the writer names: the
/// parquet crate keeps it only if the units agree.
pub(crate) fn stored_fields(meta: &ArrowReaderMetadata) -> Fields {
    let written = written_schema(meta);
    let mut leaves = meta.parquet_schema().columns().iter().map(|column| column.physical_type());
    let fields = meta.schema().fields().iter().map(|field| {
        let of_writer = written.as_ref().and_then(|s| s.field_with_name(field.name()).ok());
        restore_field_type(field, &mut leaves, of_writer)
    });
    fields.collect()
}

fn restore_field_type(
    field: &Arc<Field>,
    leaves: &mut dyn Iterator<Item = PhysicalType>,
    written: Option<&Field>,
) -> Arc<Field> {
    let ty = restore_type(field.data_type(), leaves, written.map(Field::data_type));
    Arc::new(field.as_ref().clone().with_data_type(ty))
}

/// Restores a type of a file, whose leaves come in the order in which the file stores them.
fn restore_type(
    ty: &DataType,
    leaves: &mut dyn Iterator<Item = PhysicalType>,
    written: Option<&DataType>,
) -> DataType {
    let mut item = |field: &Arc<Field>| {
        let of_writer = match written {
            Some(
                DataType::List(field)
                | DataType::LargeList(field)
                | DataType::FixedSizeList(field, _)
                | DataType::Map(field, _),
            ) => Some(field.as_ref()),
            _ => None,
        };
        restore_field_type(field, leaves, of_writer)
    };
    match ty {
        DataType::Struct(fields) => {
            let of_writer = |name: &str| match written {
                Some(DataType::Struct(fields)) => {
                    fields.iter().find(|field| field.name() == name).map(AsRef::as_ref)
                }
                _ => None,
            };
            let fields = fields.iter();
            DataType::Struct(
                fields.map(|f| restore_field_type(f, leaves, of_writer(f.name()))).collect(),
            )
        }
        DataType::List(field) => DataType::List(item(field)),
        DataType::LargeList(field) => DataType::LargeList(item(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(item(field), *length),
        DataType::Map(field, sorted) => DataType::Map(item(field), *sorted),
        leaf => match (leaves.next(), leaf, written) {
            (Some(PhysicalType::INT96), ..) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (
                _,
                DataType::Timestamp(unit, Some(_)),
                Some(DataType::Timestamp(other, Some(zone))),
            ) if unit != other => DataType::Timestamp(*unit, Some(Arc::clone(zone))),
            // The dictionary reader supports text only.
            (_, DataType::Dictionary(_, value), _) if !value.is_string() => value.as_ref().clone(),
            _ => leaf.clone(),
        },
    }
}

/// Returns the schema of the file's writer, if an Arrow library wrote the file.
fn written_schema(meta: &ArrowReaderMetadata) -> Option<Schema> {
    let pairs = meta.metadata().file_metadata().key_value_metadata()?;
    let encoded = pairs.iter().find(|pair| pair.key == ARROW_SCHEMA_META_KEY)?;
    let bytes = BASE64_STANDARD.decode(encoded.value.as_ref()?).ok()?;
    // An Arrow IPC message begins with a marker and its length.
    let message = match bytes.strip_prefix(&[255; 4]) {
        Some(rest) => rest.get(4..)?,
        None => &bytes,
    };
    let message = arrow_ipc::root_as_message(message).ok()?;
    message.header_as_schema().map(arrow_ipc::convert::fb_to_schema)
}

/// Returns the mask of the columns with these names, with all their nested fields; a dot is part of a name.
pub(crate) fn column_mask<'a>(
    schema: &SchemaDescriptor,
    names: impl IntoIterator<Item = &'a str>,
) -> ProjectionMask {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let fields = schema.root_schema().get_fields().iter().enumerate();
    let wanted = fields.filter(|(_, field)| names.contains(field.name()));
    ProjectionMask::roots(schema, wanted.map(|(index, _)| index))
}

fn is_utf8_type(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8)
}

struct RowGroupPages {
    file: FileReader,
    meta: Arc<ParquetMetaData>,
    groups: Range<usize>,
}

impl RowGroups for RowGroupPages {
    fn num_rows(&self) -> usize {
        let rows = self.row_groups().map(RowGroupMetaData::num_rows).sum::<i64>();
        usize::try_from(rows).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let (file, meta) = (Arc::new(self.file.clone()), Arc::clone(&self.meta));
        Ok(Box::new(ColumnChunks { file, meta, column, groups: self.groups.clone() }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.meta.row_groups()[self.groups.clone()].iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.meta
    }
}

/// The chunks of one column, row group by row group.
struct ColumnChunks {
    file: Arc<FileReader>,
    meta: Arc<ParquetMetaData>,
    column: usize,
    groups: Range<usize>,
}

impl Iterator for ColumnChunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        Some(self.open_chunk(&self.meta.row_groups()[group]))
    }
}

impl PageIterator for ColumnChunks {}

impl ColumnChunks {
    fn open_chunk(&self, group: &RowGroupMetaData) -> Result<Box<dyn PageReader>> {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let chunk = group.column(self.column);
        let file = Arc::clone(&self.file);
        let codec = match chunk.compression() {
            Compression::ZSTD(_) => BlockCodec::Zstd,
            Compression::SNAPPY => BlockCodec::Snappy,
            Compression::LZ4_RAW => BlockCodec::Lz4,
            _ => return Ok(Box::new(SerializedPageReader::new(file, chunk, rows, None)?)),
        };
        let as_it_lies =
            chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let pages = SerializedPageReader::new(file, &as_it_lies, rows, None)?;
        Ok(Box::new(CompressedPages { pages, codec }))
    }
}

/// The compressions that are decoded here: a damaged page may claim any size, and other decoders
/// allocate memory of that size.
#[derive(Clone, Copy)]
enum BlockCodec {
    Zstd,
    Snappy,
    Lz4,
}

/// The compressed pages of one column.
struct CompressedPages {
    pages: SerializedPageReader<FileReader>,
    codec: BlockCodec,
}

impl Iterator for CompressedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CompressedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let codec = self.codec;
        self.pages.get_next_page()?.map(|page| decompress_page(page, codec)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

/// Decompresses a page.
fn decompress_page(mut page: Page, codec: BlockCodec) -> Result<Page> {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
            *buf = decompress_values(buf, 0, codec)?;
        }
        Page::DataPageV2 {
            buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, ..
        } => {
            if *is_compressed {
                let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                *buf = decompress_values(buf, levels, codec)?;
            }
        }
    }
    Ok(page)
}

/// Returns the bytes with all but the first `levels` of them decompressed.
fn decompress_values(bytes: &Bytes, levels: usize, codec: BlockCodec) -> Result<Bytes> {
    let Some((levels, frame)) = bytes.split_at_checked(levels) else {
        return Err(ParquetError::General("a page is shorter than its levels".to_string()));
    };
    if frame.is_empty() {
        return Ok(Bytes::copy_from_slice(levels));
    }
    let values = match codec {
        BlockCodec::Zstd => decompress_zstd(frame)?,
        BlockCodec::Snappy => decompress_snappy(frame)?,
        BlockCodec::Lz4 => decompress_lz4(frame)?,
    };
    if levels.is_empty() {
        return Ok(values.into());
    }
    Ok([levels, &values].concat().into())
}

/// A page that claims this size or more is decompressed step by step.
const CLAIMED_SIZE_LIMIT: usize = 64 << 20;

fn decompress_zstd(frame: &[u8]) -> Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    Ok(match size.and_then(|size| usize::try_from(size).ok()).filter(|s| *s < CLAIMED_SIZE_LIMIT) {
        None => zstd::decode_all(frame)?,
        Some(size) => CONTEXT.with_borrow_mut(|context| {
            let context = match context {
                Some(context) => context,
                none => none.insert(Decompressor::new()?),
            };
            context.decompress(frame, size)
        })?,
    })
}

/// Decompresses a snappy block, of which three bytes yield at most 64.
fn decompress_snappy(block: &[u8]) -> Result<Vec<u8>> {
    let wrong = |error: snap::Error| ParquetError::General(error.to_string());
    let size = snap::raw::decompress_len(block).map_err(wrong)?;
    if size > block.len().saturating_mul(22) + 64 {
        return Err(ParquetError::General(format!(
            "a page of {} bytes claims to hold {size}",
            block.len()
        )));
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(wrong)
}

/// Decompresses an LZ4 block, of which one byte yields at most 255; the block does not state its
/// decompressed size.
fn decompress_lz4(block: &[u8]) -> Result<Vec<u8>> {
    use lz4_flex::block::DecompressError;
    let most = block.len().saturating_mul(255) + 64;
    let mut room = block.len().saturating_mul(4).clamp(16 << 10, most.max(16 << 10));
    loop {
        match lz4_flex::block::decompress(block, room) {
            Ok(values) => return Ok(values),
            Err(DecompressError::OutputTooSmall { .. }) if room < most => {
                room = room.saturating_mul(2).min(most);
            }
            Err(error) => return Err(ParquetError::General(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    use datafusion::arrow::compute::concat_batches;
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::arrow::arrow_reader::{ArrowReaderOptions, RowSelector};
    use datafusion::parquet::basic::{BrotliLevel, ZstdLevel};
    use datafusion::parquet::file::properties::{WriterProperties, WriterVersion};

    use std::fs::File;
    use std::path::Path;

    use datafusion::parquet::file::reader::ChunkReader;

    use super::*;

    fn bars(rows: usize) -> RecordBatch {
        let symbols = (0..rows).map(|i| (i % 7 > 0).then(|| format!("symbol number {}", i / 100)));
        let closes = (0..rows).map(|i| (i % 5 > 0).then_some(i as f64 / 3.0));
        let columns: [(&str, ArrayRef); 2] = [
            ("symbol", Arc::new(StringArray::from_iter(symbols))),
            ("close", Arc::new(Float64Array::from_iter(closes))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn write(path: &Path, codec: Compression, version: WriterVersion) {
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_max_row_group_row_count(Some(4_000))
            .set_data_page_row_count_limit(700)
            .set_write_batch_size(100)
            .build();
        let batch = bars(10_000);
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Returns the rows of a file from row 2,345 on, read in memory or piece by piece.
    fn rows(path: &Path, small: u64) -> Result<RecordBatch> {
        let file = FileReader::open_local(path, small)?;
        let meta = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        let selection =
            RowSelection::from(vec![RowSelector::skip(2_345), RowSelector::select(7_655)]);
        let mask = ProjectionMask::all();
        let groups = 0..meta.metadata().num_row_groups();
        let reader =
            read_row_groups(file, &meta, &bars(0).schema(), mask, groups, 1_000, Some(selection))?;
        let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(concat_batches(&batches[0].schema(), &batches)?)
    }

    #[test]
    fn a_file_is_the_same_in_memory_and_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.parquet");
        let codecs = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::ZSTD(ZstdLevel::default()),
            Compression::LZ4_RAW,
            Compression::BROTLI(BrotliLevel::default()),
        ];
        let expected = bars(10_000).slice(2_345, 7_655);
        for codec in codecs {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                write(&path, codec, version);
                for small in [0, u64::MAX] {
                    assert_eq!(rows(&path, small).unwrap(), expected, "{codec} {small}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.parquet");
        write(&path, Compression::ZSTD(ZstdLevel::default()), WriterVersion::PARQUET_1_0);
        let whole = std::fs::read(&path).unwrap();
        for small in [0, u64::MAX] {
            let mut broken = whole.clone();
            let middle = broken.len() / 2;
            broken[middle..middle + 2000].fill(0xA5);
            std::fs::write(&path, &broken).unwrap();
            assert!(rows(&path, small).is_err(), "{small}");
            std::fs::write(&path, &whole[..middle]).unwrap();
            assert!(rows(&path, small).is_err(), "{small}");
        }
        // The file becomes shorter while it is read.
        std::fs::write(&path, &whole).unwrap();
        let open = FileReader::open_local(&path, 0).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert!(open.get_bytes(50, 200).is_err());
        assert!(open.get_bytes(50, usize::MAX).is_err());
        assert!(open.get_bytes(20, 80).is_err());
    }
}
