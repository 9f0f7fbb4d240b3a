//! Snappy blocks and zstd frames, with the size checked before memory is taken.
//!
//! Invariant: whatever the input claims, no more than `cap_bytes` of output (and, for zstd, a
//! window of [`ZSTD_WINDOW_LOG_MAX`]) is ever allocated. One [`Decompressor`] or [`Compressor`]
//! belongs to one thread and keeps its tables between requests.

use zstd::stream::raw::{self, Operation};
use zstd::zstd_safe::{self, CParameter, DParameter, InBuffer, OutBuffer};

use crate::negotiate::Encoding;
use crate::snappy;

/// Largest zstd window, as a power of two: 8 MiB, what the format asks every decoder to support.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Snappy's densest element copies 64 bytes by 3; a claim beyond that is a lie.
const SNAPPY_RATIO_MAX: u64 = 22;

/// Least room that a zstd output starts with, bytes.
const ZSTD_FIRST_ROOM: usize = 16 * 1024;

/// Why a body could not be decompressed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecompressError {
    /// No snappy block.
    #[error("not snappy (block format): {0}")]
    NotSnappy(String),
    /// No zstd frame.
    #[error("not zstd: {0}")]
    NotZstd(String),
    /// More output than allowed; `claimed` is `None` where only decoding showed it.
    #[error("decompressed size {} is over the limit of {cap_bytes} bytes", .claimed.map_or("of unknown length".to_owned(), |c| format!("of {c} bytes")))]
    TooLarge {
        /// What the header says.
        claimed: Option<u64>,
        /// The limit.
        cap_bytes: usize,
    },
}

/// Decompresses bodies.
#[derive(Default)]
pub struct Decompressor {
    zstd: Option<raw::Decoder<'static>>,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// Decompresses `input` into `out`, whose content is replaced. Hand in a vector that still has
    /// its old content, not a cleared one: what is overwritten need not be zeroed first.
    pub fn decompress(
        &mut self,
        encoding: Encoding,
        input: &[u8],
        cap_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        match encoding {
            Encoding::Snappy => snappy(input, cap_bytes, out),
            Encoding::Zstd => self.zstd(input, cap_bytes, out),
        }
    }

    fn zstd(
        &mut self,
        input: &[u8],
        cap_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let not_zstd = |e: std::io::Error| DecompressError::NotZstd(e.to_string());
        let claimed = zstd_safe::get_frame_content_size(input)
            .map_err(|_| DecompressError::NotZstd("no frame header".into()))?;
        if let Some(claimed) = claimed.filter(|&c| c > cap_bytes as u64) {
            return Err(DecompressError::TooLarge { claimed: Some(claimed), cap_bytes });
        }
        let decoder = match &mut self.zstd {
            Some(decoder) => decoder,
            none => none.insert(new_zstd_decoder().map_err(not_zstd)?),
        };
        decoder.reinit().map_err(not_zstd)?;
        out.clear();
        // The frame's own word is worth no more memory than its bytes make likely.
        let likely = input.len().saturating_mul(8).max(ZSTD_FIRST_ROOM);
        let first = claimed.map_or(likely, |c| likely.min(c as usize));
        out.reserve_exact(first.min(cap_bytes).max(1));
        zstd_stream(decoder, input, cap_bytes, out)
    }
}

fn snappy(input: &[u8], cap_bytes: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let not_snappy = |e: snap::Error| DecompressError::NotSnappy(e.to_string());
    if input.is_empty() {
        return Err(DecompressError::NotSnappy("an empty body".into()));
    }
    let claimed = snap::raw::decompress_len(input).map_err(not_snappy)?;
    if claimed > cap_bytes {
        return Err(DecompressError::TooLarge { claimed: Some(claimed as u64), cap_bytes });
    }
    if claimed as u64 > SNAPPY_RATIO_MAX * input.len() as u64 {
        return Err(DecompressError::NotSnappy(format!(
            "{} bytes cannot hold the {claimed} that they claim",
            input.len()
        )));
    }
    let header_len = input.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let elements = input.get(header_len..).unwrap_or_default();
    if out.capacity() < claimed {
        // Not to copy what is overwritten anyway.
        *out = Vec::new();
    }
    out.resize(claimed, 0);
    snappy::decompress(elements, out).map_err(|e| DecompressError::NotSnappy(e.to_string()))
}

