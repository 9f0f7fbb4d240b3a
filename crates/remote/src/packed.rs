//! A frame's body that can be sent as it stands, and how it is opened where it cannot.
//!
//! Invariant: an opened body gives the series that the packed one says, in its order. Whether a frame
//! may be sent unopened to a destination is decided in [`crate::prepare`]; whether it is, when its
//! request is written.

use bytes::Bytes;
use weir_model::{Labels, LabelsError};
use weir_wire::records::decode_series;
use weir_wire::{DecodeError, DecompressError, Decompressor, Encoding, Version};

use crate::unit::Series;

/// A body after decompression; gateways and agents write far smaller ones.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;

/// From so many samples on a body has a request to itself. Smaller ones are opened, so that several
/// share a request and its fixed cost. The number is chosen, not measured.
pub(crate) const ALONE_SAMPLES_MIN: usize = 500;

/// Why a body cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its compression.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// Its content.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A series of it.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

/// A remote write 2.0 request, compressed.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Compressed with zstd.
    pub body: Bytes,
    /// Samples of both kinds in it.
    pub samples: usize,
    /// Its bytes before compression.
    pub plain_bytes: usize,
}

impl Packed {
    /// Its bytes, if they are a request as it is to be sent.
    pub(crate) fn as_sent(&self, protocol: Version, compression: Encoding) -> Option<&Bytes> {
        (protocol == Version::V2 && compression == Encoding::Zstd).then_some(&self.body)
    }

    /// Its series.
    pub(crate) fn open(&self) -> Result<Vec<Series>, OpenError> {
        let mut plain = Vec::new();
        let mut decompressor = Decompressor::default();
        decompressor.decompress(Encoding::Zstd, &self.body, BODY_BYTES_MAX, &mut plain)?;
        let mut wrong = None;
        let mut all = Vec::new();
        decode_series(Version::V2, &plain, &mut |view| {
            let series = Labels::from_pairs(view.labels.iter().copied()).map(|labels| Series {
                labels,
                samples: view.samples.to_vec(),
                histograms: view.histograms.to_vec(),
                exemplars: view.exemplars.to_vec(),
                metadata: view.metadata.cloned(),
            });
            match series {
                Ok(series) => all.push(series),
                Err(error) => wrong = Some(error),
            }
        })?;
        wrong.map_or(Ok(all), |error| Err(error.into()))
    }
}
