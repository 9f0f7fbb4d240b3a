//! The parts of a 2.0 series: its usual form in one look, references, samples and metadata. Nothing here knows the symbol table's text.

use weir_model::Timestamp;

use crate::error::DecodeError;
use crate::varint::{FIXED64, Reader, VARINT, varint_in};

/// A series' metadata as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SeriesMetadata {
    pub(super) kind: u32,
    pub(super) help: u32,
    pub(super) unit: u32,
}

impl SeriesMetadata {
    /// Reads a message over what is known; one that stands twice is merged, as protobuf has it.
    pub(super) fn read(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while !message.is_done() {
            match message.key()? {
                (1, VARINT) => self.kind = message.varint()? as u32,
                (3, VARINT) => self.help = message.varint()? as u32,
                (4, VARINT) => self.unit = message.varint()? as u32,
                (field @ (1 | 3 | 4), wire) => {
                    return Err(message.wire_error("Metadata", field, wire));
                }
                (field, wire) => message.skip(field, wire)?,
            }
        }
        Ok(())
    }
}

/// Appends packed references, which stand at `at` of the body. They are most of a series, so those
/// of up to three bytes (two million symbols) are read without a reader.
#[inline]
pub(super) fn read_refs(packed: &[u8], at: usize, out: &mut Vec<u32>) -> Result<(), DecodeError> {
    let mut rest = packed;
    loop {
        let (reference, tail) = match rest {
            [] => return Ok(()),
            [a, tail @ ..] if *a < 0x80 => (u32::from(*a), tail),
            [a, b, tail @ ..] if *b < 0x80 => (u32::from(a & 0x7f) | u32::from(*b) << 7, tail),
            [a, b, c, tail @ ..] if *c < 0x80 => {
                let low = u32::from(a & 0x7f) | u32::from(b & 0x7f) << 7;
                (low | u32::from(*c) << 14, tail)
            }
            _ => {
                let mut long = Reader::new(rest);
                let reference = long
                    .varint()
                    .map_err(|e| DecodeError { offset: at + packed.len() - rest.len(), ..e })?;
                (reference as u32, long.rest())
            }
        };
        out.push(reference);
        rest = tail;
    }
}

/// A series of the usual form.
pub(super) struct PlainSeries<'a> {
    /// The packed references.
    pub(super) refs: &'a [u8],
    pub(super) timestamp: Timestamp,
    pub(super) value: f64,
    /// The metadata field with its key; empty if there is none.
    pub(super) metadata: &'a [u8],
}

/// Reads a series as references (field 1), one sample (field 2) of value and timestamp in either
/// order, and metadata (field 5) or nothing; `None` if it is anything else.
#[inline]
pub(super) fn plain_series(message: &[u8]) -> Option<PlainSeries<'_>> {
    let [0x0a, len, rest @ ..] = message else {
        return None;
    };
    if *len >= 0x80 {
        return None;
    }
    let (refs, rest) = rest.split_at_checked(*len as usize)?;
    let (value, timestamp, metadata) = match rest {
        [0x12, 0x10, 0x09, rest @ ..] => {
            let (bits, rest) = rest.split_first_chunk::<8>()?;
            let (timestamp, rest) = stamp(rest)?;
            (f64::from_le_bytes(*bits), timestamp, rest)
        }
        // As Weir's agents write it.
        [0x12, 0x10, rest @ ..] => {
            let (timestamp, rest) = stamp(rest)?;
            let (&[0x09, ref bits @ ..], rest) = rest.split_first_chunk::<9>()? else {
                return None;
            };
            (f64::from_le_bytes(*bits), timestamp, rest)
        }
        [0x12, 0x07, rest @ ..] => {
            let (timestamp, rest) = stamp(rest)?;
            (0.0, timestamp, rest)
        }
        _ => return None,
    };
    match metadata {
        [] => {}
        [0x2a, len, rest @ ..] if *len < 0x80 && *len as usize == rest.len() => {}
        _ => return None,
    }
    Some(PlainSeries { refs, timestamp, value, metadata })
}

/// A timestamp of this age of the world, six bytes, and what follows it.
#[inline]
fn stamp(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (&[0x10, a, b, c, d, e, f], rest) = bytes.split_first_chunk::<7>()? else {
        return None;
    };
    match varint_in(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))? {
        (timestamp, 6) => Some((timestamp as Timestamp, rest)),
        _ => None,
    }
}

/// Any `Sample`: timestamp, value, start timestamp.
#[inline]
pub(super) fn sample(mut message: Reader<'_>) -> Result<(Timestamp, f64, Timestamp), DecodeError> {
    let (mut timestamp, mut value, mut start) = (0, 0.0, 0);
    while !message.is_done() {
        match message.key()? {
            (1, FIXED64) => value = message.double()?,
            (2, VARINT) => timestamp = message.varint()? as Timestamp,
            (3, VARINT) => start = message.varint()? as Timestamp,
            (field @ 1..=3, wire) => return Err(message.wire_error("Sample", field, wire)),
            (field, wire) => message.skip(field, wire)?,
        }
    }
    Ok((timestamp, value, start))
}
