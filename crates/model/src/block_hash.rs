//! The hash by which a known series is recognized: that of its label block as it stands on the
//! wire.
//!
//! It is seeded anew in each process and never leaves it. Blocks of bytes go through NH, the
//! universal hash of UMAC (RFC 4418) in VMAC's words of 64 bits: one multiplication for 16 bytes.
//! Two blocks of one part, whoever chose them, meet with a probability of at most 2⁻⁶³ over the
//! keys. Remote write 2.0 has no block: there the words are the hashes of its symbols, names and
//! values in their order. What NH gives is not scattered, so a multiplication closes it.

use xxhash_rust::xxh3::xxh3_128;

/// The seeded hash of a label block as it stands on the wire.
#[derive(Clone)]
pub struct BlockHasher {
    byte_keys: [[u64; 2]; PART],
    label_keys: [[u64; 2]; PART],
    seed: u64,
}

impl std::fmt::Debug for BlockHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockHasher(seeded)")
    }
}

impl BlockHasher {
    /// Spreads 16 random bytes over the keys. Give each process its own.
    pub fn new(seed: u128) -> Self {
        let key = |index: usize| {
            let mut input = seed.to_le_bytes().to_vec();
            input.push(index as u8);
            halves(xxh3_128(&input))
        };
        Self {
            byte_keys: std::array::from_fn(key),
            label_keys: std::array::from_fn(|index| key(PART + index)),
            seed: seed as u64 ^ (seed >> 64) as u64,
        }
    }

    /// The hash of a block of bytes (remote write 1.0: the label messages).
    #[inline]
    pub fn bytes(&self, block: &[u8]) -> u128 {
        let (first, rest) = block.split_at(block.len().min(16 * PART));
        let sum = self.nh(first).wrapping_add(block.len() as u128);
        let hash = self.mix(u128::from(self.seed), sum);
        rest.chunks(16 * PART).fold(hash, |hash, part| self.mix(hash, self.nh(part)))
    }

    /// The hash of a symbol (remote write 2.0), for [`BlockHasher::labels`].
    #[inline]
    pub fn symbol(&self, text: &[u8]) -> u64 {
        let [low, high] = halves(self.bytes(text));
        low ^ high
    }

    /// The hash of a label set that refers to symbols, name and value by turns (remote write 2.0).
    /// `None` if a symbol is not in the table.
    #[inline]
    pub fn labels(&self, refs: &[u32], symbols: &[u64]) -> Option<u128> {
        let (first, rest) = refs.split_at(refs.len().min(2 * PART));
        let sum = self.nh_of_labels(first, symbols)?.wrapping_add(refs.len() as u128);
        // Another start than that of bytes.
        let mut hash = self.mix(u128::from(!self.seed), sum);
        for part in rest.chunks(2 * PART) {
            hash = self.mix(hash, self.nh_of_labels(part, symbols)?);
        }
        Some(hash)
    }

    /// Mixes the tenant into a finished block hash.
    #[inline]
    pub fn with_tenant(&self, hash: u128, tenant: u32) -> u128 {
        if tenant == 0 { hash } else { self.mix(hash, u128::from(tenant)) }
    }

    /// NH of a part. Its last 16 bytes are taken whole, whether or not some of them have been
    /// taken before: for blocks of one length that is as good as padding, and quicker.
    #[inline]
    fn nh(&self, part: &[u8]) -> u128 {
        let (words, tail) = part.as_chunks::<16>();
        let mut sum = 0u128;
        for (&words, key) in words.iter().zip(&self.byte_keys) {
            sum = sum.wrapping_add(product(halves(u128::from_le_bytes(words)), key));
        }
        if let Some(key) = self.byte_keys.get(words.len())
            && !tail.is_empty()
        {
            let last = part.last_chunk::<16>().copied().unwrap_or_else(|| padded(tail));
            sum = sum.wrapping_add(product(halves(u128::from_le_bytes(last)), key));
        }
        sum
    }

    #[inline]
    fn nh_of_labels(&self, refs: &[u32], symbols: &[u64]) -> Option<u128> {
        let mut sum = 0u128;
        for (&[name, value], key) in refs.as_chunks::<2>().0.iter().zip(&self.label_keys) {
            let label = [*symbols.get(name as usize)?, *symbols.get(value as usize)?];
            sum = sum.wrapping_add(product(label, key));
        }
        Some(sum)
    }

    /// Scatters `next` over what comes before it.
    #[inline]
    fn mix(&self, state: u128, next: u128) -> u128 {
        const K0: u64 = 0x9e37_79b9_7f4a_7c15;
        const K1: u64 = 0xc2b2_ae3d_27d4_eb4f;
        let [low, high] = halves(state ^ next);
        let low = fold(low, K0 ^ self.seed);
        let high = fold(high, K1 ^ self.seed.rotate_left(32));
        u128::from(low.wrapping_add(K1)) | (u128::from(high ^ low.rotate_left(17)) << 64)
    }
}

