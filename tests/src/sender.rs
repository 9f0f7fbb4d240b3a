//! A scripted remote write sender: prost's messages, snap and zstd, nothing of Weir's encoders.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::Message;

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
    let version = if content_type == TYPE_V2 { "2.0.0" } else { "0.1.0" };
    let headers = [
        ("Content-Type", content_type),
        ("Content-Encoding", encoding),
        ("X-Prometheus-Remote-Write-Version", version),
        ("User-Agent", "weir-tests"),
    ];
    http::post(to, "/api/v1/write", &headers, body)
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
    let began = Instant::now();
    let mut tries = 0;
    wait::until("samples are acknowledged", within, || {
        tries += 1;
        match post(to, content_type, "snappy", &body) {
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
