//! Writes remote write 2.0 (`io.prometheus.write.v2.Request`).
//!
//! Symbols are interned as they come and written before the series. Invariant: symbol 0 is the
//! empty string, and no symbol stands in the table twice.

use hashbrown::HashTable;
use weir_model::{Exemplar, Label, Metadata, NativeHistogram, Sample, varint};
use xxhash_rust::xxh3::xxh3_64;

use super::histogram::put_histogram;
use super::{put_bytes, put_double, put_message, put_varint};

const SYMBOLS: u32 = 4;
const TIME_SERIES: u32 = 5;

/// A 2.0 request under construction.
#[derive(Debug)]
pub struct Writer {
    symbols: Symbols,
    series: Vec<u8>,
    /// References of the series in hand.
    refs: Vec<u32>,
    samples: u64,
}

impl Default for Writer {
    fn default() -> Self {
        let mut writer =
            Self { symbols: Symbols::default(), series: Vec::new(), refs: Vec::new(), samples: 0 };
        writer.reset();
        writer
    }
}

impl Writer {
    /// Adds a series. Its labels must be sorted by name, its samples by time, as the protocol asks.
    /// Floats and histograms must not share a `TimeSeries`: where both are given, two are written.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = Label<'a>>,
        samples: &[Sample],
        histograms: &[NativeHistogram],
        exemplars: &[Exemplar],
        metadata: Option<&Metadata>,
    ) {
        self.refs.clear();
        for label in labels {
            self.refs.push(self.symbols.intern(label.name));
            self.refs.push(self.symbols.intern(label.value));
        }
        if samples.is_empty() || histograms.is_empty() {
            self.one(samples, histograms, exemplars, metadata);
        } else {
            self.one(samples, &[], exemplars, metadata);
            self.one(&[], histograms, &[], metadata);
        }
        self.samples += (samples.len() + histograms.len()) as u64;
    }

    fn one(
        &mut self,
        samples: &[Sample],
        histograms: &[NativeHistogram],
        exemplars: &[Exemplar],
        metadata: Option<&Metadata>,
    ) {
        let Self { symbols, series, refs, .. } = self;
        put_message(series, TIME_SERIES, |out| {
            put_refs(out, refs.iter().copied());
            for sample in samples {
                put_message(out, 2, |out| {
                    put_double(out, 1, sample.value);
                    put_varint(out, 2, sample.timestamp as u64);
                    put_varint(out, 3, sample.start as u64);
                });
            }
            for histogram in histograms {
                put_message(out, 3, |out| put_histogram(out, histogram, true));
            }
            for exemplar in exemplars {
                put_message(out, 4, |out| put_exemplar(out, symbols, exemplar));
            }
            if let Some(metadata) = metadata {
                put_message(out, 5, |out| {
                    put_varint(out, 1, metadata.kind as u64);
                    put_varint(out, 3, symbols.intern(&metadata.help).into());
                    put_varint(out, 4, symbols.intern(&metadata.unit).into());
                });
            }
        });
    }

    /// Bytes of the request so far, before compression.
    pub fn encoded_len(&self) -> usize {
        self.symbols.encoded.len() + self.series.len()
    }

    /// Samples of both kinds so far.
    pub fn sample_count(&self) -> u64 {
        self.samples
    }

    /// Appends the request to `out` and begins a new one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.symbols.encoded);
        out.append(&mut self.series);
        self.reset();
    }

    /// Throws the request away and begins a new one.
    pub fn reset(&mut self) {
        self.symbols.reset();
        self.series.clear();
        self.samples = 0;
    }
}

fn put_refs(out: &mut Vec<u8>, refs: impl Iterator<Item = u32>) {
    let mut refs = refs.peekable();
    if refs.peek().is_some() {
        put_message(out, 1, |out| {
            refs.for_each(|reference| varint::write(reference.into(), out));
        });
    }
}

fn put_exemplar(out: &mut Vec<u8>, symbols: &mut Symbols, exemplar: &Exemplar) {
    let labels = exemplar.labels.iter();
    put_refs(out, labels.flat_map(|(name, value)| [symbols.intern(name), symbols.intern(value)]));
    put_double(out, 2, exemplar.value);
    put_varint(out, 3, exemplar.timestamp as u64);
}

/// The symbol table, already encoded, and where each symbol's text stands in it.
#[derive(Debug, Default)]
struct Symbols {
    encoded: Vec<u8>,
    places: Vec<(u32, u32)>,
    /// Numbers of symbols by their text.
    numbers: HashTable<u32>,
}

impl Symbols {
    fn reset(&mut self) {
        self.encoded.clear();
        self.places.clear();
        self.numbers.clear();
        self.intern("");
    }

    fn intern(&mut self, text: &str) -> u32 {
        let Self { encoded, places, numbers } = self;
        let text_of = |number: u32| {
            let (start, len) = places[number as usize];
            &encoded[start as usize..(start + len) as usize]
        };
        let hash = xxh3_64(text.as_bytes());
        let same = |&number: &u32| text_of(number) == text.as_bytes();
        if let Some(&known) = numbers.find(hash, same) {
            return known;
        }
        let number = places.len() as u32;
        numbers.insert_unique(hash, number, |&other| xxh3_64(text_of(other)));
        put_bytes(encoded, SYMBOLS, text.as_bytes());
        places.push(((encoded.len() - text.len()) as u32, text.len() as u32));
        number
    }
}
