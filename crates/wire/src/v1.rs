//! Remote write 1.0 (`prometheus.WriteRequest`): the walker of the hot path.
//!
//! Almost every series of real traffic is its labels and then one sample, so the sample is read
//! from the end of the message, and what stands before it is the label block. That reading is
//! taken only if the label messages, hopped over one by one, end exactly where the sample begins;
//! then it is the only possible one. Anything else (more samples, histograms, exemplars, fields in
//! another order, unknown fields, odd varints) goes the general way, which accepts all of protobuf.
//!
//! Label messages are not opened here: their bytes are hashed as they stand.

use weir_model::{Block, Columns, Entry, Exemplar, Extra, Metadata, MetricType, Timestamp};

use crate::body::label_message;
use crate::decode::{
    DecodeContext, EXTRAS_MAX, Hints, SAMPLES_MAX, SERIES_MAX, TEXT_BYTES_MAX, check_room,
    push_sample,
};
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::histogram::{self, HistogramVersion};
use crate::target::Pair;
use crate::varint::{FIXED64, LEN, Reader, VARINT, varint_in};

/// Walks a whole request.
pub(crate) fn walk(
    body: &[u8],
    ctx: Option<&DecodeContext<'_>>,
    columns: &mut Columns,
    hints: &mut Hints,
) -> Result<(), DecodeError> {
    hints.target.reset();
    let mut walker =
        Walker { body, ctx, columns, hints, pairs: Vec::new(), buckets: 0, text_bytes: 0 };
    let mut fields = Reader::new(body);
    while !fields.is_done() {
        let (field, wire) = fields.key()?;
        match (field, wire) {
            (1, LEN) => {
                let message = fields.message()?;
                let number = walker.columns.entries.len();
                check_room(number, SERIES_MAX, "time series", message.pos())?;
                if !walker.plain_series(&message) {
                    walker.series(message).map_err(|e| e.in_series(number))?;
                }
            }
            (3, LEN) => walker.metadata(fields.message()?)?,
            (1 | 3, _) => return Err(fields.wire_error("WriteRequest", field, wire)),
            _ => fields.skip(field, wire)?,
        }
    }
    if columns.entries.is_empty() && columns.metadata.is_empty() && !body.is_empty() {
        return Err(DecodeError::new(0, Kind::NotV1(body.len())));
    }
    Ok(())
}

struct Walker<'a, 'c> {
    body: &'a [u8],
    ctx: Option<&'c DecodeContext<'c>>,
    columns: &'c mut Columns,
    hints: &'c mut Hints,
    /// Labels of a series that has to be read.
    pairs: Vec<Pair<'a>>,
    /// Native histograms' buckets so far.
    buckets: usize,
    /// Bytes of copied text so far.
    text_bytes: usize,
}