fn new_zstd_decoder() -> std::io::Result<raw::Decoder<'static>> {
    let mut decoder = raw::Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
    Ok(decoder)
}

/// Decodes all frames of `input`; `out` doubles while it is full and below the cap.
fn zstd_stream(
    decoder: &mut raw::Decoder<'static>,
    input: &[u8],
    cap_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    let mut source = InBuffer::around(input);
    loop {
        if out.len() > cap_bytes {
            return Err(DecompressError::TooLarge { claimed: None, cap_bytes });
        }
        if out.len() == out.capacity() {
            // One byte past the cap, to tell "just fits" from "more to come".
            let room = (cap_bytes + 1 - out.len()).min(out.len().max(ZSTD_FIRST_ROOM));
            out.reserve_exact(room);
        }
        let (taken, given) = (source.pos(), out.len());
        let mut sink = OutBuffer::around_pos(out, given);
        let hint = decoder
            .run(&mut source, &mut sink)
            .map_err(|e| DecompressError::NotZstd(e.to_string()))?;
        let written = sink.pos();
        let room_left = written < out.capacity();
        // No hint: the frame is complete and all of it written out.
        if source.pos() == input.len() && hint == 0 {
            break;
        }
        if source.pos() == input.len() && room_left {
            return Err(DecompressError::NotZstd("the frame is cut off".into()));
        }
        if source.pos() == taken && written == given && room_left {
            return Err(DecompressError::NotZstd("no progress".into()));
        }
    }
    if out.len() > cap_bytes {
        return Err(DecompressError::TooLarge { claimed: None, cap_bytes });
    }
    Ok(())
}

/// Compresses bodies.
pub struct Compressor {
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    zstd_level: i32,
    /// Its tables' size, as a power of two; chosen by the level if there is none.
    zstd_table_log: Option<u32>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressor(zstd level {})", self.zstd_level)
    }
}

impl Compressor {
    /// One that uses this zstd level.
    pub fn new(zstd_level: i32) -> Self {
        Self { snappy: snap::raw::Encoder::new(), zstd: None, zstd_level, zstd_table_log: None }
    }

    /// For bodies of many scrapes: level 3, which finds the series of the scrape before where level 1
    /// does not, with tables of 128 KiB in place of 768. On such bodies it is no slower than level 1.
    pub fn of_scrapes() -> Self {
        Self { zstd_table_log: Some(14), ..Self::new(3) }
    }

    /// Compresses `input` into `out`, whose content is replaced. Fails only where the input is
    /// larger than the format allows (snappy: 4 GiB), or memory is out.
    pub fn compress(
        &mut self,
        encoding: Encoding,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        match encoding {
            Encoding::Snappy => {
                out.resize(snap::raw::max_compress_len(input.len()), 0);
                let written = self.snappy.compress(input, out).map_err(std::io::Error::other)?;
                out.truncate(written);
            }
            Encoding::Zstd => {
                let encoder = match &mut self.zstd {
                    Some(encoder) => encoder,
                    none => none.insert(new_zstd_encoder(self.zstd_level, self.zstd_table_log)?),
                };
                out.clear();
                out.reserve(zstd_safe::compress_bound(input.len()));
                encoder.compress_to_buffer(input, out)?;
            }
        }
        Ok(())
    }
}

fn new_zstd_encoder(
    level: i32,
    table_log: Option<u32>,
) -> std::io::Result<zstd::bulk::Compressor<'static>> {
    let mut encoder = zstd::bulk::Compressor::new(level)?;
    if let Some(log) = table_log {
        encoder.set_parameter(CParameter::HashLog(log))?;
        encoder.set_parameter(CParameter::ChainLog(log))?;
    }
    Ok(encoder)
}

impl Default for Compressor {
    /// Level 1: on metrics higher ones cost much and bring little.
    fn default() -> Self {
        Self::new(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 1 << 20;
    const BOTH: [Encoding; 2] = [Encoding::Snappy, Encoding::Zstd];

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|i| ((i * i / 7) as u8).wrapping_mul(31)).collect()
    }

