//! Remote write 1.0 and 2.0, in and out: exact Written headers, exact bits, fallback on 415.
//!
//! Both ends are prost's messages, for Debian's Prometheus speaks 1.0 only.

use std::time::Duration;

use prost::Message;
use weir_tests::backend::{Backend, Reply};
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::http::{self, Answer};
use weir_tests::samples::{Sample, labels, name, stale_marker};
use weir_tests::sender::{self, TYPE_V1, TYPE_V2, label_list, message_v1, message_v2, snappy};
use weir_tests::wait;
use weir_wire::oracle::{self, v1, v2};

const SOON: Duration = Duration::from_secs(20);
const SEND_V2: &str = "    protobuf_message: io.prometheus.write.v2.Request\n";

fn written(answer: &Answer) -> [Option<&str>; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        answer.header(match what {
            "samples" => "x-prometheus-remote-write-samples-written",
            "histograms" => "x-prometheus-remote-write-histograms-written",
            _ => "x-prometheus-remote-write-exemplars-written",
        })
    })
}

fn wait_samples(backend: &Backend, count: usize) -> Vec<Sample> {
    wait::until("the backend has the samples", SOON, || {
        let samples = backend.samples();
        let have = samples.len();
        (have >= count).then_some(samples).ok_or_else(|| format!("it has {have} of {count}"))
    })
}

fn bits(samples: &[Sample]) -> Vec<(String, i64, u64)> {
    let one = |s: &Sample| (format!("{:?}", s.labels), s.timestamp, s.value.to_bits());
    let mut bits: Vec<_> = samples.iter().map(one).collect();
    bits.sort();
    bits
}

fn some_samples() -> Vec<Sample> {
    let now = wait::now_ms();
    let series =
        |n: usize| labels("passed_on", &[("instance", "host:9100"), ("n", &n.to_string())]);
    let values = [1.5, 0.0, f64::INFINITY, f64::from_bits(0x7ff8_0000_0000_0001), stale_marker()];
    let sample = |(n, v): (usize, f64)| Sample::new(&series(n), now, v);
    values.into_iter().enumerate().map(sample).collect()
}

#[test]
fn every_version_and_encoding_passes_bits_through() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let mut sent = Vec::new();
    for (content_type, encoding) in
        [(TYPE_V1, "snappy"), (TYPE_V1, "zstd"), (TYPE_V2, "snappy"), (TYPE_V2, "zstd")]
    {
        let mut samples = some_samples();
        for sample in &mut samples {
            let mut own = (*sample.labels).clone();
            own.insert("way".into(), format!("{content_type} {encoding}"));
            sample.labels = own.into();
        }
        let bytes = match content_type {
            TYPE_V1 => message_v1(&samples).encode_to_vec(),
            _ => message_v2(&samples).encode_to_vec(),
        };
        let body = match encoding {
            "snappy" => snappy(&bytes),
            _ => zstd::encode_all(&bytes[..], 1).unwrap(),
        };
        let answer = sender::post(gateway.address(), content_type, encoding, &body).unwrap();
        assert_eq!(answer.status, 204, "{content_type} {encoding}: {}", answer.text());
        sent.extend(samples);
    }
    let received = wait_samples(&backend, sent.len());
    assert_eq!(bits(&received), bits(&sent));
    gateway.assert_audited();
}

#[test]
fn written_headers_count_samples_histograms_and_exemplars() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let request = v2_with_everything();
    let body = snappy(&request.encode_to_vec());
    let answer = sender::post(gateway.address(), TYPE_V2, "snappy", &body).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(written(&answer), [Some("2"), Some("1"), Some("1")]);
    // A repeat is written already, and says so: 0 would be a failure to Prometheus.
    let again = sender::post(gateway.address(), TYPE_V2, "snappy", &body).unwrap();
    assert_eq!(again.status, 204, "{}", again.text());
    assert_eq!(written(&again), [Some("2"), Some("1"), Some("1")]);
    let histograms = wait::until("the histogram has arrived", SOON, || {
        let all = backend.accepted().into_iter().flat_map(|r| r.histograms);
        let all: Vec<_> = all.collect();
        if all.is_empty() { Err("not yet".into()) } else { Ok(all) }
    });
    assert_eq!(histograms.len(), 1);
    assert_eq!(histograms[0].1.sum, 12.5);
    assert_eq!(histograms[0].1.positive_deltas, [1, 1]);
}

