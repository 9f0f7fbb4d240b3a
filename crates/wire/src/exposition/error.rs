//! What was wrong with a page, and where.
//!
//! Messages are for whoever runs the target: they name the line (in protobuf the byte), what was
//! expected and what stands there instead. One error ends the page, as in Prometheus: half a page
//! would look like series that have vanished.

use std::fmt;

use weir_model::histogram::HistogramError;

use crate::error::{DecodeError, DecodeErrorKind};

/// Why a page is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct ParseError {
    /// Where.
    pub place: Place,
    /// What was wrong there.
    pub kind: ParseErrorKind,
}

/// A place in a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A line of a text format.
    Line {
        /// Its number, from 1.
        number: usize,
        /// The line, or its beginning.
        text: String,
    },
    /// A byte of a protobuf page, from 0.
    Byte(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { number, text } => write!(f, "line {number} ({text:?})"),
            Self::Byte(offset) => write!(f, "byte {offset}"),
        }
    }
}

/// What was wrong with a page.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseErrorKind {
    /// Something else than the grammar has at this point.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What the grammar has.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A value that is no number.
    #[error("{0:?} is no number")]
    Number(String),
    /// A timestamp that is no number, is not finite, or is out of range.
    #[error("{0:?} is no timestamp")]
    Timestamp(String),
    /// A type that the format does not have.
    #[error("{0:?} is no metric type of this format")]
    Type(String),
    /// Bytes that are no UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A quoted metric name where there is a name already.
    #[error("a second metric name")]
    SecondName,
    /// A series without a name.
    #[error("a series without a metric name")]
    NoName,
    /// An empty name.
    #[error("an empty name")]
    EmptyName,
    /// The same label twice.
    #[error("label {0:?} occurs twice")]
    DuplicateLabel(String),
    /// A unit that the family's name does not end in.
    #[error("the name of {family:?} does not end in its unit, \"_{unit}\"")]
    Unit {
        /// The family.
        family: String,
        /// Its unit.
        unit: String,
    },
    /// OpenMetrics: a page that was cut off.
    #[error("the page does not end with \"# EOF\"")]
    NoEof,
    /// OpenMetrics: something after the end.
    #[error("there is something after \"# EOF\"")]
    AfterEof,
    /// Protobuf that cannot be read.
    #[error(transparent)]
    Protobuf(#[from] DecodeErrorKind),
    /// Protobuf: a native histogram that contradicts itself.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
}

impl ParseError {
    /// An error in the line in which byte `at` of `page` stands.
    #[cold]
    pub(super) fn in_line(page: &[u8], at: usize, kind: ParseErrorKind) -> Self {
        let (before, after) = page.split_at(at.min(page.len()));
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', after).map_or(page.len(), |len| before.len() + len);
        let number = memchr::memchr_iter(b'\n', before).count() + 1;
        Self { place: Place::Line { number, text: excerpt(&page[start..end]) }, kind }
    }

    /// An error at a byte.
    #[cold]
    pub(super) fn at_byte(at: usize, kind: ParseErrorKind) -> Self {
        Self { place: Place::Byte(at), kind }
    }
}

impl From<DecodeError> for ParseError {
    fn from(error: DecodeError) -> Self {
        Self::at_byte(error.offset, error.kind.into())
    }
}

/// As much of a text as an error message should carry.
#[cold]
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    let mut text = String::from_utf8_lossy(head).into_owned();
    if head.len() < bytes.len() {
        text.push('…');
    }
    text
}

const EXCERPT_BYTES_MAX: usize = 120;
