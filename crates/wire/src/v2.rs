//! Remote write 2.0 (`io.prometheus.write.v2.Request`): symbols once, then series that refer to
//! them.
//!
//! Each symbol is hashed once a request; a series' block hash is that of its symbols' hashes.
//! Almost every series is references, one sample and metadata in this order, and is read as such;
//! all else goes field by field. Senders write the table first; one that comes later, whole or in
//! part, is fetched when a reference needs it.

use weir_model::{
    Block, BlockHasher, Columns, Entry, Exemplar, Extra, Metadata, MetricType, Timestamp, VShard,
};

use crate::body::{Tables, symbol};
use crate::decode::{
    DecodeContext, EXTRAS_MAX, Hints, LABEL_BYTES_MAX, SAMPLES_MAX, SERIES_MAX, SYMBOLS_MAX,
    TEXT_BYTES_MAX, check_room, push_sample,
};
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::histogram::{self, HistogramVersion};
use crate::target::Pair;
use crate::v1::{lossy, range_from};
use crate::varint::{FIXED64, LEN, Reader, VARINT};

mod series;

pub(crate) use series::SeriesMetadata;
use series::{PlainSeries, plain_series, read_refs, sample};

const SYMBOLS: u32 = 4;
pub(crate) const TIME_SERIES: u32 = 5;

/// Walks a whole request.
pub(crate) fn walk(
    body: &[u8],
    ctx: Option<&DecodeContext<'_>>,
    columns: &mut Columns,
    hints: &mut Hints,
) -> Result<Tables, DecodeError> {
    hints.target.reset();
    hints.symbol_hashes.clear();
    hints.metadata_of_help.clear();
    let likely_refs = hints.refs.min(body.len());
    let mut walker = Walker {
        body,
        ctx,
        columns,
        hints,
        tables: Tables { symbols: Vec::new(), refs: Vec::with_capacity(likely_refs) },
        all_symbols: false,
        behind: 0,
        last_metadata: (&[], None),
        pairs: Vec::new(),
        buckets: 0,
        text_bytes: 0,
    };
    let mut fields = Reader::new(body);
    while !fields.is_done() {
        let (field, wire) = fields.key()?;
        match (field, wire) {
            (SYMBOLS, LEN) => {
                let text = fields.message()?;
                if !walker.all_symbols {
                    walker.push_symbol(&text)?;
                }
            }
            (TIME_SERIES, LEN) => {
                let message = fields.message()?;
                walker.behind = fields.pos();
                let number = walker.columns.entries.len();
                check_room(number, SERIES_MAX, "time series", message.pos())?;
                let done = match plain_series(message.rest()) {
                    Some(plain) => walker.plain(&plain, &message),
                    None => walker.series(message),
                };
                done.map_err(|e| e.in_series(number))?;
            }
            (SYMBOLS | TIME_SERIES, _) => return Err(fields.wire_error("Request", field, wire)),
            _ => fields.skip(field, wire)?,
        }
    }
    let tables = walker.tables;
    hints.refs = tables.refs.len();
    if columns.entries.is_empty() && tables.symbols.is_empty() && !body.is_empty() {
        return Err(DecodeError::new(0, Kind::NotV2(body.len())));
    }
    check_label_bytes(&tables)?;
    Ok(tables)
}

