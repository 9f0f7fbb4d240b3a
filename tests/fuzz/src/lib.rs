//! What the fuzz targets of the disk formats share: whole bytes, changed as the fuzzer says.
//!
//! Checksums and lengths keep random bytes from getting far into a reader, so a target begins with
//! bytes that are whole and treats its input as a list of changes to them.

/// `whole`, changed: each three bytes of the script flip bits (place, place, mask); a mask of 0
/// cuts at that place instead.
pub fn changed(whole: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for change in script.chunks_exact(3) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        match change[2] {
            0 => bytes.truncate(at),
            mask => bytes[at] ^= mask,
        }
    }
    bytes
}
