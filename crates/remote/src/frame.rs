//! A frame of the send queue: one EMIT, PASS or PLACED, as gateway and agent write it and senders read it.
//!
//! Layout: version (1 byte), kind (1), flags (1), source position, zigzag window end (EMIT only), owner's
//! number (8 bytes, little-endian, PLACED only), zigzag time of writing, length of the tenant — all LEB128 — the tenant, the lane key (8 bytes,
//! little-endian, only with its flag), the summary (LEB128: samples, native histograms, exemplars,
//! plain bytes; only with its flag), then to the end of the payload the body: a remote write 2.0 request, plain, as one snappy block or as zstd. The body is what `weir-wire` writes, so values
//! keep their bits from here to every backend and every resend. Checksums are the journal's task.

use weir_model::{Timestamp, varint};
use weir_wire::Encoding;

/// The version that is written.
const VERSION: u8 = 1;

const LAST_OF_POSITION: u8 = 1;
const RECOVERED: u8 = 2;
const ATOMIC: u8 = 4;
const SNAPPY: u8 = 8;
const ZSTD: u8 = 16;
const LANE: u8 = 32;
const SUMMARY: u8 = 64;
const FLAGS: u8 = LAST_OF_POSITION | RECOVERED | ATOMIC | SNAPPY | ZSTD | LANE | SUMMARY;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// All outputs of one window that were decided together.
    Emit {
        /// The window's end.
        window_end: Timestamp,
    },
    /// Samples that pass through raw.
    Pass,
    /// The same, all of one owner's series: see [`crate::shares`].
    Placed {
        /// Names the owner.
        owner: u64,
    },
}

/// What a body holds, told by a writer who vouches for it: every label set in it is valid, so that it
/// may be sent as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Samples of both kinds.
    pub samples: u64,
    /// Native histograms among them.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Bytes before compression.
    pub plain_bytes: u64,
}

/// What stands before a frame's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// Position in the WAL of the record that determines it.
    pub source_position: u64,
    /// When it was written, milliseconds since the epoch.
    pub written_ms: Timestamp,
    /// Whose samples they are.
    pub tenant: &'a str,
    /// Whether no other frame of this source position follows.
    pub last_of_position: bool,
    /// Whether replay wrote it, so that it may be older than what the backend has.
    pub recovered: bool,
    /// Whether a classic histogram's buckets must leave in one request.
    pub atomic: bool,
    /// How the body is compressed, if it is.
    pub encoding: Option<Encoding>,
    /// What decides the lane of all its series; without it each series' labels do. A series must
    /// not come in frames of both sorts, or its order is lost.
    pub lane: Option<u64>,
    /// What the body holds, where it may be sent as it stands.
    pub summary: Option<Summary>,
}

/// Why a payload is no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// It ends too early.
    #[error("the frame's header is cut off")]
    Truncated,
    /// Written by a later version.
    #[error("the frame has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// None of the three.
    #[error("the frame has the unknown kind {0}")]
    Kind(u8),
    /// Flags without a meaning.
    #[error("the frame has unknown flags {0:#x}")]
    Flags(u8),
    /// A tenant that is not UTF-8.
    #[error("the frame's tenant is not UTF-8")]
    Tenant,
}

impl FrameHeader<'_> {
    /// Appends the header; the body goes right behind it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let kind = match self.kind {
            FrameKind::Emit { .. } => 1,
            FrameKind::Pass => 2,
            FrameKind::Placed { .. } => 3,
        };
        let flags = flag(self.last_of_position, LAST_OF_POSITION)
            | flag(self.recovered, RECOVERED)
            | flag(self.atomic, ATOMIC)
            | flag(self.encoding == Some(Encoding::Snappy), SNAPPY)
            | flag(self.encoding == Some(Encoding::Zstd), ZSTD)
            | flag(self.lane.is_some(), LANE)
            | flag(self.summary.is_some(), SUMMARY);
        out.extend_from_slice(&[VERSION, kind, flags]);
        varint::write(self.source_position, out);
        if let FrameKind::Emit { window_end } = self.kind {
            varint::write(varint::zigzag(window_end), out);
        }
        if let FrameKind::Placed { owner } = self.kind {
            out.extend_from_slice(&owner.to_le_bytes());
        }
        varint::write(varint::zigzag(self.written_ms), out);
        varint::write(self.tenant.len() as u64, out);
        out.extend_from_slice(self.tenant.as_bytes());
        if let Some(lane) = self.lane {
            out.extend_from_slice(&lane.to_le_bytes());
        }
        if let Some(Summary { samples, histograms, exemplars, plain_bytes }) = self.summary {
            for count in [samples, histograms, exemplars, plain_bytes] {
                varint::write(count, out);
            }
        }
    }
}

