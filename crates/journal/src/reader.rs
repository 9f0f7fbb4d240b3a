//! Reads durable records in order of position.
//!
//! Invariant: a reader never looks at a byte that is not yet durable, yields each position at most once,
//! and each one it cannot yield is in exactly one [`Item::Gap`]. Deliberately not here: waiting; the
//! caller learns of new records by the journal's callback.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{At, ReadError};
use crate::frame::{self, FRAME_BYTES, FrameHeader, FrameType, HEADER_BYTES};
use crate::fs::read_up_to;
use crate::journal::Shared;
use crate::room::lock;
use crate::scan::resync;
use crate::segment::Segment;

/// A record as it was appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its position.
    pub position: u64,
    /// The caller's kind.
    pub kind: u8,
    /// The pieces, joined.
    pub payload: Bytes,
}

/// Why positions are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GapCause {
    /// They were cut while the reader was before them.
    Cut,
    /// They were damaged on disk.
    Damaged,
}

/// What a reader comes across.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// The next record.
    Record(Record),
    /// The positions `from..to` are not there; the reader goes on at `to`.
    Gap {
        /// The first position missing.
        from: u64,
        /// The first position after the gap.
        to: u64,
        /// Why.
        cause: GapCause,
    },
}

/// A place in the log.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    /// The next position to yield.
    position: u64,
    segment: Option<Arc<Segment>>,
    /// Offset of the next frame in the segment.
    offset: u64,
    buffer: Vec<u8>,
    buffer_offset: u64,
}

/// Least to read at once.
const CHUNK: u64 = 256 << 10;

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, position: u64) -> Self {
        Self { shared, position, segment: None, offset: 0, buffer: Vec::new(), buffer_offset: 0 }
    }

    /// The next position to come.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next record or gap; `None` when nothing beyond is durable yet.
    #[expect(clippy::should_implement_trait, reason = "an end that is not final, and errors")]
    pub fn next(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            // Before the segment's end is read, so that the end covers it.
            let durable = self.shared.durable();
            if self.position > durable {
                return Ok(None);
            }
            let Some(segment) = self.segment.clone() else {
                if let Some(gap) = self.enter_segment() {
                    return Ok(Some(gap));
                }
                continue;
            };
            let end = segment.end();
            if self.offset + FRAME_BYTES as u64 > end {
                if let Some(gap) = self.leave_segment(segment.limit(), durable) {
                    return Ok(Some(gap));
                }
                continue;
            }
            if let Some(item) = self.read_frame(&segment, end)? {
                return Ok(Some(item));
            }
        }
    }

    /// Finds the segment of the position, or the gap before the oldest one.
    fn enter_segment(&mut self) -> Option<Item> {
        let segment = lock(&self.shared.catalog).locate(self.position)?;
        let first = segment.id.first;
        self.segment = Some(segment);
        self.offset = HEADER_BYTES as u64;
        self.buffer.clear();
        self.gap_to(first, GapCause::Cut)
    }

    /// At the end of a segment: what should have been in it is lost.
    fn leave_segment(&mut self, limit: Option<u64>, durable: u64) -> Option<Item> {
        // The segment may have grown since its end was read; what `durable` covers it had then.
        let reached = limit.map_or(durable + 1, |limit| limit.min(durable + 1));
        if limit.is_some_and(|limit| limit <= reached) {
            self.segment = None;
        }
        self.gap_to(reached, GapCause::Damaged)
    }

    fn gap_to(&mut self, to: u64, cause: GapCause) -> Option<Item> {
        let from = self.position;
        (from < to).then(|| {
            self.position = to;
            Item::Gap { from, to, cause }
        })
    }

    /// Reads one frame; `None` if it yields nothing.
    fn read_frame(&mut self, segment: &Segment, end: u64) -> Result<Option<Item>, ReadError> {
        let Some((header, payload)) = self.whole_frame(segment, end)? else {
            self.skip_damage(segment, end)?;
            return Ok(None);
        };
        let size = header.frame_bytes() as u64;
        match header.frame_type {
            FrameType::Close => {}
            FrameType::Lost => {
                self.offset += size;
                let to = frame::lost_to(&payload).unwrap_or(header.position);
                return Ok(self.gap_to(to, GapCause::Damaged));
            }
            FrameType::Data if header.position > self.position => {
                return Ok(self.gap_to(header.position, GapCause::Damaged));
            }
            FrameType::Data if header.position == self.position => {
                self.offset += size;
                self.position += 1;
                let record = Record { position: header.position, kind: header.kind, payload };
                return Ok(Some(Item::Record(record)));
            }
            FrameType::Data => {}
        }
        self.offset += size;
        Ok(None)
    }

    /// The frame at the offset with its payload, if it is whole.
    fn whole_frame(
        &mut self,
        segment: &Segment,
        end: u64,
    ) -> Result<Option<(FrameHeader, Bytes)>, ReadError> {
        let salt = segment.id.salt;
        let Some(header) = FrameHeader::decode(self.bytes(segment, end, FRAME_BYTES)?, salt) else {
            return Ok(None);
        };
        let wanted = self.position;
        let bytes = self.bytes(segment, end, FRAME_BYTES + header.len as usize)?;
        let Some((header, payload)) = frame::parse(bytes, salt) else {
            return Ok(None);
        };
        let skipped = header.frame_type == FrameType::Data && header.position != wanted;
        let payload = if skipped { Bytes::new() } else { Bytes::copy_from_slice(payload) };
        Ok(Some((header, payload)))
    }

    /// The `len` bytes at the offset, fewer if the durable part ends before.
    fn bytes(&mut self, segment: &Segment, end: u64, len: usize) -> Result<&[u8], ReadError> {
        let len = (len as u64).min(end - self.offset);
        let buffered = self.buffer_offset + self.buffer.len() as u64;
        if self.offset < self.buffer_offset || self.offset + len > buffered {
            let want = len.max(CHUNK.min(end - self.offset)) as usize;
            self.buffer.clear();
            self.buffer =
                read_up_to(&*segment.file, self.offset, want).at("read", &segment.path)?;
            self.buffer_offset = self.offset;
        }
        let from = (self.offset - self.buffer_offset) as usize;
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..len as usize).unwrap_or(rest))
    }

    /// Goes to the next whole frame, or to the end.
    fn skip_damage(&mut self, segment: &Segment, end: u64) -> Result<(), ReadError> {
        let rest = read_up_to(&*segment.file, self.offset, (end - self.offset) as usize)
            .at("read", &segment.path)?;
        self.offset = match resync(&rest, segment.id.salt, self.position) {
            Some(skipped) => self.offset + skipped as u64,
            None => end,
        };
        Ok(())
    }
}