impl<'a> Walker<'a, '_> {
    /// Takes a series of labels and one sample at its end; `false` if it is not one.
    #[inline]
    fn plain_series(&mut self, message: &Reader<'a>) -> bool {
        let bytes = message.rest();
        let Some((labels_len, timestamp, value)) = sample_at_end(bytes) else {
            return false;
        };
        let block = &bytes[..labels_len];
        let Some(starts) = self.hints.hops.over(block) else {
            return false;
        };
        let base = message.pos();
        let samples_start = self.columns.timestamps.len() as u32;
        push_sample(self.columns, timestamp, value, 0);
        let mut entry = Entry {
            block: Block { start: base as u32, len: labels_len as u32 },
            samples_start,
            samples_len: 1,
            ..Entry::default()
        };
        if let Some(ctx) = self.ctx {
            entry.hash = ctx.hasher.with_tenant(ctx.hasher.bytes(block), ctx.tenant_id);
            let count = starts.len();
            entry.vshard = match self.hints.target.known_v1(block, starts) {
                Some(vshard) => vshard,
                None => {
                    self.note_spots(base, labels_len, count);
                    self.vshard(ctx)
                }
            };
        }
        self.columns.entries.push(entry);
        true
    }

    /// Notes where the labels of a plain series stand, as the general way does.
    #[inline(never)]
    fn note_spots(&mut self, base: usize, len: usize, count: usize) {
        let Hints { spots, hops, .. } = &mut *self.hints;
        let begins = hops.starts[..count].iter().copied();
        let ends = begins.clone().skip(1).chain([len as u32]);
        let base = base as u32;
        spots.clear();
        spots.extend(begins.zip(ends).map(|(begin, end)| (base + begin, base + end)));
    }

    #[inline(never)]
    fn vshard(&mut self, ctx: &DecodeContext<'_>) -> weir_model::VShard {
        let Hints { target, spots, .. } = &mut *self.hints;
        target.vshard_v1(ctx, self.body, spots, &mut self.pairs)
    }

    /// Takes any series.
    fn series(&mut self, mut message: Reader<'a>) -> Result<(), DecodeError> {
        let whole = (message.pos(), message.end());
        let samples_start = self.columns.timestamps.len();
        let mut extra = Extra {
            histograms: range_from(self.columns.histograms.len()),
            exemplars: range_from(self.columns.exemplars.len()),
            metadata: None,
        };
        self.hints.spots.clear();
        while !message.is_done() {
            let at = message.pos();
            let (field, wire) = message.key()?;
            match (field, wire) {
                (1, LEN) => {
                    message.message()?;
                    self.hints.spots.push((at as u32, message.pos() as u32));
                }
                (2, LEN) => {
                    check_room(self.columns.timestamps.len(), SAMPLES_MAX, "samples", at)?;
                    let (timestamp, value) = sample(message.message()?)?;
                    push_sample(self.columns, timestamp, value, 0);
                }
                (3, LEN) => {
                    check_room(self.columns.exemplars.len(), EXTRAS_MAX, "exemplars", at)?;
                    let exemplar = self.exemplar(message.message()?)?;
                    self.columns.exemplars.push(exemplar);
                }
                (4, LEN) => {
                    check_room(self.columns.histograms.len(), EXTRAS_MAX, "histograms", at)?;
                    let histogram = histogram::decode(
                        message.message()?,
                        HistogramVersion::V1,
                        &mut self.buckets,
                    )?;
                    self.columns.histograms.push(histogram);
                }
                (1..=4, _) => return Err(message.wire_error("TimeSeries", field, wire)),
                _ => message.skip(field, wire)?,
            }
        }
        extra.histograms.end = self.columns.histograms.len() as u32;
        extra.exemplars.end = self.columns.exemplars.len() as u32;
        self.push_series(whole, samples_start, extra);
        Ok(())
    }

    fn push_series(&mut self, whole: (usize, usize), samples_start: usize, extra: Extra) {
        let spots = &self.hints.spots;
        let run = match (spots.first(), spots.last()) {
            (Some(first), Some(last)) if spots.windows(2).all(|w| w[0].1 == w[1].0) => {
                Some((first.0 as usize, last.1 as usize))
            }
            (None, _) => Some((whole.0, whole.0)),
            _ => None,
        };
        let (start, end) = run.unwrap_or(whole);
        let mut entry = Entry {
            block: Block { start: start as u32, len: (end - start) as u32 },
            samples_start: samples_start as u32,
            samples_len: (self.columns.timestamps.len() - samples_start) as u32,
            ..Entry::default()
        };
        if !extra.histograms.is_empty() || !extra.exemplars.is_empty() {
            self.columns.extras.push(extra);
            entry.extra = self.columns.extras.len() as u32;
        }
        if let Some(ctx) = self.ctx {
            let body = self.body;
            let hash = if run.is_some() {
                ctx.hasher.bytes(&body[start..end])
            } else {
                let joined = &mut self.hints.joined;
                joined.clear();
                for &(start, end) in spots {
                    joined.extend_from_slice(&body[start as usize..end as usize]);
                }
                ctx.hasher.bytes(joined)
            };
            entry.hash = ctx.hasher.with_tenant(hash, ctx.tenant_id);
            entry.vshard = self.vshard(ctx);
        }
        self.columns.entries.push(entry);
    }

    fn exemplar(&mut self, mut message: Reader<'_>) -> Result<Exemplar, DecodeError> {
        let mut exemplar = Exemplar { labels: Vec::new(), value: 0.0, timestamp: 0 };
        while !message.is_done() {
            let at = message.pos();
            match message.key()? {
                (1, LEN) => {
                    let label = message.message()?;
                    // An empty label costs more memory than bytes.
                    self.take_text(label.rest().len() + size_of::<(String, String)>(), at)?;
                    let (name, value) = label_message(label)?;
                    exemplar.labels.push((lossy(name), lossy(value)));
                }
                (2, FIXED64) => exemplar.value = message.double()?,
                (3, VARINT) => exemplar.timestamp = message.varint()? as Timestamp,
                (field @ 1..=3, wire) => return Err(message.wire_error("Exemplar", field, wire)),
                (field, wire) => message.skip(field, wire)?,
            }
        }
        Ok(exemplar)
    }

    fn metadata(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        let known = self.columns.metadata.len();
        check_room(known, EXTRAS_MAX, "metadata", message.pos())?;
        self.take_text(message.rest().len(), message.pos())?;
        let mut metadata = Metadata::default();
        while !message.is_done() {
            match message.key()? {
                (1, VARINT) => {
                    // Enumerations have 32 bits.
                    let number = message.varint()? as u32;
                    metadata.kind = MetricType::from_number(number.into());
                }
                (2, LEN) => metadata.family = lossy(message.bytes()?),
                (4, LEN) => metadata.help = lossy(message.bytes()?),
                (5, LEN) => metadata.unit = lossy(message.bytes()?),
                (field @ (1 | 2 | 4 | 5), wire) => {
                    return Err(message.wire_error("MetricMetadata", field, wire));
                }
                (field, wire) => message.skip(field, wire)?,
            }
        }
        self.columns.metadata.push(metadata);
        Ok(())
    }

    fn take_text(&mut self, bytes: usize, at: usize) -> Result<(), DecodeError> {
        self.text_bytes += bytes;
        check_room(self.text_bytes, TEXT_BYTES_MAX, "bytes of exemplars and metadata", at)
    }
}