/// Reads a payload: its header, and the body as it stands.
pub fn read(payload: &[u8]) -> Result<(FrameHeader<'_>, &[u8]), FrameError> {
    let (&[version, kind, flags], mut rest) =
        payload.split_first_chunk().ok_or(FrameError::Truncated)?;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if flags & !FLAGS != 0 {
        return Err(FrameError::Flags(flags));
    }
    let encoding = match flags & (SNAPPY | ZSTD) {
        0 => None,
        SNAPPY => Some(Encoding::Snappy),
        ZSTD => Some(Encoding::Zstd),
        _ => return Err(FrameError::Flags(flags)),
    };
    let number = |rest: &mut &[u8]| varint::read(rest).ok_or(FrameError::Truncated);
    let source_position = number(&mut rest)?;
    let kind = match kind {
        1 => FrameKind::Emit { window_end: varint::unzigzag(number(&mut rest)?) },
        2 => FrameKind::Pass,
        3 => {
            let (owner, after) = rest.split_first_chunk().ok_or(FrameError::Truncated)?;
            rest = after;
            FrameKind::Placed { owner: u64::from_le_bytes(*owner) }
        }
        other => return Err(FrameError::Kind(other)),
    };
    let written_ms = varint::unzigzag(number(&mut rest)?);
    let tenant_len = usize::try_from(number(&mut rest)?).map_err(|_| FrameError::Truncated)?;
    let (tenant, mut body) = rest.split_at_checked(tenant_len).ok_or(FrameError::Truncated)?;
    let mut lane = None;
    if flags & LANE != 0 {
        let (key, rest) = body.split_first_chunk().ok_or(FrameError::Truncated)?;
        (lane, body) = (Some(u64::from_le_bytes(*key)), rest);
    }
    let mut summary = None;
    if flags & SUMMARY != 0 {
        let mut number = || varint::read(&mut body).ok_or(FrameError::Truncated);
        summary = Some(Summary {
            samples: number()?,
            histograms: number()?,
            exemplars: number()?,
            plain_bytes: number()?,
        });
    }
    let header = FrameHeader {
        kind,
        source_position,
        written_ms,
        tenant: std::str::from_utf8(tenant).map_err(|_| FrameError::Tenant)?,
        last_of_position: flags & LAST_OF_POSITION != 0,
        recovered: flags & RECOVERED != 0,
        atomic: flags & ATOMIC != 0,
        encoding,
        lane,
        summary,
    };
    Ok((header, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMIT: FrameHeader<'_> = FrameHeader {
        kind: FrameKind::Emit { window_end: 10_000 },
        source_position: 300,
        written_ms: 5,
        tenant: "t1",
        last_of_position: true,
        recovered: false,
        atomic: true,
        encoding: None,
        lane: None,
        summary: None,
    };

    /// As the agent writes it.
    const SCRAPED: FrameHeader<'_> = FrameHeader {
        kind: FrameKind::Pass,
        source_position: 0,
        written_ms: -1,
        tenant: "",
        last_of_position: true,
        recovered: false,
        atomic: false,
        encoding: Some(Encoding::Zstd),
        lane: Some(0x0102_0304_0506_0708),
        summary: Some(Summary { samples: 300, histograms: 1, exemplars: 2, plain_bytes: 5 }),
    };

    /// Written by hand from the layout: 300 is ac 02, 10000 in zigzag is 20000 = a0 9c 01.
    #[test]
    fn the_layout_is_frozen() {
        let mut bytes = Vec::new();
        EMIT.write(&mut bytes);
        bytes.extend_from_slice(b"body");
        assert_eq!(bytes, b"\x01\x01\x05\xac\x02\xa0\x9c\x01\x0a\x02t1body");
        assert_eq!(read(&bytes), Ok((EMIT, &b"body"[..])));
        bytes.clear();
        SCRAPED.write(&mut bytes);
        bytes.extend_from_slice(b"body");
        assert_eq!(
            bytes,
            b"\x01\x02\x71\x00\x01\x00\x08\x07\x06\x05\x04\x03\x02\x01\xac\x02\x01\x02\x05body"
        );
        assert_eq!(read(&bytes), Ok((SCRAPED, &b"body"[..])));
        let kind = FrameKind::Placed { owner: 0x0807_0605_0403_0201 };
        let placed = FrameHeader { kind, ..EMIT };
        bytes.clear();
        placed.write(&mut bytes);
        assert_eq!(bytes, b"\x01\x03\x05\xac\x02\x01\x02\x03\x04\x05\x06\x07\x08\x0a\x02t1");
        assert_eq!(read(&bytes), Ok((placed, &b""[..])));
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        let mut bytes = Vec::new();
        EMIT.write(&mut bytes);
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), Err(FrameError::Truncated), "{len}");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            read(&bytes).unwrap_err()
        };
        assert_eq!(changed(0, 2), FrameError::Version(2));
        assert_eq!(changed(1, 4), FrameError::Kind(4));
        assert_eq!(changed(2, 0x80), FrameError::Flags(0x80));
        assert_eq!(changed(2, SNAPPY | ZSTD), FrameError::Flags(SNAPPY | ZSTD));
        assert_eq!(read(b"\x01\x02\x20\x00\x00\x00\x00"), Err(FrameError::Truncated));
        assert_eq!(changed(10, 0xff), FrameError::Tenant);
    }

    proptest! {
        #[test]
        fn headers_come_back(
            emit in any::<Option<i64>>(), owner in any::<Option<u64>>(), source_position in any::<u64>(), written_ms in any::<i64>(),
            tenant in ".{0,20}", flags in 0u8..8, zstd in any::<Option<bool>>(),
            lane in any::<Option<u64>>(), summary in any::<Option<[u64; 4]>>(), body in any::<Vec<u8>>(),
        ) {
            let header = FrameHeader {
                kind: match (emit, owner) {
                    (Some(window_end), _) => FrameKind::Emit { window_end },
                    (None, Some(owner)) => FrameKind::Placed { owner },
                    (None, None) => FrameKind::Pass,
                },
                source_position, written_ms, tenant: &tenant,
                last_of_position: flags & 1 != 0, recovered: flags & 2 != 0,
                atomic: flags & 4 != 0, lane,
                summary: summary.map(|[samples, histograms, exemplars, plain_bytes]| {
                    Summary { samples, histograms, exemplars, plain_bytes }
                }),
                encoding: zstd.map(|z| if z { Encoding::Zstd } else { Encoding::Snappy }),
            };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            bytes.extend_from_slice(&body);
            prop_assert_eq!(read(&bytes), Ok((header, &body[..])));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            read(&bytes).ok();
        }
    }
}
