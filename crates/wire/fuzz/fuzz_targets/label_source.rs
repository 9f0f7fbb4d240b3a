//! Labels of decoded entries, and of blocks that are none.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    weir_wire::oracle::check_label_source(bytes);
});
