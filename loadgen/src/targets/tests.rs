//! Pages that Weir's parser (Prometheus 3's rules) accepts, over a real socket.

use std::collections::BTreeMap;
use std::io::Read;

use clap::Parser;

use super::*;
use crate::cli::{Arguments, Command};

fn start(more: &[&str]) -> Targets {
    let args = ["weir-loadgen", "targets", "--targets", "2", "--series", "600"];
    match Arguments::try_parse_from(args.iter().chain(more)).expect("flags").command {
        Command::Targets(args) => Targets::start(&args).expect("free ports"),
        other => panic!("targets were asked for, not {other:?}"),
    }
}

fn get(address: SocketAddr, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let ask = format!("GET /metrics HTTP/1.1\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn series(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    lines.map(pair).collect()
}

#[test]
fn pages_have_their_series_in_both_formats_and_move() {
    let targets = start(&[]);
    let (head, text) = get(targets.addresses[0], "text/plain;version=0.0.4");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let first = series(&text);
    assert_eq!(first.len(), 600);
    let prefers = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let (head, open) = get(targets.addresses[0], prefers);
    assert!(head.contains("openmetrics-text; version=1.0.0"), "{head}");
    assert!(
        open.ends_with("# EOF\n") && !open.contains("# TYPE http_server_requests_part_00_total")
    );
    let second = series(&open);
    assert_eq!(second.keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
    // Counters only grow.
    for (name, value) in first.iter().filter(|(name, _)| name.contains("_total{")) {
        assert!(second[name] >= *value, "{name}");
    }
    assert_ne!(series(&get(targets.addresses[1], "*/*").1), first);
    assert_eq!(targets.scrapes.load(Ordering::Relaxed), 3);
}

#[test]
fn histograms_are_whole() {
    let targets = start(&["--preset", "http-histograms"]);
    let (_, page) = get(targets.addresses[0], "");
    assert!(page.contains("# TYPE http_request_duration_seconds histogram"));
    let buckets = page.lines().filter(|l| l.starts_with("http_request_duration_seconds_bucket"));
    assert_eq!(buckets.clone().count() % 12, 0);
    assert!(buckets.clone().any(|line| line.contains("le=\"+Inf\"")));
}

#[test]
fn captured_pages_are_served_in_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("1.txt"), "a 1\n").expect("it is written");
    std::fs::write(folder.path().join("2.txt"), "a 2\n# EOF\n").expect("it is written");
    let targets = start(&["--pages", folder.path().to_str().expect("a path")]);
    for (expected, kind) in
        [("a 1\n", "text/plain"), ("a 2\n# EOF\n", "openmetrics"), ("a 1\n", "")]
    {
        let (head, page) = get(targets.addresses[0], "*/*");
        assert_eq!(page, expected);
        assert!(head.contains(kind), "{head}");
    }
}

#[test]
fn scrapers_find_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("targets.json");
    let targets = start(&["--file-sd", file.to_str().expect("a path")]);
    let (_, served) = get(targets.discovery, "application/json");
    let written = std::fs::read_to_string(&file).expect("it is written");
    assert_eq!(served, written);
    let list: serde_json::Value = serde_json::from_str(&served).expect("JSON");
    let addresses: Vec<String> = targets.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(list[0]["targets"], serde_json::json!(addresses));
}
