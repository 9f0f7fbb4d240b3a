//! The bytes of a group as one vectored write: small pieces copied together, big ones referred to.
//!
//! Invariant: [`GroupImage::slices`] yields the bytes in the order in which they were given.
//! Deliberately not here: what the bytes are.

use std::io::IoSlice;
use std::ops::Range;

/// Bytes to write, in order.
#[derive(Default)]
pub(crate) struct GroupImage<'a> {
    copied: Vec<u8>,
    parts: Vec<Part<'a>>,
    referred_bytes: u64,
}

enum Part<'a> {
    Copied(Range<usize>),
    Referred(&'a [u8]),
}

/// Below this a copy is cheaper than another slice for the kernel to walk.
const COPY_BELOW: usize = 2048;

impl<'a> GroupImage<'a> {
    /// Adds a copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        let from = self.copied.len();
        self.copied.extend_from_slice(bytes);
        let to = self.copied.len();
        match self.parts.last_mut() {
            Some(Part::Copied(range)) => range.end = to,
            _ => self.parts.push(Part::Copied(from..to)),
        }
    }

    /// Adds `bytes`, copied only if they are few.
    pub(crate) fn refer(&mut self, bytes: &'a [u8]) {
        if bytes.len() < COPY_BELOW {
            self.copy(bytes);
        } else {
            self.referred_bytes += bytes.len() as u64;
            self.parts.push(Part::Referred(bytes));
        }
    }

    /// Total length.
    pub(crate) fn bytes(&self) -> u64 {
        self.copied.len() as u64 + self.referred_bytes
    }

    /// For a vectored write.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Copied(range) => self.copied.get(range.clone()).unwrap_or_default(),
                Part::Referred(bytes) => bytes,
            })
            .map(IoSlice::new)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order_whatever_is_copied() {
        let big = vec![7; COPY_BELOW];
        let mut image = GroupImage::default();
        image.copy(b"head");
        image.refer(b"small");
        image.refer(&big);
        image.copy(b"end");
        let slices = image.slices();
        assert_eq!(slices.len(), 3);
        let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(joined, [b"headsmall".as_slice(), &big, b"end"].concat());
        assert_eq!(image.bytes(), joined.len() as u64);
    }
}
