//! Bytes of a segment header and of a frame: encoding and checked decoding.
//!
//! Invariant: [`parse`] returns a frame only if its checksum, seeded with the segment's salt, holds;
//! no slice is taken beyond the bytes given. Deliberately not here: files, order of positions.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The format's version, in every segment header.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of a segment header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_BYTES: usize = 24;
/// Frames begin at multiples of this, so that a scan after damage knows where to look.
pub(crate) const ALIGN: usize = 8;
/// Most frames of one group; `back` is 16 bits wide.
pub(crate) const GROUP_RECORDS_MAX: usize = 16_384;

const SEGMENT_MAGIC: [u8; 8] = *b"WEIRJRNL";
const FRAME_MAGIC: u32 = 0x4652_4a57;

const _: () = assert!(HEADER_BYTES.is_multiple_of(ALIGN) && FRAME_BYTES.is_multiple_of(ALIGN));
const _: () = assert!(GROUP_RECORDS_MAX <= u16::MAX as usize);

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameType {
    /// A record of the caller's.
    Data = 1,
    /// Positions known to be lost, up to the one in the payload (exclusive).
    Lost = 2,
    /// The journal was closed in order here; takes no position.
    Close = 3,
}

/// A frame's fields; `len` is the payload's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHeader {
    pub(crate) len: u32,
    pub(crate) position: u64,
    /// How many positions before this one its group began.
    pub(crate) back: u16,
    pub(crate) kind: u8,
    pub(crate) frame_type: FrameType,
}

impl FrameHeader {
    /// The header as bytes, the checksum taken over it and the payload's pieces.
    pub(crate) fn encode<'a>(
        &self,
        salt: u64,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> [u8; FRAME_BYTES] {
        let mut out = [0; FRAME_BYTES];
        let (head, crc_field) = out.split_at_mut(20);
        let (mark, rest) = head.split_at_mut(4);
        let (len, rest) = rest.split_at_mut(4);
        let (position, rest) = rest.split_at_mut(8);
        let (back, kinds) = rest.split_at_mut(2);
        mark.copy_from_slice(&frame_mark(salt).to_le_bytes());
        len.copy_from_slice(&self.len.to_le_bytes());
        position.copy_from_slice(&self.position.to_le_bytes());
        back.copy_from_slice(&self.back.to_le_bytes());
        kinds.copy_from_slice(&[self.kind, self.frame_type as u8]);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&salt.to_le_bytes());
        crc.update(head);
        pieces.for_each(|piece| crc.update(piece));
        crc_field.copy_from_slice(&crc.finalize().to_le_bytes());
        out
    }

    /// Reads the fields without checking the sum; `None` if they cannot be a frame of this salt.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        if u32_at(bytes, 0)? != frame_mark(salt) {
            return None;
        }
        let frame_type = match bytes.get(19)? {
            1 => FrameType::Data,
            2 => FrameType::Lost,
            3 => FrameType::Close,
            _ => return None,
        };
        let position = u64_at(bytes, 8)?;
        Some(Self {
            len: u32_at(bytes, 4)?,
            // The highest position has no successor.
            position: (position < u64::MAX).then_some(position)?,
            back: u16::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            kind: *bytes.get(18)?,
            frame_type,
        })
    }

    /// Bytes of the whole frame, padding included.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.len as usize)
    }
}

/// Bytes that a payload of `len` takes in a segment.
pub(crate) const fn frame_bytes(len: usize) -> usize {
    (FRAME_BYTES + len).next_multiple_of(ALIGN)
}

/// The first four bytes of every frame in a segment of this salt: a leftover of the file's earlier
/// life is told apart without summing it up.
pub(crate) fn frame_mark(salt: u64) -> u32 {
    FRAME_MAGIC ^ salt as u32
}

/// The frame at the start of `bytes` and its payload, if its checksum holds.
pub(crate) fn parse(bytes: &[u8], salt: u64) -> Option<(FrameHeader, &[u8])> {
    let header = FrameHeader::decode(bytes, salt)?;
    let payload = bytes.get(FRAME_BYTES..FRAME_BYTES.checked_add(header.len as usize)?)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(bytes.get(..20)?);
    crc.update(payload);
    (crc.finalize() == u32_at(bytes, 20)?).then_some((header, payload))
}

/// A frame that says that the positions `from..to` are lost.
pub(crate) fn lost_frame(from: u64, to: u64, salt: u64) -> Vec<u8> {
    let payload = to.to_le_bytes();
    let header =
        FrameHeader { len: 8, position: from, back: 0, kind: 0, frame_type: FrameType::Lost };
    let mut out = header.encode(salt, std::iter::once(payload.as_slice())).to_vec();
    out.extend_from_slice(&payload);
    out
}

/// The end of the lost positions, from a lost frame's payload.
pub(crate) fn lost_to(payload: &[u8]) -> Option<u64> {
    u64_at(payload, 0)
}

/// A frame that says that the journal was closed in order before `position`.
pub(crate) fn close_frame(position: u64, salt: u64) -> [u8; FRAME_BYTES] {
    let header = FrameHeader { len: 0, position, back: 0, kind: 0, frame_type: FrameType::Close };
    header.encode(salt, std::iter::empty())
}

/// Who a segment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentId {
    /// Position of its first record.
    pub(crate) first: u64,
    /// Seed of its checksums, new at each use of a file.
    pub(crate) salt: u64,
}

/// A segment header as found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderCheck {
    Good(SegmentId),
    /// Whole, but of another version.
    OtherVersion(u32),
    Damaged,
}

impl SegmentId {
    /// A new segment that begins at `first`.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, salt: RandomState::new().build_hasher().finish() }
    }

    /// The file's name: it holds all that the header holds, so a damaged header costs nothing.
    pub(crate) fn file_name(&self) -> String {
        format!("{:016x}-{:016x}.seg", self.first, self.salt)
    }

    /// The inverse of [`Self::file_name`].
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let (first, salt) = name.strip_suffix(".seg")?.split_once('-')?;
        let hex =
            |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
        Some(Self { first: hex(first)?, salt: hex(salt)? })
    }

    pub(crate) fn encode_header(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let (head, crc) = out.split_at_mut(HEADER_BYTES - 4);
        let fields = SEGMENT_MAGIC
            .into_iter()
            .chain(FORMAT_VERSION.to_le_bytes())
            .chain((HEADER_BYTES as u32).to_le_bytes())
            .chain(self.first.to_le_bytes())
            .chain(self.salt.to_le_bytes());
        head.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        crc.copy_from_slice(&crc32fast::hash(head).to_le_bytes());
        out
    }

    pub(crate) fn check_header(bytes: &[u8]) -> HeaderCheck {
        let fields = || {
            let head = bytes.get(..HEADER_BYTES - 4)?;
            let sum = u32_at(bytes, HEADER_BYTES - 4)?;
            let whole = crc32fast::hash(head) == sum && head.starts_with(&SEGMENT_MAGIC);
            whole.then_some((u32_at(head, 8)?, u64_at(head, 16)?, u64_at(head, 24)?))
        };
        match fields() {
            Some((FORMAT_VERSION, first, salt)) => HeaderCheck::Good(Self { first, salt }),
            Some((version, ..)) => HeaderCheck::OtherVersion(version),
            None => HeaderCheck::Damaged,
        }
    }
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
