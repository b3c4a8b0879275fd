//! Encodes a column of floats for a row group: most of the data that windrow writes.
//!
//! The bytes of each float are split into streams (BYTE_STREAM_SPLIT) as the rows arrive, several
//! values at a time, and a full page goes to the compressor. The parquet crate does the same byte by
//! byte.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanBufferBuilder};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::parquet::basic::{Compression, Encoding, PageType, Type};
use datafusion::parquet::column::writer::ColumnCloseResult;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats,
};
use datafusion::parquet::file::statistics::Statistics;
use datafusion::parquet::schema::types::ColumnDescPtr;
use pulp::{Simd, WithSimd};

use super::page_compressor::{PageCompressor, Strategy};

/// The values of a page: enough for good compression, and few enough that a reader of one symbol, which
/// reads whole pages, reads little else.
pub(super) const PAGE_VALUES: usize = 20_000;

/// The maximum rows of a page, including those without a value.
const PAGE_ROWS: usize = PAGE_VALUES + PAGE_VALUES / 4;

/// The maximum bytes of a page's levels: one bit per row, and the prefix.
const LEVEL_BYTES: usize = PAGE_ROWS / 8 + 64;

/// The rows a chunk needs before its compression strategy is reused for the next one.
const MIN_TELLING_ROWS: usize = PAGE_VALUES / 2;

/// The maximum rows that memory is allocated for before anything is known about a chunk.
const MAX_PREALLOCATED_ROWS: usize = 1 << 17;

/// The values split at a time: few enough to stay in the processor's cache for all streams.
const SPLIT_BLOCK: usize = 512;

/// A number that can be split into bytes.
trait Float: Copy + PartialOrd {
    const BYTES: usize;
    const LEAST: Self;
    const GREATEST: Self;

    /// Returns the byte with this weight; 0 is the lowest.
    fn nth_byte(self, index: usize) -> u8;
}

impl Float for f64 {
    const BYTES: usize = 8;
    const LEAST: Self = f64::NEG_INFINITY;
    const GREATEST: Self = f64::INFINITY;

    #[inline(always)]
    fn nth_byte(self, index: usize) -> u8 {
        (self.to_bits() >> (8 * index)) as u8
    }
}

impl Float for f32 {
    const BYTES: usize = 4;
    const LEAST: Self = f32::NEG_INFINITY;
    const GREATEST: Self = f32::INFINITY;

    #[inline(always)]
    fn nth_byte(self, index: usize) -> u8 {
        (self.to_bits() >> (8 * index)) as u8
    }
}

/// The pages of a column chunk so far, and the page that is open.
pub(super) struct FloatColumn {
    column: ColumnDescPtr,
    compression: Compression,
    open: OpenPage,
    /// The least and the greatest number; while there is none, the first is the greater one.
    range: (f64, f64),
    /// The compression strategy of its pages; None before the first page.
    way: Option<Strategy>,
    /// The full pages, with their headers.
    chunk: Vec<u8>,
    offsets: OffsetIndexBuilder,
    written: ChunkCounts,
}

/// The counts for the metadata of a chunk.
#[derive(Default)]
struct ChunkCounts {
    pages: i32,
    rows: usize,
    nulls: usize,
    uncompressed: usize,
}

/// The page that is being filled.
struct OpenPage {
    /// Room for the levels, followed by the byte streams. Each stream has room for `room` values.
    bytes: Vec<u8>,
    width: usize,
    room: usize,
    values: usize,
    rows: usize,
    /// The maximum number of rows.
    most: usize,
    /// Which rows have a value; None while all have one.
    known: Option<BooleanBufferBuilder>,
}

/// A finished chunk with all its pages.
pub(super) struct ColumnChunk {
    pub(super) bytes: bytes::Bytes,
    pub(super) close: ColumnCloseResult,
    /// The scratch for the next chunk, without the memory of `bytes`.
    pub(super) before: ColumnScratch,
}

