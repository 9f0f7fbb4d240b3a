//! What a destination makes of a frame, with frames written as the gateway writes them.

use weir_config::{Check, Source};
use weir_model::{Exemplar, NativeHistogram, STALE_NAN, Sample};
use weir_wire::{Compressor, Encoding, encode};

use super::*;
use crate::config::{PROMETHEUS, raw, validate};
use crate::frame::{FrameHeader, FrameKind, Summary};
use crate::unit::tests::labels;

/// A series' name, its other labels, its samples.
pub(crate) type Given<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [Sample]);

/// A frame of these series.
pub(crate) fn frame(tenant: &str, all: &[Given<'_>]) -> Vec<u8> {
    let mut writer = encode::v2::Writer::default();
    for (name, pairs, samples) in all {
        writer.series(labels(name, pairs).iter(), samples, &[], &[], None);
    }
    with_header(tenant, None, None, &mut writer)
}

fn with_header(
    tenant: &str,
    encoding: Option<Encoding>,
    lane: Option<u64>,
    writer: &mut encode::v2::Writer,
) -> Vec<u8> {
    summarised(tenant, encoding, lane, None, writer)
}

fn summarised(
    tenant: &str,
    encoding: Option<Encoding>,
    lane: Option<u64>,
    summary: Option<Summary>,
    writer: &mut encode::v2::Writer,
) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind::Pass,
        source_position: 1,
        written_ms: 77,
        tenant,
        last_of_position: true,
        recovered: false,
        atomic: false,
        encoding,
        lane,
        summary,
    };
    let (mut payload, mut body) = (Vec::new(), Vec::new());
    header.write(&mut payload);
    writer.finish(&mut body);
    if let Some(encoding) = encoding {
        let mut packed = Vec::new();
        let mut compressor = Compressor::new(1);
        compressor.compress(encoding, &body, &mut packed).unwrap();
        body = packed;
    }
    payload.extend(body);
    payload
}

pub(crate) fn destination(yaml: &str) -> Destination {
    let block: raw::RemoteWrite = serde_saphyr::from_str(yaml).unwrap();
    validate(&[block], &PROMETHEUS, &mut Check::new(&Source::none())).remove(0)
}

fn preparer(yaml: &str, external: &[(&str, &str)]) -> Preparer {
    let external = external.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
    Preparer::new(&destination(yaml), external.collect())
}

fn names(prepared: &Prepared) -> Vec<String> {
    let all = prepared.units.iter().flat_map(|(_, u)| &u.series);
    let mut names: Vec<String> = all.map(|s| s.labels.to_string()).collect();
    names.sort();
    names
}

#[test]
fn labels_are_added_rewritten_and_dropped_in_prometheus_order() {
    let yaml = "{url: 'http://a', tenant_label: tenant, write_relabel_configs: [
        {source_labels: [region], regex: eu, target_label: zone, replacement: z1},
        {source_labels: [__name__], regex: go_.*, action: drop}]}";
    let mut preparer = preparer(yaml, &[("region", "eu"), ("job", "other")]);
    let one = [Sample::new(1, 1.0)];
    let payload = frame(
        "acme",
        &[("up", &[("job", "node"), ("tenant", "forged")], &one), ("go_info", &[], &one)],
    );
    let prepared = preparer.prepare(9, &payload.into(), false).unwrap();
    let up = r#"up{job="node",region="eu",tenant="acme",zone="z1"}"#;
    assert_eq!(names(&prepared), [up]);
    assert_eq!((prepared.relabelled, prepared.written_ms), (1, 77));
    let unit = &prepared.units[0].1;
    assert_eq!((unit.position, &*unit.tenant), (9, "acme"));
    assert!(!unit.recovered && !unit.maybe_stored);
}

#[test]
fn what_was_in_the_queue_at_the_start_may_have_been_sent() {
    let payload = frame("t", &[("up", &[], &[Sample::new(1, 1.0)])]);
    let mut preparer = preparer("{url: 'http://a'}", &[]);
    let prepared = preparer.prepare(1, &payload.clone().into(), true).unwrap();
    let unit = &prepared.units[0].1;
    assert!(unit.recovered && unit.maybe_stored);
}

#[test]
fn bits_survive_packing_and_what_is_not_sent_is_counted() {
    let histogram = NativeHistogram { timestamp: 5, integer: true, ..NativeHistogram::default() };
    let exemplar =
        Exemplar { labels: vec![("trace".into(), "x".into())], value: 1.0, timestamp: 1 };
    let samples = [Sample::new(1, STALE_NAN), Sample { timestamp: 2, value: -0.0, start: 1 }];
    let mut writer = encode::v2::Writer::default();
    let up = labels("up", &[]);
    writer.series(up.iter(), &samples, &[], std::slice::from_ref(&exemplar), None);
    writer.series(labels("h", &[]).iter(), &[], &[histogram.clone(), histogram], &[], None);
    let payload = with_header("t", Some(Encoding::Snappy), None, &mut writer);

    let mut plain = preparer("{url: 'http://a', send_native_histograms: false}", &[]);
    let prepared = plain.prepare(1, &payload.clone().into(), false).unwrap();
    assert_eq!(names(&prepared), ["up{}"]);
    assert_eq!(prepared.native_histograms, 2);
    let series = &prepared.units[0].1.series[0];
    assert_eq!((&series.samples[..], series.exemplars.len()), (&samples[..], 0));

    let mut rich = preparer("{url: 'http://a', send_exemplars: true}", &[]);
    let prepared = rich.prepare(1, &payload.clone().into(), false).unwrap();
    assert_eq!(names(&prepared), ["h{}", "up{}"]);
    let all = prepared.units.iter().flat_map(|(_, u)| &u.series);
    let (exemplars, histograms): (Vec<_>, Vec<_>) =
        all.map(|s| (s.exemplars.len(), s.histograms.len())).unzip();
    assert_eq!(exemplars.iter().sum::<usize>(), 1);
    assert_eq!(histograms.iter().sum::<usize>(), 2);
}

