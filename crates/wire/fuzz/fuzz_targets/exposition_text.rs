//! Text 0.0.4 and OpenMetrics: no panic, and a series' bytes are a series of their own.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    weir_wire::oracle::exposition::check_text(bytes);
});
