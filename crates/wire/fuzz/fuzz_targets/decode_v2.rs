//! Remote write 2.0: whatever prost takes is taken, and read the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _taken_by_prost = weir_wire::oracle::check_v2(bytes);
});
