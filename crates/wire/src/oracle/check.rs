//! Decodes bytes both ways and compares everything: what property tests and fuzzers call.
//!
//! These panic where the crate's decoders and prost disagree, or where a promise is broken.

use prost::Message;
use weir_model::labels::normalize;
use weir_model::{
    BlockHasher, Columns, Entry, Exemplar, Label, LabelSource, Metadata, MetricType,
    NativeHistogram, ShardKey,
};

use super::{BucketSpan, Count, Histogram, ZeroCount, v1, v2};
use crate::records::decode_series;
use crate::{
    Body, DecodeContext, DecodeError, DecodeErrorKind, Decompressor, Encoding, Hints, Version,
    decode,
};

/// Limit of decompressed bytes in checks.
const CAP_BYTES: usize = 1 << 20;
const TENANT: &str = "team-a";

/// Decodes with a fixed context.
pub(crate) fn ours(version: Version, bytes: &[u8]) -> Result<(Body, Columns), DecodeError> {
    let (hasher, shard_key) = (BlockHasher::new(99), ShardKey::default());
    let ctx =
        DecodeContext { hasher: &hasher, shard_key: &shard_key, tenant: TENANT, tenant_id: 3 };
    let mut columns = Columns::default();
    let body = decode(version, bytes.to_vec(), &ctx, &mut columns, &mut Hints::default())?;
    Ok((body, columns))
}

/// A series as any decoder should see it.
#[derive(Debug, PartialEq)]
pub(crate) struct Plain {
    pub(crate) labels: Vec<(String, String)>,
    /// Timestamp, bits of the value, start timestamp.
    pub(crate) samples: Vec<(i64, u64, i64)>,
    pub(crate) histograms: Vec<String>,
    pub(crate) exemplars: Vec<String>,
    pub(crate) metadata: Option<Metadata>,
}

/// Checks bytes as a 1.0 request; says whether prost takes them.
pub fn check_v1(bytes: &[u8]) -> bool {
    let ours = ours(Version::V1, bytes);
    let Ok(request) = v1::WriteRequest::decode(bytes) else {
        return false;
    };
    let (body, columns) = match ours {
        Err(e) if matches!(e.kind, DecodeErrorKind::NotV1(_)) => {
            assert!(request.timeseries.is_empty() && request.metadata.is_empty());
            return true;
        }
        Err(e) => panic!("refused: {e}"),
        Ok(decoded) => decoded,
    };
    let theirs: Vec<Plain> = request.timeseries.iter().map(plain_v1).collect();
    compare(&body, &columns, &theirs);
    let families: Vec<Metadata> = request.metadata.iter().map(family).collect();
    assert_eq!(columns.metadata, families);
    true
}

/// Checks bytes as a 2.0 request; says whether prost takes them.
pub fn check_v2(bytes: &[u8]) -> bool {
    let ours = ours(Version::V2, bytes);
    let Ok(request) = v2::Request::decode(bytes) else {
        return false;
    };
    let theirs: Option<Vec<Plain>> =
        (request.timeseries.iter()).map(|series| plain_v2(series, &request.symbols)).collect();
    let first_ok = request.symbols.first().is_none_or(String::is_empty);
    match (ours, theirs) {
        (Err(e), _) if matches!(e.kind, DecodeErrorKind::NotV2(_)) => {
            assert!(request.timeseries.is_empty() && request.symbols.is_empty());
        }
        (Ok((body, columns)), Some(theirs)) if first_ok => compare(&body, &columns, &theirs),
        (Ok(_), theirs) => panic!("taken, but references or symbols are wrong: {theirs:?}"),
        (Err(e), Some(_)) if first_ok => panic!("refused: {e}"),
        (Err(_), _) => {}
    }
    true
}

/// Decompresses bytes both ways; the cap holds.
pub fn check_decompress(bytes: &[u8]) {
    let mut decoder = Decompressor::default();
    for encoding in [Encoding::Snappy, Encoding::Zstd] {
        let mut out = Vec::new();
        let result = decoder.decompress(encoding, bytes, CAP_BYTES, &mut out);
        assert!(out.capacity() <= CAP_BYTES + 1);
        assert!(result.is_err() || out.len() <= CAP_BYTES);
    }
}