    #[test]
    fn bodies_come_back() {
        let (mut small, mut back) = (Vec::new(), Vec::new());
        for mut encoder in [Compressor::default(), Compressor::of_scrapes()] {
            let mut decoder = Decompressor::default();
            for (encoding, len) in
                BOTH.into_iter().flat_map(|e| [0, 1, 100, 70_000, CAP, 5].map(|len| (e, len)))
            {
                let plain = text(len);
                encoder.compress(encoding, &plain, &mut small).unwrap();
                decoder.decompress(encoding, &small, CAP, &mut back).unwrap();
                assert!(back == plain, "{encoding:?} {len}");
            }
        }
    }

    #[test]
    fn a_size_over_the_cap_is_refused_before_it_is_allocated() {
        let mut decoder = Decompressor::default();
        let mut out = Vec::new();
        // Snappy's header alone: 4 GiB - 1.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let error = decoder.decompress(Encoding::Snappy, &bomb, CAP, &mut out);
        assert!(matches!(error, Err(DecompressError::TooLarge { claimed: Some(0xffff_ffff), .. })));
        let zeros = vec![0u8; CAP + 1];
        let mut small = Vec::new();
        Compressor::default().compress(Encoding::Zstd, &zeros, &mut small).unwrap();
        let error = decoder.decompress(Encoding::Zstd, &small, CAP, &mut out);
        assert!(
            matches!(error, Err(DecompressError::TooLarge { claimed: Some(c), .. }) if c == CAP as u64 + 1)
        );
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn a_claim_that_the_input_cannot_hold_is_no_snappy() {
        let mut out = Vec::new();
        let lie = [0x80, 0x80, 0x40, 0x00];
        let error = Decompressor::default().decompress(Encoding::Snappy, &lie, CAP, &mut out);
        assert!(matches!(error, Err(DecompressError::NotSnappy(_))));
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn a_frame_without_content_size_is_bounded_while_it_streams() {
        for (len, fits) in [(CAP, true), (CAP + 1, false), (3 * CAP, false)] {
            let mut small = Vec::new();
            let mut encoder = zstd::stream::Encoder::new(&mut small, 1).unwrap();
            std::io::Write::write_all(&mut encoder, &vec![7u8; len]).unwrap();
            encoder.finish().unwrap();
            assert!(matches!(zstd_safe::get_frame_content_size(&small), Ok(None)));
            let mut out = Vec::new();
            let result = Decompressor::default().decompress(Encoding::Zstd, &small, CAP, &mut out);
            assert_eq!(result.is_ok(), fits, "{len}");
            assert!(out.capacity() <= CAP + 1, "{}", out.capacity());
        }
    }

    #[test]
    fn damage_is_an_error_and_the_next_body_is_well() {
        let (mut encoder, mut decoder) = (Compressor::default(), Decompressor::default());
        let plain = text(10_000);
        let (mut small, mut out) = (Vec::new(), Vec::new());
        for encoding in BOTH {
            encoder.compress(encoding, &plain, &mut small).unwrap();
            for cut in [0, 1, 5, small.len() / 2, small.len() - 1] {
                let error = decoder.decompress(encoding, &small[..cut], CAP, &mut out);
                assert!(error.is_err(), "{encoding:?} cut at {cut}");
            }
            decoder.decompress(encoding, &small, CAP, &mut out).unwrap();
            assert_eq!(out, plain);
        }
        let two = {
            let mut twice = small.clone();
            twice.extend_from_slice(&small);
            twice
        };
        decoder.decompress(Encoding::Zstd, &two, CAP, &mut out).unwrap();
        assert_eq!(out.len(), 2 * plain.len());
    }

    #[test]
    fn a_window_over_the_limit_is_refused() {
        let mut small = Vec::new();
        let mut encoder = zstd::stream::Encoder::new(&mut small, 1).unwrap();
        encoder.window_log(27).unwrap();
        std::io::Write::write_all(&mut encoder, b"x").unwrap();
        encoder.finish().unwrap();
        let error =
            Decompressor::default().decompress(Encoding::Zstd, &small, CAP, &mut Vec::new());
        assert!(matches!(error, Err(DecompressError::NotZstd(_))), "{error:?}");
    }
}
