//! Where the timestamps of a message stand.
//!
//! Nothing here panics on any bytes.

use crate::body::{Protocol, STAMP_BYTES};

/// A timestamp in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    /// Where its 6 bytes begin.
    pub(super) at: u32,
    /// Milliseconds since the epoch.
    pub(super) time: i64,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Found {
    pub(super) stamps: Vec<Stamp>,
    /// Float samples and native histograms.
    pub(super) samples: u64,
}

/// Fields of a version: series; in them samples, histograms, exemplars.
fn fields(protocol: Protocol) -> (u64, u64, u64, u64) {
    match protocol {
        Protocol::V1 => (1, 2, 4, 3),
        Protocol::V2 => (5, 2, 3, 4),
    }
}

/// Finds them.
pub(super) fn walk(protocol: Protocol, message: &[u8]) -> Result<Found, String> {
    let (series, sample, histogram, exemplar) = fields(protocol);
    let mut found = Found::default();
    let mut all = Reader { bytes: message, at: 0, end: message.len() };
    while let Some(Field { number, content, .. }) = all.field()? {
        let Some(mut one) = content.filter(|_| number == series) else { continue };
        while let Some(Field { number, content, .. }) = one.field()? {
            let Some(mut inner) = content else { continue };
            // Timestamp and start timestamp.
            let stamped: &[u64] = match number {
                n if n == sample => &[2, 3],
                n if n == histogram => &[15, 17],
                n if n == exemplar => &[3],
                _ => continue,
            };
            found.samples += u64::from(number != exemplar);
            while let Some(field) = inner.field()? {
                if stamped.contains(&field.number) && field.value != 0 {
                    found.stamps.push(field.stamp()?);
                }
            }
        }
    }
    Ok(found)
}

struct Field<'a> {
    number: u64,
    /// Of a varint.
    value: u64,
    at: usize,
    len: usize,
    /// Of a field with a length.
    content: Option<Reader<'a>>,
}

impl Field<'_> {
    fn stamp(&self) -> Result<Stamp, String> {
        if self.len != STAMP_BYTES {
            return Err(format!("byte {}: a timestamp before 1971 or after 2109", self.at));
        }
        let at = u32::try_from(self.at).map_err(|_| "it is too large".to_owned())?;
        Ok(Stamp { at, time: self.value as i64 })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<Option<Field<'a>>, String> {
        if self.at == self.end {
            return Ok(None);
        }
        let key = self.varint()?;
        let begin = self.at;
        let mut field = Field { number: key >> 3, value: 0, at: begin, len: 0, content: None };
        match key & 7 {
            0 => field.value = self.varint()?,
            1 => self.skip(8)?,
            5 => self.skip(4)?,
            2 => {
                let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let at = self.at;
                self.skip(len)?;
                field.content = Some(Reader { bytes: self.bytes, at, end: self.at });
            }
            kind => return Err(format!("byte {begin}: no field is of kind {kind}")),
        }
        field.len = self.at - begin;
        Ok(Some(field))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let inside = self.bytes.get(self.at).filter(|_| self.at < self.end);
            let byte = *inside.ok_or_else(|| self.cut_off())?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(format!("byte {}: a number of more than 64 bits", self.at))
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        let to = self.at.checked_add(count).filter(|to| *to <= self.end);
        self.at = to.ok_or_else(|| self.cut_off())?;
        Ok(())
    }

    fn cut_off(&self) -> String {
        format!("byte {}: the message is cut off", self.at)
    }
}