fn v2_with_everything() -> v2::Request {
    let now = wait::now_ms();
    let series = labels("with_exemplar", &[("instance", "host:9100")]);
    let samples = [Sample::new(&series, now - 1000, 1.0), Sample::new(&series, now, 2.0)];
    let mut request = message_v2(&samples);
    let refs = request.timeseries[0].labels_refs.clone();
    request.timeseries[0].exemplars.push(v2::Exemplar {
        labels_refs: Vec::new(),
        value: 2.0,
        timestamp: now,
    });
    let at = u32::try_from(request.symbols.len()).expect("few symbols");
    request.symbols.push("native_seconds".into());
    let name_value =
        request.symbols.iter().position(|s| s == "with_exemplar").expect("the name is a symbol");
    let renamed = refs.iter().map(|&r| if r as usize == name_value { at } else { r });
    let histogram = oracle::Histogram {
        count: Some(oracle::Count::Int(3)),
        sum: 12.5,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: Some(oracle::ZeroCount::Int(0)),
        positive_spans: vec![oracle::BucketSpan { offset: 0, length: 2 }],
        positive_deltas: vec![1, 1],
        timestamp: now,
        ..oracle::Histogram::default()
    };
    request.timeseries.push(v2::TimeSeries {
        labels_refs: renamed.collect(),
        histograms: vec![histogram],
        ..v2::TimeSeries::default()
    });
    request
}

#[test]
fn a_partly_invalid_request_says_what_was_written() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let now = wait::now_ms();
    let good = Sample::new(&labels("good", &[("instance", "host:9100")]), now, 1.0);
    let mut nameless = (*good.labels).clone();
    nameless.remove("__name__");
    let nameless = Sample::new(&nameless.into(), now, 2.0);
    let answer = sender::send_v2(gateway.address(), &[nameless, good.clone()]).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("__name__"), "{}", answer.text());
    assert_eq!(written(&answer), [Some("1"), Some("0"), Some("0")]);
    assert_eq!(bits(&wait_samples(&backend, 1)), bits(&[good]));
}

#[test]
fn a_destination_that_knows_2_0_gets_it_with_start_timestamps() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", SEND_V2), "");
    let now = wait::now_ms();
    let mut sample = Sample::new(&labels("counter_total", &[("instance", "host:9100")]), now, 7.0);
    sample.start = now - 60_000;
    let answer = sender::send_v2(gateway.address(), std::slice::from_ref(&sample)).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    let received = wait_samples(&backend, 1);
    assert_eq!(bits(&received), bits(std::slice::from_ref(&sample)));
    assert_eq!(received[0].start, sample.start);
    let request = &backend.accepted()[0];
    assert!(request.is_v2);
    assert_eq!(http::header(&request.headers, "x-prometheus-remote-write-version"), Some("2.0.0"));
}

#[test]
fn a_destination_that_answers_415_gets_1_0() {
    let backend = Backend::start();
    backend.script(|request| match request.is_v2 {
        true => Reply::Status(415, Vec::new(), "unsupported proto".into()),
        false => Reply::Accept,
    });
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", SEND_V2), "");
    let samples = some_samples();
    assert_eq!(sender::send_v1(gateway.address(), &samples).unwrap().status, 204);
    assert_eq!(bits(&wait_samples(&backend, samples.len())), bits(&samples));
    assert!(backend.requests_seen() > backend.accepted().len(), "2.0 was tried first");
    assert!(backend.accepted().iter().all(|r| !r.is_v2));
}

#[test]
fn a_1_0_receiver_that_takes_2_0_for_an_empty_message_loses_nothing() {
    // VictoriaMetrics, M3 and old Prometheus decode 2.0 as an empty 1.0 request and answer 2xx
    // without Written headers: nothing was stored, and the sender must try 1.0.
    let backend = Backend::start();
    backend.script(|request| match request.is_v2 {
        true => Reply::Status(204, Vec::new(), String::new()),
        false => Reply::Accept,
    });
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", SEND_V2), "");
    let samples = some_samples();
    assert_eq!(sender::send_v1(gateway.address(), &samples).unwrap().status, 204);
    assert_eq!(bits(&wait_samples(&backend, samples.len())), bits(&samples));
}

#[test]
fn vmagent_learns_that_zstd_is_welcome() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    for path in ["/api/v1/write", "/api/v1/push"] {
        let probe = format!("{path}?get_vm_proto_version=1");
        let answer = http::post(gateway.address(), &probe, &[], b"").unwrap();
        assert_eq!((answer.status, answer.text().trim()), (200, "1"), "{path}");
    }
}

#[test]
fn metadata_alone_is_accepted() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let metadata = v1::MetricMetadata {
        kind: 1,
        metric_family_name: "counter_total".into(),
        help: "Counts.".into(),
        unit: String::new(),
    };
    let request = v1::WriteRequest { timeseries: Vec::new(), metadata: vec![metadata] };
    let body = snappy(&request.encode_to_vec());
    let answer = sender::post(gateway.address(), TYPE_V1, "snappy", &body).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    // And a series without samples is no error in 1.0.
    let series =
        v1::TimeSeries { labels: label_list(&labels("empty", &[])), ..v1::TimeSeries::default() };
    let request = v1::WriteRequest { timeseries: vec![series], metadata: Vec::new() };
    let answer =
        sender::post(gateway.address(), TYPE_V1, "snappy", &snappy(&request.encode_to_vec()));
    assert_eq!(answer.unwrap().status, 204);
    assert!(backend.samples().iter().all(|s| name(&s.labels) != "empty"));
}
