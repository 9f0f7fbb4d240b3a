//! One change of a file, as it travels: what it is, and its bytes.
//!
//! Invariant: a path is one or two plain names below the data directory. What comes from another
//! member with any other path, or with more bytes than a change has, is refused as a whole.

use weir_aggregate::codec::{Reader, Unreadable, Writer};

/// Bytes that one change writes at most.
pub const PIECE_BYTES: usize = 1 << 20;

/// The longest file: a segment has 4 GiB at most.
const LENGTH_MAX: u64 = 1 << 33;

/// One change below the data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// A folder is there.
    Folder(&'a str),
    /// An empty file is there, whatever was.
    Create(&'a str),
    /// Bytes at an offset; the file grows where it must.
    Write(&'a str, u64, &'a [u8]),
    /// The file is at least so long; what is new is zeros.
    Length(&'a str, u64),
    /// The file's content is durable.
    Sync(&'a str),
    /// From one name to another, which it replaces.
    Rename(&'a str, &'a str),
    /// The name is gone.
    Remove(&'a str),
    /// A folder's names are durable; empty for the data directory itself.
    SyncFolder(&'a str),
    /// All that was there before has been copied: the twin is whole once all of it is durable.
    Whole,
}

/// Not a change that a member makes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpError {
    /// Bytes that are none.
    #[error("no change of a file")]
    Unreadable,
    /// A path that leads elsewhere.
    #[error("{0:?} is no path below a data directory")]
    Path(String),
    /// More than a change has.
    #[error("{0} bytes are more than a file has")]
    Length(u64),
}

impl From<Unreadable> for OpError {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl<'a> Op<'a> {
    /// Appends the change.
    pub fn write(&self, out: &mut Writer) {
        let mut head = |kind: u64, path: &str| {
            out.number(kind);
            out.blob(path.as_bytes());
        };
        match self {
            Op::Folder(path) => head(1, path),
            Op::Create(path) => head(2, path),
            Op::Write(path, offset, bytes) => {
                head(3, path);
                out.number(*offset);
                out.blob(bytes);
            }
            Op::Length(path, len) => {
                head(4, path);
                out.number(*len);
            }
            Op::Sync(path) => head(5, path),
            Op::Rename(from, to) => {
                head(6, from);
                out.blob(to.as_bytes());
            }
            Op::Remove(path) => head(7, path),
            Op::SyncFolder(path) => head(8, path),
            Op::Whole => out.number(9),
        }
    }

    /// Takes one change from the front.
    pub fn read(from: &mut Reader<'a>) -> Result<Self, OpError> {
        Ok(match from.number()? {
            1 => Op::Folder(path(from)?),
            2 => Op::Create(path(from)?),
            3 => {
                let (path, offset, bytes) = (path(from)?, from.number()?, from.blob()?);
                if bytes.len() > PIECE_BYTES {
                    return Err(OpError::Length(bytes.len() as u64));
                }
                length(offset.saturating_add(bytes.len() as u64))?;
                Op::Write(path, offset, bytes)
            }
            4 => Op::Length(path(from)?, length(from.number()?)?),
            5 => Op::Sync(path(from)?),
            6 => Op::Rename(path(from)?, path(from)?),
            7 => Op::Remove(path(from)?),
            8 => Op::SyncFolder(match from.clone().text()? {
                "" => from.text()?,
                _ => path(from)?,
            }),
            9 => Op::Whole,
            _ => return Err(OpError::Unreadable),
        })
    }
}

fn length(len: u64) -> Result<u64, OpError> {
    if len > LENGTH_MAX { Err(OpError::Length(len)) } else { Ok(len) }
}

/// A name as journals and ledgers have them.
pub(super) fn is_plain(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(is_legal)
}

fn path<'a>(from: &mut Reader<'a>) -> Result<&'a str, OpError> {
    let path = from.text()?;
    let names = path.split('/').count();
    let is_path = names <= 2 && path.split('/').all(is_plain);
    if is_path { Ok(path) } else { Err(OpError::Path(path.chars().take(200).collect())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(op: &Op<'_>) -> Vec<u8> {
        let mut out = Writer::default();
        op.write(&mut out);
        out.bytes
    }

    /// The layout in docs/WIRE.md.
    #[test]
    fn the_layout_is_frozen() {
        assert_eq!(bytes(&Op::Write("wal/a", 300, b"xy")), b"\x03\x05wal/a\xac\x02\x02xy");
        assert_eq!(bytes(&Op::Rename("a", "b")), b"\x06\x01a\x01b");
        assert_eq!(bytes(&Op::SyncFolder("")), b"\x08\x00");
        assert_eq!(bytes(&Op::Whole), b"\x09");
    }

    #[test]
    fn what_was_written_is_read() {
        let ops = [
            Op::Folder("wal"),
            Op::Create("wal/spare-00000001.tmp"),
            Op::Write("custody.0", 4096, b"bytes"),
            Op::Length("wal/x", 64 << 20),
            Op::Sync("wal/x"),
            Op::Rename("wal/x", "wal/y"),
            Op::Remove("wal/y"),
            Op::SyncFolder(""),
            Op::SyncFolder("wal"),
            Op::Whole,
        ];
        let mut out = Writer::default();
        ops.iter().for_each(|op| op.write(&mut out));
        let mut from = Reader::new(&out.bytes);
        for op in &ops {
            assert_eq!(Op::read(&mut from).as_ref(), Ok(op));
        }
        assert_eq!(Op::read(&mut from), Err(OpError::Unreadable));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in
            ["..", "../x", "wal/../x", "/etc/passwd", "a/b/c", "", "wal/", ".x", "a\\b", "a b"]
        {
            let bytes = bytes(&Op::Create(path));
            let read = Op::read(&mut Reader::new(&bytes));
            assert_eq!(read, Err(OpError::Path(path.to_owned())));
        }
        let hidden = bytes(&Op::Rename("a", "../b"));
        assert!(matches!(Op::read(&mut Reader::new(&hidden)), Err(OpError::Path(_))));
    }

    #[test]
    fn lengths_that_no_file_has_are_refused() {
        let far = bytes(&Op::Write("a", u64::MAX, b"x"));
        assert_eq!(Op::read(&mut Reader::new(&far)), Err(OpError::Length(u64::MAX)));
        let long = bytes(&Op::Length("a", 1 << 40));
        assert_eq!(Op::read(&mut Reader::new(&long)), Err(OpError::Length(1 << 40)));
        let much = bytes(&Op::Write("a", 0, &vec![0; PIECE_BYTES + 1]));
        assert!(matches!(Op::read(&mut Reader::new(&much)), Err(OpError::Length(_))));
        // A length without its bytes reserves nothing.
        let hollow = b"\x03\x01a\x00\xff\xff\xff\xff\x0f";
        assert_eq!(Op::read(&mut Reader::new(hollow)), Err(OpError::Unreadable));
    }
}