/// Pairs of words that there are keys for; what is longer is hashed in parts.
const PART: usize = 64;

#[inline]
fn halves(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

/// A term of NH.
#[inline]
fn product(words: [u64; 2], key: &[u64; 2]) -> u128 {
    u128::from(words[0].wrapping_add(key[0])) * u128::from(words[1].wrapping_add(key[1]))
}

/// Fewer than 16 bytes, with zeros behind them.
#[inline]
fn padded(short: &[u8]) -> [u8; 16] {
    let mut all = [0; 16];
    all.iter_mut().zip(short).for_each(|(to, from)| *to = *from);
    all
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const BYTES: usize = 16 * PART;

    /// Every length about the seams of words and parts.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..70).chain(BYTES - 20..BYTES + 40).chain(2 * BYTES - 2..2 * BYTES + 2)
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let hasher = BlockHasher::new(7);
        let mut seen = BTreeSet::new();
        let mut count = 0;
        for len in lengths() {
            let mut block = vec![0u8; len];
            seen.insert(hasher.bytes(&block));
            for at in 0..len {
                for bit in [1, 0x80] {
                    block[at] ^= bit;
                    seen.insert(hasher.bytes(&block));
                    block[at] ^= bit;
                }
            }
            count += 1 + 2 * len;
        }
        assert_eq!(seen.len(), count);
    }

    /// NH by its definition (RFC 4418 5.2.2, in words of 64 bits) for blocks of whole words.
    #[test]
    fn whole_words_are_hashed_as_the_definition_says() {
        let hasher = BlockHasher::new(11);
        let block: Vec<u8> = (0..BYTES).map(|i| (i * i / 3) as u8).collect();
        for words in (0..=BYTES / 8).step_by(2) {
            let word = |i: usize| {
                let bytes = block[8 * i..8 * i + 8].try_into().unwrap();
                u64::from_le_bytes(bytes).wrapping_add(hasher.byte_keys[i / 2][i % 2])
            };
            let terms =
                (0..words / 2).map(|i| u128::from(word(2 * i)) * u128::from(word(2 * i + 1)));
            let sum = terms.fold(0, u128::wrapping_add);
            assert_eq!(hasher.nh(&block[..8 * words]), sum, "{words} words");
        }
    }

    #[test]
    fn hashes_scatter_in_every_bit() {
        let hasher = BlockHasher::new(3);
        let mut ones = [0u32; 128];
        for n in 0..4096u32 {
            let hash = hasher.bytes(format!("series {n} of a target").as_bytes());
            ones.iter_mut().enumerate().for_each(|(bit, ones)| *ones += (hash >> bit) as u32 & 1);
        }
        // Six standard deviations of 4,096 throws of a coin.
        assert!(ones.iter().all(|&n| n.abs_diff(2048) < 6 * 32), "{ones:?}");
    }

    #[test]
    fn labels_depend_on_their_order_and_the_seed() {
        let hasher = BlockHasher::new(7);
        let symbols = [hasher.symbol(b"a"), hasher.symbol(b"b"), hasher.symbol(b"c")];
        let refs: [&[u32]; 7] =
            [&[], &[0, 1], &[1, 0], &[0, 1, 2, 1], &[2, 1, 0, 1], &[0, 0], &[2, 2]];
        let hashes: BTreeSet<_> = refs.iter().map(|r| hasher.labels(r, &symbols)).collect();
        assert_eq!(hashes.len(), refs.len());
        assert_eq!(hasher.labels(&[0, 3], &symbols), None);
        assert_ne!(BlockHasher::new(8).labels(&[0, 1], &symbols), hasher.labels(&[0, 1], &symbols));
        assert_ne!(BlockHasher::new(8).bytes(b"a"), hasher.bytes(b"a"));
        assert_ne!(hasher.with_tenant(1, 1), hasher.with_tenant(1, 2));
    }

    #[test]
    fn every_label_of_a_long_set_counts() {
        let hasher = BlockHasher::new(7);
        let symbols: Vec<u64> = (0..400u32).map(|n| hasher.symbol(&n.to_le_bytes())).collect();
        let refs: Vec<u32> = (0..400).collect();
        let mut seen = BTreeSet::new();
        for len in (0..=400).step_by(2) {
            seen.insert(hasher.labels(&refs[..len], &symbols));
        }
        for at in 0..400 {
            let mut other = refs.clone();
            other[at] = 399 - other[at];
            seen.insert(hasher.labels(&other, &symbols));
        }
        assert_eq!(seen.len(), 201 + 400);
    }
}
