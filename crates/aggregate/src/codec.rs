//! Bytes of snapshots: varints, floats by their bits, length-prefixed text.
//!
//! Reading never panics and never allocates more than the bytes at hand could hold.

use weir_model::varint;

/// Appends values.
#[derive(Debug, Default)]
pub struct Writer {
    /// What has been written.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// An unsigned number.
    pub fn number(&mut self, value: u64) {
        varint::write(value, &mut self.bytes);
    }

    /// A signed number.
    pub fn signed(&mut self, value: i64) {
        varint::write(varint::zigzag(value), &mut self.bytes);
    }

    /// A float's bits.
    pub fn float(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Sixteen bytes.
    pub fn wide(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Length and bytes.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }
}

/// The bytes are not what a snapshot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a snapshot that cannot be read")]
pub struct Unreadable;

/// Takes values from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// An unsigned number.
    pub fn number(&mut self) -> Result<u64, Unreadable> {
        varint::read(&mut self.rest).ok_or(Unreadable)
    }

    /// A number of things of which each takes at least a byte.
    pub fn count(&mut self) -> Result<usize, Unreadable> {
        let count = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        if count > self.rest.len() { Err(Unreadable) } else { Ok(count) }
    }

    /// A number that fits a smaller type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Unreadable> {
        T::try_from(self.number()?).map_err(|_| Unreadable)
    }

    /// A signed number.
    pub fn signed(&mut self) -> Result<i64, Unreadable> {
        self.number().map(varint::unzigzag)
    }

    /// A timestamp: one with which arithmetic cannot overflow.
    pub fn timestamp(&mut self) -> Result<i64, Unreadable> {
        let value = self.signed()?;
        (value.unsigned_abs() <= 1 << 62).then_some(value).ok_or(Unreadable)
    }

    /// A float's bits.
    pub fn float(&mut self) -> Result<f64, Unreadable> {
        let (bits, rest) = self.rest.split_first_chunk::<8>().ok_or(Unreadable)?;
        self.rest = rest;
        Ok(f64::from_bits(u64::from_le_bytes(*bits)))
    }

    /// Sixteen bytes.
    pub fn wide(&mut self) -> Result<u128, Unreadable> {
        let (bytes, rest) = self.rest.split_first_chunk::<16>().ok_or(Unreadable)?;
        self.rest = rest;
        Ok(u128::from_le_bytes(*bytes))
    }

    /// Length and bytes.
    pub fn blob(&mut self) -> Result<&'a [u8], Unreadable> {
        let len = self.count()?;
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(bytes)
    }

    /// Length and text.
    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.blob()?).map_err(|_| Unreadable)
    }

    /// A value that knows its own bytes.
    pub fn value<T>(
        &mut self,
        decode: impl Fn(&mut &'a [u8]) -> Option<T>,
    ) -> Result<T, Unreadable> {
        decode(&mut self.rest).ok_or(Unreadable)
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}
