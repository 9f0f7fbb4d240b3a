//! Captured remote write, sent again: its series and values, with the timestamps of now.
//!
//! A capture is a body as it came (`*.body`), with its headers beside it (`*.headers.json`: an object
//! of names and values) where it is not 1.0 in snappy. Each file is a slot; at each turn all its
//! timestamps move so that the newest one is when the request is due. Invariant: what is in a capture
//! stays as it is, byte by byte, but for its timestamps.

mod walk;

use std::io::Read;
use std::path::Path;

use crate::body::{Body, Compression, Protocol, Scratch};
use crate::workload::Request;

/// Captures, in the order of their names.
#[derive(Clone, Debug)]
pub struct Replay {
    captures: Vec<Capture>,
}

/// One body.
#[derive(Clone, Debug)]
struct Capture {
    plain: Vec<u8>,
    stamps: Vec<walk::Stamp>,
    newest: i64,
    samples: u64,
    protocol: Protocol,
}

/// Bytes of a capture once decompressed.
const PLAIN_MOST: u64 = 256 << 20;

impl Replay {
    /// Reads a folder; says all that is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, Vec<String>> {
        let shown = folder.display();
        let entries = std::fs::read_dir(folder).map_err(|e| vec![format!("{shown}: {e}")])?;
        let paths = entries.flatten().map(|entry| entry.path());
        let mut files: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "body")).collect();
        files.sort();
        if files.is_empty() {
            return Err(vec![format!("{shown}: no file is named *.body")]);
        }
        let (mut captures, mut wrong) = (Vec::new(), Vec::new());
        for file in files {
            match Capture::read(&file) {
                Ok(capture) => captures.push(capture),
                Err(why) => wrong.push(format!("{}: {why}", file.display())),
            }
        }
        let all = Self { captures };
        if wrong.is_empty() && all.samples() == 0 {
            wrong.push(format!("{shown}: there is no sample in any of its files"));
        }
        if wrong.is_empty() { Ok(all) } else { Err(wrong) }
    }

    /// Captures.
    pub fn len(&self) -> u64 {
        self.captures.len() as u64
    }

    /// Whether there is none; [`Replay::read`] sees to it that there is.
    pub fn is_empty(&self) -> bool {
        self.captures.is_empty()
    }

    /// Samples and histograms of a capture.
    pub fn samples_of(&self, slot: u64) -> u64 {
        self.captures[slot as usize].samples
    }

    /// Samples and histograms of all.
    pub fn samples(&self) -> u64 {
        self.captures.iter().map(|capture| capture.samples).sum()
    }

    /// `Content-Type` of a capture.
    pub fn content_type(&self, slot: u64) -> &'static str {
        self.captures[slot as usize].protocol.content_type()
    }

    /// Makes a body the request's.
    pub fn fill(
        &self,
        request: &Request,
        body: &mut Body,
        compression: Compression,
        scratch: &mut Scratch,
    ) {
        let capture = &self.captures[(request.number % self.len()) as usize];
        let moved = request.time - capture.newest;
        let stamps = capture.stamps.iter().map(|stamp| (stamp.at, stamp.time + moved));
        body.replay(&capture.plain, stamps, compression, scratch);
    }
}

impl Capture {
    fn read(file: &Path) -> Result<Self, String> {
        let packed = std::fs::read(file).map_err(|e| e.to_string())?;
        let (protocol, compression) = headers(&file.with_extension("headers.json"))?;
        let plain = unpack(compression, &packed)?;
        let found = walk::walk(protocol, &plain)?;
        // Senders also post metadata alone: it has no time.
        let newest = found.stamps.iter().map(|stamp| stamp.time).max().unwrap_or(0);
        Ok(Self { plain, stamps: found.stamps, newest, samples: found.samples, protocol })
    }
}

fn headers(file: &Path) -> Result<(Protocol, Compression), String> {
    let Ok(text) = std::fs::read_to_string(file) else {
        return Ok((Protocol::V1, Compression::Snappy));
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| format!("its headers: {e}"))?;
    let get = |name: &str| {
        let fields = value.as_object()?;
        let field = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        field.1.as_str()
    };
    let is_v2 = get("content-type").is_some_and(|t| t.contains("write.v2"));
    let protocol = if is_v2 { Protocol::V2 } else { Protocol::V1 };
    match get("content-encoding") {
        None | Some("snappy") => Ok((protocol, Compression::Snappy)),
        Some("zstd") => Ok((protocol, Compression::Zstd)),
        Some(other) => Err(format!("Content-Encoding {other:?} is neither snappy nor zstd")),
    }
}

fn unpack(compression: Compression, packed: &[u8]) -> Result<Vec<u8>, String> {
    match compression {
        Compression::Snappy => {
            let len = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
            if len as u64 > PLAIN_MOST {
                return Err("it is too large".to_owned());
            }
            let mut plain = vec![0; len];
            snap::raw::Decoder::new().decompress(packed, &mut plain).map_err(|e| e.to_string())?;
            Ok(plain)
        }
        Compression::Zstd => {
            let mut plain = Vec::new();
            let decoder = zstd::Decoder::new(packed).map_err(|e| e.to_string())?;
            decoder.take(PLAIN_MOST).read_to_end(&mut plain).map_err(|e| e.to_string())?;
            Ok(plain)
        }
    }
}

#[cfg(test)]
mod tests;
