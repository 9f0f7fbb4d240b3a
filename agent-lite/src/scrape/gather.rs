//! From rows to request bodies: remote write 2.0 out of cached labels, zstd over it. The scrapes of
//! about a second share a body: one sync, one request and one symbol table for all of them.
//!
//! Invariant: a body is a whole request, of scrapes in the order in which they came, at most
//! [`SAMPLES_MAX`] samples or, symbols aside, [`SERIES_BYTES_MAX`] and one series. What is compressed
//! here is not compressed again on its way. Not here: how long anything waits.

use weir_model::Timestamp;
use weir_remote::Summary;
use weir_wire::encode::cached::{self, Renumbering, Stamp, SymbolTable};
use weir_wire::{Compressor, Encoding};

use super::rows::{Extra, Family, Rows};
use super::series::SeriesCache;

/// Samples of a body.
pub(super) const SAMPLES_MAX: usize = weir_agent_config::BODY_SAMPLES_MAX;

/// Bytes of a body's series before compression.
pub(super) const SERIES_BYTES_MAX: usize = 4 << 20;

/// Bytes for which memory is kept.
const KEPT_BYTES: usize = 512 << 10;

/// A request, compressed with zstd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    /// The compressed request.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub summary: Summary,
}

/// The request that is being filled, and what is used again for all of them.
#[derive(Debug, Default)]
pub(super) struct Gather {
    symbols: SymbolTable,
    series: Vec<u8>,
    summary: Summary,
    /// From a target's symbols to the request's.
    numbers: Renumbering,
    /// Labels in the request's symbols.
    labels: Vec<u8>,
    packed: Vec<u8>,
    compressor: Compressor,
}

impl Gather {
    /// Adds a scrape at `time`. Bodies that it fills are appended to `out`; the rest waits.
    pub(super) fn add(
        &mut self,
        rows: &Rows,
        cache: &SeriesCache,
        time: Timestamp,
        out: &mut Vec<Body>,
    ) -> std::io::Result<()> {
        // A scrape shares a body as a whole or not at all: what finds no room is whole scrapes.
        if self.waiting() as usize + rows.rows.len() > SAMPLES_MAX {
            self.flush(out)?;
        }
        let mut from = self.fill(rows, cache, time, 0);
        while from < rows.rows.len() {
            self.flush(out)?;
            from = self.fill(rows, cache, time, from);
            if from == rows.rows.len() {
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Ends the request that waits, if there is one, and appends it to `out`.
    pub(super) fn flush(&mut self, out: &mut Vec<Body>) -> std::io::Result<()> {
        if self.series.is_empty() {
            return Ok(());
        }
        // Symbols stand before what refers to them.
        self.series.splice(..0, self.symbols.encoded().iter().copied());
        let summary = Summary { plain_bytes: self.series.len() as u64, ..self.summary };
        let packed = self.compressor.compress(Encoding::Zstd, &self.series, &mut self.packed);
        // What cannot be written is not tried again with the next scrapes.
        self.symbols = SymbolTable::default();
        self.summary = Summary::default();
        self.series.clear();
        self.series.shrink_to(KEPT_BYTES);
        packed?;
        // An exact copy: the compressor's own room is for the worst case.
        out.push(Body { bytes: self.packed.as_slice().into(), summary });
        self.packed.clear();
        self.packed.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// Samples that wait for a flush.
    pub(super) fn waiting(&self) -> u64 {
        self.summary.samples
    }

    fn is_full(&self) -> bool {
        self.summary.samples as usize >= SAMPLES_MAX || self.series.len() > SERIES_BYTES_MAX
    }

    /// Writes rows from `from` on until the request is full, and returns where it ends.
    fn fill(&mut self, rows: &Rows, cache: &SeriesCache, time: Timestamp, from: usize) -> usize {
        self.numbers.learn(cache.symbols(), &mut self.symbols);
        let mut described: Vec<Vec<u8>> = vec![Vec::new(); rows.families.len()];
        let stamp = Stamp::new(time);
        let mut to = from;
        while let Some(&row) = rows.rows.get(to).filter(|_| !self.is_full()) {
            let symbols = &mut self.symbols;
            let family = rows.families_of.get(to).and_then(|&family| family.checked_sub(1));
            let metadata = match family {
                Some(at) => {
                    describe(&rows.families[at as usize], &mut described[at as usize], symbols)
                }
                None => &[],
            };
            let labels = self.numbers.labels(cache.labels(row.id), &mut self.labels);
            let extra = rows.extra(row);
            match extra {
                None => cached::put_float(&mut self.series, labels, row.value, &stamp, 0, metadata),
                Some(extra) => {
                    put_extra(&mut self.series, labels, row.value, extra, metadata, symbols);
                }
            }
            self.count(extra);
            to += 1;
        }
        to
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
