//! Segment files taken apart by the documented layout (`docs/DISK_FORMAT.md`), without the journal's
//! code: which bytes belong to which record.

use std::path::{Path, PathBuf};

use weir_journal::fs::faulty::FaultyFs;

const HEADER: usize = 64;
const HEAD: usize = 24;

/// A frame of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The segment.
    pub(crate) path: PathBuf,
    /// Where it begins.
    pub(crate) offset: usize,
    /// With padding.
    pub(crate) bytes: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) position: u64,
    pub(crate) kind: u8,
    /// Nothing follows it in this journal: who flips a bit here has cut a torn tail.
    pub(crate) last: bool,
}

impl Frame {
    /// The journal's directory.
    pub(crate) fn journal(&self) -> &str {
        let directory = self.path.parent().and_then(Path::file_name);
        directory.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether a byte of its file belongs to it; padding does not.
    pub(crate) fn holds(&self, path: &Path, offset: usize) -> bool {
        let end = self.offset + HEAD + self.payload_bytes;
        self.path == path && (self.offset..end).contains(&offset)
    }

    /// A byte of each field, three of the payload, and one of the padding.
    pub(crate) fn fields(&self) -> impl Iterator<Item = usize> {
        let payload = [HEAD, HEAD + self.payload_bytes / 2, HEAD + self.payload_bytes - 1];
        let heads = [0, 5, 8, 16, 18, 19, 20];
        let padding = (self.bytes > HEAD + self.payload_bytes).then_some(self.bytes - 1);
        let (offset, bytes) = (self.offset, self.bytes);
        let all = heads.into_iter().chain(payload).chain(padding);
        all.filter(move |&at| at < bytes).map(move |at| offset + at)
    }
}

/// All records on a disk, in the order of files and offsets.
pub(crate) fn frames(fs: &FaultyFs) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for path in fs.paths().into_iter().filter(|path| path.extension().is_some_and(|e| e == "seg")) {
        let bytes = fs.content(&path).expect("it is there");
        let number =
            |at: usize| bytes[at..at + 4].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        let mark = 0x4652_4a57 ^ number(24);
        let mut offset = HEADER;
        while offset + HEAD <= bytes.len() && number(offset) == mark && bytes[offset + 19] == 1 {
            let payload_bytes = number(offset + 4) as usize;
            let frame = Frame {
                path: path.clone(),
                offset,
                bytes: (HEAD + payload_bytes).next_multiple_of(8),
                payload_bytes,
                position: number(offset + 8),
                kind: bytes[offset + 18],
                last: true,
            };
            offset += frame.bytes;
            if let Some(before) = frames.last_mut().filter(|f| f.journal() == frame.journal()) {
                before.last = false;
            }
            frames.push(frame);
        }
    }
    frames
}
