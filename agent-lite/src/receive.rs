//! Remote write from short-lived senders on this host: taken into the buffer like a scrape.
//!
//! Invariant: 204 means that the request's samples are on disk, and for 2.0 the headers count them
//! exactly. A request with a series that has no name, or no label set, is refused as a whole.
//! Requests share one lane, so that a series' samples stay in the order in which they came. No
//! relabelling: the sender's labels stand, and external labels are added where it has none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use weir_http::limits::{BodyError, declared_len, read_body};
use weir_http::{HeaderMap, Incoming, Request, StatusCode, header};
use weir_model::{Label, Labels};
use weir_remote::Summary;
use weir_wire::encode::v2::Writer;
use weir_wire::negotiate::{
    EXEMPLARS_WRITTEN_HEADER, Encoding, HISTOGRAMS_WRITTEN_HEADER, SAMPLES_WRITTEN_HEADER, Version,
    encoding, version,
};
use weir_wire::records::decode_series;
use weir_wire::{Compressor, Decompressor};

use crate::admin::{Page, plain};
use crate::buffer::Buffer;
use crate::scrape::{Body, Sink as _};

/// Replaced as a whole by a reload.
type ExternalLabels = Arc<Vec<(String, String)>>;

/// Takes remote write.
#[derive(Clone, Debug)]
pub struct Receiver {
    buffer: Buffer,
    external_labels: Arc<RwLock<ExternalLabels>>,
    samples: Arc<AtomicU64>,
}

/// What a request held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Written {
    samples: usize,
    histograms: usize,
    exemplars: usize,
}

impl Receiver {
    /// Into this buffer.
    pub fn new(buffer: Buffer, external_labels: Vec<(String, String)>) -> Self {
        let external_labels = Arc::new(RwLock::new(Arc::new(external_labels)));
        Self { buffer, external_labels, samples: Arc::default() }
    }

    /// Requests get these labels from now on.
    pub fn set_external_labels(&self, labels: Vec<(String, String)>) {
        let mut own = self.external_labels.write().unwrap_or_else(PoisonError::into_inner);
        *own = Arc::new(labels);
    }

    /// Samples taken so far.
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    fn external_labels(&self) -> ExternalLabels {
        Arc::clone(&self.external_labels.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers a POST.
    pub async fn handle(&self, request: Request<Incoming>) -> Page {
        let (parts, body) = request.into_parts();
        let text = |name| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let spoken = version(text(header::CONTENT_TYPE))
            .and_then(|version| Ok((version, encoding(text(header::CONTENT_ENCODING))?)));
        let (version, encoding) = match spoken {
            Ok(spoken) => spoken,
            Err(why) => return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why),
        };
        let body = read_body(body, declared_len(&parts.headers), BODY_BYTES_MAX, TIMEOUT).await;
        let body = match body {
            Ok(body) => body,
            Err(why) => return refuse(status_of(&why), &why),
        };
        let external = self.external_labels();
        let encode = move || transcode(version, encoding, &body, &external);
        let (body, written) = match tokio::task::spawn_blocking(encode).await {
            Ok(Ok(read)) => read,
            Ok(Err(why)) => return refuse(StatusCode::BAD_REQUEST, &why),
            Err(why) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, &why),
        };
        match self.store(body).await {
            Ok(()) => accepted(version, written),
            Err(why) => {
                let mut page = refuse(StatusCode::SERVICE_UNAVAILABLE, &why);
                let after = weir_http::HeaderValue::from_static("5");
                page.headers_mut().insert(header::RETRY_AFTER, after);
                page
            }
        }
    }

    /// Waits until it is on disk.
    async fn store(&self, body: Body) -> Result<(), String> {
        if body.summary.samples > 0 {
            self.samples.fetch_add(body.summary.samples, Ordering::Relaxed);
            let now = weir_remote::destinations::now_ms();
            self.buffer.take(LANE, now, vec![body]).map_err(|why| why.to_string())?;
            self.buffer.wait_durable().await?;
        }
        Ok(())
    }
}

/// Reads a request and writes it as a body of the buffer.
fn transcode(
    version: Version,
    encoding: Encoding,
    compressed: &[u8],
    external: &[(String, String)],
) -> Result<(Body, Written), String> {
    let mut plain = Vec::new();
    let unpacked =
        Decompressor::default().decompress(encoding, compressed, PLAIN_BYTES_MAX, &mut plain);
    unpacked.map_err(|why| why.to_string())?;
    let mut writer = Writer::default();
    let mut written = Written::default();
    let mut wrong = None;
    let decoded = decode_series(version, &plain, &mut |series| {
        let named = series.labels.iter().any(|l| l.name == "__name__" && !l.value.is_empty());
        let missing = external.iter().filter(|(n, _)| !series.labels.iter().any(|l| l.name == n));
        let missing = missing.map(|(name, value)| Label { name, value });
        match Labels::from_pairs(series.labels.iter().copied().chain(missing)) {
            Ok(labels) if named => {
                let (samples, histograms) = (series.samples, series.histograms);
                let (exemplars, metadata) = (series.exemplars, series.metadata);
                writer.series(labels.iter(), samples, histograms, exemplars, metadata);
                written.samples += samples.len();
                written.histograms += histograms.len();
                written.exemplars += exemplars.len();
            }
            Ok(labels) => wrong = wrong.take().or(Some(format!("{labels} has no name"))),
            Err(why) => wrong = wrong.take().or(Some(why.to_string())),
        }
    });
    decoded.map_err(|why| why.to_string())?;
    if let Some(why) = wrong {
        return Err(why);
    }
    let (mut body, mut bytes) = (Vec::new(), Vec::new());
    writer.finish(&mut body);
    let packed = Compressor::default().compress(Encoding::Zstd, &body, &mut bytes);
    packed.map_err(|why| why.to_string())?;
    let summary = Summary {
        samples: (written.samples + written.histograms) as u64,
        histograms: written.histograms as u64,
        exemplars: written.exemplars as u64,
        plain_bytes: body.len() as u64,
    };
    Ok((Body { bytes, summary, owner: None, draft: 0 }, written))
}

fn accepted(version: Version, written: Written) -> Page {
    let mut page = plain(StatusCode::NO_CONTENT, "");
    if version == Version::V2 {
        let counts = [
            (SAMPLES_WRITTEN_HEADER, written.samples),
            (HISTOGRAMS_WRITTEN_HEADER, written.histograms),
            (EXEMPLARS_WRITTEN_HEADER, written.exemplars),
        ];
        let headers: &mut HeaderMap = page.headers_mut();
        for (name, count) in counts {
            if let Ok(name) = name.parse::<weir_http::HeaderName>() {
                headers.insert(name, count.into());
            }
        }
    }
    page
}

fn status_of(error: &BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Timeout => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken => StatusCode::BAD_REQUEST,
    }
}

fn refuse(status: StatusCode, why: &dyn std::fmt::Display) -> Page {
    plain(status, &format!("{why}\n"))
}

/// A request's body as it is sent, and after decompression: what Prometheus's receiver takes.
const BODY_BYTES_MAX: usize = 32 << 20;
const PLAIN_BYTES_MAX: usize = 32 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// All requests' lane: any number, for targets' lanes are hashes.
const LANE: u64 = 0x7265_6365_6976_6564;
