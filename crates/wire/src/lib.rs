//! Remote write 1.0 and 2.0, exposition formats, compression with caps.
//!
//! Bytes in, values out, and the reverse: no socket, no file, no clock. In reading order:
//! [`negotiate`] says what a request is, [`compress`] unpacks it, [`decode()`] walks it into the
//! model's columns, and [`Body`] keeps its bytes for those who still have to read labels.
//! [`encode`] writes requests, [`records`] reads whole series back from them, [`text`] writes
//! exposition formats, [`exposition`] reads them.
//!
//! Invariant: no input makes this crate panic or take memory beyond stated bounds.

pub mod compress;
pub mod decode;
pub mod encode;
pub mod exposition;
pub mod negotiate;
pub mod records;
pub mod text;

mod body;
mod changed;
mod error;
mod histogram;
mod pool;
mod snappy;
mod split;
mod swar;
mod tally;
mod target;
mod v1;
mod v2;
mod varint;

#[cfg(any(test, feature = "oracle"))]
pub mod oracle;

#[cfg(test)]
mod tests;

pub use body::Body;
pub use compress::{Compressor, DecompressError, Decompressor};
pub use decode::{DecodeContext, Hints, decode};
pub use error::{DecodeError, DecodeErrorKind};
pub use histogram::histogram_is_consistent;
pub use negotiate::{Encoding, Unsupported, Version};
pub use split::split;
