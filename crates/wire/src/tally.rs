//! How many samples stand in a body: the audit's left side, counted apart from the walkers.
//!
//! It hops from field to field on its own, so what a walker loses between the wire and the columns
//! is missed. One thing it takes from the columns, for hopping over eleven labels costs a tenth of
//! all that a 1.0 sample does: where a series' labels end. What stands between that and the end of
//! the message is looked at here, and must be the one sample that it is taken for. Only for bodies
//! that `decode()` took.

use weir_model::{Block, Entry};

use crate::negotiate::Version;
use crate::varint::Reader;

/// A length-delimited field of this number, as its one-byte key.
const fn key(field: u8) -> u8 {
    field << 3 | 2
}

/// Float samples and native histograms in a request. Where a body cannot be read to its end (a
/// decoder refuses such a one), what stands before that.
pub(crate) fn samples(version: Version, body: &[u8], entries: &[Entry]) -> u64 {
    match version {
        Version::V1 => samples_v1(body, entries),
        Version::V2 => samples_v2(body),
    }
}

fn samples_v1(body: &[u8], entries: &[Entry]) -> u64 {
    let mut samples = 0;
    let mut blocks = entries.iter().map(|entry| entry.block);
    let mut block = blocks.next();
    let mut fields = Fields::new(body);
    while let Some((field, message)) = fields.next() {
        if field != key(1) {
            continue;
        }
        let start = fields.at - message.len();
        // A series that the walker has left out must not leave all others without a block.
        while block.is_some_and(|block| (block.start as usize) < start) {
            block = blocks.next();
        }
        samples += match block.filter(|block| block.start as usize == start) {
            Some(block) if is_one_sample(message, block) => 1,
            _ => count(message, [key(2), key(4)]),
        };
    }
    samples
}

/// Whether a sample with a timestamp of six bytes is all that follows the labels.
#[inline]
fn is_one_sample(message: &[u8], labels: Block) -> bool {
    match message.get(labels.len as usize..) {
        Some([0x12, 0x10, 0x09, rest @ ..]) => rest.len() == 15,
        Some([0x12, 0x07, 0x10, rest @ ..]) => rest.len() == 6,
        _ => false,
    }
}

fn samples_v2(body: &[u8]) -> u64 {
    let mut samples = 0;
    let mut fields = Fields::new(body);
    while let Some((field, message)) = fields.next() {
        if field == key(5) {
            samples += count(message, [key(2), key(3)]);
        }
    }
    samples
}

fn count(message: &[u8], keys: [u8; 2]) -> u64 {
    let mut fields = Fields::new(message);
    let mut found = 0;
    while let Some((field, _)) = fields.next() {
        found += u64::from(keys.contains(&field));
    }
    found
}

/// The length-delimited fields of a message.
struct Fields<'a> {
    bytes: &'a [u8],
    /// The end of the last one.
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Key and content of the next one whose key has one byte; other fields are passed over.
    #[inline]
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            let (key, start, len) = match *self.bytes.get(self.at..)? {
                [key, len, ..] if key & 0x87 == 2 && len < 0x80 => (key, 2, usize::from(len)),
                [key, low, high, ..] if key & 0x87 == 2 && high < 0x80 => {
                    (key, 3, usize::from(low & 0x7f) | usize::from(high) << 7)
                }
                [] => return None,
                _ => match self.odd()? {
                    Some(found) => return Some(found),
                    None => continue,
                },
            };
            let content = self.bytes.get(self.at + start..self.at + start + len)?;
            self.at += start + len;
            return Some((key, content));
        }
    }

    /// A field of another kind, or with a longer key or length: `Some(None)` if it is passed over.
    #[cold]
    #[inline(never)]
    fn odd(&mut self) -> Option<Option<(u8, &'a [u8])>> {
        let mut reader = Reader::over(self.bytes, self.at, self.bytes.len());
        let (field, wire) = reader.key().ok()?;
        let found = if wire == 2 {
            let content = reader.bytes().ok()?;
            (field < 16).then(|| (key(field as u8), content))
        } else {
            reader.skip(field, wire).ok()?;
            None
        };
        self.at = reader.pos();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Columns;

    use super::*;
    use crate::oracle::Workload;
    use crate::oracle::check::ours;

    #[test]
    fn what_a_walker_leaves_out_is_counted_all_the_same() {
        let workload = Workload::default();
        for (version, bytes) in
            [(Version::V1, workload.v1_bytes(0, 50)), (Version::V2, workload.v2_bytes(0, 50))]
        {
            let (body, columns) = ours(version, &bytes).unwrap();
            assert_eq!(body.sample_fields(&columns), 50);
            for lost in [0, 20, 49] {
                let mut columns = columns.clone();
                columns.entries.remove(lost);
                assert_eq!(body.sample_fields(&columns), 50);
            }
            assert_eq!(body.sample_fields(&Columns::default()), 50);
        }
    }

    #[test]
    fn a_second_sample_that_a_walker_overlooks_is_counted() {
        let workload = Workload::default();
        let (body, mut columns) = ours(Version::V1, &workload.v1_bytes(0, 1)).unwrap();
        // The series once more with its sample twice, and the columns of the series with one.
        let mut fields = Fields::new(body.bytes());
        let (_, series) = fields.next().unwrap();
        let sample = &series[columns.entries[0].block.len as usize..];
        let twice = [series, sample].concat();
        let mut bytes = vec![key(1)];
        weir_model::varint::write(twice.len() as u64, &mut bytes);
        let head = bytes.len() as u32;
        bytes.extend(twice);
        columns.entries[0].block.start = head;
        assert_eq!(samples(Version::V1, &bytes, &columns.entries), 2);
    }
}