/// Decodes bytes and reads every entry's labels, and some blocks that are not entries.
pub fn check_label_source(bytes: &[u8]) {
    for version in [Version::V1, Version::V2] {
        let Ok((body, columns)) = ours(version, bytes) else {
            continue;
        };
        for entry in &columns.entries {
            let mut foreign = entry.block;
            foreign.start ^= foreign.len;
            foreign.len = foreign.len.rotate_left(3);
            for block in [entry.block, foreign] {
                // Either answer will do; that there is one is the point.
                drop(body.labels(block, &mut Vec::new()));
            }
        }
    }
}

/// Reads whole series out of bytes, writes them anew, and reads the same again.
pub fn check_records(bytes: &[u8]) {
    for version in [Version::V1, Version::V2] {
        let mut writer = crate::encode::Writer::new(version);
        let mut first = Vec::new();
        let read = decode_series(version, bytes, &mut |s| {
            let labels = s.labels.iter().copied();
            writer.series(labels, s.samples, s.histograms, s.exemplars, s.metadata);
            first.push(view_labels(&s));
        });
        let mut again = Vec::new();
        writer.finish(&mut again);
        let mut second = Vec::new();
        let reread = decode_series(version, &again, &mut |s| second.push(view_labels(&s)));
        if read.is_ok() && !first.is_empty() {
            assert!(reread.is_ok(), "{reread:?}");
            // Floats and histograms in one 2.0 series come back as two.
            second.dedup();
            first.dedup();
            assert_eq!(first, second);
        }
    }
}

fn view_labels(series: &crate::records::SeriesView<'_>) -> Vec<(String, String)> {
    let pair = |l: &Label<'_>| (l.name.to_owned(), l.value.to_owned());
    series.labels.iter().map(pair).collect()
}

fn compare(body: &Body, columns: &Columns, theirs: &[Plain]) {
    assert_eq!(columns.entries.len(), theirs.len());
    let total: usize = theirs.iter().map(|s| s.samples.len()).sum();
    assert_eq!(columns.timestamps.len(), total);
    assert_eq!(columns.values.len(), total);
    let histograms: usize = theirs.iter().map(|s| s.histograms.len()).sum();
    assert_eq!(body.sample_fields(columns), (total + histograms) as u64);
    for (entry, theirs) in columns.entries.iter().zip(theirs) {
        assert_eq!(&seen(body, columns, entry), theirs);
        check_identity(body, entry, theirs);
    }
}

/// What the columns say of an entry.
pub(crate) fn seen(body: &Body, columns: &Columns, entry: &Entry) -> Plain {
    let mut labels = Vec::new();
    let read = body.labels(entry.block, &mut labels);
    assert_eq!(read, Ok(()));
    Plain {
        labels: labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect(),
        samples: entry
            .samples()
            .map(|at| columns.sample(at))
            .map(|s| (s.timestamp, s.value.to_bits(), s.start))
            .collect(),
        histograms: columns.histograms_of(entry).iter().map(dump).collect(),
        exemplars: columns.exemplars_of(entry).iter().map(dump_exemplar).collect(),
        metadata: columns
            .extra(entry)
            .and_then(|e| e.metadata)
            .map(|place| columns.series_metadata[place as usize].clone()),
    }
}

/// Block hash and virtual shard by their definitions, from the labels that prost sees.
fn check_identity(body: &Body, entry: &Entry, theirs: &Plain) {
    let hasher = BlockHasher::new(99);
    let pairs = theirs.labels.iter().map(|(n, v)| Label::new(n, v));
    if body.version() == Version::V2 {
        let texts = pairs.clone().flat_map(|label| [label.name, label.value]);
        let symbols: Vec<u64> = texts.map(|text| hasher.symbol(text.as_bytes())).collect();
        let refs: Vec<u32> = (0..symbols.len() as u32).collect();
        let hash = hasher.labels(&refs, &symbols).expect("each has its symbol");
        let hash = hasher.with_tenant(hash, 3);
        assert_eq!(entry.hash, hash);
    }
    let mut sorted: Vec<Label<'_>> = pairs.collect();
    if normalize(&mut sorted).is_ok() {
        let vshard = ShardKey::default().vshard(TENANT, &sorted);
        assert_eq!(entry.vshard, vshard, "{:?}", theirs.labels);
    }
}

