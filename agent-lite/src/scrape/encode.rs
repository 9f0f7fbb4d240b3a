//! From rows to request bodies: remote write 2.0 out of cached symbols and labels, zstd over it.
//!
//! Invariant: a body is a whole request, at most [`SAMPLES_MAX`] samples or, symbols aside,
//! [`SERIES_BYTES_MAX`] and one series. What is compressed here is not compressed again on its way.

use weir_model::Timestamp;
use weir_remote::Summary;
use weir_wire::encode::cached::{self, Stamp, SymbolTable};
use weir_wire::{Compressor, Encoding};

use super::rows::{Extra, Family, Row, Rows};
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

/// Buffers and compressor, used again for all scrapes.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    plain: Vec<u8>,
    packed: Vec<u8>,
    compressor: Compressor,
}

impl Encoder {
    /// Appends the bodies of a scrape at `time` to `out`.
    pub(super) fn encode(
        &mut self,
        rows: &Rows,
        cache: &SeriesCache,
        time: Timestamp,
        out: &mut Vec<Body>,
    ) -> std::io::Result<()> {
        let mut from = 0;
        while from < rows.rows.len() {
            let to = self.fill(rows, cache, time, from);
            let summary = summary(rows, &rows.rows[from..to], self.plain.len());
            self.compressor.compress(Encoding::Zstd, &self.plain, &mut self.packed)?;
            // An exact copy: the compressor's own room is for the worst case.
            out.push(Body { bytes: self.packed.as_slice().into(), summary });
            from = to;
        }
        self.plain.clear();
        self.plain.shrink_to(KEPT_BYTES);
        self.packed.clear();
        self.packed.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// Writes a request of the rows from `from` on and returns where it ends.
    fn fill(&mut self, rows: &Rows, cache: &SeriesCache, time: Timestamp, from: usize) -> usize {
        let out = &mut self.plain;
        out.clear();
        out.extend_from_slice(cache.symbols().encoded());
        let begin = out.len();
        let mut own = SymbolTable::after(cache.symbols().end());
        let mut described: Vec<Vec<u8>> = vec![Vec::new(); rows.families.len()];
        let stamp = Stamp::new(time);
        let mut to = from;
        for &row in rows.rows[from..].iter().take(SAMPLES_MAX) {
            if out.len() - begin > SERIES_BYTES_MAX {
                break;
            }
            let family = rows.families_of.get(to).and_then(|&family| family.checked_sub(1));
            let metadata = match family {
                Some(at) => {
                    describe(&rows.families[at as usize], &mut described[at as usize], &mut own)
                }
                None => &[],
            };
            let labels = cache.labels(row.id);
            match rows.extra(row) {
                None => cached::put_float(out, labels, row.value, &stamp, 0, metadata),
                Some(extra) => put_extra(out, labels, row.value, extra, metadata, &mut own),
            }
            to += 1;
        }
        if !own.encoded().is_empty() {
            // Symbols stand before what refers to them.
            out.splice(begin..begin, own.encoded().iter().copied());
        }
        to
    }
}

fn summary(all: &Rows, rows: &[Row], plain_bytes: usize) -> Summary {
    let mut summary = Summary {
        samples: rows.len() as u64,
        plain_bytes: plain_bytes as u64,
        ..Summary::default()
    };
    for extra in rows.iter().filter_map(|&row| all.extra(row)) {
        summary.histograms += u64::from(extra.histogram.is_some());
        summary.exemplars += extra.exemplars.len() as u64;
    }
    summary
}

/// A family's metadata, written once in a request.
fn describe<'a>(family: &Family, written: &'a mut Vec<u8>, own: &mut SymbolTable) -> &'a [u8] {
    if written.is_empty() {
        let mut symbol = |text: &str| if text.is_empty() { 0 } else { own.intern(text) };
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
    own: &mut SymbolTable,
) {
    match &extra.histogram {
        Some(histogram) => cached::put_native_histogram(out, labels, histogram, metadata),
        None => {
            let stamp = Stamp::new(extra.timestamp);
            cached::put_float(out, labels, value, &stamp, extra.start, metadata);
        }
    }
    if !extra.exemplars.is_empty() {
        cached::put_exemplars(out, labels, extra.exemplars.iter(), own);
    }
}
