//! A decoded request's bytes, shared with the shards that still have to read labels out of them.
//!
//! Invariant: every [`Block`] that `decode` gave out lies within the body that it returned; a
//! foreign one is [`LabelsError::Malformed`], never a panic. Series that are known need none of the
//! bytes, so they may be set aside, and are made anew for whoever asks.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use weir_model::{Block, Columns, Label, LabelSource, LabelsError};

use crate::changed::{changed_v1, changed_v2};
use crate::error::DecodeError;
use crate::negotiate::Version;
use crate::pool::Pool;
use crate::varint::{LEN, Reader};

/// A decompressed request and what its decoder found out about it.
#[derive(Default)]
pub struct Body {
    version: Version,
    /// Empty while they are set aside.
    bytes: OnceLock<Vec<u8>>,
    /// What makes them anew.
    again: Option<Box<Again>>,
    tables: Tables,
    /// Where the bytes go afterwards.
    pool: Pool,
}

type Again = dyn Fn() -> Vec<u8> + Send + Sync;

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What remote write 2.0 has beside the bytes; empty for 1.0.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Each symbol's start and length in the body.
    pub(crate) symbols: Vec<(u32, u32)>,
    /// All series' label references, one after the other.
    pub(crate) refs: Vec<u32>,
}

impl Body {
    pub(crate) fn new(version: Version, bytes: Vec<u8>, tables: Tables, pool: Pool) -> Self {
        Self { version, bytes: bytes.into(), again: None, tables, pool }
    }

    /// Gives the bytes' memory to the next body of the thread that decoded this one, while it is in that
    /// one's cache. `again` makes the same bytes for the first that still asks for them.
    pub fn set_aside(&mut self, again: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
        self.give_back();
        self.again = Some(Box::new(again));
    }

    fn give_back(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            self.pool.put(bytes);
        }
    }

    /// Which version it was decoded as.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The decompressed bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get_or_init(|| self.again.as_ref().map(|again| again()).unwrap_or_default())
    }

    /// Samples of both kinds that stand in the bytes, counted apart from what the decoder made of
    /// them, which is in `columns`: the audit's left side.
    pub fn sample_fields(&self, columns: &Columns) -> u64 {
        crate::tally::samples(self.version, self.bytes(), &columns.entries)
    }

    /// Takes the bytes back, so that their memory can serve the next request.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.take().unwrap_or_default()
    }

    /// Memory that it holds, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.get().map_or(0, Vec::capacity)
            + self.tables.symbols.capacity() * 8
            + self.tables.refs.capacity() * 4
    }
}

impl LabelSource for Body {
    fn labels<'a>(&'a self, block: Block, out: &mut Vec<Label<'a>>) -> Result<(), LabelsError> {
        labels_in(self.version, self.bytes(), &self.tables, block, out)
    }

    fn changed_values<'a>(
        &'a self,
        before: Block,
        block: Block,
        out: &mut Vec<(usize, &'a str)>,
    ) -> Option<()> {
        let place = |block: Block| block.start as usize..block.start as usize + block.len as usize;
        let (before, block) = (place(before), place(block));
        let bytes = self.bytes();
        match self.version {
            Version::V1 => changed_v1(bytes.get(before)?, bytes.get(block)?, out),
            Version::V2 => {
                let refs = &self.tables.refs;
                let symbol = |reference| symbol(bytes, &self.tables.symbols, reference);
                changed_v2(refs.get(before)?, refs.get(block)?, symbol, out)
            }
        }
    }
}

/// Appends a block's labels.
pub(crate) fn labels_in<'a>(
    version: Version,
    body: &'a [u8],
    tables: &Tables,
    block: Block,
    out: &mut Vec<Label<'a>>,
) -> Result<(), LabelsError> {
    let start = block.start as usize;
    let end = start + block.len as usize;
    match version {
        Version::V1 => labels_v1(body, start, end, out),
        Version::V2 => labels_v2(body, tables, start, end, out),
    }
}

/// Keys and the lengths of texts up to 127 bytes are ASCII. So a block is as a rule UTF-8 in one
/// piece, which takes one look and not one for each text; what lies between two of its characters
/// then is UTF-8 too.
fn labels_v1<'a>(
    body: &'a [u8],
    start: usize,
    end: usize,
    out: &mut Vec<Label<'a>>,
) -> Result<(), LabelsError> {
    let block = body.get(start..end).ok_or(LabelsError::Malformed)?;
    let whole = std::str::from_utf8(block).ok();
    let text = |range: Range<usize>| match whole {
        Some(whole) => whole.get(range),
        None => std::str::from_utf8(&block[range]).ok(),
    };
    let mut is_utf8 = true;
    let read = for_each_label(Reader::new(block), |name, value| match (text(name), text(value)) {
        (Some(name), Some(value)) => out.push(Label::new(name, value)),
        _ => is_utf8 = false,
    });
    read.ok_or(LabelsError::Malformed)?;
    if is_utf8 { Ok(()) } else { Err(LabelsError::NotUtf8) }
}

