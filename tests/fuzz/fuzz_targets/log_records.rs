//! Payloads of the log's records: whatever can be read is written back to the same meaning.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

#[path = "../../../gateway/src/wal/records.rs"]
mod records;

use records::{BatchRecord, ConfigRecord, FrontierRecord};

fuzz_target!(|bytes: &[u8]| {
    let payload = Bytes::copy_from_slice(bytes);
    if let Ok((record, body)) = BatchRecord::read(&payload) {
        let again = Bytes::from([&record.head()[..], &body[..]].concat());
        assert_eq!(BatchRecord::read(&again).ok(), Some((record, body)));
    }
    if let Ok(record) = FrontierRecord::read(bytes) {
        assert_eq!(FrontierRecord::read(&record.payload()).ok(), Some(record));
    }
    if let Ok(record) = ConfigRecord::read(bytes) {
        assert_eq!(ConfigRecord::read(&record.payload()).ok(), Some(record));
    }
});