struct Walker<'a, 'c> {
    body: &'a [u8],
    ctx: Option<&'c DecodeContext<'c>>,
    columns: &'c mut Columns,
    hints: &'c mut Hints,
    tables: Tables,
    /// Whether symbols behind the series in hand have been read too.
    all_symbols: bool,
    /// Where the series in hand ends.
    behind: usize,
    /// The metadata field of the plain series before, and its place in the columns.
    last_metadata: (&'a [u8], Option<u32>),
    /// Labels of a series that has to be read.
    pairs: Vec<Pair<'a>>,
    /// Native histograms' buckets so far.
    buckets: usize,
    /// Bytes of copied text so far.
    text_bytes: usize,
}

impl<'a> Walker<'a, '_> {
    fn push_symbol(&mut self, text: &Reader<'a>) -> Result<(), DecodeError> {
        let at = text.pos();
        let bytes = text.rest();
        let symbols = &mut self.tables.symbols;
        check_room(symbols.len(), SYMBOLS_MAX, "symbols", at)?;
        if symbols.is_empty() && !bytes.is_empty() {
            return Err(DecodeError::new(at, Kind::FirstSymbol));
        }
        symbols.push((at as u32, bytes.len() as u32));
        let hash = self.ctx.map_or(0, |ctx| ctx.hasher.symbol(bytes));
        self.hints.symbol_hashes.push(hash);
        Ok(())
    }