/// State that a chunk passes to the next one of its column: memory, and what was learned about
/// compression.
#[derive(Default)]
pub(super) struct ColumnScratch {
    /// The size of the last chunk in bytes.
    size: Option<usize>,
    /// The strategy of its pages, if they held enough values to judge.
    way: Option<Strategy>,
    page: Vec<u8>,
    chunk: Vec<u8>,
}

impl ColumnScratch {
    /// Takes back the memory of a chunk that was written.
    pub(super) fn recycle_chunk(&mut self, chunk: bytes::Bytes) {
        self.chunk = chunk.into();
    }
}

/// Returns whether columns of a type are encoded here.
pub(super) fn supports_type(ty: &DataType) -> bool {
    matches!(ty, DataType::Float32 | DataType::Float64)
}

impl FloatColumn {
    /// Creates an empty chunk of at most `rows` rows of a column without nesting.
    pub(super) fn new(
        column: ColumnDescPtr,
        compression: Compression,
        rows: usize,
        before: ColumnScratch,
    ) -> Self {
        let width = match column.physical_type() {
            Type::FLOAT => f32::BYTES,
            _ => f64::BYTES,
        };
        let room = rows.min(PAGE_VALUES);
        let ColumnScratch { size, way, page: mut bytes, mut chunk } = before;
        if bytes.len() != LEVEL_BYTES + width * room {
            bytes = vec![0; LEVEL_BYTES + width * room];
        }
        // The system provides memory only once it is written, whereas growing would copy the present
        // bytes.
        let size = size.unwrap_or(width * rows.min(MAX_PREALLOCATED_ROWS));
        chunk.clear();
        if chunk.capacity() < size {
            chunk = Vec::with_capacity(size + size / 64);
        }
        Self {
            column,
            compression,
            open: OpenPage {
                bytes,
                width,
                room,
                values: 0,
                rows: 0,
                most: rows.min(PAGE_ROWS),
                known: None,
            },
            range: (f64::INFINITY, f64::NEG_INFINITY),
            way,
            chunk,
            offsets: OffsetIndexBuilder::new(),
            written: ChunkCounts::default(),
        }
    }

    /// Appends the rows of an array of the column's type.
    pub(super) fn append_array(
        &mut self,
        rows: &dyn Array,
        press: &mut PageCompressor,
    ) -> Result<()> {
        let mut from = 0;
        while from < rows.len() {
            let count = self.open.free_rows().min(rows.len() - from);
            let part = rows.slice(from, count);
            let (least, greatest) = match part.data_type() {
                DataType::Float32 => {
                    let (least, greatest) = self
                        .open
                        .append_values(part.as_primitive::<Float32Type>().values(), part.nulls());
                    (least.into(), greatest.into())
                }
                _ => self
                    .open
                    .append_values(part.as_primitive::<Float64Type>().values(), part.nulls()),
            };
            self.range = (self.range.0.min(least), self.range.1.max(greatest));
            from += count;
            if self.open.free_rows() == 0 {
                self.end_page(press)?;
            }
        }
        Ok(())
    }

    fn end_page(&mut self, press: &mut PageCompressor) -> Result<()> {
        let Self { column, open, way, chunk, offsets, written, .. } = self;
        let (rows, values) = (open.rows, open.values);
        let head = open.assemble_page(column.max_def_level() > 0);
        let page = &open.bytes[LEVEL_BYTES - head..LEVEL_BYTES + open.width * values];
        let (pressed, found) = press.compress_page(page, head, open.width, *way)?;
        *way = Some(found);
        let header = page_header(rows, page.len(), pressed.len());
        let size = header.len() + pressed.len();
        offsets.append_row_count(rows as i64);
        offsets.append_offset_and_size(chunk.len() as i64, size as i32);
        chunk.extend(&header);
        chunk.extend(pressed);
        written.pages += 1;
        written.rows += rows;
        written.nulls += rows - values;
        written.uncompressed += header.len() + page.len();
        (open.rows, open.values, open.known) = (0, 0, None);
        Ok(())
    }

