//! Random requests, as bytes that protobuf allows but no sender is so rude as to send.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::oracle::{BucketSpan, Count, Histogram, ZeroCount, v1, v2};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("job".to_owned()),
        3 => Just("instance".to_owned()),
        2 => Just("__name__".to_owned()),
        1 => Just("le".to_owned()),
        1 => Just("__replica__".to_owned()),
        4 => "[a-zé]{0,5}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{0,2}",
        1 => Just("localhost:9090".to_owned()),
        1 => "[ -~]{100,150}",
        1 => ".{0,20}",
    ]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(0.0), Just(-0.0), Just(weir_model::STALE_NAN), Just(1.0)]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1_600_000_000_000i64..1_800_000_000_000, 1 => any::<i64>(), 1 => Just(0)]
}

fn label() -> impl Strategy<Value = v1::Label> {
    (name(), value()).prop_map(|(name, value)| v1::Label { name, value })
}

fn spans() -> impl Strategy<Value = Vec<BucketSpan>> {
    let span = (any::<i32>(), any::<u32>());
    vec(span.prop_map(|(offset, length)| BucketSpan { offset, length }), 0..3)
}

pub(super) fn histogram() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![
        Just(None),
        any::<u64>().prop_map(|n| Some(Count::Int(n))),
        float().prop_map(|f| Some(Count::Float(f)))
    ];
    let zero = prop_oneof![
        Just(None),
        any::<u64>().prop_map(|n| Some(ZeroCount::Int(n))),
        float().prop_map(|f| Some(ZeroCount::Float(f)))
    ];
    let side = || (spans(), vec(any::<i64>(), 0..4), vec(float(), 0..4));
    let rest = (0..5i32, time(), vec(float(), 0..3), time());
    (count, float(), any::<i32>(), float(), zero, side(), side(), rest).prop_map(
        |(count, sum, schema, zero_threshold, zero_count, negative, positive, rest)| Histogram {
            count,
            sum,
            schema,
            zero_threshold,
            zero_count,
            negative_spans: negative.0,
            negative_deltas: negative.1,
            negative_counts: negative.2,
            positive_spans: positive.0,
            positive_deltas: positive.1,
            positive_counts: positive.2,
            reset_hint: rest.0,
            timestamp: rest.1,
            custom_values: rest.2,
            start_timestamp: rest.3,
        },
    )
}

pub(super) fn series_v1() -> impl Strategy<Value = v1::TimeSeries> {
    let sample =
        || (float(), time()).prop_map(|(value, timestamp)| v1::Sample { value, timestamp });
    let exemplar = (vec(label(), 0..2), float(), time())
        .prop_map(|(labels, value, timestamp)| v1::Exemplar { labels, value, timestamp });
    let samples = prop_oneof![3 => vec(sample(), 1), 1 => vec(sample(), 0..4)];
    let rare = prop_oneof![
        4 => Just((Vec::new(), Vec::new())),
        1 => (vec(exemplar, 0..2), vec(histogram(), 0..2)),
    ];
    (vec(label(), 0..6), samples, rare).prop_map(|(labels, samples, (exemplars, histograms))| {
        v1::TimeSeries { labels, samples, exemplars, histograms }
    })
}

pub(super) fn request_v1() -> impl Strategy<Value = v1::WriteRequest> {
    let metadata = (0..9i32, name(), value(), value()).prop_map(|(kind, family, help, unit)| {
        v1::MetricMetadata { kind, metric_family_name: family, help, unit }
    });
    // Runs of one target are what the fast path lives on.
    let target = (value(), value(), vec(series_v1(), 1..5)).prop_map(|(job, instance, mut run)| {
        for series in &mut run {
            let (job, instance) = (job.clone(), instance.clone());
            let add = [("instance", instance), ("job", job)];
            series.labels.retain(|l| l.name != "job" && l.name != "instance");
            series.labels.extend(add.map(|(name, value)| v1::Label { name: name.into(), value }));
            series.labels.sort_by(|a, b| a.name.cmp(&b.name));
        }
        run
    });
    let run = prop_oneof![3 => target, 1 => vec(series_v1(), 0..3)];
    (vec(run, 0..4), vec(metadata, 0..2))
        .prop_map(|(runs, metadata)| v1::WriteRequest { timeseries: runs.concat(), metadata })
}

