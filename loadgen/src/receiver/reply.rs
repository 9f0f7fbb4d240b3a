//! What the receiver does with one request, and how the answer is written.

use std::fmt;
use std::time::Duration;

use super::Request;
use crate::samples::Sample;

/// What the receiver does with a request.
#[derive(Clone)]
pub enum Reply {
    /// Records it and answers 204, with Written headers for 2.0.
    Accept,
    /// The same after a pause.
    Slow(Duration),
    /// Records all but the samples that a function picks, and answers with a status and a text, as
    /// Cortex does with what is out of order.
    Partly(fn(&Sample) -> bool, u16, String),
    /// Answers with a status, headers and a text, and records nothing.
    Status(u16, Vec<(String, String)>, String),
    /// Records nothing and closes without an answer.
    Close,
    /// Records nothing and resets the connection (RST).
    Reset,
    /// Records it and closes without an answer, as a receiver that is killed at that moment.
    Lose,
    /// Keeps the sender waiting until the script changes, then does what that says.
    Hang,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Slow(pause) => write!(f, "accept after {pause:?}"),
            Self::Partly(_, status, _) => write!(f, "take a part, {status}"),
            Self::Status(status, ..) => write!(f, "{status}"),
            Self::Close => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::Lose => f.write_str("take and close"),
            Self::Hang => f.write_str("hang"),
        }
    }
}

/// The headers that tell a 2.0 sender what was written.
pub(super) fn written(request: &Request) -> Vec<(String, String)> {
    if !request.is_v2 {
        return Vec::new();
    }
    let header = |what: &str, count: usize| {
        (format!("X-Prometheus-Remote-Write-{what}-Written"), count.to_string())
    };
    vec![
        header("Samples", request.samples.len()),
        header("Histograms", request.histograms.len()),
        header("Exemplars", 0),
    ]
}

/// An answer.
pub(super) fn text(status: u16, headers: &[(String, String)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} scripted\r\n");
    let has_body = !matches!(status, 204 | 304);
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if has_body {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(if has_body { body } else { "" });
    text
}
