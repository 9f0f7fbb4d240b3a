//! Remote write 2.0 for a sender that says the same series again and again: symbols and label
//! references stay encoded, so that a known series costs a copy of its bytes and a sample.
//!
//! A request is [`SymbolTable::encoded`], then what the `put_…` functions append. Invariant: a
//! table only grows, so references stay good until the owner makes a new one; within a table equal
//! texts have one number, so equal label sets have equal bytes. Which series are alive, and when a
//! table has too much in it that nobody refers to, is the owner's affair.

use hashbrown::HashTable;
use weir_model::{Exemplar, MetricType, NativeHistogram, Timestamp, varint};
use xxhash_rust::xxh3::xxh3_64;

use super::histogram::put_histogram;
use super::{put_bytes, put_double, put_message, put_varint};
use crate::varint::{FIXED64, LEN, VARINT};

const SYMBOLS: u32 = 4;
const SERIES_KEY: u8 = 5 << 3 | LEN;
const LABELS_KEY: u8 = 1 << 3 | LEN;
const SAMPLE_KEY: u8 = 2 << 3 | LEN;
const VALUE_KEY: u8 = 1 << 3 | FIXED64;
const TIMESTAMP_KEY: u8 = 2 << 3 | VARINT;

/// A key and the longest varint.
const STAMP_BYTES_MAX: usize = 11;

mod renumbering;

pub use renumbering::Renumbering;

/// A symbol table as it stands in a request, to which symbols are appended.
///
/// Looking texts up needs an index, which costs more memory than the texts. It is made when it is
/// first needed, and [`SymbolTable::settle`] gives it up until the next time.
#[derive(Debug)]
pub struct SymbolTable {
    encoded: Vec<u8>,
    count: u32,
    index: Option<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// Where each symbol begins, its key included.
    places: Vec<u32>,
    /// Symbols by their text, counted from 0.
    by_text: HashTable<u32>,
}

impl Default for SymbolTable {
    /// A table with the empty string alone, which is symbol 0 of every request.
    fn default() -> Self {
        let mut table = Self { encoded: Vec::new(), count: 0, index: None };
        table.intern("");
        table
    }
}

impl SymbolTable {
    /// The number of a text, which is appended if it is new.
    pub fn intern(&mut self, text: &str) -> u32 {
        self.intern_bytes(text.as_bytes())
    }

    /// Of bytes that are a text.
    fn intern_bytes(&mut self, text: &[u8]) -> u32 {
        let Self { encoded, count, index } = self;
        let Index { places, by_text } = index.get_or_insert_with(|| Index::of(encoded));
        let text_of = |number: u32| text_at(encoded, places[number as usize]);
        let hash = xxh3_64(text);
        let same = |&number: &u32| text_of(number) == text;
        if let Some(&known) = by_text.find(hash, same) {
            return known;
        }
        by_text.insert_unique(hash, *count, |&other| xxh3_64(text_of(other)));
        places.push(encoded.len() as u32);
        put_bytes(encoded, SYMBOLS, text);
        *count += 1;
        *count - 1
    }

    /// All texts, by their numbers.
    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut place = 0;
        std::iter::from_fn(move || {
            let text =
                (place < self.encoded.len()).then(|| text_at(&self.encoded, place as u32))?;
            place += 1 + varint_len(text.len() as u64) + text.len();
            Some(text)
        })
    }

    /// The text of a symbol; empty if there is no such symbol.
    pub fn text(&mut self, number: u32) -> &str {
        let Self { encoded, index, .. } = self;
        let index = index.get_or_insert_with(|| Index::of(encoded));
        let text =
            index.places.get(number as usize).map_or(&[][..], |&place| text_at(encoded, place));
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// All symbols as a request begins with them.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The number that the next new symbol will have.
    pub fn end(&self) -> u32 {
        self.count
    }

    /// Gives up the index and spare room.
    pub fn settle(&mut self) {
        self.index = None;
        self.encoded.shrink_to_fit();
    }

    /// Bytes of memory that it holds.
    pub fn held_bytes(&self) -> usize {
        let index = self.index.as_ref();
        let index = index.map_or(0, |i| 4 * i.places.capacity() + i.by_text.allocation_size());
        self.encoded.capacity() + index
    }
}

impl Index {
    fn of(encoded: &[u8]) -> Self {
        let mut index = Self::default();
        let mut place = 0;
        while place < encoded.len() {
            index.places.push(place as u32);
            let text = text_at(encoded, place as u32);
            place += 1 + varint_len(text.len() as u64) + text.len();
        }
        let Self { places, by_text } = &mut index;
        let hash = |number: u32| xxh3_64(text_at(encoded, places[number as usize]));
        by_text.reserve(places.len(), |&number| hash(number));
        for number in 0..places.len() as u32 {
            by_text.insert_unique(hash(number), number, |&other| hash(other));
        }
        index
    }
}

