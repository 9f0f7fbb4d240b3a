//! DNS messages: a question out, records in (RFC 1035, 2782, 3596, 6891).
//!
//! Invariant: whatever bytes come, reading ends and takes no more memory than the message has.
//! Records of other types and names than asked for (`CNAME` on the way) are passed over.

use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use weir_agent_config::discovery::RecordType;

/// What is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv { target: String, port: u16 },
    Mx(String),
    Ns(String),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) code: u8,
    pub(super) truncated: bool,
    pub(super) records: Vec<Record>,
}

/// `NOERROR`
pub(super) const OK: u8 = 0;
/// `NXDOMAIN`
pub(super) const NO_SUCH_NAME: u8 = 3;

/// Why bytes are no answer, or a name cannot be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(super) enum MessageError {
    #[error("the name is not one that DNS can carry")]
    Name,
    #[error("the answer cannot be read")]
    Malformed,
    #[error("the answer is to another question")]
    Foreign,
}

fn type_number(kind: RecordType) -> u16 {
    match kind {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Mx => 15,
        RecordType::Aaaa => 28,
        RecordType::Srv => 33,
    }
}

/// A recursive question for the records of a name; with `edns`, answers may have 4,096 bytes.
pub(super) fn question(
    id: u16,
    name: &str,
    kind: RecordType,
    edns: bool,
) -> Result<Vec<u8>, MessageError> {
    let mut out = Vec::with_capacity(64);
    out.extend(id.to_be_bytes());
    out.extend([RECURSION_DESIRED, 0]);
    for count in [1, 0, 0, u16::from(edns)] {
        out.extend(count.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        out.push(length.ok_or(MessageError::Name)?);
        out.extend(label.as_bytes());
    }
    out.push(0);
    if out.len() - HEADER > NAME_MAX {
        return Err(MessageError::Name);
    }
    out.extend(type_number(kind).to_be_bytes());
    out.extend(INTERNET.to_be_bytes());
    if edns {
        out.extend([0, 0, 41]);
        out.extend(UDP_BYTES.to_be_bytes());
        out.extend([0; 6]);
    }
    Ok(out)
}

/// Reads the answer to a question with this number.
pub(super) fn answer(bytes: &[u8], id: u16, kind: RecordType) -> Result<Answer, MessageError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.u16()? != id {
        return Err(MessageError::Foreign);
    }
    let flags = reader.u16()?;
    if flags & 0x8000 == 0 {
        return Err(MessageError::Foreign);
    }
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    for _ in 0..questions {
        reader.name()?;
        reader.skip(4)?;
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        reader.name()?;
        let number = reader.u16()?;
        reader.skip(6)?;
        let length = usize::from(reader.u16()?);
        let end = reader.at + length;
        if number == type_number(kind) {
            records.push(reader.record(kind)?);
        }
        if end > bytes.len() || reader.at > end {
            return Err(MessageError::Malformed);
        }
        reader.at = end;
    }
    let code = u8::try_from(flags & 0xf).unwrap_or(0xf);
    Ok(Answer { code, truncated: flags & 0x0200 != 0, records })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, count: usize) -> Result<(), MessageError> {
        self.at += count;
        if self.at > self.bytes.len() { Err(MessageError::Malformed) } else { Ok(()) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let array = *rest.first_chunk().ok_or(MessageError::Malformed)?;
        self.at += N;
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, MessageError> {
        self.array().map(u16::from_be_bytes)
    }

    fn record(&mut self, kind: RecordType) -> Result<Record, MessageError> {
        Ok(match kind {
            RecordType::A => Record::A(Ipv4Addr::from(self.array::<4>()?)),
            RecordType::Aaaa => Record::Aaaa(Ipv6Addr::from(self.array::<16>()?)),
            RecordType::Ns => Record::Ns(self.name()?),
            RecordType::Mx => {
                self.skip(2)?;
                Record::Mx(self.name()?)
            }
            RecordType::Srv => {
                self.skip(4)?;
                let port = self.u16()?;
                Record::Srv { target: self.name()?, port }
            }
        })
    }

    /// A name with its final dot. Pointers lead back only, so that they end.
    fn name(&mut self) -> Result<String, MessageError> {
        let mut name = String::new();
        let mut at = self.at;
        let mut after = None;
        loop {
            let length = *self.bytes.get(at).ok_or(MessageError::Malformed)?;
            match length {
                0 => break,
                0xc0.. => {
                    let low = *self.bytes.get(at + 1).ok_or(MessageError::Malformed)?;
                    after.get_or_insert(at + 2);
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= at {
                        return Err(MessageError::Malformed);
                    }
                    at = target;
                }
                1..=63 => {
                    let end = at + 1 + usize::from(length);
                    let label = self.bytes.get(at + 1..end).ok_or(MessageError::Malformed)?;
                    push_label(&mut name, label);
                    if name.len() > NAME_SHOWN_MAX {
                        return Err(MessageError::Malformed);
                    }
                    at = end;
                }
                _ => return Err(MessageError::Malformed),
            }
        }
        self.at = after.unwrap_or(at + 1);
        if name.is_empty() {
            name.push('.');
        }
        Ok(name)
    }
}

/// Bytes that a name does not commonly have are written as in zone files, `\046`.
fn push_label(name: &mut String, label: &[u8]) {
    for &byte in label {
        match byte {
            b'.' | b'\\' => name.extend(['\\', char::from(byte)]),
            0x21..=0x7e => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\{byte:03}")),
        }
    }
    name.push('.');
}

const HEADER: usize = 12;
const RECURSION_DESIRED: u8 = 1;
const INTERNET: u16 = 1;
/// What fits through the networks of today in fragments, and what Prometheus asks for.
pub(super) const UDP_BYTES: u16 = 4096;
const NAME_MAX: usize = 255;
/// 255 bytes, each written as four characters.
const NAME_SHOWN_MAX: usize = 4 * NAME_MAX;