    /// Closes the chunk.
    pub(super) fn close_chunk(mut self, press: &mut PageCompressor) -> Result<ColumnChunk> {
        if self.open.rows > 0 {
            self.end_page(press)?;
        }
        let Self { column, compression, open, range, way, chunk, offsets, written } = self;
        let compression = match way {
            Some(Strategy::Fast) => Compression::LZ4_RAW,
            _ => compression,
        };
        let telling = 2 * written.nulls <= written.rows && written.rows >= MIN_TELLING_ROWS;
        let way = way.filter(|_| telling);
        let nulls = Some(written.nulls as u64);
        // The format requires that NaN is not counted, and that a zero at the end of a range has the
        // sign that includes both zeros.
        let range = Some(range).filter(|(least, greatest)| least <= greatest);
        let least = range.map(|(least, _)| if least == 0.0 { -0.0 } else { least });
        let greatest = range.map(|(_, greatest)| if greatest == 0.0 { 0.0 } else { greatest });
        let statistics = match column.physical_type() {
            Type::FLOAT => {
                let narrow = |v: Option<f64>| v.map(|v| v as f32);
                Statistics::float(narrow(least), narrow(greatest), None, nulls, false)
            }
            _ => Statistics::double(least, greatest, None, nulls, false),
        };
        let metadata = ColumnChunkMetaData::builder(Arc::clone(&column))
            .set_compression(compression)
            .set_encodings(vec![Encoding::RLE, Encoding::BYTE_STREAM_SPLIT])
            .set_page_encoding_stats(vec![PageEncodingStats {
                page_type: PageType::DATA_PAGE,
                encoding: Encoding::BYTE_STREAM_SPLIT,
                count: written.pages,
            }])
            .set_num_values(written.rows as i64)
            .set_total_compressed_size(chunk.len() as i64)
            .set_total_uncompressed_size(written.uncompressed as i64)
            .set_data_page_offset(0)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: chunk.len() as u64,
            rows_written: written.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(offsets.build()),
        };
        let before =
            ColumnScratch { size: Some(chunk.len()), way, page: open.bytes, chunk: Vec::new() };
        Ok(ColumnChunk { bytes: chunk.into(), close, before })
    }
}

/// Returns the header of a page of split floats, as defined by [the format] in Thrift's compact
/// protocol.
///
/// [the format]: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
fn page_header(rows: usize, uncompressed: usize, compressed: usize) -> Vec<u8> {
    /// The prefix of a number in the field right after the last one.
    const NEXT: u8 = 0x15;
    /// The prefix of a struct in the second field after the last one.
    const STRUCT: u8 = 0x2C;
    const END: u8 = 0;
    let mut header = Vec::with_capacity(32);
    let put = |header: &mut Vec<u8>, value: usize| {
        header.push(NEXT);
        header.extend(encode_varint(value << 1)); // The lowest bit is the sign.
    };
    put(&mut header, 0); // A data page.
    put(&mut header, uncompressed);
    put(&mut header, compressed);
    header.push(STRUCT);
    put(&mut header, rows);
    for encoding in [Encoding::BYTE_STREAM_SPLIT, Encoding::RLE, Encoding::RLE] {
        put(&mut header, encoding as usize); // For the values and both kinds of levels.
    }
    header.extend([END, END]);
    header
}

impl OpenPage {
    /// Returns the number of rows that certainly fit before the page may be full.
    fn free_rows(&self) -> usize {
        (self.room - self.values).min(self.most - self.rows)
    }

