//! A kept connection to one server that is asked the same again and again, as a scraper does: the answer
//! goes from the socket straight into the caller's buffer, and between requests only the socket is kept.
//!
//! Invariant: what [`Wire::get`] gives is whole, of status 200, and in no content coding. All else
//! (redirects, credentials, TLS, proxies, codings, statuses, why nobody answers) is [`Client`]'s to
//! say: the caller asks it instead. There is no clock here; whoever waits no longer drops the future,
//! and with it the connection.
//!
//! [`Client`]: super::Client

use hyper::HeaderMap;
use hyper::header::HOST;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

mod answer;

use answer::{Chunks, Head, Length};

/// See the module.
#[derive(Debug)]
pub struct Wire {
    /// `host:port`, to connect to.
    to: String,
    request: Vec<u8>,
    socket: Option<TcpStream>,
}

/// A page, behind the answer's head in the buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    /// `Content-Type`; empty if there is none.
    pub content_type: String,
    /// Where the body begins, which ends with the buffer.
    pub at: usize,
}

/// Why there is no page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WireError {
    /// Nobody answered: this time the ordinary client has to find out why.
    Silent,
    /// The answer is not for a wire, nor will the next one be.
    Unusual,
    /// The body has so many bytes or more.
    TooLarge,
    /// The answer broke off.
    Broken(String),
}

/// Bytes that an answer's head may have.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Room for which no more than a server's word is taken.
const ROOM_BYTES_MAX: usize = 1 << 20;
/// Room for an answer of which nothing is known.
const FIRST_ROOM_BYTES: usize = 8 << 10;

impl Wire {
    /// To ask `host:port` for a path with these headers.
    pub(super) fn new(host: &str, port: u16, path: &str, headers: &HeaderMap) -> Self {
        let at = if port == 80 { host.to_owned() } else { format!("{host}:{port}") };
        let mut request = format!("GET {path} HTTP/1.1\r\n{HOST}: {at}\r\n").into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        Self { to: format!("{host}:{port}"), request, socket: None }
    }

    /// Asks, and reads the answer into `page`, whose content is replaced. The body must have less than
    /// `bytes_max` bytes.
    pub async fn get(&mut self, bytes_max: usize, page: &mut Vec<u8>) -> Result<Whole, WireError> {
        if let Some(socket) = self.socket.take() {
            match self.ask(socket, bytes_max, page).await {
                // Servers close connections that nobody uses.
                Err(WireError::Silent) => {}
                answer => return answer,
            }
        }
        let socket = TcpStream::connect(&self.to).await.map_err(|_| WireError::Silent)?;
        socket.set_nodelay(true).map_err(|_| WireError::Silent)?;
        self.ask(socket, bytes_max, page).await
    }

    async fn ask(
        &mut self,
        mut socket: TcpStream,
        bytes_max: usize,
        page: &mut Vec<u8>,
    ) -> Result<Whole, WireError> {
        page.clear();
        socket.write_all(&self.request).await.map_err(|_| WireError::Silent)?;
        let head = loop {
            if !more(&socket, page, FIRST_ROOM_BYTES).await.unwrap_or(false) {
                return Err(WireError::Silent);
            }
            if let Some(head) = Head::read(page)? {
                break head;
            }
            if page.len() > HEAD_BYTES_MAX {
                return Err(WireError::Unusual);
            }
        };
        let at = head.len;
        let is_at_end = match head.length {
            Length::Known(len) => sized(&socket, len, bytes_max, at, page).await?,
            Length::Chunked => chunked(&socket, bytes_max, at, page).await?,
        };
        if head.is_kept && is_at_end {
            self.socket = Some(socket);
        }
        Ok(Whole { content_type: head.content_type, at })
    }
}

/// Reads a body of `len` bytes; whether nothing followed it.
async fn sized(
    socket: &TcpStream,
    len: usize,
    bytes_max: usize,
    at: usize,
    page: &mut Vec<u8>,
) -> Result<bool, WireError> {
    if len >= bytes_max {
        return Err(WireError::TooLarge);
    }
    let end = at + len;
    while page.len() < end {
        let room = (end - page.len()).min(ROOM_BYTES_MAX);
        if !more(socket, page, room).await? {
            return Err(broken("the answer is shorter than announced"));
        }
    }
    let is_at_end = page.len() == end;
    page.truncate(end);
    Ok(is_at_end)
}

/// Reads a body that comes in chunks; whether nothing followed it.
async fn chunked(
    socket: &TcpStream,
    bytes_max: usize,
    at: usize,
    page: &mut Vec<u8>,
) -> Result<bool, WireError> {
    let mut chunks = Chunks::new(at);
    loop {
        let is_done = chunks.decode(page).map_err(broken)?;
        if chunks.end() - at >= bytes_max {
            return Err(WireError::TooLarge);
        }
        if is_done {
            let is_at_end = page.len() == chunks.end();
            page.truncate(chunks.end());
            return Ok(is_at_end);
        }
        if !more(socket, page, FIRST_ROOM_BYTES).await? {
            return Err(broken("the answer ends within its chunks"));
        }
    }
}

/// Reads what there is into the buffer, which gets this much room at least; false at the end.
async fn more(socket: &TcpStream, page: &mut Vec<u8>, room: usize) -> Result<bool, WireError> {
    page.reserve(room);
    loop {
        socket.readable().await.map_err(broken)?;
        match socket.try_read_buf(page) {
            Ok(len) => return Ok(len > 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
    }
}

fn broken(why: impl std::fmt::Display) -> WireError {
    WireError::Broken(why.to_string())
}

#[cfg(test)]
mod tests;
