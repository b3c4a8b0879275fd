//! Compresses the pages of split floats.
//!
//! The low bytes of a float are noise, and the high ones hardly differ from row to row. A page holds
//! all first bytes, then all second ones, and so on, so the noise is contiguous. It is stored
//! uncompressed, which a zstd frame allows for every block, and only the rest is compressed. Any reader
//! accepts such a frame. Writing and reading it takes a fraction of the time of searching for patterns
//! in noise.

use std::ops::Range;
use std::sync::LazyLock;

use datafusion::parquet::errors::{ParquetError, Result};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::config::Compression;

/// The compressor of a sequence of pages.
pub(super) struct PageCompressor {
    codec: CompressionCodec,
    /// A buffer for a page.
    out: Vec<u8>,
    /// A buffer for a part of a page.
    part: Vec<u8>,
}

enum CompressionCodec {
    None,
    /// With `auto`, LZ4 replaces zstd for columns that hardly gain from zstd.
    Zstd {
        zstd: Box<Compressor<'static>>,
        auto: bool,
    },
    Lz4,
    Snappy(Box<snap::raw::Encoder>),
}

/// The compression strategy of the pages of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// The page is compressed as a whole.
    Whole,
    /// Noise is stored uncompressed; only if zstd is requested.
    Apart,
    /// The page is compressed as a whole by LZ4 instead of zstd; only with `auto`.
    Fast,
}

/// The gain of zstd over LZ4 that is worth its time: one part in `MIN_ZSTD_GAIN`.
const MIN_ZSTD_GAIN: usize = 16;

impl PageCompressor {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        let auto = compression == Compression::Auto;
        let level = match compression {
            Compression::Zstd(level) => level,
            _ => 1,
        };
        let codec = match compression {
            Compression::None => CompressionCodec::None,
            Compression::Snappy => CompressionCodec::Snappy(Box::new(snap::raw::Encoder::new())),
            Compression::Lz4 => CompressionCodec::Lz4,
            Compression::Auto | Compression::Zstd(_) => {
                let mut compressor = Compressor::new(level.into()).map_err(ParquetError::from)?;
                if level == 1 {
                    // Shorter matches cost a third more time here and save only a fiftieth.
                    compressor
                        .set_parameter(CParameter::MinMatch(7))
                        .map_err(ParquetError::from)?;
                }
                CompressionCodec::Zstd { zstd: Box::new(compressor), auto }
            }
        };
        Ok(Self { codec, out: Vec::new(), part: Vec::new() })
    }

    /// Compresses a page; returns its bytes and the strategy. A page is its first `head` bytes followed
    /// by streams of equal length. If `way` is None, the candidates are tried.
    pub(super) fn compress_page(
        &mut self,
        page: &[u8],
        head: usize,
        streams: usize,
        way: Option<Strategy>,
    ) -> Result<(&[u8], Strategy)> {
        let most = self.codec.max_compressed_size(page.len());
        if self.out.len() < most {
            self.out.resize(most, 0);
        }
        let (out, part) = (&mut self.out, &mut self.part);
        let mut used = Strategy::Whole;
        let size = match &mut self.codec {
            CompressionCodec::None => {
                out[..page.len()].copy_from_slice(page);
                page.len()
            }
            CompressionCodec::Lz4 => compress_lz4(page, out)?,
            CompressionCodec::Snappy(encoder) => encoder
                .compress(page, out)
                .map_err(|error| ParquetError::External(Box::new(error)))?,
            CompressionCodec::Zstd { zstd, auto } => {
                // Evaluated only on demand: it takes long compared to LZ4.
                let patterned = || patterned_range(page, head, streams);
                used = match way {
                    Some(way) => way,
                    None => choose_strategy(zstd, *auto, page, patterned, out, part)?,
                };
                match used {
                    Strategy::Apart => write_zstd_frame(zstd, page, patterned(), out, part)?,
                    Strategy::Whole => compress_zstd(zstd, page, out)?,
                    Strategy::Fast => compress_lz4(page, out)?,
                }
            }
        };
        Ok((&out[..size], used))
    }
}

