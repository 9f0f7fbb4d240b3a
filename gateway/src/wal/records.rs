//! Payloads of the log's records, to and from bytes.
//!
//! Every payload begins with its layout's version. A BATCH's body is the last part, as it came
//! from the sender, so that nothing is encoded twice on the way in.

use bytes::Bytes;
use weir_aggregate::codec::{Reader, Unreadable, Writer};
use weir_model::Timestamp;
use weir_wire::negotiate::{Encoding, Version};

/// Version of the layouts.
const LAYOUT: u64 = 1;

const NO_NEW_SERIES: u64 = 1;
const V2: u64 = 2;
const ZSTD: u64 = 4;
const PARTLY: u64 = 8;

/// A record that this program cannot read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a log record that cannot be read, or from a later version")]
pub struct RecordError;

impl From<Unreadable> for RecordError {
    fn from(_: Unreadable) -> Self {
        Self
    }
}

/// A BATCH record without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchRecord {
    /// Whose samples they are.
    pub tenant: String,
    /// When the request was received, milliseconds since the epoch.
    pub received: Timestamp,
    /// The configuration that was in force.
    pub config_version: u32,
    /// Epoch under which its virtual shards were owned.
    pub epoch: u64,
    /// Remote write version of the body.
    pub version: Version,
    /// Compression of the body.
    pub encoding: Encoding,
    /// Bytes of the body when decompressed.
    pub body_bytes: u64,
    /// Samples in the body: the left side of the audit.
    pub samples: u64,
    /// The tenant was at its limit of series.
    pub no_new_series: bool,
    /// Places of float samples that were refused before logging, ascending.
    pub refused: Vec<u32>,
    /// Where part of the body is another node's: which series count here, the first in the lowest bit
    /// of the first byte. `samples` are theirs.
    pub mine: Option<Vec<u8>>,
}

/// Whether the series at this place of a body counts here.
pub fn counts(mine: Option<&[u8]>, at: usize) -> bool {
    mine.is_none_or(|bits| bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1))
}

impl BatchRecord {
    /// The bytes that stand before the body.
    pub fn head(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        out.number(
            flag(self.no_new_series, NO_NEW_SERIES)
                | flag(self.version == Version::V2, V2)
                | flag(self.encoding == Encoding::Zstd, ZSTD)
                | flag(self.mine.is_some(), PARTLY),
        );
        out.blob(self.tenant.as_bytes());
        out.signed(self.received);
        out.number(u64::from(self.config_version));
        out.number(self.epoch);
        out.number(self.body_bytes);
        out.number(self.samples);
        out.number(self.refused.len() as u64);
        let mut before = 0;
        for &at in &self.refused {
            out.number(u64::from(at - before));
            before = at;
        }
        self.mine.iter().for_each(|mine| out.blob(mine));
        Bytes::from(out.bytes)
    }

    /// Reads a payload: the record, and the body as it came.
    pub fn read(payload: &Bytes) -> Result<(Self, Bytes), RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let flags = from.number()?;
        let mut record = Self {
            tenant: from.text()?.to_owned(),
            received: from.signed()?,
            config_version: from.small()?,
            epoch: from.number()?,
            version: if flags & V2 != 0 { Version::V2 } else { Version::V1 },
            encoding: if flags & ZSTD != 0 { Encoding::Zstd } else { Encoding::Snappy },
            body_bytes: from.number()?,
            samples: from.number()?,
            no_new_series: flags & NO_NEW_SERIES != 0,
            refused: Vec::new(),
            mine: None,
        };
        let mut at = 0u32;
        for _ in 0..from.count()? {
            at = at.checked_add(from.small()?).ok_or(RecordError)?;
            record.refused.push(at);
        }
        if flags & PARTLY != 0 {
            record.mine = Some(from.blob()?.to_vec());
        }
        let body = payload.slice(payload.len() - from.left()..);
        Ok((record, body))
    }
}

/// A FRONTIER record: these virtual shards' frontier is now `to`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrontierRecord {
    /// Ranges of virtual shards, first and past the last.
    pub vshards: Vec<(u16, u16)>,
    /// The frontier, milliseconds since the epoch.
    pub to: Timestamp,
    /// How long a pause was, milliseconds, that senders may not have come back from; 0 without one.
    pub paused_ms: i64,
}

impl FrontierRecord {
    /// Its payload.
    pub fn payload(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.signed(self.to);
        out.number(self.vshards.len() as u64);
        for &(first, end) in &self.vshards {
            out.number(u64::from(first));
            out.number(u64::from(end));
        }
        out.signed(self.paused_ms);
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let to = from.signed()?;
        let mut vshards = Vec::new();
        for _ in 0..from.count()? {
            let (first, end) = (from.small()?, from.small()?);
            if first > end || end > weir_model::VSHARDS {
                return Err(RecordError);
            }
            vshards.push((first, end));
        }
        // Logs of before pauses were written down end here.
        let paused_ms = if from.is_empty() { 0 } else { from.signed()? };
        Ok(Self { vshards, to, paused_ms })
    }
}

/// A CONFIG record: what decides about samples from here on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigRecord {
    /// Counts up with every change.
    pub version: u32,
    /// When it came into force, milliseconds since the epoch.
    pub at: Timestamp,
    /// The text from which decisions are made.
    pub text: Vec<u8>,
}

impl ConfigRecord {
    /// Its payload.
    pub fn payload(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.number(u64::from(self.version));
        out.signed(self.at);
        out.blob(&self.text);
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let (version, at) = (from.small()?, from.signed()?);
        Ok(Self { version, at, text: from.blob()?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let record = BatchRecord {
            tenant: "team-a".into(),
            received: 1_700_000_000_123,
            config_version: 3,
            epoch: 1,
            version: Version::V2,
            encoding: Encoding::Zstd,
            body_bytes: 5000,
            samples: 20,
            no_new_series: true,
            refused: vec![0, 3, 700],
            mine: Some(vec![0b101]),
        };
        let payload = Bytes::from([&record.head()[..], b"body"].concat());
        assert_eq!(BatchRecord::read(&payload), Ok((record, Bytes::from_static(b"body"))));
        let frontier = FrontierRecord { vshards: vec![(0, 4096)], to: -5, paused_ms: 8_000 };
        assert_eq!(FrontierRecord::read(&frontier.payload()), Ok(frontier));
        let config = ConfigRecord { version: 9, at: 7, text: b"rules".to_vec() };
        assert_eq!(ConfigRecord::read(&config.payload()), Ok(config));
    }

    #[test]
    fn of_a_body_that_is_partly_anothers_what_is_marked_counts() {
        let mine = Some(&[0b101, 0b1][..]);
        let counting: Vec<usize> = (0..20).filter(|&at| counts(mine, at)).collect();
        assert_eq!(counting, [0, 2, 8]);
        assert!(counts(None, 19));
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(FrontierRecord::read(b""), Err(RecordError));
        assert_eq!(FrontierRecord::read(&[9, 0, 0]), Err(RecordError));
        assert!(BatchRecord::read(&Bytes::from_static(&[1, 0, 200])).is_err());
    }
}
