//! The few pieces of protobuf that a request is made of.
//!
//! Fields have numbers below 16, so that every key is one byte.

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
const LEN: u8 = 2;

pub(super) fn key(out: &mut Vec<u8>, field: u32, wire: u8) {
    out.push((field as u8) << 3 | wire);
}

pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Begins a field of this many bytes.
pub(super) fn begin(out: &mut Vec<u8>, field: u32, len: usize) {
    key(out, field, LEN);
    varint(out, len as u64);
}

/// Length of a whole field that holds this many bytes.
pub(super) fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

pub(super) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    begin(out, field, text.len());
    out.extend(text.as_bytes());
}
