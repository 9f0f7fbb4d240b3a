//! One connection: a prepared body goes out, an answer comes back.
//!
//! Plain http is written by hand, since that costs next to nothing; https is hyper's. Invariant: one
//! request at a time, and nothing is sent twice here: what a server does to a request is the caller's to
//! count and to repeat. A connection that it closed while it was idle is opened anew before.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::time::Duration;

use weir_http::{Bytes, Client, ClientConfig, ClientError, HeaderMap, HeaderName, HeaderValue};

use super::answer::{self, Answer, NoAnswer};
use super::endpoint::Endpoint;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A connection, open or not.
pub enum Connection {
    /// http.
    Plain(Box<Plain>),
    /// https.
    Secure(Box<Secure>),
}

impl Connection {
    /// Connects to nothing yet.
    pub fn new(endpoint: &Endpoint) -> Result<Self, String> {
        if endpoint.is_secure() {
            return Ok(Self::Secure(Box::new(Secure::new(endpoint)?)));
        }
        Ok(Self::Plain(Box::new(Plain {
            endpoint: endpoint.clone(),
            head: endpoint.head(None),
            stream: None,
            buffer: Vec::new(),
            written: Vec::new(),
        })))
    }

    /// Posts a body; `content_type` where it is not the usual one. `attempt` counts from 0.
    pub fn post(
        &mut self,
        body: &[u8],
        content_type: Option<&str>,
        attempt: u32,
    ) -> Result<Answer, NoAnswer> {
        match self {
            Self::Plain(plain) => plain.post(body, content_type, attempt),
            Self::Secure(secure) => secure.post(body, content_type, attempt),
        }
    }
}

/// A TCP connection.
pub struct Plain {
    endpoint: Endpoint,
    head: Vec<u8>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    written: Vec<u8>,
}

impl Plain {
    fn post(&mut self, body: &[u8], kind: Option<&str>, attempt: u32) -> Result<Answer, NoAnswer> {
        self.write_head(body.len(), kind, attempt).map_err(NoAnswer::unsent)?;
        let mut stream = match self.stream.take().filter(is_open) {
            Some(stream) => stream,
            None => {
                self.buffer.clear();
                self.connect().map_err(NoAnswer::unsent)?
            }
        };
        write_both(&mut stream, &self.written, body).map_err(NoAnswer::unsent)?;
        let answer = answer::read(&mut stream, &mut self.buffer);
        let answer = answer.map_err(timed_out).map_err(NoAnswer::lost)?;
        if !answer.closes {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    fn write_head(&mut self, length: usize, kind: Option<&str>, attempt: u32) -> io::Result<()> {
        self.written.clear();
        match kind {
            None => self.written.extend_from_slice(&self.head),
            Some(_) => self.written.extend(self.endpoint.head(kind)),
        }
        write!(self.written, "{length}\r\n")?;
        if attempt > 0 {
            write!(self.written, "Retry-Attempt: {attempt}\r\n")?;
        }
        self.written.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.endpoint.addresses()? {
            match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(self.endpoint.timeout))?;
                    stream.set_write_timeout(Some(self.endpoint.timeout))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Whether a connection can still be used: a server may close an idle one at any time, and has nothing
/// to say on it.
fn is_open(stream: &TcpStream) -> bool {
    let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
    stream.set_nonblocking(true).is_ok()
        && stream.peek(&mut [0]).is_err_and(waits)
        && stream.set_nonblocking(false).is_ok()
}

/// A socket says of its own timeout that it would have to wait.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
        }
        _ => error,
    }
}

/// Head and body in as few system calls as may be, without copying the body.
fn write_both(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let (mut head, mut body) = (head, body);
    while !head.is_empty() || !body.is_empty() {
        let count = stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_head = count.min(head.len());
        head = &head[of_head..];
        body = &body[count - of_head..];
    }
    Ok(())
}

/// hyper's client on a runtime of its own, one request at a time.
pub struct Secure {
    endpoint: Endpoint,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Secure {
    fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let config = ClientConfig { concurrency_max: 1, ..ClientConfig::default() };
        let client = endpoint.client(config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        Ok(Self { endpoint: endpoint.clone(), runtime, client })
    }

    fn post(&mut self, body: &[u8], kind: Option<&str>, attempt: u32) -> Result<Answer, NoAnswer> {
        let headers = self.headers(kind, attempt).map_err(NoAnswer::unsent)?;
        let body = Bytes::copy_from_slice(body);
        let post = self.client.post(&self.endpoint.url, headers, body, self.endpoint.timeout);
        let reply = self.runtime.block_on(post).map_err(|error| {
            let sent = matches!(error, ClientError::Timeout | ClientError::Broken(_));
            NoAnswer { why: io::Error::other(error), sent }
        })?;
        let retry_after = reply.headers.get("retry-after").and_then(|v| v.to_str().ok());
        let retry_after = retry_after.and_then(|v| v.parse().ok()).map(Duration::from_secs);
        let text: String = String::from_utf8_lossy(&reply.body).chars().take(300).collect();
        let text = text.trim_end().to_owned();
        Ok(Answer { status: reply.status.as_u16(), retry_after, text, closes: false })
    }

    fn headers(&self, kind: Option<&str>, attempt: u32) -> io::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut all = self.endpoint.request_headers(kind);
        if attempt > 0 {
            all.push(("Retry-Attempt".to_owned(), attempt.to_string()));
        }
        for (name, value) in all {
            let name: HeaderName = name.parse().map_err(io::Error::other)?;
            headers.insert(name, HeaderValue::from_str(&value).map_err(io::Error::other)?);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests;
