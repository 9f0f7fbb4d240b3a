//! Protobuf primitives over a borrowed slice, for all decoders of this crate.
//!
//! Invariant: a [`Reader`] never reads past its end, and its position is always the offset in the
//! whole body, so that an error can name the byte. It accepts exactly the encodings that protobuf
//! allows (any varint up to 64 bits, unknown fields, groups); it knows no message.

use std::ops::Range;

use crate::error::{DecodeError, DecodeErrorKind as Kind};

/// Wire type of varints.
pub(crate) const VARINT: u8 = 0;
/// Wire type of eight fixed bytes.
pub(crate) const FIXED64: u8 = 1;
/// Wire type of length-delimited fields.
pub(crate) const LEN: u8 = 2;
const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// How deep groups may nest; as in prost.
const GROUP_DEPTH_MAX: u32 = 100;

/// Reads fields from a part of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader<'a> {
    /// The body up to this reader's end.
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// A reader over a whole body.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// A reader over `start..end` of a body; an empty one where that lies outside.
    pub(crate) fn over(body: &'a [u8], start: usize, end: usize) -> Self {
        let bytes = body.get(..end).unwrap_or_default();
        Self { bytes, pos: start }
    }

    /// Offset of the next byte.
    #[inline]
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Offset of the end.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// What offsets count in: the body up to this reader's end.
    #[inline]
    pub(crate) fn body(&self) -> &'a [u8] {
        self.bytes
    }

    /// Offsets of what is left.
    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        self.pos..self.bytes.len()
    }

    /// Whether all is read.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// What is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    /// Goes on behind so many bytes, which are known to be there.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.rest().len());
        self.pos += bytes;
    }

    /// A base-128 varint.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match *self.rest() {
            [byte, ..] if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            [low, high, ..] if high < 0x80 => {
                self.pos += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    /// A varint of more than two bytes.
    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        match *self.rest() {
            [a, b, c, d, e, f, g, h, ..] => {
                let word = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                match varint_in(word) {
                    Some((value, len)) => {
                        self.pos += len;
                        Ok(value)
                    }
                    None => self.slow_varint(),
                }
            }
            _ => self.slow_varint(),
        }
    }

    /// A varint at the very end, or of nine or ten bytes.
    #[cold]
    fn slow_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (at, &byte) in self.rest().iter().take(10).enumerate() {
            if at == 9 && byte > 1 {
                return Err(self.error(Kind::Varint));
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.pos += at + 1;
                return Ok(value);
            }
        }
        Err(self.error(Kind::Truncated))
    }

    /// A field's number and wire type.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<(u32, u8), DecodeError> {
        let at = self.pos;
        let key = self.varint()?;
        let (field, wire) = (key >> 3, (key & 7) as u8);
        if field == 0 || key > u64::from(u32::MAX) || wire > FIXED32 {
            return Err(DecodeError::new(at, Kind::Key(key)));
        }
        Ok((field as u32, wire))
    }

    /// A length-delimited field's content, as a reader of its own.
    #[inline]
    pub(crate) fn message(&mut self) -> Result<Self, DecodeError> {
        let at = self.pos;
        let length = self.varint()?;
        let left = self.bytes.len() - self.pos;
        if length > left as u64 {
            return Err(DecodeError::new(at, Kind::Length { length, left }));
        }
        let end = self.pos + length as usize;
        let inner = Self { bytes: &self.bytes[..end], pos: self.pos };
        self.pos = end;
        Ok(inner)
    }

    /// A length-delimited field's content as bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.message().map(|inner| inner.rest())
    }

    /// A double.
    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64, DecodeError> {
        match self.rest().first_chunk::<8>() {
            Some(&bytes) => {
                self.pos += 8;
                Ok(f64::from_le_bytes(bytes))
            }
            None => Err(self.error(Kind::Truncated)),
        }
    }

    /// A zigzag varint of 64 bits.
    pub(crate) fn sint64(&mut self) -> Result<i64, DecodeError> {
        self.varint().map(weir_model::varint::unzigzag)
    }

    /// A zigzag varint of 32 bits; higher bits are cut off, as all implementations do.
    pub(crate) fn sint32(&mut self) -> Result<i32, DecodeError> {
        let raw = self.varint()? as u32;
        Ok(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    /// Skips a field of unknown number.
    pub(crate) fn skip(&mut self, field: u32, wire: u8) -> Result<(), DecodeError> {
        self.skip_nested(field, wire, GROUP_DEPTH_MAX)
    }

    fn skip_nested(&mut self, field: u32, wire: u8, depth: u32) -> Result<(), DecodeError> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.double().map(drop),
            LEN => self.message().map(drop),
            FIXED32 if self.rest().len() >= 4 => {
                self.pos += 4;
                Ok(())
            }
            FIXED32 => Err(self.error(Kind::Truncated)),
            GROUP if depth > 0 => loop {
                let at = self.pos;
                let (inner, wire) = self.key()?;
                match wire {
                    GROUP_END if inner == field => return Ok(()),
                    GROUP_END => return Err(DecodeError::new(at, Kind::Group)),
                    _ => self.skip_nested(inner, wire, depth - 1)?,
                }
            },
            _ => Err(self.error(Kind::Group)),
        }
    }

    /// An error at the next byte.
    pub(crate) fn error(&self, kind: Kind) -> DecodeError {
        DecodeError::new(self.pos, kind)
    }

    /// A known field that has another wire type than it should.
    pub(crate) fn wire_error(&self, message: &'static str, field: u32, found: u8) -> DecodeError {
        self.error(Kind::WireType { message, field, found })
    }
}

