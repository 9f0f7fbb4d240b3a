//! Bad input is answered with the right status and a message that helps, and hurts nobody else.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::http::{self, Answer};
use weir_tests::samples::{Labels, Sample, labels, name};
use weir_tests::sender::{self, TYPE_V1, TYPE_V2, label_list, message_v1, message_v2, snappy};
use weir_tests::wait;
use weir_wire::oracle::v1;

const SOON: Duration = Duration::from_secs(20);
/// Longer than any of the gateway's own timeouts.
const PATIENCE: Duration = Duration::from_secs(90);

fn start() -> (Backend, Gateway) {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    (backend, gateway)
}

fn good(n: usize) -> Sample {
    let series = labels("good", &[("instance", "host:9100"), ("n", &n.to_string())]);
    Sample::new(&series, wait::now_ms(), n as f64)
}

/// Posts bytes as 1.0.
fn post_v1(to: SocketAddr, message: &[u8]) -> Answer {
    sender::post(to, TYPE_V1, "snappy", &snappy(message)).expect("an answer")
}

fn assert_answer(answer: &Answer, status: u16, words: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    for word in words {
        assert!(text.to_lowercase().contains(&word.to_lowercase()), "{word:?} is not in {text:?}");
    }
}

/// A series beside a good one: the answer names what was wrong, and the good one is durable.
fn assert_refused_beside_good(series: v1::TimeSeries, words: &[&str]) {
    let (backend, gateway) = start();
    let good = good(1);
    let mut message = message_v1(std::slice::from_ref(&good));
    message.timeseries.insert(0, series);
    assert_answer(&post_v1(gateway.address(), &message.encode_to_vec()), 400, words);
    wait::until_true("the good sample arrives", SOON, || backend.samples().len() == 1);
    assert_eq!(backend.samples()[0].labels, good.labels);
    let refused = gateway.metrics().count("weir_samples_total", &[("class", "refused")]);
    assert_eq!(refused, 1.0, "the refused sample is counted");
    gateway.assert_audited();
}

fn series(labels: Vec<v1::Label>) -> v1::TimeSeries {
    let sample = v1::Sample { value: 1.0, timestamp: wait::now_ms() };
    v1::TimeSeries { labels, samples: vec![sample], ..v1::TimeSeries::default() }
}

fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.into(), value: value.into() }
}

#[test]
fn undecodable_bodies_are_400_and_say_where() {
    let (_backend, gateway) = start();
    let to = gateway.address();
    let not_snappy = sender::post(to, TYPE_V1, "snappy", b"plain text, no snappy").unwrap();
    assert_answer(&not_snappy, 400, &["snappy"]);
    let not_zstd = sender::post(to, TYPE_V1, "zstd", b"plain text, no zstd").unwrap();
    assert_answer(&not_zstd, 400, &["zstd"]);
    let whole = message_v1(&[good(1)]).encode_to_vec();
    assert_answer(&post_v1(to, &whole[..whole.len() - 3]), 400, &["byte"]);
    let v1_as_v2 = sender::post(to, TYPE_V2, "snappy", &snappy(&whole)).unwrap();
    assert_answer(&v1_as_v2, 400, &["2.0", "Content-Type"]);
    let whole_v2 = message_v2(&[good(1)]).encode_to_vec();
    let v2_as_v1 = sender::post(to, TYPE_V1, "snappy", &snappy(&whole_v2)).unwrap();
    assert_answer(&v2_as_v1, 400, &["1.0", "Content-Type"]);
    gateway.assert_audited();
}

#[test]
fn unknown_types_encodings_and_methods_name_what_is_understood() {
    let (_backend, gateway) = start();
    let to = gateway.address();
    let body = snappy(&message_v1(&[good(1)]).encode_to_vec());
    let json = sender::post(to, "application/json", "snappy", &body).unwrap();
    assert_answer(&json, 415, &["application/x-protobuf"]);
    let gzip = sender::post(to, TYPE_V1, "gzip", &body).unwrap();
    assert_answer(&gzip, 415, &["snappy", "zstd"]);
    assert_eq!(http::get(to, "/api/v1/write").unwrap().status, 405);
    assert_eq!(http::get(to, "/no/such/page").unwrap().status, 404);
}

