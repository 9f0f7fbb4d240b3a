//! What our writers write, prost reads the same.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use weir_model::{Exemplar, Label, Metadata, MetricType, NativeHistogram, Sample, is_stale};

use super::generate::{histogram, request_v1, series_v1};
use crate::encode::{Writer, v1 as writer_v1, v2 as writer_v2};
use crate::oracle::check::{absolute, check_records, check_v1, check_v2, dump};
use crate::oracle::{Workload, labels_of, v1, v2};
use crate::records::decode_series;
use crate::{DecodeErrorKind, Version};

/// A generated series as the model has it.
struct Given {
    labels: Vec<(String, String)>,
    samples: Vec<Sample>,
    histograms: Vec<NativeHistogram>,
    exemplars: Vec<Exemplar>,
}

impl Given {
    fn of(series: &v1::TimeSeries) -> Self {
        let pairs = |labels: &[v1::Label]| -> Vec<(String, String)> {
            labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect()
        };
        Self {
            labels: pairs(&series.labels),
            samples: (series.samples.iter())
                .map(|s| Sample { timestamp: s.timestamp, value: s.value, start: s.timestamp / 2 })
                .collect(),
            histograms: series.histograms.iter().map(|h| absolute(h, true)).collect(),
            exemplars: (series.exemplars.iter())
                .map(|e| Exemplar {
                    labels: pairs(&e.labels),
                    value: e.value,
                    timestamp: e.timestamp,
                })
                .collect(),
        }
    }

    fn write(&self, writer: &mut Writer, metadata: Option<&Metadata>) {
        let labels = self.labels.iter().map(|(n, v)| Label::new(n, v));
        let (samples, histograms) = (&self.samples, &self.histograms);
        writer.series(labels, samples, histograms, &self.exemplars, metadata);
    }
}

fn bits(values: &[Sample], with_start: bool) -> Vec<(i64, u64, i64)> {
    let start = |s: &Sample| if with_start { s.start } else { 0 };
    values.iter().map(|s| (s.timestamp, s.value.to_bits(), start(s))).collect()
}

fn finish(writer: &mut Writer) -> Vec<u8> {
    let mut out = Vec::new();
    let len = writer.encoded_len();
    writer.finish(&mut out);
    assert_eq!(out.len(), len);
    assert_eq!(writer.sample_count(), 0);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn prost_reads_what_v1_writes(series in vec(series_v1(), 0..5)) {
        let mut writer = Writer::new(Version::V1);
        let given: Vec<Given> = series.iter().map(Given::of).collect();
        given.iter().for_each(|g| g.write(&mut writer, None));
        let samples: usize = given.iter().map(|g| g.samples.len() + g.histograms.len()).sum();
        prop_assert_eq!(writer.sample_count(), samples as u64);
        let bytes = finish(&mut writer);
        let read = v1::WriteRequest::decode(&bytes[..]).unwrap();
        prop_assert_eq!(read.timeseries.len(), series.len());
        for (read, wanted) in read.timeseries.iter().zip(&series) {
            let (read, wanted) = (Given::of(read), Given::of(wanted));
            prop_assert_eq!(&read.labels, &wanted.labels);
            prop_assert_eq!(bits(&read.samples, false), bits(&wanted.samples, false));
            prop_assert_eq!(format!("{:?}", read.exemplars), format!("{:?}", wanted.exemplars));
            prop_assert_eq!(read.histograms.len(), wanted.histograms.len());
        }
        check_v1(&bytes);
    }

    #[test]
    fn prost_reads_what_v2_writes(series in vec(series_v1(), 0..5), help in "[a-z]{0,3}") {
        let mut writer = Writer::new(Version::V2);
        let metadata = Metadata {
            family: String::new(),
            kind: MetricType::Counter,
            help,
            unit: "bytes".into(),
        };
        let given: Vec<Given> = series.iter().map(Given::of).collect();
        given.iter().for_each(|g| g.write(&mut writer, Some(&metadata)));
        let bytes = finish(&mut writer);
        let read = v2::Request::decode(&bytes[..]).unwrap();
        let mut distinct = read.symbols.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), read.symbols.len());
        for one in &read.timeseries {
            prop_assert!(one.samples.is_empty() || one.histograms.is_empty());
            let m = one.metadata.unwrap();
            prop_assert_eq!(&read.symbols[m.help_ref as usize], &metadata.help);
            prop_assert_eq!(&read.symbols[m.unit_ref as usize], &metadata.unit);
        }
        let samples: Vec<(i64, u64, i64)> = (read.timeseries.iter().flat_map(|s| &s.samples))
            .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
            .collect();
        let wanted: Vec<_> = given.iter().flat_map(|g| bits(&g.samples, true)).collect();
        prop_assert_eq!(samples, wanted);
        prop_assert!(check_v2(&bytes));
    }

    #[test]
    fn series_come_back_out_of_requests(request in request_v1()) {
        let bytes = request.encode_to_vec();
        // prost leaves out -0, so it is asked what it reads.
        let request = v1::WriteRequest::decode(&bytes[..]).unwrap();
        let mut seen = Vec::new();
        let Ok(families) = decode_series(Version::V1, &bytes, &mut |s| {
            let labels: Vec<_> = s.labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect();
            seen.push((labels, bits(s.samples, true), s.histograms.len(), s.exemplars.len()));
        }) else { return Ok(()) };
        prop_assert_eq!(families.len(), request.metadata.len());
        let wanted: Vec<_> = request.timeseries.iter().map(|s| {
            let given = Given::of(s);
            (given.labels, bits(&given.samples, false), s.histograms.len(), s.exemplars.len())
        }).collect();
        prop_assert_eq!(seen, wanted);
        check_records(&bytes);
    }

    /// Counts that a `u64` and the differences of an `i64` hold exactly in a double.
    #[test]
    fn histograms_come_back(mut one in histogram(), counts in vec(0u32..1000, 0..5)) {
        let before = std::iter::once(&0).chain(&counts);
        let deltas = counts.iter().zip(before).map(|(c, b)| i64::from(*c) - i64::from(*b));
        one.positive_deltas = deltas.collect();
        one.negative_deltas = one.positive_deltas.clone();
        one.count = one.count.map(|c| match c {
            crate::oracle::Count::Int(n) => crate::oracle::Count::Int(n >> 12),
            float => float,
        });
        one.zero_count = None;
        let model = absolute(&one, true);
        let mut writer = Writer::new(Version::V2);
        writer.series(std::iter::empty(), &[], std::slice::from_ref(&model), &[], None);
        let read = v2::Request::decode(&finish(&mut writer)[..]).unwrap();
        prop_assert_eq!(dump(&absolute(&read.timeseries[0].histograms[0], true)), dump(&model));
    }
}

