//! A piece of a draft's file: a head of ten numbers, little-endian, and what a scrape added; or the
//! draft's end.
//!
//! The head: the request's number, kind (1 part, 2 end), whether there is an owner (1) or not (0), its
//! number (of an end: the frame), bytes of symbols, bytes of series, samples, histograms, exemplars, XXH3
//! over all of that and what follows. Invariant: what is read was written whole.

use weir_remote::Summary;
use xxhash_rust::xxh3::Xxh3Default;

use super::Part;

/// Bytes of a head.
const HEAD: usize = 10 * 8;
/// Of these the last is the checksum.
const CHECKED: usize = HEAD - 8;

const PART: u64 = 1;
const END: u64 = 2;

/// A piece that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece<'a> {
    /// Of the request.
    pub(super) number: u64,
    pub(super) owner: Option<u64>,
    pub(super) symbols: &'a [u8],
    pub(super) series: &'a [u8],
    pub(super) summary: Summary,
    /// Of an end alone.
    pub(super) frame: Option<u64>,
}

/// The request `number` is the frame `frame`.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) number: u64,
    pub(super) frame: u64,
}

impl End {
    pub(super) fn encode(self) -> [u8; HEAD] {
        head([self.number, END, 0, self.frame, 0, 0, 0, 0, 0], &[], &[])
    }
}

impl<'a> Piece<'a> {
    /// What stands before a part's symbols and series.
    pub(super) fn head(part: &Part<'_>) -> [u8; HEAD] {
        let Part { number, owner, symbols, series, summary } = *part;
        let (has_owner, owner) = (u64::from(owner.is_some()), owner.unwrap_or(0));
        let (symbols_len, series_len) = (symbols.len() as u64, series.len() as u64);
        let Summary { samples, histograms, exemplars, .. } = summary;
        let numbers = [
            number,
            PART,
            has_owner,
            owner,
            symbols_len,
            series_len,
            samples,
            histograms,
            exemplars,
        ];
        head(numbers, symbols, series)
    }

    /// Takes the piece at the beginning of `rest`; `None` if none was written there whole.
    pub(super) fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let (found, after) = rest.split_first_chunk::<HEAD>()?;
        let mut numbers = [0; 9];
        for (number, bytes) in numbers.iter_mut().zip(found.as_chunks().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        let [number, kind, has_owner, owner, symbols, series, samples, histograms, exemplars] =
            numbers;
        let (symbols, after) = after.split_at_checked(usize::try_from(symbols).ok()?)?;
        let (series, after) = after.split_at_checked(usize::try_from(series).ok()?)?;
        if *found != head(numbers, symbols, series) || !(kind == PART || kind == END) {
            return None;
        }
        *rest = after;
        let summary = Summary { samples, histograms, exemplars, plain_bytes: 0 };
        let frame = (kind == END).then_some(owner);
        let owner = (has_owner == 1).then_some(owner);
        Some(Self { number, owner, symbols, series, summary, frame })
    }
}

fn head(numbers: [u64; 9], symbols: &[u8], series: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    for (bytes, number) in head.as_chunks_mut().0.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    let mut hash = Xxh3Default::new();
    for piece in [&head[..CHECKED], symbols, series] {
        hash.update(piece);
    }
    head[CHECKED..].copy_from_slice(&hash.digest().to_le_bytes());
    head
}