impl CompressionCodec {
    /// Returns the maximum size of a compressed page.
    fn max_compressed_size(&self, page: usize) -> usize {
        match self {
            Self::None => page,
            Self::Lz4 => lz4_flex::block::get_maximum_output_size(page),
            Self::Snappy(_) => snap::raw::max_compress_len(page),
            Self::Zstd { .. } => {
                let stored = page + FRAME_OVERHEAD + 3 * page.div_ceil(MAX_BLOCK);
                let lz4 = lz4_flex::block::get_maximum_output_size(page);
                zstd::zstd_safe::compress_bound(page).max(stored).max(lz4)
            }
        }
    }
}

/// Chooses the best strategy for a page; overwrites `out` and `part`.
fn choose_strategy(
    zstd: &mut Compressor<'static>,
    auto: bool,
    page: &[u8],
    patterned: impl Fn() -> Range<usize>,
    out: &mut [u8],
    part: &mut Vec<u8>,
) -> Result<Strategy> {
    // Patterns that span many rows show only in the whole page.
    let whole = compress_zstd(zstd, page, out)?;
    if auto {
        // Pages that gain from zstd have hardly any noise: searching for noise costs more than it
        // saves.
        let fast = compress_lz4(page, out)?;
        return Ok(if fast <= whole + whole / MIN_ZSTD_GAIN {
            Strategy::Fast
        } else {
            Strategy::Whole
        });
    }
    let apart = write_zstd_frame(zstd, page, patterned(), out, part)?;
    Ok(if apart <= whole + whole / 32 { Strategy::Apart } else { Strategy::Whole })
}

/// Compresses bytes with LZ4.
fn compress_lz4(bytes: &[u8], out: &mut [u8]) -> Result<usize> {
    lz4_flex::block::compress_into(bytes, out)
        .map_err(|error| ParquetError::External(Box::new(error)))
}

/// Compresses bytes into a zstd frame.
fn compress_zstd(zstd: &mut Compressor<'static>, bytes: &[u8], out: &mut [u8]) -> Result<usize> {
    zstd.compress_to_buffer(bytes, out).map_err(ParquetError::from)
}

/// The number of bytes sampled from a stream.
const SAMPLE: usize = 1024;

/// The share of a stream that compression must save, to be worth the writer's time and that of every
/// reader.
const MIN_SAVING: f64 = 0.15;

/// Returns the part of a page to compress: the adjacent streams that save most.
fn patterned_range(page: &[u8], head: usize, streams: usize) -> Range<usize> {
    let length = (page.len() - head) / streams.max(1);
    let start = |stream: usize| head + stream * length;
    let (mut best, mut found) = (0.0, None);
    let (mut sum, mut from) = (0.0, 0);
    for stream in 0..streams {
        sum += estimate_savings(&page[start(stream)..start(stream + 1)]) - MIN_SAVING;
        if sum > best {
            (best, found) = (sum, Some((from, stream + 1)));
        } else if sum < 0.0 {
            (sum, from) = (0.0, stream + 1);
        }
    }
    match found {
        // The levels are few bytes, so they are compressed with the first stream.
        Some((0, end)) => 0..start(end),
        Some((from, end)) => start(from)..start(end),
        None => page.len()..page.len(),
    }
}

