//! Snappy's block format, backwards: bodies are read faster than the general decoder does it.
//!
//! A body of label sets is mostly short copies from one series before. Far from both ends an
//! element is therefore written as 64 bytes whatever its length, for what is too much is
//! overwritten by the next one; only elements near an end, long literals and copies that overlap
//! themselves are taken by their length. Invariant: exactly `out` is filled, or it is an error.
//! Deliberately not here: the header, and compression.

/// Why a block cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("it ends within an element")]
    CutOff,
    #[error("it refers to what is before its beginning")]
    Reference,
    #[error("it holds more than it claims")]
    TooLong,
    #[error("it holds less than it claims")]
    TooShort,
}

/// Decompresses a block's elements, which must fill `out`.
pub(crate) fn decompress(elements: &[u8], out: &mut [u8]) -> Result<(), Damage> {
    let (mut rest, mut done) = (elements, 0);
    loop {
        (rest, done) = skim(rest, out, done);
        if rest.is_empty() {
            break;
        }
        (rest, done) = element(rest, out, done)?;
    }
    if done == out.len() { Ok(()) } else { Err(Damage::TooShort) }
}

/// Takes elements for as long as 64 bytes may be read and written for each: what is left, and how
/// much is written.
#[inline]
fn skim<'a>(mut rest: &'a [u8], out: &mut [u8], mut done: usize) -> (&'a [u8], usize) {
    while let Some((&[tag, ref ahead @ ..], _)) = rest.split_first_chunk::<{ 1 + WIDE }>() {
        let from = rest;
        // Each kind on its own, though a table could tell them alike: which kind it is can be
        // guessed, so that the next element is read before this one's tag is there.
        let upper = usize::from(tag >> 2);
        let (len, offset);
        let [low, high, ..] = *ahead;
        match tag & 3 {
            LITERAL => {
                let room = out.get_mut(done..).and_then(|o| o.first_chunk_mut::<WIDE>());
                let Some(room) = room.filter(|_| upper < 60) else {
                    break;
                };
                *room = *ahead;
                done += upper + 1;
                rest = &rest[2 + upper..];
                continue;
            }
            1 => {
                (len, offset) = (4 + (upper & 7), (upper >> 3) << 8 | usize::from(low));
                rest = &rest[2..];
            }
            2 => {
                (len, offset) = (upper + 1, usize::from(u16::from_le_bytes([low, high])));
                rest = &rest[3..];
            }
            _ => break,
        }
        // From the source's beginning to the room's end.
        let span = out.get_mut(done.wrapping_sub(offset)..done + WIDE);
        let source = span.as_deref().and_then(|span| span.first_chunk::<WIDE>()).copied();
        let (Some(span), Some(source)) = (span, source.filter(|_| len <= offset)) else {
            return (from, done);
        };
        if let Some(room) = span.last_chunk_mut::<WIDE>() {
            *room = source;
        }
        done += len;
    }
    (rest, done)
}

/// Takes one element of any kind.
fn element<'a>(rest: &'a [u8], out: &mut [u8], done: usize) -> Result<(&'a [u8], usize), Damage> {
    let (&tag, rest) = rest.split_first().ok_or(Damage::CutOff)?;
    let Element { len, behind_tag, high } = ELEMENTS[usize::from(tag)];
    let (number, rest) = rest.split_at_checked(behind_tag.into()).ok_or(Damage::CutOff)?;
    let number = number.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte));
    let len = usize::from(len) + if tag & 3 == LITERAL { number } else { 0 };
    let (before, room) = out.split_at_mut(done);
    let room = room.get_mut(..len).ok_or(Damage::TooLong)?;
    if tag & 3 == LITERAL {
        let (literal, rest) = rest.split_at_checked(len).ok_or(Damage::CutOff)?;
        room.copy_from_slice(literal);
        return Ok((rest, done + len));
    }
    let offset = usize::from(high) | number;
    let from = done.checked_sub(offset).filter(|_| offset > 0).ok_or(Damage::Reference)?;
    // A copy that reaches into itself repeats what it begins with.
    let source = before[from..].iter().cycle();
    room.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
    Ok((rest, done + len))
}

/// Bytes that are copied at a stroke: as much as a copy, or a short literal, ever has.
const WIDE: usize = 64;

/// The kind of a tag whose element carries its bytes along.
const LITERAL: u8 = 0;

