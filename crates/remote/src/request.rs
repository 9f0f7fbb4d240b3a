//! A request as HTTP carries it: the body in its protocol and encoding, and its headers.
//!
//! Invariant: the same units give the same protobuf bytes, at every attempt. A packed unit that is
//! alone in its request is sent as it stands, if the destination takes it so.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use weir_model::labels::METRIC_NAME;
use weir_model::{Metadata, MetricType};
use weir_wire::Version;
use weir_wire::negotiate::VERSION_HEADER;
use weir_wire::{Compressor, encode as wire};

use crate::config::Destination;
use crate::outbox::Request;
use crate::packed::OpenError;
use crate::unit::{Series, Unit};

/// zstd's level: a sender has many requests to write, and the gain above it is small.
const ZSTD_LEVEL: i32 = 1;

/// Headers and body of a POST.
#[derive(Clone, Debug)]
pub struct Post {
    /// Names and values; names are unique.
    pub headers: Vec<(String, String)>,
    /// The compressed body.
    pub body: Bytes,
}

/// Why a request cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A packed body cannot be opened.
    #[error("the frame's body cannot be read: {0}")]
    Open(#[from] OpenError),
    /// Its compression.
    #[error(transparent)]
    Compress(#[from] std::io::Error),
}

/// Writes a request.
pub fn encode(request: &Request, destination: &Destination) -> Result<Post, EncodeError> {
    if let [Unit { packed: Some(packed), .. }] = &request.units[..]
        && let Some(body) = packed.as_sent(request.protocol, request.compression)
    {
        return Ok(Post { headers: headers(request, destination), body: body.clone() });
    }
    let opened: Result<Vec<_>, _> = request.units.iter().map(Unit::opened).collect();
    let mut plain = Vec::new();
    match request.protocol {
        Version::V1 => write_v1(&opened?, &mut plain),
        Version::V2 => write_v2(&opened?, &mut plain),
    }
    let mut body = Vec::new();
    Compressor::new(ZSTD_LEVEL).compress(request.compression, &plain, &mut body)?;
    Ok(Post { headers: headers(request, destination), body: body.into() })
}

/// The series of units, one after the other.
type Opened<'a> = [Cow<'a, [Series]>];

fn series<'a>(units: &'a Opened<'_>) -> impl Iterator<Item = &'a Series> {
    units.iter().flat_map(|unit| unit.iter())
}

fn write_v1(units: &Opened<'_>, out: &mut Vec<u8>) {
    let mut writer = wire::v1::Writer::default();
    let mut families = BTreeSet::new();
    for one in series(units) {
        let labels = one.labels.iter();
        writer.series(labels, &one.samples, &one.histograms, &one.exemplars, None);
    }
    for one in series(units) {
        let Some(metadata) = &one.metadata else {
            continue;
        };
        let family = family(one.labels.get(METRIC_NAME).unwrap_or_default(), metadata.kind);
        if families.insert(family) {
            writer.metadata(&Metadata { family: family.to_owned(), ..metadata.clone() });
        }
    }
    writer.finish(out);
}

/// 1.0 keeps metadata by family: a histogram's or summary's name without its suffix.
fn family(name: &str, kind: MetricType) -> &str {
    let is_many =
        matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary);
    let suffixes = ["_bucket", "_sum", "_count"].into_iter().filter(|_| is_many);
    suffixes.filter_map(|suffix| name.strip_suffix(suffix)).next().unwrap_or(name)
}

fn write_v2(units: &Opened<'_>, out: &mut Vec<u8>) {
    let mut writer = wire::v2::Writer::default();
    for one in series(units) {
        let metadata = one.metadata.as_ref();
        let labels = one.labels.iter();
        writer.series(labels, &one.samples, &one.histograms, &one.exemplars, metadata);
    }
    writer.finish(out);
}

fn headers(request: &Request, destination: &Destination) -> Vec<(String, String)> {
    let version = request.protocol;
    let encoding = request.compression.as_str();
    let mut headers = vec![
        ("Content-Encoding".to_owned(), encoding.to_owned()),
        ("Content-Type".to_owned(), version.content_type().to_owned()),
        (VERSION_HEADER.to_owned(), version.header_value().to_owned()),
        ("User-Agent".to_owned(), concat!("weir/", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    if request.attempt > 0 {
        headers.push(("Retry-Attempt".to_owned(), request.attempt.to_string()));
    }
    if let Some(header) = &destination.tenant_header {
        headers.push((header.clone(), request.tenant.to_string()));
    }
    let configured = destination.headers.iter();
    headers.extend(configured.map(|(name, value)| (name.clone(), value.clone())));
    headers
}