/// Estimates the share of its bytes that a stream saves if compressed: by the entropy of its bytes, or
/// by how often a byte repeats the one before.
fn estimate_savings(bytes: &[u8]) -> f64 {
    let sample = &bytes[bytes.len() / 2..];
    let sample = &sample[..sample.len().min(SAMPLE)];
    if sample.len() < 64 {
        return 1.0;
    }
    let mut counts = [0_usize; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    let count = sample.len() as f64;
    let told: f64 = counts.iter().filter(|c| **c > 0).map(|c| INFORMATION[*c]).sum();
    // Corrects for bytes that occur twice by chance in a sample of this size.
    let chance = 255.0 / (2.0 * count * std::f64::consts::LN_2);
    let bits = count.log2() - told / count + chance;
    let repeats = sample.windows(2).filter(|pair| pair[0] == pair[1]).count() as f64;
    (1.0 - bits / 8.0).max(repeats / count)
}

/// `n * log2(n)` for each count that a sample can have.
static INFORMATION: LazyLock<[f64; SAMPLE + 1]> = LazyLock::new(|| {
    std::array::from_fn(|n| if n == 0 { 0.0 } else { n as f64 * (n as f64).log2() })
});

/// The maximum bytes of a block in a zstd frame.
const MAX_BLOCK: usize = 128 * 1024;

/// The bytes of a frame outside its blocks, plus the block headers that any page has.
const FRAME_OVERHEAD: usize = 32;

/// A buffer that is filled from its beginning.
struct FillBuffer<'a> {
    room: &'a mut [u8],
    filled: usize,
}

impl FillBuffer<'_> {
    fn append_bytes(&mut self, bytes: &[u8]) {
        self.room[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }
}

/// Writes a zstd frame in which all bytes outside `patterned` are stored uncompressed.
fn write_zstd_frame(
    zstd: &mut Compressor<'static>,
    page: &[u8],
    patterned: Range<usize>,
    out: &mut [u8],
    part: &mut Vec<u8>,
) -> Result<usize> {
    let mut out = FillBuffer { room: out, filled: 0 };
    out.append_bytes(&[0x28, 0xB5, 0x2F, 0xFD]); // The magic number.
    out.append_bytes(&[0b1010_0000]); // Four bytes of content size, one segment, no checksum, no dictionary.
    let size =
        u32::try_from(page.len()).map_err(|error| ParquetError::External(Box::new(error)))?;
    out.append_bytes(&size.to_le_bytes());
    let end = patterned.end == page.len();
    write_stored_blocks(&page[..patterned.start], patterned.is_empty() && end, &mut out);
    if !patterned.is_empty() {
        let bytes = &page[patterned.clone()];
        part.resize(zstd::zstd_safe::compress_bound(bytes.len()).max(part.len()), 0);
        let size = compress_zstd(zstd, bytes, part)?;
        copy_blocks(&part[..size], end, &mut out)?;
    }
    if !end {
        write_stored_blocks(&page[patterned.end..], true, &mut out);
    }
    Ok(out.filled)
}

/// Writes blocks of uncompressed bytes; `last` ends the frame.
fn write_stored_blocks(bytes: &[u8], last: bool, out: &mut FillBuffer) {
    let mut rest = bytes;
    while !rest.is_empty() || (last && bytes.is_empty()) {
        let (block, behind) = rest.split_at(rest.len().min(MAX_BLOCK));
        rest = behind;
        write_block_header(last && rest.is_empty(), 0, block.len(), out);
        out.append_bytes(block);
        if rest.is_empty() {
            return;
        }
    }
}

/// Writes the three bytes before a block: whether it is the last, its kind, its size.
fn write_block_header(last: bool, kind: usize, size: usize, out: &mut FillBuffer) {
    let word = usize::from(last) | kind << 1 | size << 3;
    out.append_bytes(&word.to_le_bytes()[..3]);
}

