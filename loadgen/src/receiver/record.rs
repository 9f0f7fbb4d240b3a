//! A file of what a receiver has accepted: one sample a line, as JSON.
//!
//! Invariant: at most so many lines, each whole; what is accepted beyond them, or cannot be written, is
//! counted. A line is in the file before its request is answered. Values are strings, as Prometheus's API
//! writes them, so that NaN and infinities can be said; `stale` is the stale marker.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Request;
use crate::clock::now_ms;
use crate::messages::native;
use crate::oracle::NativeHistogram;
use crate::samples::{Labels, Sample, is_stale};

/// The file, and how much of it is left.
pub struct Record {
    out: BufWriter<File>,
    left: u64,
    tally: Recorded,
}

/// What became of samples.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Lines in the file.
    pub written: u64,
    /// Samples that are not in it.
    pub left_out: u64,
    /// Why it could not be written.
    pub failed: Option<String>,
}

impl Record {
    /// An empty file for so many lines at most.
    pub fn create(file: &Path, lines_most: u64) -> io::Result<Self> {
        let out = BufWriter::new(File::create(file)?);
        Ok(Self { out, left: lines_most, tally: Recorded::default() })
    }

    /// Adds what a request brought.
    pub(super) fn add(&mut self, request: &Request) {
        let received = now_ms();
        let floats = request.samples.iter().map(|sample| float(received, sample));
        let natives = request.histograms.iter();
        let natives = natives.map(|(labels, h)| histogram(received, labels, &native(h)));
        for line in floats.chain(natives) {
            self.put(&line);
        }
        if let Err(error) = self.out.flush() {
            self.tally.failed.get_or_insert(error.to_string());
        }
    }

    /// What is in the file, and what is not.
    pub(super) fn recorded(&self) -> Recorded {
        self.tally.clone()
    }

    fn put(&mut self, line: &Value) {
        if self.left == 0 || self.tally.failed.is_some() {
            self.tally.left_out += 1;
            return;
        }
        match writeln!(self.out, "{line}") {
            Ok(()) => {
                self.left -= 1;
                self.tally.written += 1;
            }
            Err(error) => {
                self.tally.left_out += 1;
                self.tally.failed = Some(error.to_string());
            }
        }
    }
}

fn float(received: i64, sample: &Sample) -> Value {
    let mut line = head(received, &sample.labels, sample.timestamp);
    if sample.start != 0 {
        line.insert("start".into(), sample.start.into());
    }
    line.insert("value".into(), number(sample.value).into());
    Value::Object(line)
}

fn histogram(received: i64, labels: &Labels, native: &NativeHistogram) -> Value {
    let mut line = head(received, labels, native.timestamp);
    let buckets = |of: &std::collections::BTreeMap<i32, f64>| -> Map<String, Value> {
        of.iter().map(|(bucket, count)| (bucket.to_string(), (*count).into())).collect()
    };
    line.insert(
        "histogram".into(),
        json!({
            "count": native.count,
            "sum": number(native.sum),
            "schema": native.schema,
            "zero_threshold": native.zero_threshold,
            "zero_count": native.zero_count,
            "positive": buckets(&native.positive),
            "negative": buckets(&native.negative),
        }),
    );
    Value::Object(line)
}

fn head(received: i64, labels: &Labels, timestamp: i64) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("received".into(), received.into());
    line.insert("timestamp".into(), timestamp.into());
    line.insert("labels".into(), json!(labels));
    line
}

fn number(value: f64) -> String {
    match value {
        stale if is_stale(stale) => "stale".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::messages::{message_v2, snappy};
    use crate::receiver::{Receiver, Reply, http};
    use crate::samples::{labels, stale_marker};

    const HEADERS: [(&str, &str); 2] = [
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("Content-Encoding", "snappy"),
    ];

    #[test]
    fn every_accepted_sample_is_a_line_up_to_the_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("record");
        let receiver = Receiver::start();
        receiver.record_to(Record::create(&file, 4).expect("a file"));
        let series = labels("m", &[("zone", "a\"b")]);
        let of = |at, value| Sample::new(&series, at, value);
        let native = NativeHistogram {
            timestamp: 4_000,
            count: 3.0,
            sum: 1.5,
            schema: 2,
            positive: [(-1, 3.0)].into(),
            ..NativeHistogram::default()
        };
        let first = [
            Sample { start: 500, ..of(1_000, 0.1) },
            of(2_000, f64::INFINITY),
            of(3_000, stale_marker()),
            Sample::native(&series, native),
        ];
        let post = |samples: &[Sample]| {
            let body = snappy(&message_v2(samples).encode_to_vec());
            http::post(receiver.address(), "/", &HEADERS, &body).expect("an answer").status
        };
        receiver.script(|_| Reply::Status(503, Vec::new(), String::new()));
        assert_eq!(post(&first), 503, "and nothing of it is recorded");
        receiver.accept_all();
        assert_eq!(post(&first), 204);
        let lines = std::fs::read_to_string(&file).expect("it is there once it is answered");
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["labels"], json!({"__name__": "m", "zone": "a\"b"}));
        let said = |at: usize| (lines[at]["timestamp"].clone(), lines[at]["value"].clone());
        assert_eq!(said(0), (json!(1_000), json!("0.1")));
        assert_eq!(said(1), (json!(2_000), json!("+Inf")));
        assert_eq!(said(2), (json!(3_000), json!("stale")));
        assert_eq!((&lines[0]["start"], &lines[1]["start"]), (&json!(500), &Value::Null));
        assert!(lines[0]["received"].as_i64().is_some_and(|at| at > 1_700_000_000_000));
        assert_eq!(lines[3]["histogram"]["positive"], json!({"-1": 3.0}));
        assert_eq!(lines[3]["histogram"]["sum"], "1.5");
        assert_eq!(post(&[of(5_000, 1.0)]), 204);
        let recorded = receiver.recorded().expect("it records");
        assert_eq!(recorded, Recorded { written: 4, left_out: 1, failed: None });
    }
}
