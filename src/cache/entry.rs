//! One entry as bytes, and bytes to an entry.
//!
//! An entry is `WRC1`, the SHA-256 of everything behind it, the length of the header (4 bytes, little endian), the
//! header as JSON, and the rows: an Arrow IPC stream of one batch, compressed as one LZ4 block. Bytes that differ in
//! any place have another checksum, and are no entry. One block for all is smaller than a frame for each buffer, as
//! Arrow compresses, takes half the time, and leaves buffers that need no copies.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::CacheKey;
use crate::error::{Error, Result, catch_panic, group_digits};
use crate::limits::CACHE_ENTRY;

/// The first bytes of an entry.
const MAGIC: [u8; 4] = *b"WRC1";

/// The version of the header and the rows.
const FORMAT: u32 = 1;

/// The largest ratio by which LZ4 compresses.
const LZ4_RATIO: u64 = 255;

/// The memory that a column takes beside its values.
const COLUMN_BYTES: usize = 256;

/// The rows of one symbol, sorted by time. There may be none.
#[derive(Clone, Debug)]
pub struct CachedRows {
    /// The identity of the computation and its inputs.
    pub identity: String,
    /// The symbol.
    pub symbol: String,
    /// The rows.
    pub batch: RecordBatch,
}

/// An entry in memory.
#[derive(Clone, Debug)]
pub(super) struct MemoryEntry {
    pub(super) rows: Arc<CachedRows>,
    /// The time at which it was written, in microseconds since 1970.
    pub(super) written: i64,
    /// The bytes that it takes.
    pub(super) weight: u32,
}

/// An entry in both forms.
pub(super) struct EncodedEntry {
    pub(super) key: CacheKey,
    pub(super) bytes: Bytes,
    pub(super) memory: MemoryEntry,
}

#[derive(Deserialize, Serialize)]
struct EntryHeader {
    format: u32,
    key: String,
    identity: String,
    symbol: String,
    rows: u64,
    /// The length of the IPC stream before it was compressed.
    stream: u64,
    /// The time at which the entry was written, in microseconds since 1970.
    written: i64,
}

/// Encodes rows. The entry in memory has values of its own: a batch that is a part of a larger one would keep all
/// of that in memory.
pub(super) fn encode_entry(key: CacheKey, rows: CachedRows, written: i64) -> Result<EncodedEntry> {
    let fail = |error: ArrowError| Error::from_arrow_error(&error);
    let stream = write_stream(&detach_values(&rows.batch).map_err(fail)?).map_err(fail)?;
    let length = stream.len() as u64;
    if length > CACHE_ENTRY {
        let (length, most) = (group_digits(length), group_digits(CACHE_ENTRY));
        let symbol = &rows.symbol;
        return Err(Error::target(format!(
            "the result of {symbol} has {length} bytes, past the limit of {most} of the cache"
        ))
        .hint("ask for a shorter time, or for fewer columns")
        .with_bad_symbol(symbol));
    }
    let header = EntryHeader {
        format: FORMAT,
        key: key.to_string(),
        identity: rows.identity.clone(),
        symbol: rows.symbol.clone(),
        rows: rows.batch.num_rows() as u64,
        stream: length,
        written,
    };
    let bytes = seal(&header, &lz4_flex::block::compress(&stream))?;
    let batch = read_stream(Buffer::from_vec(stream)).map_err(fail)?;
    let memory = MemoryEntry::new(CachedRows { batch, ..rows }, written, length);
    Ok(EncodedEntry { key, bytes, memory })
}

impl MemoryEntry {
    fn new(rows: CachedRows, written: i64, length: u64) -> Self {
        let schema = rows.batch.schema_ref();
        let around = schema.fields().size() + rows.batch.num_columns() * COLUMN_BYTES;
        let weight = length + around as u64;
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        Self { rows: Arc::new(rows), written, weight }
    }
}

/// Puts magic, checksum and header before the compressed rows.
fn seal(header: &EntryHeader, body: &[u8]) -> Result<Bytes> {
    let header = serde_json::to_vec(header)
        .map_err(|error| Error::internal(format!("the header of a cache entry: {error}")))?;
    let length = (header.len() as u32).to_le_bytes();
    let mut digest = Sha256::new();
    for part in [length.as_slice(), &header, body] {
        digest.update(part);
    }
    let digest = digest.finalize();
    Ok([MAGIC.as_slice(), &digest, &length, &header, body].concat().into())
}

/// Decodes the entry of a key.
///
/// # Errors
/// The bytes are truncated, damaged, of another format or of another key; the error is the reason.
pub(super) fn decode_entry(key: &CacheKey, bytes: &[u8]) -> Result<MemoryEntry, String> {
    catch_panic(|| parse_entry(key, bytes)).unwrap_or_else(Err)
}

fn parse_entry(key: &CacheKey, bytes: &[u8]) -> Result<MemoryEntry, String> {
    let truncated = || "it is truncated".to_string();
    let (magic, rest) = bytes.split_first_chunk::<4>().ok_or_else(truncated)?;
    if *magic != MAGIC {
        return Err("it has another format".to_string());
    }
    let (digest, rest) = rest.split_first_chunk::<32>().ok_or_else(truncated)?;
    if digest != Sha256::digest(rest).as_slice() {
        return Err("its checksum is wrong".to_string());
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (header, body) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let header: EntryHeader =
        serde_json::from_slice(header).map_err(|error| format!("its header is wrong: {error}"))?;
    if header.format != FORMAT {
        return Err(format!("it has format {}", header.format));
    }
    if header.key != key.digits() {
        return Err(format!("it is the entry of {}", header.key));
    }
    // The length is foreign, too: memory is taken only for one that LZ4 can reach.
    let most = CACHE_ENTRY.min((body.len() as u64).saturating_mul(LZ4_RATIO) + LZ4_RATIO);
    if header.stream > most {
        return Err("the length of its rows is wrong".to_string());
    }
    let stream = lz4_flex::block::decompress(body, header.stream as usize)
        .map_err(|error| format!("its rows are damaged: {error}"))?;
    if stream.len() as u64 != header.stream {
        return Err("the length of its rows is wrong".to_string());
    }
    let batch = read_stream(Buffer::from_vec(stream)).map_err(|error| error.to_string())?;
    if batch.num_rows() as u64 != header.rows {
        return Err("the number of its rows is wrong".to_string());
    }
    let rows = CachedRows { identity: header.identity, symbol: header.symbol, batch };
    Ok(MemoryEntry::new(rows, header.written, header.stream))
}

/// Returns the batch without values that none of its rows has: dictionaries and views of a part of a batch still
/// hold the values of the whole.
fn detach_values(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let detach = |column: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        Ok(match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            DataType::Dictionary(_, values) if values.is_string() => {
                cast(&cast(column, values)?, column.data_type())?
            }
            _ => Arc::clone(column),
        })
    };
    let columns = batch.columns().iter().map(detach).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn write_stream(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(batch)?;
    let mut stream = writer.into_inner()?;
    stream.shrink_to_fit();
    Ok(stream)
}

/// Reads a stream of one batch, whose columns are parts of the stream.
fn read_stream(mut stream: Buffer) -> Result<RecordBatch, ArrowError> {
    let wrong = |what: &str| ArrowError::IpcError(what.to_string());
    let mut decoder = StreamDecoder::new();
    let batch = decoder.decode(&mut stream)?.ok_or_else(|| wrong("it holds no rows"))?;
    if decoder.decode(&mut stream)?.is_some() {
        return Err(wrong("it holds more than one batch"));
    }
    decoder.finish()?;
    Ok(batch)
}
