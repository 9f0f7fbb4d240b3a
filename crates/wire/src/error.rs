//! What was wrong with a request's bytes, and at which one of them.
//!
//! Messages are for the operator of the sender: they name the byte of the decompressed body, the
//! series where there is one, and what was expected. No status codes: the gateway chooses those.

use weir_model::LabelsError;

/// Why a decompressed body is no request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("byte {offset}{}: {kind}", .series.map(|n| format!(" (series {n})")).unwrap_or_default())]
pub struct DecodeError {
    /// Where in the decompressed body.
    pub offset: usize,
    /// In which time series of the request, counted from 0.
    pub series: Option<u32>,
    /// What was wrong there.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    /// An error at this byte.
    pub(crate) fn new(offset: usize, kind: DecodeErrorKind) -> Self {
        Self { offset, series: None, kind }
    }

    /// Adds the series, unless a more precise place is known.
    #[must_use]
    pub(crate) fn in_series(mut self, series: usize) -> Self {
        self.series = self.series.or(u32::try_from(series).ok());
        self
    }
}

/// What was wrong with a body.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The bytes end inside a field.
    #[error("the message is cut off")]
    Truncated,
    /// A length that goes past the message around it.
    #[error("a length of {length} bytes where only {left} are left")]
    Length {
        /// What the length says.
        length: u64,
        /// What there is.
        left: usize,
    },
    /// A varint of more than 64 bits.
    #[error("a varint longer than 64 bits")]
    Varint,
    /// A field key that protobuf does not have.
    #[error("{0} is no protobuf field key")]
    Key(u64),
    /// A known field with another type than the schema's.
    #[error("field {field} of {message} has wire type {found}")]
    WireType {
        /// The message's name in the schema.
        message: &'static str,
        /// The field's number.
        field: u32,
        /// The wire type that stands there.
        found: u8,
    },
    /// A group that does not end, ends twice, or nests too deep.
    #[error("a malformed protobuf group")]
    Group,
    /// A 1.0 body without anything of 1.0 in it.
    #[error(
        "a body of {0} bytes without one remote write 1.0 time series or metadata; \
         a 2.0 request needs `Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request`"
    )]
    NotV1(usize),
    /// A 2.0 body without anything of 2.0 in it.
    #[error(
        "a body of {0} bytes without one remote write 2.0 symbol or time series; \
         a 1.0 request needs `Content-Type: application/x-protobuf` without this `proto`"
    )]
    NotV2(usize),
    /// A first symbol that is not the empty string.
    #[error("the first symbol must be the empty string")]
    FirstSymbol,
    /// A reference past the symbol table.
    #[error("symbol reference {reference} of a table of {symbols} symbols")]
    Reference {
        /// The reference.
        reference: u32,
        /// The table's length.
        symbols: usize,
    },
    /// A label name without its value.
    #[error("an odd number of label references ({0}); they come in pairs of name and value")]
    OddReferences(usize),
    /// More of something than one request may carry.
    #[error("more than {limit} {what} in one request")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// More bytes than offsets can count.
    #[error("a body of {0} bytes; at most 2 GiB can be decoded")]
    BodyTooLong(usize),
    /// Labels that cannot be read (only where whole series are asked for).
    #[error(transparent)]
    Labels(#[from] LabelsError),
}