fn series_v2(symbols: u32) -> impl Strategy<Value = v2::TimeSeries> {
    let refs = move |pairs| {
        vec([0..symbols, 0..symbols], pairs).prop_map(|pairs: Vec<[u32; 2]>| pairs.concat())
    };
    let sample = (float(), time(), prop_oneof![Just(0), time()]).prop_map(
        |(value, timestamp, start_timestamp)| v2::Sample { value, timestamp, start_timestamp },
    );
    let exemplar = (refs(0..2), float(), time())
        .prop_map(|(labels_refs, value, timestamp)| v2::Exemplar { labels_refs, value, timestamp });
    let metadata = (0..9i32, 0..symbols, 0..symbols)
        .prop_map(|(kind, help_ref, unit_ref)| Some(v2::Metadata { kind, help_ref, unit_ref }));
    let rare = prop_oneof![
        4 => Just((Vec::new(), Vec::new())),
        1 => (vec(exemplar, 0..2), vec(histogram(), 0..2)),
    ];
    let metadata = prop_oneof![Just(None), metadata];
    (refs(0..6), vec(sample, 0..3), rare, metadata).prop_map(
        |(labels_refs, samples, (exemplars, histograms), metadata)| v2::TimeSeries {
            labels_refs,
            samples,
            histograms,
            exemplars,
            metadata,
        },
    )
}

pub(super) fn request_v2() -> impl Strategy<Value = v2::Request> {
    let symbols = vec(prop_oneof![name(), value()], 0..8).prop_map(|mut symbols| {
        symbols.splice(0..0, ["", "job", "instance"].map(String::from));
        symbols
    });
    symbols.prop_flat_map(|symbols| {
        let series = series_v2(symbols.len() as u32);
        vec(series, 0..6)
            .prop_map(move |timeseries| v2::Request { symbols: symbols.clone(), timeseries })
    })
}

/// A message's bytes with its fields in another order and unknown ones between them. Repeated
/// fields keep their order among themselves only if `shuffle` leaves it.
pub(super) fn disorder(message: &[u8], order: &[u8], unknown: bool) -> Vec<u8> {
    let mut chunks = fields_of(message);
    if unknown {
        chunks.push(vec![0xf8, 0x01, 0x2a]); // field 31, varint
        chunks.push(vec![0xfa, 0x01, 0x02, 0x0a, 0x00]); // field 31, bytes
        chunks.push(vec![0xf3, 0x01, 0x08, 0x01, 0xf4, 0x01]); // field 30, group
    }
    let mut keyed: Vec<(u8, Vec<u8>)> = order.iter().copied().cycle().zip(chunks).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().flat_map(|(_, chunk)| chunk).collect()
}

/// A message cut into its fields.
pub(super) fn fields_of(message: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = crate::varint::Reader::new(message);
    let mut out = Vec::new();
    while !reader.is_done() {
        let start = reader.pos();
        let (field, wire) = reader.key().unwrap();
        reader.skip(field, wire).unwrap();
        out.push(message[start..reader.pos()].to_vec());
    }
    out
}

/// `message` as a length-delimited field; `long` spends a byte more than needed on key and length.
pub(super) fn field(number: u8, message: &[u8], long: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let key = number << 3 | 2;
    if long {
        out.extend([key | 0x80, 0x00]);
        let mut len = Vec::new();
        weir_model::varint::write(message.len() as u64, &mut len);
        *len.last_mut().unwrap() |= 0x80;
        len.push(0);
        out.extend(len);
    } else {
        out.push(key);
        weir_model::varint::write(message.len() as u64, &mut out);
    }
    out.extend_from_slice(message);
    out
}

/// The request with each series' fields in disorder, and its own.
pub(super) fn rude<M: Message>(request: &M, order: &[u8], series_field: u8, long: bool) -> Vec<u8> {
    let bytes = request.encode_to_vec();
    let mut out = Vec::new();
    for (n, chunk) in fields_of(&bytes).into_iter().enumerate() {
        let mut reader = crate::varint::Reader::new(&chunk);
        let (number, _) = reader.key().unwrap();
        if number != u32::from(series_field) {
            out.extend(chunk);
            continue;
        }
        let message = reader.bytes().unwrap();
        // Every third series stays as it is, so that both ways meet in one request.
        let turned = order.iter().map(|k| k.wrapping_mul(n as u8 | 1)).collect::<Vec<_>>();
        let message = match n % 3 {
            0 => message.to_vec(),
            _ => disorder(message, &turned, n % 2 == 0),
        };
        out.extend(field(series_field, &message, long && n % 5 == 1));
    }
    out
}