fn labels_v2<'a>(
    body: &'a [u8],
    tables: &Tables,
    start: usize,
    end: usize,
    out: &mut Vec<Label<'a>>,
) -> Result<(), LabelsError> {
    let refs = tables.refs.get(start..end).ok_or(LabelsError::Malformed)?;
    for pair in refs.chunks_exact(2) {
        let text = |reference| symbol(body, &tables.symbols, reference);
        let texts = text(pair[0]).zip(text(pair[1]));
        let (name, value) = texts.ok_or(LabelsError::Malformed)?;
        out.push(label(name, value)?);
    }
    Ok(())
}

fn label<'a>(name: &'a [u8], value: &'a [u8]) -> Result<Label<'a>, LabelsError> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LabelsError::NotUtf8);
    Ok(Label::new(text(name)?, text(value)?))
}

/// A symbol's bytes.
pub(crate) fn symbol<'a>(
    body: &'a [u8],
    symbols: &[(u32, u32)],
    reference: u32,
) -> Option<&'a [u8]> {
    let &(start, len) = symbols.get(reference as usize)?;
    body.get(start as usize..start as usize + len as usize)
}

/// Appends the labels (field 1) of `start..end` in a 1.0 body, passing over all other fields: the
/// range may be the run of labels alone, or a whole series whose labels are scattered.
pub(crate) fn label_fields<'a>(
    body: &'a [u8],
    start: usize,
    end: usize,
    out: &mut Vec<(&'a [u8], &'a [u8])>,
) -> Option<()> {
    let each = |name, value| out.push((&body[name], &body[value]));
    for_each_label(Reader::over(body, start, end), each)
}

fn for_each_label(
    mut fields: Reader<'_>,
    mut each: impl FnMut(Range<usize>, Range<usize>),
) -> Option<()> {
    while !fields.is_done() {
        if let Some([name, value]) = plain_label(&mut fields) {
            each(name, value);
            continue;
        }
        let (field, wire) = fields.key().ok()?;
        if field == 1 && wire == LEN {
            let [name, value] = label_ranges(fields.message().ok()?).ok()?;
            each(name, value);
        } else {
            fields.skip(field, wire).ok()?;
        }
    }
    Some(())
}

/// Where name and value of the next label stand, if it has the form in which senders write it:
/// both texts, in their order, every length in one byte. Else nothing is read.
#[inline]
fn plain_label(fields: &mut Reader<'_>) -> Option<[Range<usize>; 2]> {
    let begin = fields.pos();
    let &[0x0a, len @ 0..0x80, 0x0a, name_len @ 0..0x80, ref texts @ ..] = fields.rest() else {
        return None;
    };
    let (len, name_len) = (usize::from(len), usize::from(name_len));
    let &[0x12, value_len @ 0..0x80, ref values @ ..] = texts.get(name_len..)? else {
        return None;
    };
    let value_len = usize::from(value_len);
    if len != 4 + name_len + value_len || values.len() < value_len {
        return None;
    }
    fields.advance(2 + len);
    let name = begin + 4..begin + 4 + name_len;
    let value = name.end + 2..name.end + 2 + value_len;
    Some([name, value])
}

/// Name and value of a `prometheus.Label`.
pub(crate) fn label_message(message: Reader<'_>) -> Result<(&[u8], &[u8]), DecodeError> {
    let body = message.body();
    let [name, value] = label_ranges(message)?;
    Ok((&body[name], &body[value]))
}

/// Where name and value of a `prometheus.Label` stand in its body.
#[inline]
fn label_ranges(mut message: Reader<'_>) -> Result<[Range<usize>; 2], DecodeError> {
    let (mut name, mut value) = (0..0, 0..0);
    while !message.is_done() {
        match message.key()? {
            (1, LEN) => name = message.message()?.range(),
            (2, LEN) => value = message.message()?.range(),
            (field @ (1 | 2), wire) => return Err(message.wire_error("Label", field, wire)),
            (field, wire) => message.skip(field, wire)?,
        }
    }
    Ok([name, value])
}