    /// Appends rows that the page has room for; returns the least and the greatest value.
    fn append_values<T: Float>(&mut self, values: &[T], nulls: Option<&NullBuffer>) -> (T, T) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = nulls {
            let before = self.rows;
            let known = self.known.get_or_insert_with(|| all_known(before));
            known.append_buffer(nulls.inner());
        } else if let Some(known) = &mut self.known {
            known.append_n(values.len(), true);
        }
        self.rows += values.len();
        let mut range = (T::GREATEST, T::LEAST);
        match nulls {
            None => self.split_values(values, &mut range),
            Some(nulls) => {
                for (start, end) in nulls.valid_slices() {
                    self.split_values(&values[start..end], &mut range);
                }
            }
        }
        range
    }

    fn split_values<T: Float>(&mut self, values: &[T], range: &mut (T, T)) {
        let (streams, room, at) = (&mut self.bytes[LEVEL_BYTES..], self.room, self.values);
        pulp::Arch::new().dispatch(SplitKernel { values, streams, room, at, range });
        self.values += values.len();
    }

    /// Writes the levels before the streams and moves the streams together; returns the bytes of the
    /// levels.
    fn assemble_page(&mut self, optional: bool) -> usize {
        if self.values < self.room {
            for stream in 1..self.width {
                let from = LEVEL_BYTES + stream * self.room;
                self.bytes
                    .copy_within(from..from + self.values, LEVEL_BYTES + stream * self.values);
            }
        }
        if !optional {
            return 0;
        }
        let levels = match &mut self.known {
            None => encode_run(self.rows, true),
            Some(known) => encode_levels(&known.finish()),
        };
        let size = (levels.len() as u32).to_le_bytes();
        let head = size.len() + levels.len();
        let room = &mut self.bytes[LEVEL_BYTES - head..LEVEL_BYTES];
        room[..size.len()].copy_from_slice(&size);
        room[size.len()..].copy_from_slice(&levels);
        head
    }
}

fn all_known(rows: usize) -> BooleanBufferBuilder {
    let mut known = BooleanBufferBuilder::new(PAGE_VALUES);
    known.append_n(rows, true);
    known
}

/// Splits values and widens a range to hold them. It is compiled once for each vector instruction set
/// that a processor may have.
struct SplitKernel<'a, T> {
    values: &'a [T],
    streams: &'a mut [u8],
    /// The number of values that a stream has room for.
    room: usize,
    at: usize,
    range: &'a mut (T, T),
}

impl<T: Float> WithSimd for SplitKernel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (i, near) in self.values.chunks(SPLIT_BLOCK).enumerate() {
            split_into_streams(near, self.streams, self.room, self.at + i * SPLIT_BLOCK);
            widen_min_max(near, self.range);
        }
    }
}

/// Splits values into streams with room for `room` values each, starting at value `at`.
#[inline(always)]
fn split_into_streams<T: Float>(values: &[T], streams: &mut [u8], room: usize, at: usize) {
    for (index, stream) in streams.chunks_exact_mut(room).enumerate() {
        for (byte, value) in stream[at..][..values.len()].iter_mut().zip(values) {
            *byte = value.nth_byte(index);
        }
    }
}

/// Widens a range to hold some values. NaN is skipped.
#[inline(always)]
fn widen_min_max<T: Float>(values: &[T], range: &mut (T, T)) {
    let mut lanes = ([range.0; 8], [range.1; 8]);
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for ((value, least), greatest) in eight.iter().zip(&mut lanes.0).zip(&mut lanes.1) {
            *least = if *value < *least { *value } else { *least };
            *greatest = if *value > *greatest { *value } else { *greatest };
        }
    }
    for value in lanes.0.iter().chain(rest) {
        range.0 = if *value < range.0 { *value } else { range.0 };
    }
    for value in lanes.1.iter().chain(rest) {
        range.1 = if *value > range.1 { *value } else { range.1 };
    }
}

/// Encodes levels of 0 and 1 as runs, or with one bit each if that is shorter.
fn encode_levels(known: &BooleanBuffer) -> Vec<u8> {
    let packed = known.len().div_ceil(8);
    let mut runs = Vec::new();
    let mut from = 0;
    let known_slices = known.set_slices().chain([(known.len(), known.len())]);
    for (start, end) in known_slices {
        runs.extend(encode_run(start - from, false));
        runs.extend(encode_run(end - start, true));
        from = end;
        if runs.len() > packed {
            let mut bits = encode_varint(packed << 1 | 1);
            bits.extend(known.sliced().iter().take(packed));
            return bits;
        }
    }
    runs
}

/// Encodes a run of one level.
fn encode_run(rows: usize, known: bool) -> Vec<u8> {
    if rows == 0 {
        return Vec::new();
    }
    let mut run = encode_varint(rows << 1);
    run.push(u8::from(known));
    run
}

/// Encodes a number in groups of seven bits, low ones first.
fn encode_varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests;