    /// Reads the symbols behind the series in hand.
    #[inline(never)]
    fn fetch_symbols(&mut self) -> Result<(), DecodeError> {
        self.all_symbols = true;
        let mut fields = Reader::over(self.body, self.behind, self.body.len());
        while !fields.is_done() {
            match fields.key()? {
                (SYMBOLS, LEN) => {
                    let text = fields.message()?;
                    self.push_symbol(&text)?;
                }
                (field, wire) => fields.skip(field, wire)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn plain(&mut self, plain: &PlainSeries<'a>, message: &Reader<'_>) -> Result<(), DecodeError> {
        let begin = message.pos();
        let refs_start = self.tables.refs.len();
        let samples_start = self.columns.timestamps.len();
        // The references stand behind the field's key and length.
        read_refs(plain.refs, begin + 2, &mut self.tables.refs)?;
        push_sample(self.columns, plain.timestamp, plain.value, 0);
        let mut extra = Extra::default();
        if plain.metadata != self.last_metadata.0 {
            let mut metadata = SeriesMetadata::default();
            let end = message.end();
            metadata.read(Reader::over(self.body, end - plain.metadata.len() + 2, end))?;
            let place = self.place_metadata(&metadata, begin)?;
            self.last_metadata = (plain.metadata, place);
        }
        extra.metadata = self.last_metadata.1;
        self.push_series(refs_start, samples_start, extra, begin)
    }

    fn series(&mut self, mut message: Reader<'a>) -> Result<(), DecodeError> {
        let refs_start = self.tables.refs.len();
        let samples_start = self.columns.timestamps.len();
        let mut extra = Extra {
            histograms: range_from(self.columns.histograms.len()),
            exemplars: range_from(self.columns.exemplars.len()),
            metadata: None,
        };
        let mut metadata = SeriesMetadata::default();
        let begin = message.pos();
        while !message.is_done() {
            let at = message.pos();
            let (field, wire) = message.key()?;
            match (field, wire) {
                (1, LEN) => {
                    let packed = message.message()?;
                    read_refs(packed.rest(), packed.pos(), &mut self.tables.refs)?;
                }
                (1, VARINT) => self.tables.refs.push(message.varint()? as u32),
                (2, LEN) => {
                    check_room(self.columns.timestamps.len(), SAMPLES_MAX, "samples", at)?;
                    let (timestamp, value, start) = sample(message.message()?)?;
                    push_sample(self.columns, timestamp, value, start);
                }
                (3, LEN) => {
                    check_room(self.columns.histograms.len(), EXTRAS_MAX, "histograms", at)?;
                    let histogram = histogram::decode(
                        message.message()?,
                        HistogramVersion::V2,
                        &mut self.buckets,
                    )?;
                    self.columns.histograms.push(histogram);
                }
                (4, LEN) => {
                    check_room(self.columns.exemplars.len(), EXTRAS_MAX, "exemplars", at)?;
                    let exemplar = self.exemplar(message.message()?)?;
                    self.columns.exemplars.push(exemplar);
                }
                (5, LEN) => metadata.read(message.message()?)?,
                (1..=5, _) => return Err(message.wire_error("TimeSeries", field, wire)),
                _ => message.skip(field, wire)?,
            }
        }
        extra.histograms.end = self.columns.histograms.len() as u32;
        extra.exemplars.end = self.columns.exemplars.len() as u32;
        extra.metadata = self.place_metadata(&metadata, begin)?;
        self.push_series(refs_start, samples_start, extra, begin)
    }

    fn push_series(
        &mut self,
        refs_start: usize,
        samples_start: usize,
        extra: Extra,
        begin: usize,
    ) -> Result<(), DecodeError> {
        let len = self.tables.refs.len() - refs_start;
        if !len.is_multiple_of(2) {
            return Err(DecodeError::new(begin, Kind::OddReferences(len)));
        }
        let mut entry = Entry {
            block: Block { start: refs_start as u32, len: len as u32 },
            samples_start: samples_start as u32,
            samples_len: (self.columns.timestamps.len() - samples_start) as u32,
            ..Entry::default()
        };
        if extra.metadata.is_some() || !extra.histograms.is_empty() || !extra.exemplars.is_empty() {
            self.columns.extras.push(extra);
            entry.extra = self.columns.extras.len() as u32;
        }
        match self.ctx {
            Some(ctx) => {
                let hash = self.block_hash(ctx.hasher, refs_start, begin)?;
                entry.hash = ctx.hasher.with_tenant(hash, ctx.tenant_id);
                entry.vshard = self.vshard(ctx, refs_start, begin)?;
            }
            None => self.check_refs(refs_start, begin)?,
        }
        self.columns.entries.push(entry);
        Ok(())
    }

    /// The block's hash; it fails where a reference is not in the table, even one yet to come.
    #[inline]
    fn block_hash(
        &mut self,
        hasher: &BlockHasher,
        refs_start: usize,
        at: usize,
    ) -> Result<u128, DecodeError> {
        loop {
            let refs = self.tables.refs.get(refs_start..).unwrap_or_default();
            if let Some(hash) = hasher.labels(refs, &self.hints.symbol_hashes) {
                return Ok(hash);
            }
            self.check_refs(refs_start, at)?;
        }
    }

    /// Makes sure that a series' references are in the table.
    fn check_refs(&mut self, refs_start: usize, at: usize) -> Result<(), DecodeError> {
        let refs = self.tables.refs.get(refs_start..).unwrap_or_default();
        match refs.iter().copied().max() {
            Some(last) => self.symbol(last, at).map(drop),
            None => Ok(()),
        }
    }

    /// A symbol's text, fetched if it is yet to come.
    fn symbol(&mut self, reference: u32, at: usize) -> Result<&'a [u8], DecodeError> {
        if reference as usize >= self.tables.symbols.len() && !self.all_symbols {
            self.fetch_symbols()?;
        }
        let symbols = &self.tables.symbols;
        symbol(self.body, symbols, reference).ok_or_else(|| {
            let symbols = symbols.len();
            DecodeError::new(at, Kind::Reference { reference, symbols })
        })
    }

    #[inline]
    fn vshard(
        &mut self,
        ctx: &DecodeContext<'_>,
        refs_start: usize,
        at: usize,
    ) -> Result<VShard, DecodeError> {
        let refs = self.tables.refs.get(refs_start..).unwrap_or_default();
        if self.hints.target.is_known_v2(refs) {
            return Ok(self.hints.target.vshard);
        }
        self.pairs.clear();
        for at_ref in (refs_start..self.tables.refs.len()).step_by(2) {
            let [name, value] = [at_ref, at_ref + 1].map(|i| self.tables.refs[i]);
            let pair = (self.symbol(name, at)?, self.symbol(value, at)?);
            self.pairs.push(pair);
        }
        let refs = self.tables.refs.get(refs_start..).unwrap_or_default();
        Ok(self.hints.target.learn_v2(ctx, refs, &self.pairs))
    }

    fn exemplar(&mut self, mut message: Reader<'a>) -> Result<Exemplar, DecodeError> {
        let at = message.pos();
        let mut refs = Vec::new();
        let (mut value, mut timestamp) = (0.0, 0);
        while !message.is_done() {
            match message.key()? {
                (1, LEN) => {
                    let packed = message.message()?;
                    read_refs(packed.rest(), packed.pos(), &mut refs)?;
                }
                (1, VARINT) => refs.push(message.varint()? as u32),
                (2, FIXED64) => value = message.double()?,
                (3, VARINT) => timestamp = message.varint()? as Timestamp,
                (field @ 1..=3, wire) => return Err(message.wire_error("Exemplar", field, wire)),
                (field, wire) => message.skip(field, wire)?,
            }
        }
        if !refs.len().is_multiple_of(2) {
            return Err(DecodeError::new(at, Kind::OddReferences(refs.len())));
        }
        let mut labels = Vec::new();
        for pair in refs.chunks_exact(2) {
            // An empty label costs more memory than bytes.
            self.take_text(size_of::<(String, String)>(), at)?;
            labels.push((self.text(pair[0], at)?, self.text(pair[1], at)?));
        }
        Ok(Exemplar { labels, value, timestamp })
    }

    /// Where a series' metadata stands; that of the series before with the same help is shared.
    fn place_metadata(
        &mut self,
        metadata: &SeriesMetadata,
        at: usize,
    ) -> Result<Option<u32>, DecodeError> {
        if *metadata == SeriesMetadata::default() {
            return Ok(None);
        }
        let slot = metadata.help as usize;
        let known = self.hints.metadata_of_help.get(slot).copied().flatten();
        if let Some((place, same)) = known
            && same == *metadata
        {
            return Ok(Some(place));
        }
        let place = self.columns.series_metadata.len();
        check_room(place, EXTRAS_MAX, "metadata", at)?;
        let written = Metadata {
            family: String::new(),
            kind: MetricType::from_number(metadata.kind.into()),
            help: self.text(metadata.help, at)?,
            unit: self.text(metadata.unit, at)?,
        };
        self.columns.series_metadata.push(written);
        if self.hints.metadata_of_help.len() <= slot {
            self.hints.metadata_of_help.resize(slot + 1, None);
        }
        self.hints.metadata_of_help[slot] = Some((place as u32, *metadata));
        Ok(Some(place as u32))
    }

    /// A copy of a symbol.
    fn text(&mut self, reference: u32, at: usize) -> Result<String, DecodeError> {
        let bytes = self.symbol(reference, at)?;
        self.take_text(bytes.len(), at)?;
        Ok(lossy(bytes))
    }

    fn take_text(&mut self, bytes: usize, at: usize) -> Result<(), DecodeError> {
        self.text_bytes += bytes;
        check_room(self.text_bytes, TEXT_BYTES_MAX, "bytes of exemplars and metadata", at)
    }
}

/// Refuses tables whose references unfold to far more text than any real request has: a symbol of
/// megabytes that each series refers to would cost whoever reads the labels hours.
fn check_label_bytes(tables: &Tables) -> Result<(), DecodeError> {
    let longest = tables.symbols.iter().map(|s| u64::from(s.1)).max();
    if longest.unwrap_or(0) * tables.refs.len() as u64 <= LABEL_BYTES_MAX {
        return Ok(());
    }
    let len = |r: &u32| tables.symbols.get(*r as usize).map_or(0, |s| u64::from(s.1));
    if tables.refs.iter().map(len).sum::<u64>() > LABEL_BYTES_MAX {
        let limit = LABEL_BYTES_MAX as usize;
        let what = "bytes of labels";
        return Err(DecodeError::new(0, Kind::TooMany { what, limit }));
    }
    Ok(())
}