#[test]
fn bombs_are_413_before_they_are_unpacked() {
    let (_backend, mut gateway) = start();
    let to = gateway.address();
    // A snappy block that claims 1 GiB.
    let mut claim = Vec::new();
    prost::encoding::encode_varint(1 << 30, &mut claim);
    claim.extend([0; 64]);
    let snappy_bomb = sender::post(to, TYPE_V1, "snappy", &claim).unwrap();
    assert_answer(&snappy_bomb, 413, &["bytes"]);
    // A zstd frame of some KiB that is 256 MiB of zeros and does not say so.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_contentsize(false).unwrap();
    for _ in 0..256 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let zstd_bomb = sender::post(to, TYPE_V1, "zstd", &encoder.finish().unwrap()).unwrap();
    assert_answer(&zstd_bomb, 413, &["bytes"]);
    let rss = resident_bytes(gateway.program().id());
    assert!(rss < 1 << 30, "{rss} bytes are resident");
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

#[test]
fn unsorted_labels_and_samples_are_accepted_as_the_same_series() {
    let (backend, gateway) = start();
    let now = wait::now_ms();
    let sorted = labels("m", &[("a", "1"), ("instance", "host:9100"), ("z", "2")]);
    let mut reversed = label_list(&sorted);
    reversed.reverse();
    let samples = [now, now - 2000, now - 1000];
    let samples = samples.map(|timestamp| v1::Sample { value: timestamp as f64, timestamp });
    let series =
        v1::TimeSeries { labels: reversed, samples: samples.to_vec(), ..Default::default() };
    let message = v1::WriteRequest { timeseries: vec![series], metadata: Vec::new() };
    assert_answer(&post_v1(gateway.address(), &message.encode_to_vec()), 204, &[]);
    // The same sample again with sorted labels is a duplicate of it.
    let again = [Sample::new(&sorted, now, now as f64)];
    assert_eq!(sender::send_v1(gateway.address(), &again).unwrap().status, 204);
    wait::until_true("all arrive", SOON, || backend.samples().len() >= 3);
    gateway.assert_audited();
    let received = backend.samples();
    assert_eq!(received.len(), 3, "{received:?}");
    assert!(received.iter().all(|s| s.labels == sorted));
    let duplicates = gateway.metrics().count("weir_samples_total", &[("class", "duplicate")]);
    assert_eq!(duplicates, 1.0);
}

#[test]
fn a_duplicate_label_is_refused_by_name() {
    let bad = vec![label("__name__", "m"), label("zone", "a"), label("zone", "b"), label("b", "c")];
    assert_refused_beside_good(series(bad), &["zone", "twice"]);
}

#[test]
fn an_empty_label_name_is_refused() {
    assert_refused_beside_good(series(vec![label("__name__", "m"), label("", "x")]), &["empty"]);
}

#[test]
fn a_series_without_name_is_refused() {
    let bad = series(vec![label("instance", "nameless:9100")]);
    assert_refused_beside_good(bad, &["__name__", "nameless:9100"]);
}

#[test]
fn a_10_mb_label_is_refused_without_being_repeated_in_the_answer() {
    let bad = series(vec![label("__name__", "m"), label("huge", &"x".repeat(10_000_000))]);
    assert_refused_beside_good(bad, &["huge", "10000000"]);
}

#[test]
fn invalid_utf8_is_refused() {
    let (backend, gateway) = start();
    let message = message_v1(&[good(1), good(2)]);
    let mut bytes = message.encode_to_vec();
    let at = bytes.windows(4).position(|w| w == b"good").unwrap();
    bytes[at] = 0xff;
    assert_answer(&post_v1(gateway.address(), &bytes), 400, &["UTF-8"]);
    wait::until_true("the other one arrives", SOON, || backend.samples().len() == 1);
    gateway.assert_audited();
}

#[test]
fn an_empty_label_value_is_the_same_as_no_label() {
    let (backend, gateway) = start();
    let sample = good(1);
    let mut with_empty = (*sample.labels).clone();
    with_empty.insert("empty".into(), String::new());
    let with_empty = Sample { labels: Arc::new(with_empty), ..sample.clone() };
    assert_eq!(sender::send_v1(gateway.address(), &[with_empty]).unwrap().status, 204);
    assert_eq!(
        sender::send_v1(gateway.address(), std::slice::from_ref(&sample)).unwrap().status,
        204
    );
    wait::until_true("it arrives", SOON, || !backend.samples().is_empty());
    gateway.assert_audited();
    assert_eq!(backend.samples().len(), 1);
    assert_eq!(backend.samples()[0].labels, sample.labels);
}

#[test]
fn the_far_future_is_refused_and_the_past_is_late() {
    let (backend, gateway) = start();
    let now = wait::now_ms();
    let at = |timestamp: i64, n: usize| Sample { timestamp, ..good(n) };
    let future = [at(now + 3_600_000, 1), at(now, 2)];
    let answer = sender::send_v1(gateway.address(), &future).unwrap();
    assert_answer(&answer, 400, &["future"]);
    let near = sender::send_v1(gateway.address(), &[at(now + 60_000, 3)]).unwrap();
    assert_answer(&near, 204, &[]);
    for (n, past) in [now - 86_400_000, 0, -1, i64::MIN].into_iter().enumerate() {
        let answer = sender::send_v1(gateway.address(), &[at(past, 10 + n)]).unwrap();
        assert_answer(&answer, 204, &[]);
    }
    for past_all in [i64::MAX, now + 86_400_000] {
        let answer = sender::send_v1(gateway.address(), &[at(past_all, 20)]).unwrap();
        assert_answer(&answer, 400, &["future"]);
    }
    wait::until_true("the good ones arrive", SOON, || {
        backend.samples().iter().filter(|s| s.timestamp >= now).count() == 2
    });
    gateway.assert_audited();
}

#[test]
fn every_nan_keeps_its_bits_and_none_poisons_an_aggregate() {
    let rules = "- match: gauge\n  interval: 2s\n  without: [instance]\n  keep_input: true\n  \
                 outputs: [sum_samples, sum_last, total]\n";
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "1s", ""), rules);
    let now = wait::now_ms();
    let at = |instance: &str, value: f64| {
        Sample::new(&labels("gauge", &[("instance", instance)]), now, value)
    };
    let nan = f64::from_bits(0x7ff8_dead_beef_0001);
    let sent = [at("a:1", 5.0), at("b:1", nan), at("c:1", -f64::NAN)];
    assert_eq!(sender::send_v1(gateway.address(), &sent).unwrap().status, 204);
    let received = wait::until("inputs and output arrive", SOON, || {
        let received = backend.samples();
        let done =
            received.iter().any(|s| name(&s.labels) == "gauge:2s_without_instance_sum_samples");
        done.then_some(received).ok_or_else(|| "not yet".into())
    });
    for sample in &sent {
        let same = received.iter().find(|r| r.labels == sample.labels).expect("it passed through");
        assert_eq!(same.value.to_bits(), sample.value.to_bits());
    }
    let value = |name_: &str| received.iter().find(|s| name(&s.labels) == name_).map(|s| s.value);
    assert_eq!(value("gauge:2s_without_instance_sum_samples"), Some(5.0));
    gateway.assert_audited();
}

