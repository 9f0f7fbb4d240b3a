//! From rows to request bodies: remote write 2.0 out of cached labels, zstd over it. The scrapes of
//! a beat share a body: one sync, one request and one symbol table for all of one owner's.
//!
//! Invariant: a body is a whole request, of one owner's scrapes in the order in which they came, at most
//! [`SAMPLES_MAX`] samples or, symbols aside, [`SERIES_BYTES_MAX`] and one series. What is compressed
//! here is not compressed again on its way. Not here: how long anything waits.

use std::collections::BTreeMap;

use weir_model::Timestamp;
use weir_remote::Summary;
use weir_wire::encode::cached::{self, Renumbering, Stamp, SymbolTable};
use weir_wire::{Compressor, Encoding};

use super::rows::{Extra, Family, Rows};
use super::series::SeriesCache;
use crate::draft::Part;

/// Samples of a body.
pub(super) const SAMPLES_MAX: usize = weir_agent_config::BODY_SAMPLES_MAX;

/// Bytes of a body's series before compression.
pub(super) const SERIES_BYTES_MAX: usize = 4 << 20;

/// Bytes for which memory is kept: it is needed again within seconds, and each page of it that was given
/// back has to be zeroed first.
const KEPT_BYTES: usize = 1 << 20;

/// A request, compressed with zstd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    /// The compressed request.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub summary: Summary,
    /// Whose all of it is, where that is known.
    pub owner: Option<u64>,
    /// The draft of which it was made; 0 for none.
    pub draft: u64,
}

/// A request that is being filled.
#[derive(Debug, Default)]
struct Open {
    symbols: SymbolTable,
    series: Vec<u8>,
    summary: Summary,
    /// Names it.
    number: u64,
    /// Bytes of symbols and series that the sink has as a draft.
    kept: (usize, usize),
}

/// The requests that are being filled, one for each owner, and what is used again for all of them.
#[derive(Debug)]
pub(super) struct Gather {
    open: BTreeMap<Option<u64>, Open>,
    /// Room for the next request.
    spare: Vec<u8>,
    /// Of the request begun last.
    number: u64,
    /// From a target's symbols to the request's.
    numbers: Renumbering,
    packed: Vec<u8>,
    compressor: Compressor,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            spare: Vec::new(),
            // Drafts of the process before are told from these by their numbers.
            number: crate::discovery::random() >> 1,
            numbers: Renumbering::default(),
            packed: Vec::new(),
            compressor: Compressor::of_scrapes(),
        }
    }
}

impl Gather {
    /// Adds an owner's scrape at `time`. Bodies that it fills are appended to `out`; the rest waits.
    pub(super) fn add(
        &mut self,
        owner: Option<u64>,
        (rows, cache): (&Rows, &SeriesCache),
        time: Timestamp,
        out: &mut Vec<Body>,
    ) -> std::io::Result<()> {
        // A scrape shares a body as a whole or not at all: what finds no room is whole scrapes.
        let waiting = self.open.get(&owner).map_or(0, |open| open.summary.samples);
        if waiting as usize + rows.rows.len() > SAMPLES_MAX {
            self.flush_one(owner, out)?;
        }
        let mut from = self.fill(owner, rows, cache, time, 0);
        while from < rows.rows.len() {
            self.flush_one(owner, out)?;
            from = self.fill(owner, rows, cache, time, from);
            if from == rows.rows.len() {
                self.flush_one(owner, out)?;
            }
        }
        Ok(())
    }

    /// Ends the requests that wait, and appends them to `out`.
    pub(super) fn flush(&mut self, out: &mut Vec<Body>) -> std::io::Result<()> {
        let mut flushed = Ok(());
        while let Some(owner) = self.open.keys().next().copied() {
            flushed = self.flush_one(owner, out).and(flushed);
        }
        flushed
    }