fn text_at(encoded: &[u8], place: u32) -> &[u8] {
    let mut rest = encoded.get(place as usize + 1..).unwrap_or_default();
    let len = varint::read(&mut rest).unwrap_or_default();
    rest.get(..len as usize).unwrap_or_default()
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends the labels of a series as the other functions want them: pairs of references to names
/// and values, in the order of names.
pub fn put_labels(out: &mut Vec<u8>, references: &[u32]) {
    super::put_key(out, 1, LEN);
    let len: usize = references.iter().map(|&reference| varint_len(reference.into())).sum();
    varint::write(len as u64, out);
    references.iter().for_each(|&reference| varint::write(reference.into(), out));
}

/// The labels that [`put_labels`] wrote at the beginning of `bytes`, whatever follows them.
#[inline]
pub fn labels_at(bytes: &[u8]) -> &[u8] {
    match *bytes {
        [LABELS_KEY, len, ..] if len < 0x80 => bytes.get(..2 + usize::from(len)),
        _ => {
            let mut rest = bytes.get(1..).unwrap_or_default();
            let len = varint::read(&mut rest).unwrap_or_default();
            bytes.get(..bytes.len() - rest.len() + len as usize)
        }
    }
    .unwrap_or_default()
}

/// The references in what [`put_labels`] wrote.
pub fn references(labels: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = labels.get(1..).unwrap_or_default();
    let len = varint::read(&mut rest);
    rest = rest.get(..len.unwrap_or_default() as usize).unwrap_or_default();
    std::iter::from_fn(move || varint::read(&mut rest).map(|reference| reference as u32))
}

/// Appends metadata as the other functions want it; help and unit are symbols.
pub fn put_metadata(out: &mut Vec<u8>, kind: MetricType, help: u32, unit: u32) {
    put_message(out, 5, |out| {
        put_varint(out, 1, kind as u64);
        put_varint(out, 3, help.into());
        put_varint(out, 4, unit.into());
    });
}

/// A timestamp, encoded once for all samples that have it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    bytes: [u8; STAMP_BYTES_MAX],
    len: usize,
}

impl Stamp {
    /// Of this timestamp.
    pub fn new(timestamp: Timestamp) -> Self {
        let mut stamp = Self { bytes: [0; STAMP_BYTES_MAX], len: 0 };
        if timestamp != 0 {
            stamp.len = 1 + put_number(&mut stamp.bytes[1..], timestamp as u64);
            stamp.bytes[0] = TIMESTAMP_KEY;
        }
        stamp
    }
}

/// Writes a varint into `out`, which has room for the longest, and says how long it is.
fn put_number(out: &mut [u8], mut value: u64) -> usize {
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = (value as u8 & 0x7f) | 0x80;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            return at + 1;
        }
    }
    out.len()
}

/// Appends a series with one float sample; `start` is 0 if unknown, `metadata` may be empty.
#[inline]
pub fn put_float(
    out: &mut Vec<u8>,
    labels: &[u8],
    value: f64,
    stamp: &Stamp,
    start: Timestamp,
    metadata: &[u8],
) {
    let mut sample = [0u8; 2 + 9 + 2 * STAMP_BYTES_MAX];
    // The timestamp first: it is alike in the series before, and what repeats is longer that way.
    // A fixed length is one move; what is too much is written over or left out.
    sample[2..2 + STAMP_BYTES_MAX].copy_from_slice(&stamp.bytes);
    let mut len = 2 + stamp.len;
    if value.to_bits() != 0 {
        sample[len] = VALUE_KEY;
        sample[len + 1..len + 9].copy_from_slice(&value.to_le_bytes());
        len += 9;
    }
    if start != 0 {
        sample[len] = 3 << 3 | VARINT;
        len += 1 + put_number(&mut sample[len + 1..], start as u64);
    }
    sample[0] = SAMPLE_KEY;
    sample[1] = (len - 2) as u8;
    put_series(out, labels.len() + len + metadata.len());
    out.extend_from_slice(labels);
    out.extend_from_slice(&sample[..len]);
    out.extend_from_slice(metadata);
}

/// Appends a series with one native histogram; `metadata` may be empty.
pub fn put_native_histogram(
    out: &mut Vec<u8>,
    labels: &[u8],
    histogram: &NativeHistogram,
    metadata: &[u8],
) {
    put_message(out, 5, |out| {
        out.extend_from_slice(labels);
        put_message(out, 3, |out| put_histogram(out, histogram, true));
        out.extend_from_slice(metadata);
    });
}

/// Appends a series with exemplars alone, as Prometheus sends them; `symbols` gets their labels.
pub fn put_exemplars<'a>(
    out: &mut Vec<u8>,
    labels: &[u8],
    exemplars: impl Iterator<Item = &'a Exemplar>,
    symbols: &mut SymbolTable,
) {
    put_message(out, 5, |out| {
        out.extend_from_slice(labels);
        for exemplar in exemplars {
            put_message(out, 4, |out| {
                let pairs = exemplar.labels.iter();
                let references: Vec<u32> = pairs
                    .flat_map(|(name, value)| [symbols.intern(name), symbols.intern(value)])
                    .collect();
                if !references.is_empty() {
                    put_labels(out, &references);
                }
                put_double(out, 2, exemplar.value);
                put_varint(out, 3, exemplar.timestamp as u64);
            });
        }
    });
}

#[inline]
fn put_series(out: &mut Vec<u8>, len: usize) {
    if len < 0x80 {
        out.extend_from_slice(&[SERIES_KEY, len as u8]);
    } else {
        out.push(SERIES_KEY);
        varint::write(len as u64, out);
    }
}