#[test]
fn slow_clients_are_given_up_and_slow_nobody_down() {
    let (backend, gateway) = start();
    let open = |head: &str| {
        let mut stream = TcpStream::connect(gateway.address()).expect("it connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(head.as_bytes()).expect("it takes bytes");
        stream
    };
    let head = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n";
    let in_head = open(head);
    let in_body = open(&format!("{head}Content-Length: 1000\r\n\r\nabc"));
    let answer = sender::send_v1(gateway.address(), &[good(1)]).unwrap();
    assert_answer(&answer, 204, &[]);
    wait::until_true("others are served meanwhile", SOON, || backend.samples().len() == 1);
    for mut stream in [in_head, in_body] {
        // Closed, with or without an answer before.
        let mut rest = Vec::new();
        let waited_too_long = stream
            .read_to_end(&mut rest)
            .is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(!waited_too_long, "not given up within {PATIENCE:?}");
        let text = String::from_utf8_lossy(&rest).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
    gateway.assert_audited();
}

#[test]
fn too_many_connections_are_told_to_come_back() {
    let backend = Backend::start();
    let config = format!("{}http: {{max_connections: 20}}\n", sending_to(&backend.url(), "2s", ""));
    let gateway = Gateway::start(&config, "");
    let open = || TcpStream::connect(gateway.address()).expect("the kernel takes it");
    let held: Vec<TcpStream> = (0..20).map(|_| open()).collect();
    let refused = wait::until("one more is refused", SOON, || {
        let mut one_more = BufReader::new(open());
        one_more.get_ref().set_read_timeout(Some(SOON)).map_err(|e| e.to_string())?;
        http::read_answer(&mut one_more).map_err(|e| e.to_string())
    });
    assert_answer(&refused, 503, &["connections"]);
    assert!(refused.header("retry-after").is_some());
    drop(held);
    wait::until("there is room again", SOON, || {
        let answer = sender::send_v1(gateway.address(), &[good(1)]).map_err(|e| e.to_string())?;
        (answer.status == 204).then_some(()).ok_or_else(|| answer.text())
    });
}

#[test]
fn a_request_of_nothing_but_bad_series_names_one_and_counts_all() {
    let (_backend, gateway) = start();
    let nameless = |n: usize| {
        let labels = Labels::from([("instance".to_owned(), format!("first-{n}:1"))]);
        Sample::new(&Arc::new(labels), wait::now_ms(), 1.0)
    };
    let all: Vec<Sample> = (0..5).map(nameless).collect();
    let answer = sender::send_v1(gateway.address(), &all).unwrap();
    assert_answer(&answer, 400, &["first-", "5 of 5"]);
    gateway.assert_audited();
}
