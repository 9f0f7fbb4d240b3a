//! Reads a segment's bytes from end to end: what is whole, what is not, what is missing.
//!
//! Invariant: every frame reported had a valid checksum and a position above the one before; every
//! position between the first and `next` is in a record, in a known loss or in a hole. Never panics on
//! any bytes. Deliberately not here: files, and what to do about a hole.

use std::ops::Range;

use crate::frame::{
    self, ALIGN, FRAME_BYTES, FrameHeader, FrameType, HEADER_BYTES, HeaderCheck, SegmentId,
};

/// A stretch of a segment, in the order of its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Whole frames, one after the other.
    Whole(Range<usize>),
    /// Bytes that are no frame, and the positions that are therefore missing (perhaps none).
    Hole(Hole),
}

/// Damage between two whole frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hole {
    pub(crate) bytes: Range<usize>,
    pub(crate) positions: Range<u64>,
}

/// What a segment holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scan {
    pub(crate) header: HeaderCheck,
    pub(crate) parts: Vec<Part>,
    /// Offset after the last whole frame.
    pub(crate) end: usize,
    /// The position after the last one accounted for.
    pub(crate) next: u64,
    pub(crate) records: u64,
    /// Positions lost in an earlier life and recorded as such.
    pub(crate) known_lost: u64,
    /// The last frame says that the journal was closed in order.
    pub(crate) closed: bool,
    /// First position of the last record's group: all before it had been synced.
    pub(crate) last_group: Option<u64>,
    /// Bytes after `end` that were being written when it stopped; meaningful in the last segment.
    pub(crate) torn_bytes: u64,
}

impl Scan {
    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Whole(_) => None,
        })
    }
}

/// Scans the bytes of segment `id`. `limit` is the first position of the next segment, if there is one:
/// it proves how far this one went.
pub(crate) fn scan(bytes: &[u8], id: SegmentId, limit: Option<u64>) -> Scan {
    let mut scan = Scan {
        header: SegmentId::check_header(bytes),
        parts: Vec::new(),
        end: HEADER_BYTES.min(bytes.len()),
        next: id.first,
        records: 0,
        known_lost: 0,
        closed: false,
        last_group: None,
        torn_bytes: 0,
    };
    let mut offset = HEADER_BYTES;
    while limit != Some(scan.next) {
        let Some(rest) = bytes.get(offset..).filter(|rest| rest.len() >= FRAME_BYTES) else {
            break;
        };
        match step(rest, id.salt, scan.next, limit) {
            Some((header, to)) => {
                scan.take(offset, header, to);
                offset = scan.end;
            }
            None => offset += ALIGN,
        }
    }
    if let Some(limit) = limit
        && scan.next < limit
    {
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let bytes = scan.end..used.max(scan.end);
        scan.parts.push(Part::Hole(Hole { bytes, positions: scan.next..limit }));
        scan.next = limit;
    }
    scan.torn_bytes = torn_bytes(bytes, scan.end, id.salt, scan.next);
    scan
}

/// The frame at the start of `rest` and the position after it, if it is whole and in order.
fn step(rest: &[u8], salt: u64, next: u64, limit: Option<u64>) -> Option<(FrameHeader, u64)> {
    let (header, payload) = frame::parse(rest, salt)?;
    let to = match header.frame_type {
        FrameType::Data => header.position + 1,
        FrameType::Lost => frame::lost_to(payload).filter(|&to| to > header.position)?,
        FrameType::Close => header.position,
    };
    let in_order = header.position >= next && limit.is_none_or(|limit| to <= limit);
    in_order.then_some((header, to))
}

impl Scan {
    fn take(&mut self, offset: usize, header: FrameHeader, to: u64) {
        if offset > self.end || header.position > self.next {
            let positions = self.next..header.position;
            self.parts.push(Part::Hole(Hole { bytes: self.end..offset, positions }));
        }
        self.end = offset + header.frame_bytes();
        match self.parts.last_mut() {
            Some(Part::Whole(range)) => range.end = self.end,
            _ => self.parts.push(Part::Whole(offset..self.end)),
        }
        self.next = to;
        self.closed = header.frame_type == FrameType::Close;
        match header.frame_type {
            FrameType::Data => {
                self.records += 1;
                self.last_group = Some(header.position.saturating_sub(header.back.into()));
            }
            FrameType::Lost => self.known_lost += to - header.position,
            FrameType::Close => {}
        }
    }
}

/// How many bytes after `end` belong to frames that were not finished.
fn torn_bytes(bytes: &[u8], end: usize, salt: u64, next: u64) -> u64 {
    let mark = frame::frame_mark(salt).to_le_bytes();
    let tail = bytes.get(end..).unwrap_or_default();
    let size = |at: usize, len: u32| {
        frame::frame_bytes(len as usize).min(tail.len().saturating_sub(at)) + at
    };
    let marked = (0..tail.len()).step_by(ALIGN).filter_map(|at| {
        let frame = tail.get(at..)?;
        frame.starts_with(&mark).then_some(())?;
        Some(size(at, frame::u32_at(frame, 4)?))
    });
    // A frame whose mark was hit is still known by its position.
    let unmarked = (frame::u64_at(tail, 8) == Some(next))
        .then(|| frame::u32_at(tail, 4).map(|len| size(0, len)))
        .flatten();
    marked.chain(unmarked).max().unwrap_or(0) as u64
}

/// Offset of the next whole frame in `bytes` with a position of at least `next`; looks at multiples of
/// eight after the first.
pub(crate) fn resync(bytes: &[u8], salt: u64, next: u64) -> Option<usize> {
    (ALIGN..bytes.len())
        .step_by(ALIGN)
        .find(|&at| bytes.get(at..).is_some_and(|rest| step(rest, salt, next, None).is_some()))
}

/// What [`scan_bytes`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanSummary {
    /// The segment header was whole.
    pub header_whole: bool,
    /// Records with a valid checksum.
    pub records: u64,
    /// Positions missing between them, or lost before and recorded as such.
    pub lost: u64,
    /// The position after the last one accounted for.
    pub next: u64,
    /// Offset after the last whole frame.
    pub end: usize,
}

/// Scans any bytes as a segment, without files: the entry for fuzzing. A damaged header stands for
/// first position 1 and salt 0.
pub fn scan_bytes(bytes: &[u8]) -> ScanSummary {
    let header = SegmentId::check_header(bytes);
    let id = match header {
        HeaderCheck::Good(id) => id,
        HeaderCheck::OtherVersion(_) | HeaderCheck::Damaged => SegmentId { first: 1, salt: 0 },
    };
    let scan = scan(bytes, id, None);
    let missing = scan.holes().map(|hole| hole.positions.end - hole.positions.start);
    ScanSummary {
        header_whole: matches!(header, HeaderCheck::Good(_)),
        records: scan.records,
        lost: missing.fold(scan.known_lost, u64::saturating_add),
        next: scan.next,
        end: scan.end,
    }
}