    /// Ends an owner's request, if there is one. What cannot be written is not tried again.
    fn flush_one(&mut self, owner: Option<u64>, out: &mut Vec<Body>) -> std::io::Result<()> {
        let Some(Open { symbols, mut series, summary, number, .. }) = self.open.remove(&owner)
        else {
            return Ok(());
        };
        if series.is_empty() {
            return Ok(());
        }
        // Symbols stand before what refers to them.
        series.splice(..0, symbols.encoded().iter().copied());
        let summary = Summary { plain_bytes: series.len() as u64, ..summary };
        let packed = self.compressor.compress(Encoding::Zstd, &series, &mut self.packed);
        series.clear();
        series.shrink_to(KEPT_BYTES);
        self.spare = series;
        packed?;
        // An exact copy: the compressor's own room is for the worst case.
        out.push(Body { bytes: self.packed.as_slice().into(), summary, owner, draft: number });
        self.packed.clear();
        self.packed.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// What requests that wait have got since the last time.
    pub(super) fn drafts(&mut self, mut keep: impl FnMut(&Part<'_>)) {
        for (&owner, open) in &mut self.open {
            let (symbols, series) = (open.symbols.encoded(), &open.series[..]);
            let (symbols_kept, series_kept) = open.kept;
            open.kept = (symbols.len(), series.len());
            if series_kept < series.len() {
                let (number, summary) = (open.number, open.summary);
                let (symbols, series) = (&symbols[symbols_kept..], &series[series_kept..]);
                keep(&Part { number, owner, symbols, series, summary });
            }
        }
    }

    /// Samples that wait for a flush.
    pub(super) fn waiting(&self) -> u64 {
        self.open.values().map(|open| open.summary.samples).sum()
    }

    /// Writes rows from `from` on until the request is full, and returns where it ends.
    fn fill(
        &mut self,
        owner: Option<u64>,
        rows: &Rows,
        cache: &SeriesCache,
        time: Timestamp,
        from: usize,
    ) -> usize {
        let (spare, number) = (&mut self.spare, &mut self.number);
        let fresh = || {
            *number += 1;
            Open { series: std::mem::take(spare), number: *number, ..Open::default() }
        };
        let open = self.open.entry(owner).or_insert_with(fresh);
        self.numbers.learn(cache.symbols(), &mut open.symbols);
        let mut described: Vec<Vec<u8>> = vec![Vec::new(); rows.families.len()];
        let stamp = Stamp::new(time);
        let mut to = from;
        while let Some(&row) = rows.rows.get(to).filter(|_| !open.is_full()) {
            let symbols = &mut open.symbols;
            let family = rows.families_of.get(to).and_then(|&family| family.checked_sub(1));
            let metadata = match family {
                Some(at) => {
                    describe(&rows.families[at as usize], &mut described[at as usize], symbols)
                }
                None => &[],
            };
            let (labels, series) = (cache.labels(row.id), &mut open.series);
            let extra = rows.extra(row);
            match extra {
                None if metadata.is_empty() => {
                    self.numbers.put_float(series, labels, row.value, &stamp);
                }
                None => {
                    let labels = self.numbers.labels(labels);
                    cached::put_float(series, labels, row.value, &stamp, 0, metadata);
                }
                Some(extra) => {
                    let labels = self.numbers.labels(labels);
                    put_extra(series, labels, row.value, extra, metadata, symbols);
                }
            }
            open.count(extra);
            to += 1;
        }
        to
    }
}

impl Open {
    fn is_full(&self) -> bool {
        self.summary.samples as usize >= SAMPLES_MAX || self.series.len() > SERIES_BYTES_MAX
    }

    fn count(&mut self, extra: Option<&Extra>) {
        self.summary.samples += 1;
        if let Some(extra) = extra {
            self.summary.histograms += u64::from(extra.histogram.is_some());
            self.summary.exemplars += extra.exemplars.len() as u64;
        }
    }
}

/// A family's metadata, written once in a request.
fn describe<'a>(family: &Family, written: &'a mut Vec<u8>, symbols: &mut SymbolTable) -> &'a [u8] {
    if written.is_empty() {
        let mut symbol = |text: &str| if text.is_empty() { 0 } else { symbols.intern(text) };
        let (help, unit) = (symbol(&family.help), symbol(&family.unit));
        cached::put_metadata(written, family.kind, help, unit);
    }
    written
}

fn put_extra(
    out: &mut Vec<u8>,
    labels: &[u8],
    value: f64,
    extra: &Extra,
    metadata: &[u8],
    symbols: &mut SymbolTable,
) {
    match &extra.histogram {
        Some(histogram) => cached::put_native_histogram(out, labels, histogram, metadata),
        None => {
            let stamp = Stamp::new(extra.timestamp);
            cached::put_float(out, labels, value, &stamp, extra.start, metadata);
        }
    }
    if !extra.exemplars.is_empty() {
        cached::put_exemplars(out, labels, extra.exemplars.iter(), symbols);
    }
}
