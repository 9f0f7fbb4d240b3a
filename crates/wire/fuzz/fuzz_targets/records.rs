//! Series read out of bytes, written anew and read again stay the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    weir_wire::oracle::check_records(bytes);
});
