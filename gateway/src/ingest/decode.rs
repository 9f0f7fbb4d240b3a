//! Decompress and decode, with memory that each thread keeps between requests.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use weir_model::{BlockHasher, Columns, ShardKey, TenantId, Timestamp};
use weir_wire::Body;
use weir_wire::compress::Decompressor;
use weir_wire::decode::{DecodeContext, Hints, decode};
use weir_wire::negotiate::{Encoding, Version};

use super::Answer;

/// A decoded request.
pub struct Decoded {
    /// Its content.
    pub columns: Columns,
    /// Where its labels stand.
    pub body: Body,
    /// Bytes of the body when decompressed.
    pub body_bytes: usize,
    /// Samples that are refused before logging, ascending; see [`Decoded::refuse_future`].
    pub refused: Vec<u32>,
    /// The first sample from the future.
    pub first_future: Option<Timestamp>,
}

/// One thread's decoder.
#[derive(Default)]
pub struct Decoder {
    decompressor: Decompressor,
    hints: Hints,
}

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::default();
}

impl Decoder {
    /// Runs with this thread's decoder.
    pub fn take<T>(run: impl FnOnce(&mut Self) -> T) -> T {
        DECODER.with(|decoder| run(&mut decoder.borrow_mut()))
    }

    /// Decompresses and decodes a body.
    pub fn decode(
        &mut self,
        hasher: &BlockHasher,
        (version, encoding): (Version, Encoding),
        compressed: &[u8],
        cap_bytes: usize,
        (name, id): (&Arc<str>, TenantId),
        shard_key: &ShardKey,
    ) -> Result<Decoded, Answer> {
        let mut bytes = self.hints.room();
        self.decompressor.decompress(encoding, compressed, cap_bytes, &mut bytes)?;
        let body_bytes = bytes.len();
        let context = DecodeContext { hasher, shard_key, tenant: name, tenant_id: id.0 };
        let mut columns = Columns::default();
        let body = decode(version, bytes, &context, &mut columns, &mut self.hints)?;
        if crate::crash::loses("decoder") {
            lose_last(&mut columns);
        }
        Ok(Decoded { columns, body, body_bytes, refused: Vec::new(), first_future: None })
    }
}

/// As a walker would that overlooks the last series.
fn lose_last(columns: &mut Columns) {
    let lost = columns.entries.pop().map_or(0, |entry| entry.samples_len as usize);
    columns.timestamps.truncate(columns.timestamps.len() - lost);
    columns.values.truncate(columns.timestamps.len());
    columns.starts.truncate(columns.timestamps.len());
}

impl Decoded {
    /// Lets the thread's next request have the memory of the decompressed body: known series need none of
    /// it. For others it is decompressed anew.
    pub(super) fn set_aside(&mut self, encoding: Encoding, compressed: &Bytes) {
        let (compressed, body_bytes) = (compressed.clone(), self.body_bytes);
        self.body.set_aside(move || {
            let mut bytes = Vec::new();
            let again =
                Decompressor::default().decompress(encoding, &compressed, body_bytes, &mut bytes);
            // It has been decompressed before.
            debug_assert_eq!(again, Ok(()));
            bytes
        });
    }

    /// The latest timestamp in it.
    pub fn newest(&self) -> Timestamp {
        let floats = self.columns.timestamps.iter().copied().max();
        let histograms = self.columns.histograms.iter().map(|h| h.timestamp).max();
        floats.max(histograms).unwrap_or(Timestamp::MIN)
    }

    /// Refuses samples later than `limit`. Histograms are numbered after the floats.
    pub fn refuse_future(&mut self, limit: Timestamp) {
        let histograms = self.columns.histograms.iter().map(|h| h.timestamp);
        let all = self.columns.timestamps.iter().copied().chain(histograms);
        let future = all.enumerate().filter(|&(_, at)| at > limit);
        for (place, at) in future {
            self.first_future.get_or_insert(at);
            self.refused.push(place as u32);
        }
    }
}
