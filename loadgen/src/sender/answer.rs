//! HTTP/1.1 answers as they come off a socket.
//!
//! Just what a sender needs: the status, when to come back, the beginning of the text, and whether
//! the connection can be used again. Invariant: never more bytes are kept than [`HEAD_MOST`] and
//! [`TEXT_MOST`].

use std::io::{self, Read};
use std::time::Duration;

/// Bytes of an answer's head.
const HEAD_MOST: usize = 16 * 1024;
/// Bytes of its text that are kept.
const TEXT_MOST: usize = 300;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `Retry-After` in seconds. A date counts as none.
    pub retry_after: Option<Duration>,
    /// The beginning of the text.
    pub text: String,
    /// The connection ends with it.
    pub closes: bool,
}

/// That nothing came back.
#[derive(Debug)]
pub struct NoAnswer {
    /// What went wrong.
    pub why: io::Error,
    /// The whole request had been sent: it may have been taken.
    pub sent: bool,
}

impl NoAnswer {
    /// Before the request was out.
    pub fn unsent(why: io::Error) -> Self {
        Self { why, sent: false }
    }

    /// After it was out.
    pub fn lost(why: io::Error) -> Self {
        Self { why, sent: true }
    }
}

/// Reads one answer. `buffer` holds what came beyond the one before, and is reused.
pub fn read(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Answer> {
    loop {
        if let Some((mut answer, head, body)) = parse(buffer)? {
            let text = read_body(from, buffer, head, body, &mut answer)?;
            answer.text = text;
            return Ok(answer);
        }
        if buffer.len() >= HEAD_MOST {
            return Err(invalid("the answer's head is too long"));
        }
        more(from, buffer)?;
    }
}

fn more(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    match from.read(&mut chunk)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")),
        count => {
            buffer.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

/// An answer's head: its length, and the length of the body if that is said.
fn parse(bytes: &[u8]) -> io::Result<Option<(Answer, usize, Option<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes).map_err(|e| invalid(&e.to_string()))?;
    let httparse::Status::Complete(head) = status else {
        return Ok(None);
    };
    let mut answer = Answer { status: response.code.unwrap_or(0), ..Answer::default() };
    let mut body = matches!(answer.status, 100..200 | 204 | 304).then_some(0);
    for header in response.headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") && body.is_none() {
            body = Some(value.parse().map_err(|_| invalid("Content-Length is no number"))?);
        } else if header.name.eq_ignore_ascii_case("retry-after") {
            answer.retry_after = value.parse().ok().map(Duration::from_secs);
        } else if header.name.eq_ignore_ascii_case("connection") {
            answer.closes = value.eq_ignore_ascii_case("close");
        }
    }
    // A body that says no length (chunked) is not read: the next request gets another connection.
    answer.closes |= body.is_none();
    Ok(Some((answer, head, body)))
}

fn read_body(
    from: &mut impl Read,
    buffer: &mut Vec<u8>,
    head: usize,
    body: Option<usize>,
    answer: &mut Answer,
) -> io::Result<String> {
    buffer.drain(..head);
    let mut left = body.unwrap_or(0);
    let mut text = Vec::new();
    while left > 0 {
        if buffer.is_empty() {
            more(from, buffer)?;
        }
        let count = left.min(buffer.len());
        let room = TEXT_MOST.saturating_sub(text.len()).min(count);
        text.extend_from_slice(&buffer[..room]);
        buffer.drain(..count);
        left -= count;
    }
    if answer.closes {
        buffer.clear();
    }
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, count: usize) -> Vec<io::Result<Answer>> {
        // One byte at a time: heads and bodies come in pieces.
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let Some((first, rest)) = self.0.split_first() else {
                    return Ok(0);
                };
                into[0] = *first;
                self.0 = rest;
                Ok(1)
            }
        }
        let (mut from, mut buffer) = (Slow(text.as_bytes()), Vec::new());
        (0..count).map(|_| read(&mut from, &mut buffer)).collect()
    }

    #[test]
    fn answers_follow_each_other() {
        let text = "HTTP/1.1 204 No Content\r\n\r\n\
                    HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\ncontent-length: 5\r\n\
                    \r\nbusy\nHTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let answers: Vec<Answer> =
            read_all(text, 3).into_iter().map(|a| a.expect("an answer")).collect();
        assert_eq!(answers[0], Answer { status: 204, ..Answer::default() });
        let later = Some(Duration::from_secs(7));
        let busy = Answer { status: 503, retry_after: later, text: "busy".into(), closes: false };
        assert_eq!(answers[1], busy);
        assert_eq!((answers[2].status, answers[2].closes), (400, true));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bad in [
            "",
            "HTTP/1.1 204",
            "220 smtp ready\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ] {
            assert!(read_all(bad, 1)[0].is_err(), "{bad:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(20_000));
        assert!(read_all(&endless, 1)[0].is_err());
    }

    #[test]
    fn a_chunked_answer_costs_the_connection() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert!(read_all(text, 1)[0].as_ref().is_ok_and(|a| a.closes && a.status == 200));
    }
}
