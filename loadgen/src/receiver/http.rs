//! HTTP/1.1 by hand, blocking: as much as tests need to say, and to hear.
//!
//! One connection a request, so that no test depends on another's connection. Writing by hand is
//! the point where a test sends what no library would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Serves each connection on a thread of its own, until one comes while `is_stopping`.
pub fn serve_each(
    listener: &TcpListener,
    is_stopping: impl Fn() -> bool,
    serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) {
    for stream in listener.incoming().flatten() {
        if is_stopping() {
            return;
        }
        let serve = serve.clone();
        // A peer that goes away is nobody's concern.
        std::thread::spawn(move || serve(stream).ok());
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A header's value among headers whose names are in lower case.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// GET.
pub fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    send(to, "GET", path, &[], &[], Duration::from_secs(30))
}

/// POST.
pub fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    send(to, "POST", path, headers, body, Duration::from_secs(30))
}

/// A request and its answer.
pub fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    // A server that refuses by its length answers before it has read the body, and closes.
    let sent = stream.write_all(body);
    read_answer(&mut BufReader::new(stream)).map_err(|e| sent.err().unwrap_or(e))
}

/// Reads an answer.
pub fn read_answer(from: &mut impl BufRead) -> io::Result<Answer> {
    let (start, headers) = read_head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = start.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {start}")))?;
    let mut answer = Answer { status, headers, body: Vec::new() };
    answer.body = match body_length(&answer.headers) {
        _ if status == 204 || status == 304 => Vec::new(),
        Length::Known(length) => read_exactly(from, length)?,
        Length::Chunked => read_chunks(from)?,
        Length::Unknown => {
            let mut body = Vec::new();
            from.read_to_end(&mut body)?;
            body
        }
    };
    Ok(answer)
}

/// A start line and its headers.
pub type Head = (String, Vec<(String, String)>);

/// Reads a start line and headers; `None` where the peer has closed instead.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut start = String::new();
    if from.read_line(&mut start)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => return Ok(Some((start.trim_end().to_owned(), headers))),
        }
    }
}

/// Reads a request's body.
pub fn read_body(from: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    match body_length(headers) {
        Length::Known(length) => read_exactly(from, length),
        Length::Chunked => read_chunks(from),
        Length::Unknown => Ok(Vec::new()),
    }
}

enum Length {
    Known(usize),
    Chunked,
    Unknown,
}

fn body_length(headers: &[(String, String)]) -> Length {
    if header(headers, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        return Length::Chunked;
    }
    let length = header(headers, "content-length").and_then(|v| v.parse().ok());
    length.map_or(Length::Unknown, Length::Known)
}

fn read_exactly(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        body.extend(read_exactly(from, size)?);
        read_exactly(from, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
