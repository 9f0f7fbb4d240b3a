//! Payloads of the log's records: whatever can be read is written back to the same meaning.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_aggregate::codec::Writer;

#[path = "../../../gateway/src/wal/records.rs"]
#[allow(dead_code, reason = "made for more than this target")]
mod records;

#[path = "../../../gateway/src/wal/tier.rs"]
#[allow(dead_code, reason = "made for more than this target")]
mod tier;

#[path = "../../../gateway/src/wal/moves.rs"]
mod moves;

use moves::{AdoptRecord, ReleaseRecord, State};
use records::{BatchRecord, ConfigRecord, FrontierRecord, RecordError};
use tier::{Item, PartialsRecord, PlacementRecord, WaiveRecord};

fuzz_target!(|bytes: &[u8]| {
    let payload = Bytes::copy_from_slice(bytes);
    if let Ok((record, body)) = BatchRecord::read(&payload) {
        let again = Bytes::from([&record.head()[..], &body[..]].concat());
        assert_eq!(BatchRecord::read(&again).ok(), Some((record, body)));
    }
    if let Ok(record) = FrontierRecord::read(bytes) {
        assert_eq!(FrontierRecord::read(&record.payload()).ok(), Some(record));
    }
    if let Ok(record) = PlacementRecord::read(bytes) {
        assert_eq!(PlacementRecord::read(&record.payload()).ok(), Some(record));
    }
    if let Ok(record) = WaiveRecord::read(bytes) {
        assert_eq!(WaiveRecord::read(&record.payload()).ok(), Some(record));
    }
    if let Ok(record) = ReleaseRecord::read(bytes) {
        assert_eq!(ReleaseRecord::read(&record.payload()).ok(), Some(record));
    }
    if let Ok(record) = PartialsRecord::read(&payload) {
        let again = Bytes::from([&record.head()[..], &record.body[..]].concat());
        assert_eq!(PartialsRecord::read(&again).ok(), Some(record));
    }
    if let Ok(record) = AdoptRecord::read(&payload) {
        let again = Bytes::from([&record.head()[..], &record.state[..]].concat());
        assert_eq!(AdoptRecord::read(&again).ok(), Some(record));
    }
    if let Ok(state) = State::read(&payload) {
        assert_eq!(State::read(&state.write()).ok(), Some(state));
    }
    if let Ok(items) = Item::read_all(bytes) {
        let mut out = Writer::default();
        items.iter().for_each(|item| item.write(&mut out));
        assert_eq!(Item::read_all(&out.bytes).ok(), Some(items));
    }
    if let Ok(record) = ConfigRecord::read(bytes) {
        assert_eq!(ConfigRecord::read(&record.payload()).ok(), Some(record));
    }
});
