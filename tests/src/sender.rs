//! A scripted remote write sender: prost's messages, snap and zstd, nothing of Weir's encoders.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::Message;

use crate::dice::Dice;
use crate::http::{self, Answer};
use crate::samples::Sample;
use crate::wait;

pub use weir_loadgen::messages::{Symbols, label_list, message_v1, message_v2, snappy};

/// `Content-Type` of remote write 1.0.
pub const TYPE_V1: &str = "application/x-protobuf";
/// `Content-Type` of remote write 2.0.
pub const TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Posts bytes as remote write.
pub fn post(to: SocketAddr, content_type: &str, encoding: &str, body: &[u8]) -> io::Result<Answer> {
    post_within(to, &headers(content_type, encoding), body, Duration::from_secs(30))
}

/// Posts a body with these headers; an answer may take so long.
pub fn post_within(
    to: SocketAddr,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> io::Result<Answer> {
    http::send(to, "POST", "/api/v1/write", headers, body, timeout)
}

/// The headers of remote write.
pub fn headers<'a>(content_type: &'a str, encoding: &'a str) -> [(&'a str, &'a str); 4] {
    let version = if content_type == TYPE_V2 { "2.0.0" } else { "0.1.0" };
    [
        ("Content-Type", content_type),
        ("Content-Encoding", encoding),
        ("X-Prometheus-Remote-Write-Version", version),
        ("User-Agent", "weir-tests"),
    ]
}

/// Where to: one gateway, or any of several.
#[derive(Clone, Debug)]
pub struct Places {
    addresses: Vec<SocketAddr>,
    dice: Dice,
}

/// One that does not answer for so long is left for another.
const PATIENCE: Duration = Duration::from_secs(3);

impl Places {
    /// Each try goes to any of these, which one follows from the seed.
    pub fn new(addresses: &[SocketAddr], seed: u64) -> Self {
        Self { addresses: addresses.to_vec(), dice: Dice::new(seed) }
    }

    /// The next one.
    pub fn any(&mut self) -> SocketAddr {
        self.dice.one_of(&self.addresses).expect("one place at least")
    }

    /// Posts samples as 1.0 until they are acknowledged, wherever that is: what fails at one place
    /// is tried again at any. Tells how often it tried.
    pub fn send_until_acknowledged(&mut self, samples: &[Sample], within: Duration) -> usize {
        let body = snappy(&message_v1(samples).encode_to_vec());
        let patience = if self.addresses.len() > 1 { PATIENCE } else { PATIENCE * 10 };
        until_acknowledged(within, || {
            post_within(self.any(), &headers(TYPE_V1, "snappy"), &body, patience)
        })
    }
}

/// Posts samples as 1.0, snappy.
pub fn send_v1(to: SocketAddr, samples: &[Sample]) -> io::Result<Answer> {
    post(to, TYPE_V1, "snappy", &snappy(&message_v1(samples).encode_to_vec()))
}

/// Posts samples as 2.0, snappy.
pub fn send_v2(to: SocketAddr, samples: &[Sample]) -> io::Result<Answer> {
    post(to, TYPE_V2, "snappy", &snappy(&message_v2(samples).encode_to_vec()))
}

/// Posts samples as 1.0 until they are acknowledged, as Prometheus does: 5xx and broken
/// connections are tried again, anything else is an error of the gateway. Tells how often it tried.
pub fn send_until_acknowledged(to: SocketAddr, samples: &[Sample], within: Duration) -> usize {
    post_until_acknowledged(to, TYPE_V1, &message_v1(samples).encode_to_vec(), within)
}

/// The same as 2.0, which carries start timestamps.
pub fn send_v2_until_acknowledged(to: SocketAddr, samples: &[Sample], within: Duration) -> usize {
    post_until_acknowledged(to, TYPE_V2, &message_v2(samples).encode_to_vec(), within)
}

fn post_until_acknowledged(
    to: SocketAddr,
    content_type: &str,
    message: &[u8],
    within: Duration,
) -> usize {
    let body = snappy(message);
    until_acknowledged(within, || post(to, content_type, "snappy", &body))
}

fn until_acknowledged(within: Duration, mut post: impl FnMut() -> io::Result<Answer>) -> usize {
    let began = Instant::now();
    let mut tries = 0;
    wait::until("samples are acknowledged", within, || {
        tries += 1;
        match post() {
            Ok(answer) if answer.status == 204 => Ok(tries),
            Ok(answer) if answer.status >= 500 => {
                Err(format!("{}: {}", answer.status, answer.text()))
            }
            Ok(answer) => {
                panic!("{} after {:?}: {}", answer.status, began.elapsed(), answer.text())
            }
            Err(error) => Err(error.to_string()),
        }
    })
}