fn plain_v1(series: &v1::TimeSeries) -> Plain {
    let pairs = |labels: &[v1::Label]| -> Vec<(String, String)> {
        let pair = |l: &v1::Label| (l.name.clone(), l.value.clone());
        labels.iter().map(pair).collect()
    };
    Plain {
        labels: pairs(&series.labels),
        samples: (series.samples.iter()).map(|s| (s.timestamp, s.value.to_bits(), 0)).collect(),
        histograms: series.histograms.iter().map(|h| dump(&absolute(h, false))).collect(),
        exemplars: (series.exemplars.iter())
            .map(|e| Exemplar { labels: pairs(&e.labels), value: e.value, timestamp: e.timestamp })
            .map(|e| dump_exemplar(&e))
            .collect(),
        metadata: None,
    }
}

fn plain_v2(series: &v2::TimeSeries, symbols: &[String]) -> Option<Plain> {
    let pairs = |refs: &[u32]| -> Option<Vec<(String, String)>> {
        let text = |r: u32| symbols.get(r as usize).cloned();
        if !refs.len().is_multiple_of(2) {
            return None;
        }
        refs.chunks(2).map(|pair| text(pair[0]).zip(text(pair[1]))).collect()
    };
    let mut exemplars = Vec::new();
    for e in &series.exemplars {
        exemplars.push(dump_exemplar(&Exemplar {
            labels: pairs(&e.labels_refs)?,
            value: e.value,
            timestamp: e.timestamp,
        }));
    }
    let given = series.metadata.filter(|m| *m != v2::Metadata::default());
    let metadata = match given {
        Some(m) => Some(Metadata {
            family: String::new(),
            kind: MetricType::from_number(m.kind as u64),
            help: symbols.get(m.help_ref as usize)?.clone(),
            unit: symbols.get(m.unit_ref as usize)?.clone(),
        }),
        None => None,
    };
    Some(Plain {
        labels: pairs(&series.labels_refs)?,
        samples: (series.samples.iter())
            .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
            .collect(),
        histograms: series.histograms.iter().map(|h| dump(&absolute(h, true))).collect(),
        exemplars,
        metadata,
    })
}

fn family(m: &v1::MetricMetadata) -> Metadata {
    Metadata {
        family: m.metric_family_name.clone(),
        kind: MetricType::from_number(m.kind as u64),
        help: m.help.clone(),
        unit: m.unit.clone(),
    }
}

/// The model's histogram, made the naive way.
pub(crate) fn absolute(h: &Histogram, has_start: bool) -> NativeHistogram {
    use weir_model::histogram::{ResetHint, Span};
    let float = matches!(h.count, Some(Count::Float(_)));
    let buckets = |deltas: &[i64], counts: &[f64]| {
        if float {
            return counts.to_vec();
        }
        let sums =
            (1..=deltas.len()).map(|n| deltas[..n].iter().fold(0i64, |a, d| a.wrapping_add(*d)));
        sums.map(|sum| sum as f64).collect()
    };
    let spans = |spans: &[BucketSpan]| -> Vec<Span> {
        spans.iter().map(|s| Span { offset: s.offset, length: s.length }).collect()
    };
    NativeHistogram {
        timestamp: h.timestamp,
        start: if has_start { h.start_timestamp } else { 0 },
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: match h.zero_count {
            Some(ZeroCount::Int(n)) => n as f64,
            Some(ZeroCount::Float(f)) => f,
            None => 0.0,
        },
        count: match h.count {
            Some(Count::Int(n)) => n as f64,
            Some(Count::Float(f)) => f,
            None => 0.0,
        },
        sum: h.sum,
        positive_spans: spans(&h.positive_spans),
        positive: buckets(&h.positive_deltas, &h.positive_counts),
        negative_spans: spans(&h.negative_spans),
        negative: buckets(&h.negative_deltas, &h.negative_counts),
        custom_values: h.custom_values.clone(),
        reset_hint: match h.reset_hint {
            1 => ResetHint::Yes,
            2 => ResetHint::No,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        integer: !float,
    }
}

/// All of a histogram with its floats as bits, so that NaNs compare.
pub(crate) fn dump(h: &NativeHistogram) -> String {
    let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|v| v.to_bits()).collect() };
    let floats = [h.zero_threshold, h.zero_count, h.count, h.sum];
    format!(
        "{} {} {} {:?} {:?} {:x?} {:?} {:x?} {:x?} {:?} {}",
        h.timestamp,
        h.start,
        h.schema,
        bits(&floats),
        h.positive_spans,
        bits(&h.positive),
        h.negative_spans,
        bits(&h.negative),
        bits(&h.custom_values),
        h.reset_hint,
        h.integer,
    )
}

fn dump_exemplar(e: &Exemplar) -> String {
    format!("{:?} {:x} {}", e.labels, e.value.to_bits(), e.timestamp)
}
