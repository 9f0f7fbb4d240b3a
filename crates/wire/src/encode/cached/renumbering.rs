//! From the symbols of one table to those of another, for a request that says what several tables know.
//!
//! It is done for every sample, so numbers are kept encoded, and a series is put together in one place
//! before it is appended. Invariant: what is out of the ordinary (long labels, numbers of three bytes) is
//! done the long way and comes out the same.

use weir_model::varint;

use super::{
    LABELS_KEY, SAMPLE_KEY, SERIES_KEY, STAMP_BYTES_MAX, Stamp, SymbolTable, VALUE_KEY, put_float,
    put_number, references,
};

/// See the module.
#[derive(Debug)]
pub struct Renumbering {
    /// By the number in the one table that in the other: a varint from the lowest byte on, and how long it is
    /// in the highest one.
    numbers: Vec<u64>,
    is_same: bool,
    series: [u8; SERIES_BYTES],
    labels: Vec<u8>,
}

impl Default for Renumbering {
    fn default() -> Self {
        let (numbers, labels) = (Vec::new(), Vec::new());
        Self { numbers, is_same: true, series: [0; SERIES_BYTES], labels }
    }
}

/// Where labels begin, behind a series' key and length.
const LABELS_AT: usize = 3;
/// Labels of up to 127 bytes, a sample, and what is written too much.
const SERIES_BYTES: usize = 192;
/// What a length of one byte can say, and a number of one byte.
const SHORT: u8 = 0x80;

impl Renumbering {
    /// Appends the symbols of `from` to `to`, where they are new, and learns their numbers there.
    pub fn learn(&mut self, from: &SymbolTable, to: &mut SymbolTable) {
        self.is_same = true;
        self.numbers.clear();
        self.numbers.extend(from.texts().zip(0..).map(|(text, own)| {
            let number = to.intern_bytes(text);
            self.is_same &= number == own;
            encoded(number)
        }));
    }

    /// What [`put_labels`](super::put_labels) wrote, in the other table's numbers.
    pub fn labels<'a>(&'a mut self, labels: &'a [u8]) -> &'a [u8] {
        if self.is_same {
            return labels;
        }
        let numbers = &self.numbers;
        self.labels.clear();
        for reference in references(labels) {
            let number = numbers.get(reference as usize).copied().unwrap_or(encoded(0));
            self.labels.extend_from_slice(&number.to_le_bytes()[..bytes_of(number)]);
        }
        let mut head = vec![LABELS_KEY];
        varint::write(self.labels.len() as u64, &mut head);
        self.labels.splice(..0, head);
        &self.labels
    }

    /// [`put_float`] without start and metadata, for labels in the one table's numbers.
    #[inline]
    pub fn put_float(&mut self, out: &mut Vec<u8>, labels: &[u8], value: f64, stamp: &Stamp) {
        match self.put_together(labels, value, stamp) {
            Some(series) => out.extend_from_slice(series),
            None => put_float(out, self.labels(labels), value, stamp, 0, &[]),
        }
    }

    /// The series, if it is an ordinary one.
    #[inline]
    fn put_together(&mut self, labels: &[u8], value: f64, stamp: &Stamp) -> Option<&[u8]> {
        let series = &mut self.series;
        let mut at = LABELS_AT + 2;
        let [LABELS_KEY, len, references @ ..] = labels else {
            return None;
        };
        if *len >= SHORT {
            return None;
        }
        if self.is_same {
            series.get_mut(at..at + references.len())?.copy_from_slice(references);
            at += references.len();
        } else {
            let mut rest = references.iter();
            while let Some(&low) = rest.next() {
                let mut own = usize::from(low);
                if low >= SHORT {
                    let high = rest.next().copied().filter(|high| *high < SHORT)?;
                    own = own - usize::from(SHORT) + (usize::from(high) << 7);
                }
                let number = *self.numbers.get(own)?;
                series.get_mut(at..at + 8)?.copy_from_slice(&number.to_le_bytes());
                at += bytes_of(number);
            }
        }
        let labels_len = u8::try_from(at - LABELS_AT - 2).ok().filter(|len| *len < SHORT)?;
        (series[LABELS_AT], series[LABELS_AT + 1]) = (LABELS_KEY, labels_len);
        let sample = at;
        at += 2;
        // The timestamp first, as `put_float` has it.
        series.get_mut(at..at + STAMP_BYTES_MAX)?.copy_from_slice(&stamp.bytes);
        at += stamp.len;
        if value.to_bits() != 0 {
            let room = series.get_mut(at..at + 9)?;
            room[0] = VALUE_KEY;
            room[1..].copy_from_slice(&value.to_le_bytes());
            at += 9;
        }
        (series[sample], series[sample + 1]) = (SAMPLE_KEY, (at - sample - 2) as u8);
        let len = at - LABELS_AT;
        let begin = if len < usize::from(SHORT) { 1 } else { 0 };
        series[begin] = SERIES_KEY;
        put_number(&mut series[begin + 1..], len as u64);
        series.get(begin..at)
    }
}

#[inline]
fn encoded(number: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[7] = put_number(&mut bytes, number.into()) as u8;
    u64::from_le_bytes(bytes)
}

#[inline]
fn bytes_of(encoded: u64) -> usize {
    (encoded >> 56) as usize
}
