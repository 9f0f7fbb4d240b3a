//! Protobuf exposition: whatever prost takes and the rules allow is taken, and read the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _taken_by_prost = weir_wire::oracle::exposition::check_protobuf(bytes);
});
