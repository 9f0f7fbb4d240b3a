//! Captures of Prometheus and vmagent, moved in time, read back by prost.

use prost::Message;
use weir_wire::oracle::v1;

use super::*;

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/tests/fixtures")
}

fn decode(plain: &[u8]) -> v1::WriteRequest {
    v1::WriteRequest::decode(plain).expect("a 1.0 message")
}

#[test]
fn real_captures_keep_all_but_their_time() {
    let replay = Replay::read(&fixtures()).expect("captures");
    assert_eq!(replay.len(), 8);
    let time = 1_790_000_000_000;
    for (slot, capture) in replay.captures.iter().enumerate() {
        let mut body = Body::default();
        let request = Request { number: slot as u64 + replay.len(), time, since: time };
        replay.fill(&request, &mut body, Compression::Snappy, &mut Scratch::default());
        let sent = unpack(Compression::Snappy, body.bytes()).expect("snappy");
        let (mut before, after) = (decode(&capture.plain), decode(&sent));
        let samples = before.timeseries.iter().map(|s| s.samples.len() + s.histograms.len());
        assert_eq!(capture.samples, samples.sum::<usize>() as u64);
        let stamps = after.timeseries.iter().flat_map(|s| &s.samples).map(|s| s.timestamp);
        let newest = (capture.samples > 0).then_some(time);
        assert_eq!(stamps.max(), newest);
        let moved = time - capture.newest;
        for series in &mut before.timeseries {
            series.samples.iter_mut().for_each(|s| s.timestamp += moved);
            series.exemplars.iter_mut().for_each(|e| e.timestamp += moved);
            series.histograms.iter_mut().for_each(|h| h.timestamp += moved);
        }
        assert_eq!(before.encode_to_vec(), after.encode_to_vec());
    }
}

#[test]
fn what_is_no_capture_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = Replay::read(folder.path()).expect_err("nothing there");
    assert!(none[0].contains("*.body"), "{none:?}");
    std::fs::write(folder.path().join("a.body"), b"\x05nope").expect("it is written");
    std::fs::write(folder.path().join("b.body"), b"\x02\x04\x0a\x09").expect("it is written");
    let wrong = Replay::read(folder.path()).expect_err("no captures");
    let named =
        wrong[0].contains("a.body") && wrong[1].contains("b.body: byte 2: the message is cut");
    assert!(named, "{wrong:?}");
    std::fs::remove_file(folder.path().join("a.body")).expect("it is there");
    std::fs::write(folder.path().join("b.body"), b"\x00").expect("it is written");
    let empty = Replay::read(folder.path()).expect_err("nothing to send");
    assert!(empty[0].contains("no sample"), "{empty:?}");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        for protocol in [Protocol::V1, Protocol::V2] {
            walk::walk(protocol, &bytes).ok();
        }
    }
}