/// Text that is repaired where it is no UTF-8.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn range_from(start: usize) -> std::ops::Range<u32> {
    start as u32..start as u32
}

/// Any `prometheus.Sample`.
fn sample(mut message: Reader<'_>) -> Result<(Timestamp, f64), DecodeError> {
    let (mut timestamp, mut value) = (0, 0.0);
    while !message.is_done() {
        match message.key()? {
            (1, FIXED64) => value = message.double()?,
            (2, VARINT) => timestamp = message.varint()? as Timestamp,
            (field @ (1 | 2), wire) => return Err(message.wire_error("Sample", field, wire)),
            (field, wire) => message.skip(field, wire)?,
        }
    }
    Ok((timestamp, value))
}

/// The sample that the last bytes look like, and the length of what is before it. They are
/// `12 10 09 <value> 10 <timestamp>`, or `12 07 10 <timestamp>` where the value is 0, with a
/// timestamp of six bytes as all between 1971 and 2109 have.
#[inline]
fn sample_at_end(message: &[u8]) -> Option<(usize, Timestamp, f64)> {
    if let Some((labels, [0x12, 0x10, 0x09, sample @ ..])) = message.split_last_chunk::<18>()
        && let &[a, b, c, d, e, f, g, h, 0x10, ref timestamp @ ..] = sample
    {
        let value = f64::from_le_bytes([a, b, c, d, e, f, g, h]);
        return Some((labels.len(), six_byte_varint(timestamp)?, value));
    }
    match message.split_last_chunk::<9>() {
        Some((labels, [0x12, 0x07, 0x10, timestamp @ ..])) => {
            Some((labels.len(), six_byte_varint(timestamp)?, 0.0))
        }
        _ => None,
    }
}