#[test]
fn a_stale_marker_keeps_its_bits() {
    let stale = [Sample::new(1, weir_model::STALE_NAN), Sample::new(2, -0.0)];
    for version in [Version::V1, Version::V2] {
        let mut writer = Writer::new(version);
        writer.series([Label::new("a", "b")].into_iter(), &stale, &[], &[], None);
        let bytes = finish(&mut writer);
        let mut found = Vec::new();
        decode_series(version, &bytes, &mut |s| found.extend_from_slice(s.samples)).unwrap();
        assert!(is_stale(found[0].value));
        assert_eq!(found[1].value.to_bits(), (-0.0f64).to_bits());
    }
}

#[test]
fn requests_are_byte_for_byte_what_prost_writes() {
    let workload = Workload::default();
    let (mut one, mut two) = (writer_v1::Writer::default(), writer_v2::Writer::default());
    for number in 0..300 {
        let pairs = labels_of(number, workload.series_per_target);
        let labels = pairs.iter().map(|(n, v)| Label::new(n, v));
        let value = workload.v1(number, 1).timeseries[0].samples[0].value;
        let samples = [Sample::new(workload.timestamp, value)];
        let metadata = Metadata {
            kind: MetricType::Counter,
            help: format!("What {} counts.", pairs[0].1),
            ..Metadata::default()
        };
        one.series(labels.clone(), &samples, &[], &[], None);
        two.series(labels, &samples, &[], &[], Some(&metadata));
    }
    let mut out = Vec::new();
    one.finish(&mut out);
    assert!(out == workload.v1_bytes(0, 300));
    out.clear();
    two.finish(&mut out);
    assert!(out == workload.v2_bytes(0, 300));
}

#[test]
fn family_metadata_is_written_in_v1() {
    let family = Metadata {
        family: "up".into(),
        kind: MetricType::Gauge,
        help: "Whether it is up.".into(),
        unit: String::new(),
    };
    let mut writer = writer_v1::Writer::default();
    writer.metadata(&family);
    let mut bytes = Vec::new();
    writer.finish(&mut bytes);
    let read = decode_series(Version::V1, &bytes, &mut |_| {}).unwrap();
    assert_eq!(read, [family]);
    assert!(check_v1(&bytes));
}

#[test]
fn labels_that_cannot_be_read_are_an_error_that_names_the_series() {
    let series = super::generate::field(1, b"\x0a\x01\xff", false);
    let bytes = [b"\x0a\x00".to_vec(), super::generate::field(1, &series, false)].concat();
    let mut seen = 0;
    let error = decode_series(Version::V1, &bytes, &mut |_| seen += 1).unwrap_err();
    assert_eq!((seen, error.series), (1, Some(1)));
    assert!(matches!(error.kind, DecodeErrorKind::Labels(_)));
}
