//! From a decompressed request to columns: the entry point of both walkers.
//!
//! Invariant: the result is a function of body and context alone; what [`Hints`] keep between
//! requests is memory, never knowledge. So replaying a log decodes as receiving did. Only
//! protobuf that cannot be read is refused here: what labels say is judged where a series is new.
//! Memory is bounded by the body's size and the `…_MAX` below.

use weir_model::{BlockHasher, Columns, ShardKey, Timestamp};

use crate::body::{Body, Tables};
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::negotiate::Version;
use crate::pool::Pool;
use crate::target::TargetMemory;
use crate::v2::SeriesMetadata;
use crate::{v1, v2};

/// Time series of one request; senders have 2,000, proxies 10,000.
pub const SERIES_MAX: usize = 1 << 20;
/// Float samples of one request.
pub const SAMPLES_MAX: usize = 1 << 22;
/// Native histograms, exemplars or metadata of one request.
pub const EXTRAS_MAX: usize = 1 << 18;
/// Buckets of all native histograms of one request.
pub const BUCKETS_MAX: usize = 1 << 22;
/// Symbols of one 2.0 request.
pub const SYMBOLS_MAX: usize = 1 << 22;
/// Bytes of exemplars' labels and of metadata in one request; 2.0 can repeat a long symbol.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Bytes of all series' labels, written out, in one 2.0 request.
pub const LABEL_BYTES_MAX: u64 = 1 << 30;
/// Fewer bytes than a series with labels and a sample has.
const SERIES_BYTES_MIN: usize = 32;
/// Offsets are `u32`; one bit is kept free.
const BODY_BYTES_MAX: usize = 1 << 31;

/// What the decoder must know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext<'a> {
    /// The process's seeded hash.
    pub hasher: &'a BlockHasher,
    /// The cluster's shard key.
    pub shard_key: &'a ShardKey,
    /// The tenant's name, part of the virtual shard's hash.
    pub tenant: &'a str,
    /// The tenant's number in this process, part of the block hash.
    pub tenant_id: u32,
}

/// Memory that one decoding thread keeps between requests.
#[derive(Debug, Default)]
pub struct Hints {
    /// Where the label messages of the plain series in hand begin in its block (1.0).
    pub(crate) hops: v1::Hops,
    /// Label messages of any other series (1.0): start and end in the body.
    pub(crate) spots: Vec<(u32, u32)>,
    /// Scattered label messages put together.
    pub(crate) joined: Vec<u8>,
    /// The target of the series before.
    pub(crate) target: TargetMemory,
    /// The symbols' hashes (2.0).
    pub(crate) symbol_hashes: Vec<u64>,
    /// By help symbol, the last metadata with this help and its place in the columns (2.0).
    pub(crate) metadata_of_help: Vec<Option<(u32, SeriesMetadata)>>,
    /// Memory of bodies.
    pub(crate) pool: Pool,
    /// How many series the request before had.
    pub(crate) series: usize,
    /// How many of them had more than floats.
    pub(crate) extras: usize,
    /// How many label references it had (2.0).
    pub(crate) refs: usize,
}

impl Hints {
    /// Memory for a body, to be decompressed into; it comes back when the [`Body`] is dropped.
    pub fn room(&self) -> Vec<u8> {
        self.pool.take()
    }
}

/// Decodes a request into `columns`, whose old content goes.
///
/// Each time series becomes one entry, with its block hash and virtual shard; float samples,
/// native histograms, exemplars and metadata go to their columns. Text of exemplars and metadata
/// that is no UTF-8 is repaired with U+FFFD. On an error the columns are empty.
pub fn decode(
    version: Version,
    body: Vec<u8>,
    ctx: &DecodeContext<'_>,
    columns: &mut Columns,
    hints: &mut Hints,
) -> Result<Body, DecodeError> {
    let tables = walk(version, &body, Some(ctx), columns, hints)?;
    Ok(Body::new(version, body, tables, hints.pool.clone()))
}

/// Decodes; without a context hashes and virtual shards stay zero.
pub(crate) fn walk(
    version: Version,
    body: &[u8],
    ctx: Option<&DecodeContext<'_>>,
    columns: &mut Columns,
    hints: &mut Hints,
) -> Result<Tables, DecodeError> {
    columns.clear();
    if body.len() >= BODY_BYTES_MAX {
        return Err(DecodeError::new(0, Kind::BodyTooLong(body.len())));
    }
    // Most requests of a sender are of one size, and growing step by step copies.
    let likely = hints.series.min(body.len() / SERIES_BYTES_MIN);
    columns.reserve(likely);
    columns.extras.reserve(likely.min(hints.extras));
    let tables = match version {
        Version::V1 => v1::walk(body, ctx, columns, hints).map(|()| Tables::default()),
        Version::V2 => v2::walk(body, ctx, columns, hints),
    };
    if tables.is_err() {
        columns.clear();
    }
    hints.series = columns.entries.len();
    hints.extras = columns.extras.len();
    tables
}

/// Refuses the next one where `len` are there already.
#[inline]
pub(crate) fn check_room(
    len: usize,
    limit: usize,
    what: &'static str,
    offset: usize,
) -> Result<(), DecodeError> {
    if len >= limit {
        return Err(DecodeError::new(offset, Kind::TooMany { what, limit }));
    }
    Ok(())
}

/// Adds a float sample; the column of start timestamps grows only where there is one.
#[inline]
pub(crate) fn push_sample(
    columns: &mut Columns,
    timestamp: Timestamp,
    value: f64,
    start: Timestamp,
) {
    if start != 0 {
        columns.starts.resize(columns.timestamps.len(), 0);
        columns.starts.push(start);
    }
    columns.timestamps.push(timestamp);
    columns.values.push(value);
}