/// A varint of exactly six bytes.
#[inline]
fn six_byte_varint(&[a, b, c, d, e, f]: &[u8; 6]) -> Option<Timestamp> {
    match varint_in(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])) {
        Some((value, 6)) => Some(value as Timestamp),
        _ => None,
    }
}

/// Where the label messages of a plain series begin in its block, and what stands there.
#[derive(Debug)]
pub(crate) struct Hops {
    starts: [u32; HOPPED_MAX],
    /// The last series' keys and lengths, as they stand on the wire: always those of labels.
    heads: [u16; HOPPED_MAX],
    /// How far it is from one to the next.
    steps: [usize; HOPPED_MAX],
}

impl Default for Hops {
    fn default() -> Self {
        // Labels of no bytes.
        Self { starts: [0; HOPPED_MAX], heads: [0x0a; HOPPED_MAX], steps: [2; HOPPED_MAX] }
    }
}

impl Hops {
    /// Whether a block is label fields and nothing else: where each begins.
    ///
    /// Most labels are as long as those of the last series in their places. Going on by what is
    /// known of that one, and not by what was just read, lets reads overlap.
    #[inline]
    fn over(&mut self, block: &[u8]) -> Option<&[u32]> {
        let (mut at, mut count) = (0, 0);
        while let Some(&head) = block.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
            let place = count % HOPPED_MAX;
            let head = u16::from_le_bytes(head);
            if head != self.heads[place] && !self.learn(place, head) {
                break;
            }
            self.starts[place] = at as u32;
            at += self.steps[place];
            count += 1;
        }
        if at == block.len() && count <= HOPPED_MAX {
            return Some(&self.starts[..count]);
        }
        let count = hop_long(block, &mut self.starts)?;
        Some(&self.starts[..count])
    }

    /// Another length at this place; `false` if it is no label with a length of one byte.
    #[cold]
    #[inline(never)]
    fn learn(&mut self, place: usize, head: u16) -> bool {
        let is_label = head & 0x80ff == 0x0a;
        if is_label {
            self.heads[place] = head;
            self.steps[place] = 2 + usize::from(head >> 8);
        }
        is_label
    }
}

/// As [`Hops::over`], where lengths may have two bytes: how many labels there are.
#[inline(never)]
fn hop_long(block: &[u8], starts: &mut [u32; HOPPED_MAX]) -> Option<usize> {
    let (mut rest, mut count) = (block, 0);
    while !rest.is_empty() {
        *starts.get_mut(count)? = (block.len() - rest.len()) as u32;
        count += 1;
        rest = match rest {
            [0x0a, len @ 0..0x80, labels @ ..] => labels.get(usize::from(*len)..)?,
            [0x0a, low, high @ 0..0x80, labels @ ..] => {
                labels.get((usize::from(low & 0x7f) | usize::from(*high) << 7)..)?
            }
            _ => return None,
        };
    }
    Some(count)
}

/// Labels of a series that is read from its end; one that has more goes the general way.
pub(crate) const HOPPED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_at_the_end_is_seen_with_and_without_a_value() {
        let mut message = b"\x0a\x00\x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10".to_vec();
        weir_model::varint::write(1_700_000_000_000, &mut message);
        assert_eq!(sample_at_end(&message), Some((2, 1_700_000_000_000, 1.0)));
        let mut zero = b"\x0a\x00\x12\x07\x10".to_vec();
        weir_model::varint::write(1_700_000_000_000, &mut zero);
        assert_eq!(sample_at_end(&zero), Some((2, 1_700_000_000_000, 0.0)));
    }
}
