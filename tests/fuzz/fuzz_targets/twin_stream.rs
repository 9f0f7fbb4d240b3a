//! Changes of files as another member sends them: whatever can be read stays below the data directory, and
//! is written back to the same bytes' meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_aggregate::codec::{Reader, Writer};

#[path = "../../../gateway/src/twin/op.rs"]
mod op;

use op::{Op, OpError, PIECE_BYTES};

fuzz_target!(|bytes: &[u8]| {
    let mut from = Reader::new(bytes);
    while !from.is_empty() {
        let Ok(change) = Op::read(&mut from) else { return };
        assert_sane(&change);
        let mut out = Writer::default();
        change.write(&mut out);
        let mut again = Reader::new(&out.bytes);
        let read: Result<Op<'_>, OpError> = Op::read(&mut again);
        assert_eq!(read.ok().as_ref(), Some(&change));
        assert!(again.is_empty());
    }
});

fn assert_sane(change: &Op<'_>) {
    let paths = match change {
        Op::Folder(path) | Op::Create(path) | Op::Length(path, _) | Op::Sync(path) => vec![path],
        Op::Remove(path) => vec![path],
        Op::Write(path, _, piece) => {
            assert!(piece.len() <= PIECE_BYTES);
            vec![path]
        }
        Op::Rename(from, to) => vec![from, to],
        Op::SyncFolder(path) if !path.is_empty() => vec![path],
        Op::SyncFolder(_) | Op::Whole => return,
    };
    for path in paths {
        let names: Vec<&str> = path.split('/').collect();
        assert!(names.len() <= 2, "{path:?}");
        assert!(names.iter().all(|name| !["", ".", ".."].contains(name)), "{path:?}");
    }
}
