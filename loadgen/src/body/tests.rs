//! Patched bodies, read back by prost and the `snap` crate, say what the workload says.

use std::collections::BTreeMap;
use std::io::Read;

use proptest::prelude::*;
use prost::Message;
use weir_wire::oracle::{Histogram, v1, v2};

use super::*;
use crate::oracle::NativeHistogram;
use crate::samples::Labels;
use crate::workload::Extras;
use crate::workload::tests::{START, shape};

type Read1 = (Labels, Vec<(i64, u64)>, Vec<Histogram>);

fn unsnappy(bytes: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; snap::raw::decompress_len(bytes).expect("a length")];
    snap::raw::Decoder::new().decompress(bytes, &mut plain).expect("snappy");
    plain
}

fn unpack(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Snappy => unsnappy(bytes),
        Compression::Zstd => {
            let mut plain = Vec::new();
            zstd::Decoder::new(bytes).expect("zstd").read_to_end(&mut plain).expect("zstd");
            plain
        }
    }
}

fn read(protocol: Protocol, plain: &[u8]) -> Vec<Read1> {
    let point = |time: i64, value: f64| (time, value.to_bits());
    match protocol {
        Protocol::V1 => {
            let message = v1::WriteRequest::decode(plain).expect("a 1.0 message");
            let series = message.timeseries.into_iter().map(|series| {
                let labels = series.labels.into_iter().map(|l| (l.name, l.value)).collect();
                let samples = series.samples.iter().map(|s| point(s.timestamp, s.value)).collect();
                (labels, samples, series.histograms)
            });
            series.collect()
        }
        Protocol::V2 => {
            let message = v2::Request::decode(plain).expect("a 2.0 message");
            let symbol = |at: u32| message.symbols[at as usize].clone();
            let series = message.timeseries.iter().map(|series| {
                let pairs = series.labels_refs.chunks(2).map(|p| (symbol(p[0]), symbol(p[1])));
                let samples = series.samples.iter().map(|s| point(s.timestamp, s.value)).collect();
                (pairs.collect(), samples, series.histograms.clone())
            });
            series.collect()
        }
    }
}

/// Floats read from a body, by labels.
fn floats(read: Vec<Read1>) -> BTreeMap<Labels, Vec<(i64, u64)>> {
    read.into_iter().filter(|r| !r.1.is_empty()).map(|r| (r.0, r.1)).collect()
}

fn said(workload: &Workload, request: &Request) -> BTreeMap<Labels, Vec<(i64, u64)>> {
    let sample =
        |s: crate::samples::Sample| ((*s.labels).clone(), vec![(s.timestamp, s.value.to_bits())]);
    let floats = workload.samples(request).into_iter().filter(|s| s.histogram.is_none());
    floats.map(sample).collect()
}

/// Native histograms of a body, and of the workload, as the oracle looks at them.
fn natives(read: &[Read1]) -> Vec<NativeHistogram> {
    read.iter().flat_map(|r| &r.2).map(crate::messages::native).collect()
}

fn said_natives(workload: &Workload, request: &Request) -> Vec<NativeHistogram> {
    let samples = workload.samples(request).into_iter();
    samples.filter_map(|s| s.histogram.as_deref().cloned()).collect()
}

const BOTH: [Protocol; 2] = [Protocol::V1, Protocol::V2];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn patched_bodies_decode_to_what_the_workload_says(
        shape in shape(), seed in any::<u64>(), protocol in 0..2usize, zstd in any::<bool>(),
        number in 0..1000u64, later in 1..10_000_000i64,
    ) {
        let workload = Workload::new(shape, seed);
        let compression = if zstd { Compression::Zstd } else { Compression::Snappy };
        let first = Request { number, time: START, since: START };
        let mut body = Body::new(&workload, &first, BOTH[protocol], compression);
        let mut scratch = Scratch::default();
        for request in [first, Request { number, time: START + later, since: START }] {
            body.fill(&workload, &request, &mut scratch);
            let plain = unpack(compression, body.bytes());
            prop_assert_eq!(plain.len(), body.plain_len());
            let read = read(BOTH[protocol], &plain);
            prop_assert_eq!(read.len() as u64, workload.samples_of(number % workload.slots()));
            // As text, for a stale marker is no number.
            let (got, wanted) = (natives(&read), said_natives(&workload, &request));
            prop_assert_eq!(format!("{got:?}"), format!("{wanted:?}"));
            prop_assert_eq!(floats(read), said(&workload, &request));
        }
    }

    #[test]
    fn snappy_with_holes_decompresses_to_its_draft(
        pieces in prop::collection::vec((prop::collection::vec(0..4u8, 0..90), 0..3u8), 0..60),
    ) {
        let mut draft = Draft::default();
        for (bytes, hole) in pieces {
            draft.bytes.extend(bytes);
            match hole {
                0 => draft.value(),
                1 => draft.stamp(0),
                _ => draft.stamp(1),
            }
        }
        let body = snappy::pack(&draft);
        prop_assert_eq!(unsnappy(&body.bytes), draft.bytes);
        prop_assert_eq!(body.values.len(), draft.values.len());
    }
}