/// What a tag says.
#[derive(Clone, Copy)]
struct Element {
    /// Bytes of output. For literals with a number behind the tag: what is to be added to that.
    len: u8,
    /// Bytes of the number behind the tag: a long literal's length, a copy's offset.
    behind_tag: u8,
    /// The offset's bits that stand in the tag, in their place.
    high: u16,
}

/// All tags, as the format's description has them.
const ELEMENTS: [Element; 256] = {
    let mut all = [Element { len: 0, behind_tag: 0, high: 0 }; 256];
    let mut tag = 0;
    while tag < 256 {
        let upper = (tag >> 2) as u8;
        all[tag] = match tag & 3 {
            0 if upper < 60 => Element { len: upper + 1, behind_tag: 0, high: 0 },
            0 => Element { len: 1, behind_tag: upper - 59, high: 0 },
            1 => Element { len: 4 + (upper & 7), behind_tag: 1, high: (tag as u16 >> 5) << 8 },
            2 => Element { len: upper + 1, behind_tag: 2, high: 0 },
            _ => Element { len: upper + 1, behind_tag: 4, high: 0 },
        };
        tag += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn header_len(packed: &[u8]) -> usize {
        packed.iter().take_while(|b| **b >= 0x80).count() + 1
    }

    /// Decodes with the general decoder too; both must agree on every input.
    fn both(elements: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0xa5; len];
        let mine = decompress(elements, &mut out).is_ok();
        let mut packed = Vec::new();
        weir_model::varint::write(len as u64, &mut packed);
        packed.extend_from_slice(elements);
        let mut general = vec![0; len];
        let theirs = snap::raw::Decoder::new().decompress(&packed, &mut general);
        let theirs = theirs.is_ok().then_some(general);
        assert_eq!(mine.then_some(&out), theirs.as_ref(), "{elements:?} to {len} bytes");
        theirs
    }

    /// Texts that repeat themselves, near and far.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = (vec(0u8..4, 1..90), 0usize..4).prop_map(|(piece, times)| piece.repeat(times));
        vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    /// Elements of any kind, valid or not.
    fn elements() -> impl Strategy<Value = Vec<u8>> {
        let literal = vec(any::<u8>(), 1..70).prop_map(|bytes| {
            let last = bytes.len() as u8 - 1;
            let head = if last < 60 { vec![last << 2] } else { vec![60 << 2, last] };
            [head, bytes].concat()
        });
        let near = (0u8..8, 0u8..2, any::<u8>())
            .prop_map(|(l, high, low)| vec![high << 5 | l << 2 | 1, low]);
        let far = (0u8..64, 0u16..300)
            .prop_map(|(l, o)| [vec![l << 2 | 2], o.to_le_bytes().to_vec()].concat());
        let farther = (0u8..64, 0u32..300)
            .prop_map(|(l, o)| [vec![l << 2 | 3], o.to_le_bytes().to_vec()].concat());
        vec(prop_oneof![4 => literal, 2 => near, 2 => far, 1 => farther], 0..40)
            .prop_map(|all| all.concat())
    }

    proptest! {
        #[test]
        fn texts_come_back(text in text()) {
            let packed = snap::raw::Encoder::new().compress_vec(&text).unwrap();
            prop_assert_eq!(both(&packed[header_len(&packed)..], text.len()), Some(text));
        }

        #[test]
        fn damage_is_seen_alike(
            text in text(),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            longer in -3i64..4,
        ) {
            let mut packed = snap::raw::Encoder::new().compress_vec(&text).unwrap();
            packed.drain(..header_len(&packed));
            for (at, byte) in damage {
                if !packed.is_empty() {
                    let at = at.index(packed.len());
                    packed[at] = byte;
                }
            }
            both(&packed, text.len());
            both(&packed, text.len().saturating_add_signed(longer as isize));
        }

        #[test]
        fn any_elements_are_read_alike(elements in elements(), claimed in 0usize..4000) {
            // The length that the elements have, and any other.
            let mut room = vec![0; 1 << 13];
            let (mut rest, mut len) = (&elements[..], 0);
            while let Ok((tail, done)) = element(rest, &mut room, len) {
                (rest, len) = (tail, done);
            }
            both(&elements, len);
            both(&elements, claimed);
        }
    }

    #[test]
    fn every_truncation_of_a_body() {
        let text = crate::oracle::Workload::default().v1_bytes(0, 3);
        let packed = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        let elements = &packed[header_len(&packed)..];
        for len in 0..elements.len() {
            assert_eq!(both(&elements[..len], text.len()), None);
        }
        assert_eq!(both(elements, text.len()), Some(text));
    }
}
