//! Bodies that are written once and then patched in place, compressed as they are.
//!
//! Labels stay from request to request; values and timestamps do not. [`draft`] writes the plain
//! message and notes where those lie, [`snappy`] packs it so that they stay patchable, and a
//! [`Body`] overwrites them: 8 bytes a value, 6 bytes a timestamp. zstd's streams cannot be patched:
//! there the plain message is, and is compressed anew each time, which costs far more.
//!
//! Invariant: a patched body decodes to the values and timestamps that were put in last.

pub mod draft;
mod protobuf;
pub mod snappy;
mod v1;
mod v2;

use crate::workload::{Request, Workload};
use draft::{Draft, Kind, Place, VALUE_BYTES};

/// A version of remote write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Protocol {
    /// Remote write 1.0, `prometheus.WriteRequest`.
    #[value(name = "1.0", alias = "1")]
    V1,
    /// Remote write 2.0, `io.prometheus.write.v2.Request`.
    #[value(name = "2.0", alias = "2")]
    V2,
}

/// How bodies are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Compression {
    /// Patched as it is: cheap.
    Snappy,
    /// Level 1, compressed for each request.
    Zstd,
}

impl Protocol {
    /// As people name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }

    /// `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// `X-Prometheus-Remote-Write-Version`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

impl Compression {
    /// `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

/// Bytes of a timestamp: a varint of 6 bytes holds milliseconds from 1971 to 2109.
pub const STAMP_BYTES: usize = 6;

/// Some bytes of a timestamp that stand together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StampPiece {
    /// Where.
    pub at: u32,
    /// The first of them, 0 to 5.
    pub first: u8,
    /// How many.
    pub len: u8,
    /// Which clock's timestamp.
    pub clock: u16,
}

/// One slot's body, ready to be patched and sent.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    values: Vec<Place>,
    stamps: Vec<StampPiece>,
    plain_len: usize,
    /// zstd's output, where that is wanted.
    packed: Option<Vec<u8>>,
}

/// Memory for filling bodies, kept by whoever fills many.
#[derive(Default)]
pub struct Scratch {
    values: Vec<f64>,
    stamps: Vec<i64>,
    encoded: Vec<[u8; STAMP_BYTES]>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Body {
    /// Writes the body of a request's slot; [`Body::fill`] makes it that request's.
    pub fn new(
        workload: &Workload,
        request: &Request,
        protocol: Protocol,
        compression: Compression,
    ) -> Self {
        let mut draft = Draft::default();
        match protocol {
            Protocol::V1 => v1::write(&mut draft, workload, request),
            Protocol::V2 => v2::write(&mut draft, workload, request),
        }
        let plain_len = draft.bytes.len();
        let mut body = match compression {
            Compression::Snappy => snappy::pack(&draft),
            Compression::Zstd => {
                let whole = |&(at, clock): &(u32, u16)| StampPiece {
                    at,
                    first: 0,
                    len: STAMP_BYTES as u8,
                    clock,
                };
                let stamps = draft.stamps.iter().map(whole).collect();
                let packed = Some(Vec::new());
                Self { bytes: draft.bytes, values: draft.values, stamps, packed, plain_len }
            }
        };
        body.plain_len = plain_len;
        body.bytes.shrink_to_fit();
        body.values.shrink_to_fit();
        body.stamps.shrink_to_fit();
        body
    }

    /// Puts in the values and timestamps of a request of the same labels.
    pub fn fill(&mut self, workload: &Workload, request: &Request, scratch: &mut Scratch) {
        scratch.values.clear();
        scratch.stamps.clear();
        workload.values(request, &mut scratch.values);
        workload.stamps(request, &mut scratch.stamps);
        scratch.encoded.clear();
        scratch.encoded.extend(scratch.stamps.iter().map(|&time| encode_stamp(time)));
        let mut before = 0.0;
        for (place, &value) in self.values.iter().zip(&scratch.values) {
            let (at, zigzag) = (place.at(), |n: i64| ((n << 1) ^ (n >> 63)) as u64);
            let bytes = match place.kind() {
                Kind::Double => value.to_bits().to_le_bytes(),
                Kind::Whole => encode_varint(value as u64),
                Kind::First => encode_varint(zigzag(value as i64)),
                Kind::Delta => encode_varint(zigzag(value as i64 - before as i64)),
            };
            before = value;
            self.bytes[at..at + VALUE_BYTES].copy_from_slice(&bytes);
        }
        for piece in &self.stamps {
            let (at, first, len) =
                (piece.at as usize, usize::from(piece.first), usize::from(piece.len));
            let stamp = &scratch.encoded[usize::from(piece.clock)];
            self.bytes[at..at + len].copy_from_slice(&stamp[first..first + len]);
        }
        if let Some(packed) = &mut self.packed {
            *packed = scratch.compress(&self.bytes);
        }
    }

    /// Becomes a captured message with other timestamps, compressed.
    pub(crate) fn replay(
        &mut self,
        plain: &[u8],
        stamps: impl Iterator<Item = (u32, i64)>,
        compression: Compression,
        scratch: &mut Scratch,
    ) {
        self.bytes.clear();
        self.bytes.extend_from_slice(plain);
        self.plain_len = plain.len();
        for (at, time) in stamps {
            let at = at as usize;
            self.bytes[at..at + STAMP_BYTES].copy_from_slice(&encode_stamp(time));
        }
        self.packed = Some(match compression {
            // What was decompressed from less than 4 GiB fits again.
            Compression::Snappy => {
                snap::raw::Encoder::new().compress_vec(&self.bytes).unwrap_or_default()
            }
            Compression::Zstd => scratch.compress(&self.bytes),
        });
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        self.packed.as_ref().unwrap_or(&self.bytes)
    }

    /// Bytes before compression.
    pub fn plain_len(&self) -> usize {
        self.plain_len
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.values.len() * 4 + self.stamps.len() * size_of::<StampPiece>()
    }
}

impl Scratch {
    /// By zstd. It fails for want of memory only; then the request is empty and is answered 400.
    fn compress(&mut self, plain: &[u8]) -> Vec<u8> {
        let fresh = || zstd::bulk::Compressor::new(1).unwrap_or_default();
        self.zstd.get_or_insert_with(fresh).compress(plain).unwrap_or_default()
    }
}

/// A timestamp as a varint of exactly 6 bytes; times before 1971 and after 2109 are moved there.
pub fn encode_stamp(time: i64) -> [u8; STAMP_BYTES] {
    stretched(time.clamp(1 << 35, (1 << 42) - 1) as u64)
}

/// A number below 2^56 as a varint of exactly 8 bytes.
fn encode_varint(number: u64) -> [u8; VALUE_BYTES] {
    stretched(number.min((1 << 56) - 1))
}

/// A varint of exactly so many bytes.
fn stretched<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| {
        let more = if at + 1 < N { 0x80 } else { 0 };
        ((number >> (7 * at)) & 0x7f) as u8 | more
    })
}

#[cfg(test)]
mod tests;