/// Copies the blocks of a frame into another frame; `last` ends that frame.
fn copy_blocks(frame: &[u8], last: bool, out: &mut FillBuffer) -> Result<()> {
    let broken = || ParquetError::General("zstd gave a frame that is none".to_string());
    let descriptor = *frame.get(4).ok_or_else(broken)?;
    let single = descriptor >> 5 & 1 == 1;
    let content = match descriptor >> 6 {
        0 => usize::from(single),
        bits => 1 << bits,
    };
    let mut rest = frame.get(5 + usize::from(!single) + content..).ok_or_else(broken)?;
    loop {
        let word = match rest {
            [a, b, c, ..] => usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16,
            _ => return Err(broken()),
        };
        let (ends, kind, size) = (word & 1 == 1, word >> 1 & 3, word >> 3);
        let held = if kind == 1 { 1 } else { size }; // A repeated byte is stored once.
        let block = rest.get(3..3 + held).ok_or_else(broken)?;
        write_block_header(ends && last, kind, size, out);
        out.append_bytes(block);
        if ends {
            return Ok(());
        }
        rest = &rest[3 + held..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the compressed page and its strategy.
    fn through(
        press: &mut PageCompressor,
        page: &[u8],
        head: usize,
        streams: usize,
        way: Option<Strategy>,
    ) -> (Vec<u8>, Strategy) {
        let (pressed, way) = press.compress_page(page, head, streams, way).unwrap();
        (pressed.to_vec(), way)
    }

    /// Returns the high bytes of a linear congruential generator, which pass for noise.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn frames_hold_their_page() {
        let (noise, flat) = (noise(300_000), vec![7; 300_000]);
        let steps: Vec<u8> = (0..300_000).map(|i| (i / 5 % 251) as u8).collect();
        let kinds: [&[u8]; 3] = [&noise, &flat, &steps];
        for length in [0, 1, 63, 64, 1000, 20_000, 140_000] {
            for head in [0, 5, 3000] {
                for code in 0..3_usize.pow(4) {
                    let mut page = vec![1; head];
                    for stream in 0..4 {
                        page.extend(&kinds[code / 3_usize.pow(stream) % 3][..length]);
                    }
                    let mut press = PageCompressor::new(Compression::Zstd(1)).unwrap();
                    for way in [Some(Strategy::Apart), Some(Strategy::Whole), None] {
                        let (pressed, _) = through(&mut press, &page, head, 4, way);
                        let read = zstd::decode_all(pressed.as_slice()).unwrap();
                        assert!(read == page, "{length} {head} {code} {way:?}");
                        let mut one = zstd::bulk::Decompressor::new().unwrap();
                        assert!(one.decompress(&pressed, page.len()).unwrap() == page);
                    }
                }
            }
        }
    }

    #[test]
    fn noise_is_stored_and_patterns_are_not() {
        let noise = noise(3 * 20_000);
        let mut page = noise.clone();
        page.extend(vec![0; 20_000]);
        assert_eq!(patterned_range(&page, 0, 4), 60_000..80_000);
        assert_eq!(patterned_range(&noise, 0, 3), 60_000..60_000);
        let mut press = PageCompressor::new(Compression::Zstd(1)).unwrap();
        let (pressed, way) = through(&mut press, &page, 0, 4, None);
        assert_eq!(way, Strategy::Apart);
        assert!((60_000..60_100).contains(&pressed.len()), "{}", pressed.len());
        // A pattern that repeats only after many rows is noise to a sample.
        let again = noise[..5_000].repeat(16);
        assert_eq!(patterned_range(&again, 0, 4), 80_000..80_000);
        let (pressed, way) = through(&mut press, &again, 0, 4, None);
        assert_eq!(way, Strategy::Whole);
        assert!(pressed.len() < 6_000, "{}", pressed.len());
    }

    #[test]
    fn zstd_is_for_what_gains_by_it() {
        let noise = noise(8 * 20_000);
        let mut press = PageCompressor::new(Compression::Auto).unwrap();
        let (pressed, way) = through(&mut press, &noise, 0, 8, None);
        assert_eq!(way, Strategy::Fast);
        assert!(lz4_flex::block::decompress(&pressed, noise.len()).unwrap() == noise);
        // Four values without a pattern: two bits of information each, which LZ4 cannot use.
        let few: Vec<u8> = noise.iter().map(|byte| byte & 3).collect();
        let (pressed, way) = through(&mut press, &few, 0, 8, None);
        assert_ne!(way, Strategy::Fast);
        assert!(zstd::decode_all(pressed.as_slice()).unwrap() == few);
        // A strategy that is passed in is used for the page.
        let (_, way) = through(&mut press, &noise, 0, 8, Some(way));
        assert_ne!(way, Strategy::Fast);
        // An explicit zstd setting never uses LZ4.
        let mut press = PageCompressor::new(Compression::Zstd(1)).unwrap();
        assert_ne!(through(&mut press, &noise, 0, 8, None).1, Strategy::Fast);
    }
}
