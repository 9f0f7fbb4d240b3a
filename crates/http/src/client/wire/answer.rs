//! An answer's head and its chunks, as they stand in a buffer that fills.
//!
//! Invariant: a head is taken only if it leaves no doubt where the body ends. Chunks are joined where
//! they stand; nothing that a server sends takes more memory than what it has sent.

use super::WireError;

/// Headers of an answer.
const HEADERS_MAX: usize = 64;
/// Digits of a chunk's size and what may follow them on the line; a line of trailers.
const LINE_BYTES_MAX: usize = 4 << 10;

/// What the head says.
#[derive(Debug)]
pub(super) struct Head {
    /// Its bytes.
    pub(super) len: usize,
    pub(super) length: Length,
    pub(super) content_type: String,
    /// Whether the connection stays open.
    pub(super) is_kept: bool,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Length {
    Known(usize),
    Chunked,
}

impl Head {
    /// Reads it at the beginning of `page`; `None` if it is not all there.
    pub(super) fn read(page: &[u8]) -> Result<Option<Self>, WireError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let len = match answer.parse(page) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(WireError::Unusual),
        };
        if (answer.version, answer.code) != (Some(1), Some(200)) {
            return Err(WireError::Unusual);
        }
        let (mut known, mut is_chunked, mut is_kept) = (None, false, true);
        let mut content_type = String::new();
        for header in &*answer.headers {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let len = value.parse().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
                if known.is_some() || len.is_none() {
                    return Err(WireError::Unusual);
                }
                known = len;
            } else if is("transfer-encoding") {
                if is_chunked || !value.eq_ignore_ascii_case("chunked") {
                    return Err(WireError::Unusual);
                }
                is_chunked = true;
            } else if is("content-encoding") && !value.eq_ignore_ascii_case("identity") {
                return Err(WireError::Unusual);
            } else if is("connection") {
                is_kept = value.eq_ignore_ascii_case("keep-alive");
            } else if is("content-type") && content_type.is_empty() {
                value.clone_into(&mut content_type);
            }
        }
        let length = match (known, is_chunked) {
            (Some(len), false) => Length::Known(len),
            (None, true) => Length::Chunked,
            _ => return Err(WireError::Unusual),
        };
        Ok(Some(Self { len, length, content_type, is_kept }))
    }
}

/// A chunked body on its way.
#[derive(Debug)]
pub(super) struct Chunks {
    /// What was joined ends here; what has not been looked at begins here.
    end: usize,
    next: Next,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Size,
    /// So many bytes of a chunk.
    Data(usize),
    /// The line break behind it.
    Break,
    Trailer,
    Nothing,
}

impl Chunks {
    /// Of a body that begins at `at`.
    pub(super) fn new(at: usize) -> Self {
        Self { end: at, next: Next::Size }
    }

    /// Where the body ends that has come so far.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Joins the chunks of which the buffer has something; whether the body is whole. What follows
    /// it, or cannot be understood yet, stays behind it.
    pub(super) fn decode(&mut self, page: &mut Vec<u8>) -> Result<bool, &'static str> {
        let mut from = self.end;
        loop {
            let rest = page.get(from..).unwrap_or_default();
            match self.next {
                Next::Nothing => break,
                Next::Data(left) => {
                    let len = left.min(rest.len());
                    page.copy_within(from..from + len, self.end);
                    (self.end, from) = (self.end + len, from + len);
                    if len < left {
                        self.next = Next::Data(left - len);
                        break;
                    }
                    self.next = Next::Break;
                }
                Next::Size | Next::Break | Next::Trailer => {
                    let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
                        if rest.len() > LINE_BYTES_MAX {
                            return Err("a chunk's size has no end");
                        }
                        break;
                    };
                    let line = rest[..len].strip_suffix(b"\r").ok_or("a line without an end")?;
                    self.next = self.next.after(line)?;
                    from += len + 1;
                }
            }
        }
        page.drain(self.end..from);
        Ok(matches!(self.next, Next::Nothing))
    }
}

impl Next {
    /// What follows a line.
    fn after(self, line: &[u8]) -> Result<Self, &'static str> {
        match self {
            Self::Size => {
                let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                let is_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_hex);
                match size.ok_or("a chunk's size is no number")? {
                    0 => Ok(Self::Trailer),
                    size => Ok(Self::Data(size)),
                }
            }
            Self::Break if line.is_empty() => Ok(Self::Size),
            Self::Break => Err("a chunk is longer than its size"),
            Self::Trailer if line.is_empty() => Ok(Self::Nothing),
            other => Ok(other),
        }
    }
}