#[test]
fn a_frame_with_a_lane_of_its_own_keeps_to_it() {
    let mut writer = encode::v2::Writer::default();
    for name in ["a", "b", "c", "d", "e"] {
        writer.series(labels(name, &[]).iter(), &[Sample::new(1, 1.0)], &[], &[], None);
    }
    let payload = with_header("t", Some(Encoding::Zstd), Some(256 * 7 + 3), &mut writer);
    let yaml = "{url: 'http://a', queue_config: {max_samples_per_send: 2}}";
    let prepared = preparer(yaml, &[]).prepare(1, &payload.clone().into(), false).unwrap();
    assert_eq!(names(&prepared), ["a{}", "b{}", "c{}", "d{}", "e{}"]);
    let lanes: Vec<usize> = prepared.units.iter().map(|&(lane, _)| lane).collect();
    assert_eq!(lanes, [3, 3, 3]);
}

/// A frame as the agent writes it: `count` samples of `m{i="…"}` at one time.
pub(crate) fn scraped(lane: u64, count: u64, timestamp: i64) -> Vec<u8> {
    let mut writer = encode::v2::Writer::default();
    for number in 0..count {
        let labels = labels("m", &[("i", &number.to_string())]);
        let sample = Sample::new(timestamp, number as f64);
        writer.series(labels.iter(), &[sample], &[], &[], None);
    }
    let summary = Summary { samples: count, plain_bytes: 40 * count, ..Summary::default() };
    summarised("", Some(Encoding::Zstd), Some(lane), Some(summary), &mut writer)
}

#[test]
fn a_body_that_a_destination_takes_whole_stays_packed() {
    let payload = Bytes::from(scraped(256 + 9, 3, 77));
    let prepared = preparer("{url: 'http://a'}", &[]).prepare(4, &payload, false).unwrap();
    let [(9, unit)] = &prepared.units[..] else { panic!("not one unit in its lane") };
    let packed = unit.packed.as_ref().unwrap();
    assert!(payload.ends_with(&packed.body) && unit.series.is_empty());
    assert_eq!((unit.sample_count(), unit.size(), unit.position), (3, 120, 4));
    let opened = unit.opened().unwrap();
    let said: Vec<_> = opened.iter().map(|s| (s.labels.to_string(), s.samples.clone())).collect();
    let expected = [0, 1, 2].map(|n| {
        (format!("m{{i=\"{n}\"}}"), vec![Sample { timestamp: 77, value: f64::from(n), start: 0 }])
    });
    assert_eq!(said, expected);
}

#[test]
fn a_body_of_which_something_differs_is_opened() {
    let is_packed = |yaml: &str, external: &[(&str, &str)], summary: Summary| {
        let mut writer = encode::v2::Writer::default();
        writer.series(labels("m", &[]).iter(), &[Sample::new(1, 1.0)], &[], &[], None);
        let zstd = Some(Encoding::Zstd);
        let payload = summarised("", zstd, Some(1), Some(summary), &mut writer);
        let prepared = preparer(yaml, external).prepare(1, &payload.into(), false).unwrap();
        prepared.units[0].1.packed.is_some()
    };
    let plain = Summary { samples: 1, ..Summary::default() };
    let with = |yaml: &str| is_packed(&format!("{{url: 'http://a', {yaml}}}"), &[], plain);
    assert!(is_packed("{url: 'http://a'}", &[], plain));
    assert!(!is_packed("{url: 'http://a'}", &[("region", "eu")], plain));
    assert!(!with("write_relabel_configs: [{action: labeldrop, regex: pod}]"));
    assert!(!with("tenant_label: tenant"));
    assert!(!with("metadata_config: {send: false}"));
    assert!(!with("queue_config: {sample_age_limit: 1h}"));
    let exemplars = Summary { exemplars: 1, ..plain };
    assert!(!is_packed("{url: 'http://a'}", &[], exemplars));
    assert!(is_packed("{url: 'http://a', send_exemplars: true}", &[], exemplars));
    let histograms = Summary { histograms: 1, ..plain };
    assert!(is_packed("{url: 'http://a'}", &[], histograms));
    assert!(!is_packed("{url: 'http://a', send_native_histograms: false}", &[], histograms));
    let large = Summary { samples: 2001, ..plain };
    assert!(!is_packed("{url: 'http://a'}", &[], large), "it may have to be cut");
}

#[test]
fn damaged_frames_are_errors() {
    let mut preparer = preparer("{url: 'http://a'}", &[]);
    let mut payload = frame("t", &[("up", &[], &[Sample::new(1, 1.0)])]);
    payload.truncate(payload.len() - 1);
    assert!(matches!(
        preparer.prepare(1, &payload.clone().into(), false),
        Err(PrepareError::Decode(_))
    ));
    assert!(matches!(preparer.prepare(1, &Bytes::new(), false), Err(PrepareError::Frame(_))));
}
