//! Snappy and zstd: no panic, and no memory over the cap.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    weir_wire::oracle::check_decompress(bytes);
});