#[test]
fn native_histograms_add_up() {
    let mut shape = crate::workload::tests::plain(crate::workload::presets::Preset::HttpHistograms);
    shape.samples_per_request = 600;
    let workload = Workload::new(shape, 1);
    let request = Request { number: 0, time: START, since: START };
    for protocol in BOTH {
        let mut body = Body::new(&workload, &request, protocol, Compression::Snappy);
        body.fill(&workload, &request, &mut Scratch::default());
        let read = read(protocol, &unsnappy(body.bytes()));
        let histograms: Vec<_> = read.iter().flat_map(|r| &r.2).collect();
        assert!(histograms.len() >= 3, "{}", histograms.len());
        for histogram in histograms {
            let Some(weir_wire::oracle::Count::Float(count)) = histogram.count else {
                panic!("{histogram:?}");
            };
            let Some(weir_wire::oracle::ZeroCount::Float(zero)) = histogram.zero_count else {
                panic!("{histogram:?}");
            };
            assert_eq!(count, zero + histogram.positive_counts.iter().sum::<f64>());
            assert_eq!(histogram.positive_spans[0].length as usize, 24);
            assert_eq!((histogram.schema, histogram.timestamp), (3, START));
            assert!(count > 0.0 && histogram.sum > 0.0);
        }
    }
}

#[test]
fn counters_say_when_they_began_and_what_they_have_seen() {
    let mut shape = crate::workload::tests::plain(crate::workload::presets::Preset::HttpHistograms);
    shape.samples_per_request = 600;
    shape.life.pod = Some(60_000);
    shape.extras = Extras { whole_counts: true, starts: true, exemplars: 0.5 };
    let workload = Workload::new(shape, 1);
    let request = Request { number: 0, time: START, since: START };
    let mut body = Body::new(&workload, &request, Protocol::V2, Compression::Snappy);
    body.fill(&workload, &request, &mut Scratch::default());
    let message = v2::Request::decode(&unsnappy(body.bytes())[..]).expect("a 2.0 message");
    let (mut exemplars, mut starts) = (0, 0);
    for (series, sample) in message.timeseries.iter().zip(workload.samples(&request)) {
        for exemplar in &series.exemplars {
            assert_eq!((exemplar.timestamp, exemplar.value), (START, 1.0));
            let [name, trace] = exemplar.labels_refs[..] else { panic!("{exemplar:?}") };
            assert_eq!(message.symbols[name as usize], "trace_id");
            assert_eq!(message.symbols[trace as usize].len(), 32);
            exemplars += 1;
        }
        let histogram = series.histograms.first();
        let start = series.samples.first().map(|s| s.start_timestamp);
        let start = start.or(histogram.map(|h| h.start_timestamp)).expect("one of both");
        assert_eq!(start, sample.start);
        starts += u32::from((START - 60_000..=START).contains(&start));
        if let Some(histogram) = histogram {
            assert!(matches!(histogram.count, Some(weir_wire::oracle::Count::Int(n)) if n > 0));
            assert_eq!(histogram.positive_deltas.len(), 24);
        }
    }
    let counters = workload.specs().iter().filter(|spec| spec.is_counter()).count() as u32;
    assert_eq!(starts, counters);
    assert!((counters / 3..counters * 2 / 3).contains(&exemplars), "{exemplars} of {counters}");
}

#[test]
fn a_kubernetes_sample_is_300_bytes_plain_and_about_26_packed() {
    let shape = crate::workload::tests::plain(crate::workload::presets::Preset::Kubernetes);
    let workload = Workload::new(shape, 1);
    let request = Request { number: 0, time: START, since: START };
    let mut body = Body::new(&workload, &request, Protocol::V1, Compression::Snappy);
    body.fill(&workload, &request, &mut Scratch::default());
    let plain = body.plain_len() as f64 / 2000.0;
    let packed = body.bytes().len() as f64 / 2000.0;
    assert!((280.0..340.0).contains(&plain), "{plain}");
    assert!((20.0..34.0).contains(&packed), "{packed}");
}

#[test]
fn timestamps_are_varints_of_six_bytes() {
    for time in [1 << 35, START, (1 << 42) - 1] {
        let bytes = encode_stamp(time);
        let decoded = prost::encoding::decode_varint(&mut &bytes[..]).expect("a varint");
        assert_eq!(decoded, time as u64);
    }
}
