//! Writing requests: straight to protobuf bytes, no message structs in between.
//!
//! A [`Writer`] is filled series by series, asked for its size, and emptied with `finish`, which
//! keeps its memory. Invariant: what is written reads back the same, value bits included. Field
//! order and the omission of zero values are those of Prometheus's generated code, except that
//! −0 is written: it is not the default. Splitting and compressing are the caller's.

pub mod cached;
pub mod v1;
pub mod v2;

mod histogram;

use weir_model::{Exemplar, Label, Metadata, NativeHistogram, Sample, varint};

use crate::negotiate::Version;
use crate::varint::{FIXED64, LEN, VARINT};

/// A writer of either version.
#[derive(Debug)]
pub enum Writer {
    /// Remote write 1.0.
    V1(v1::Writer),
    /// Remote write 2.0.
    V2(v2::Writer),
}

impl Writer {
    /// An empty request of this version.
    pub fn new(version: Version) -> Self {
        match version {
            Version::V1 => Self::V1(v1::Writer::default()),
            Version::V2 => Self::V2(v2::Writer::default()),
        }
    }

    /// Which version it writes.
    pub fn version(&self) -> Version {
        match self {
            Self::V1(_) => Version::V1,
            Self::V2(_) => Version::V2,
        }
    }

    /// Adds a series; see [`v1::Writer::series`] and [`v2::Writer::series`].
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = Label<'a>>,
        samples: &[Sample],
        histograms: &[NativeHistogram],
        exemplars: &[Exemplar],
        metadata: Option<&Metadata>,
    ) {
        match self {
            Self::V1(w) => w.series(labels, samples, histograms, exemplars, metadata),
            Self::V2(w) => w.series(labels, samples, histograms, exemplars, metadata),
        }
    }

    /// Bytes of the request so far, before compression.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::V1(w) => w.encoded_len(),
            Self::V2(w) => w.encoded_len(),
        }
    }

    /// Samples of both kinds so far.
    pub fn sample_count(&self) -> u64 {
        match self {
            Self::V1(w) => w.sample_count(),
            Self::V2(w) => w.sample_count(),
        }
    }

    /// Appends the request to `out` and begins a new one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::V1(w) => w.finish(out),
            Self::V2(w) => w.finish(out),
        }
    }

    /// Throws the request away and begins a new one.
    pub fn reset(&mut self) {
        match self {
            Self::V1(w) => w.reset(),
            Self::V2(w) => w.reset(),
        }
    }
}

fn put_key(out: &mut Vec<u8>, field: u32, wire: u8) {
    varint::write(u64::from(field << 3 | u32::from(wire)), out);
}

/// A length-delimited field whose content `write` appends.
fn put_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, field, LEN);
    let at = out.len();
    // Room for a length below 128, which most have.
    out.push(0);
    write(out);
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    varint::write(len as u64, &mut prefix);
    out.splice(at..=at, prefix);
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, LEN);
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A string, left out if empty.
fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

/// An integer, left out if 0.
fn put_varint(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_key(out, field, VARINT);
        varint::write(value, out);
    }
}

/// A double, left out if all its bits are 0.
fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    if value.to_bits() != 0 {
        put_key(out, field, FIXED64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Repeated doubles, packed.
fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if !values.is_empty() {
        put_key(out, field, LEN);
        varint::write(values.len() as u64 * 8, out);
        for value in values {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}
