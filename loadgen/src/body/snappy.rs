//! Snappy's block format, with holes.
//!
//! A stream of literals and copies whose values can be overwritten afterwards. Values always stand
//! in literals, whole, and no copy refers to them. Timestamps of one clock change together, so one
//! may be a copy of another, byte for byte in the same place; what stands in a literal is noted.
//! Labels are compressed as everywhere: copies of at least four bytes, from at most 64 KiB before.
//!
//! Invariant: decompressed, a patched stream is the draft with the same patches.

use super::draft::{Draft, Place, VALUE_BYTES};
use super::{Body, STAMP_BYTES, StampPiece};

/// How a byte may change.
type Kind = u16;
/// Never.
const FIXED: Kind = 0;
/// With a value: on its own.
const VALUE: Kind = 1;
/// With byte `n` of clock `c`'s timestamp: this + 6 c + n.
const STAMP: Kind = 2;

const HASH_BITS: u32 = 15;
const WINDOW: usize = 65_535;
const MATCH_LEAST: usize = 4;

/// Packs a draft.
pub fn pack(draft: &Draft) -> Body {
    let mut packer = Packer::new(draft);
    packer.run();
    let Packer { bytes, values, stamps, .. } = packer;
    Body { bytes, values, stamps, ..Body::default() }
}

struct Packer<'a> {
    draft: &'a Draft,
    kinds: Vec<Kind>,
    /// Place of four bytes by their hash, and 1; 0 is none.
    table: Vec<u32>,
    bytes: Vec<u8>,
    values: Vec<Place>,
    stamps: Vec<StampPiece>,
    next_stamp: usize,
}

impl<'a> Packer<'a> {
    fn new(draft: &'a Draft) -> Self {
        let mut kinds = vec![FIXED; draft.bytes.len()];
        for place in &draft.values {
            kinds[place.at()..place.at() + VALUE_BYTES].fill(VALUE);
        }
        for &(at, clock) in &draft.stamps {
            for n in 0..STAMP_BYTES {
                kinds[at as usize + n] = STAMP + clock * STAMP_BYTES as Kind + n as Kind;
            }
        }
        let mut bytes = Vec::with_capacity(draft.bytes.len() / 6);
        super::protobuf::varint(&mut bytes, draft.bytes.len() as u64);
        let table = vec![0; 1 << HASH_BITS];
        let values = Vec::with_capacity(draft.values.len());
        Self { draft, kinds, table, bytes, values, stamps: Vec::new(), next_stamp: 0 }
    }

    fn run(&mut self) {
        let plain = &self.draft.bytes;
        let (mut at, mut literal) = (0, 0);
        while at + MATCH_LEAST <= plain.len() {
            let found = self.exchange(at);
            let len = found.map_or(0, |from| self.match_len(from, at));
            if let Some(from) = found
                && len >= MATCH_LEAST
            {
                self.literal(literal, at);
                self.copy(at - from, len);
                // The places within are found again through their own first occurrence; the last
                // ones are what the next match will be near to.
                let end = at + len;
                for place in end.saturating_sub(3).max(at + 1)..end {
                    self.exchange(place);
                }
                at = end;
                literal = end;
            } else {
                at += 1;
            }
        }
        self.literal(literal, plain.len());
    }

    /// Enters a place in the table, and gives the one that stood there, if it is near enough.
    fn exchange(&mut self, at: usize) -> Option<usize> {
        let four = self.draft.bytes.get(at..at + MATCH_LEAST)?;
        let four = u32::from_le_bytes(four.try_into().ok()?);
        let hash = four.wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS);
        let before = std::mem::replace(&mut self.table[hash as usize], at as u32 + 1);
        let before = (before as usize).checked_sub(1)?;
        (at - before <= WINDOW).then_some(before)
    }

    /// How many bytes from both places on are alike, and stay so.
    fn match_len(&self, from: usize, at: usize) -> usize {
        let (bytes, kinds) = (&self.draft.bytes, &self.kinds);
        let alike = |n: &usize| {
            let (a, b) = (from + n, at + n);
            bytes[a] == bytes[b] && kinds[a] == kinds[b] && kinds[a] != VALUE
        };
        (0..bytes.len() - at).take_while(alike).count()
    }

    fn literal(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let len = to - from - 1;
        match len {
            0..60 => self.bytes.push((len as u8) << 2),
            60..0x100 => self.bytes.extend([60 << 2, len as u8]),
            0x100..0x1_0000 => self.bytes.extend([61 << 2, len as u8, (len >> 8) as u8]),
            _ => {
                self.bytes.push(63 << 2);
                self.bytes.extend((len as u32).to_le_bytes());
            }
        }
        let moved = |at: usize| (self.bytes.len() + at - from) as u32;
        while let Some(&value) = self.draft.values.get(self.values.len())
            && value.at() < to
        {
            self.values.push(value.moved_to(moved(value.at()) as usize));
        }
        while let Some(&(stamp, clock)) = self.draft.stamps.get(self.next_stamp)
            && (stamp as usize) < to
        {
            let (begin, end) = (stamp as usize, stamp as usize + STAMP_BYTES);
            let (first, last) = (begin.max(from), end.min(to));
            if first < last {
                let len = (last - first) as u8;
                let first_byte = (first - begin) as u8;
                self.stamps.push(StampPiece { at: moved(first), first: first_byte, len, clock });
            }
            if end > to {
                break;
            }
            self.next_stamp += 1;
        }
        self.bytes.extend(&self.draft.bytes[from..to]);
    }

    fn copy(&mut self, offset: usize, mut len: usize) {
        while len > 0 {
            // No piece is left that is shorter than four: the short form cannot say it.
            let piece = match len {
                0..=64 => len,
                65..68 => 60,
                _ => 64,
            };
            if (4..12).contains(&piece) && offset < 2048 {
                let high = (offset >> 8) as u8;
                self.bytes.push(1 | ((piece - 4) as u8) << 2 | high << 5);
                self.bytes.push(offset as u8);
            } else {
                self.bytes.push(2 | ((piece - 1) as u8) << 2);
                self.bytes.extend((offset as u16).to_le_bytes());
            }
            len -= piece;
        }
    }
}