/// The varint that begins a word's bytes and its length, unless it is longer than eight bytes.
#[inline]
pub(crate) fn varint_in(word: u64) -> Option<(u64, usize)> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let ends = !word & HIGH;
    if ends == 0 {
        return None;
    }
    // Everything up to the lowest byte without the high bit.
    let bits = word & (ends ^ (ends - 1)) & !HIGH;
    // Pairs of 7 bits to 14, those to 28, those to 56.
    let bits = (bits & 0x007f_007f_007f_007f) | ((bits & 0x7f00_7f00_7f00_7f00) >> 1);
    let bits = (bits & 0x0000_3fff_0000_3fff) | ((bits & 0x3fff_0000_3fff_0000) >> 2);
    let bits = (bits & 0x0000_0000_0fff_ffff) | ((bits & 0x0fff_ffff_0000_0000) >> 4);
    Some((bits, ends.trailing_zeros() as usize / 8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_and_what_follows_them() {
        for len in 1..=10 {
            let least = 1u64 << (7 * (len - 1));
            for value in [least, least | (least - 1), least | 0x55] {
                let mut bytes = Vec::new();
                weir_model::varint::write(value, &mut bytes);
                let exact = bytes.len();
                for tail in [0x00, 0x7f, 0x80, 0xff] {
                    let mut followed = bytes.clone();
                    followed.extend([tail; 9]);
                    for all in [&bytes, &followed] {
                        let mut reader = Reader::new(all);
                        assert_eq!(reader.varint(), Ok(value));
                        assert_eq!(reader.pos(), exact);
                    }
                }
            }
        }
    }

    #[test]
    fn varints_have_at_most_64_bits() {
        let mut max = [0xff; 10];
        max[9] = 1;
        assert_eq!(Reader::new(&max).varint(), Ok(u64::MAX));
        max[9] = 2;
        let error = Reader::new(&max).varint().unwrap_err();
        assert_eq!(error.kind, Kind::Varint);
        let error = Reader::new(&[0x80, 0x80]).varint().unwrap_err();
        assert_eq!((error.offset, error.kind), (0, Kind::Truncated));
    }

    #[test]
    fn a_length_past_the_end_names_its_byte() {
        let mut reader = Reader::new(&[0x0a, 0x05, 1, 2]);
        assert_eq!(reader.key(), Ok((1, LEN)));
        let error = reader.message().unwrap_err();
        assert_eq!(error.offset, 1);
        assert_eq!(error.kind, Kind::Length { length: 5, left: 2 });
    }

    #[test]
    fn groups_are_skipped_whole() {
        // Field 7 as a group around field 1 = 5 and an empty group 2.
        let bytes = [0x3b, 0x08, 0x05, 0x13, 0x14, 0x3c, 0x10];
        let mut reader = Reader::new(&bytes);
        let (field, wire) = reader.key().unwrap();
        reader.skip(field, wire).unwrap();
        assert_eq!(reader.pos(), 6);
        let mut wrong = Reader::new(&[0x3b, 0x14]);
        let (field, wire) = wrong.key().unwrap();
        assert_eq!(wrong.skip(field, wire).unwrap_err().kind, Kind::Group);
        let deep = [0x0bu8; 300];
        let mut reader = Reader::new(&deep);
        let (field, wire) = reader.key().unwrap();
        assert_eq!(reader.skip(field, wire).unwrap_err().kind, Kind::Group);
    }
}
