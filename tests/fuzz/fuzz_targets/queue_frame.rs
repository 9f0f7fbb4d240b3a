//! Frames of the send queue: a header that can be read is written back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../crates/remote/src/frame.rs"]
#[allow(dead_code, reason = "the target needs reading and writing only")]
mod frame;

fuzz_target!(|payload: &[u8]| {
    if let Ok((header, body)) = frame::read(payload) {
        let mut again = Vec::new();
        header.write(&mut again);
        again.extend_from_slice(body);
        let (same, rest) = frame::read(&again).expect("what was written can be read");
        assert_eq!((same, rest), (header, body));
    }
});
