//! Looks at eight bytes at a time: where a name ends, where a quoted text does, where two texts part.
//!
//! Arithmetic on words whose bytes do not carry into each other, the same on every machine.
//! Invariant: the answer is that of looking at the bytes one by one.

const LOW: u64 = 0x0101_0101_0101_0101;
const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes at the beginning are ASCII letters, `_`, or between `0` and `LAST_DIGIT`.
#[inline]
pub(crate) fn word_len<const LAST_DIGIT: u8>(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((&chunk, tail)) = rest.split_first_chunk::<8>() {
        let others = others::<LAST_DIGIT>(u64::from_le_bytes(chunk));
        if others != 0 {
            return bytes.len() - rest.len() + others.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    let is_other =
        |b: &u8| !(b.is_ascii_alphabetic() || *b == b'_' || (b'0'..=LAST_DIGIT).contains(b));
    bytes.len() - rest.len() + rest.iter().position(is_other).unwrap_or(rest.len())
}

/// How many bytes two texts have in common at their beginnings.
#[inline]
pub(crate) fn common_len(a: &[u8], b: &[u8]) -> usize {
    let mut len = 0;
    while let (Some((x, _)), Some((y, _))) =
        (a[len..].split_first_chunk::<8>(), b[len..].split_first_chunk::<8>())
    {
        let other = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if other != 0 {
            return len + other.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(x, y)| x == y).count()
}

/// Where the first `"`, backslash or, where a quoted text must not have any, line break is.
#[inline]
pub(crate) fn end_of_quoted<const LINE_BREAKS: bool>(bytes: &[u8]) -> Option<usize> {
    // Most texts are short; for long ones a call is worth its price.
    for at in [0, 8, 16] {
        let Some(&chunk) = bytes.get(at..).and_then(|b| b.first_chunk::<8>()) else {
            break;
        };
        let word = u64::from_le_bytes(chunk);
        let mut found = zeros(word ^ of(b'"')) | zeros(word ^ of(b'\\'));
        if !LINE_BREAKS {
            found |= zeros(word ^ of(b'\n'));
        }
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
    }
    if LINE_BREAKS {
        memchr::memchr2(b'"', b'\\', bytes)
    } else {
        memchr::memchr3(b'"', b'\\', b'\n', bytes)
    }
}

/// A word of this byte.
const fn of(byte: u8) -> u64 {
    LOW * byte as u64
}

/// The high bit of every byte that does not belong to a word.
#[inline]
fn others<const LAST_DIGIT: u8>(word: u64) -> u64 {
    let seven = word & SEVEN;
    let letters = within(seven | of(0x20), b'a', b'z');
    let digits = within(seven, b'0', LAST_DIGIT);
    let underscores = !((seven ^ of(b'_')) + SEVEN);
    !((letters | digits | underscores) & !word) & HIGH
}

/// The high bit of every byte from `first` to `last`; other bits say nothing. No byte of `word`
/// has its high bit.
#[inline]
fn within(word: u64, first: u8, last: u8) -> u64 {
    let from_first = word + of(0x80 - first);
    let past_last = word + of(0x7f - last);
    from_first & !past_last
}

/// The high bit of the lowest byte that is zero, and perhaps those of bytes above it.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy;

    use super::*;

    #[test]
    fn every_byte_in_every_place_is_told() {
        for byte in 0..=u8::MAX {
            let letter = byte.is_ascii_alphanumeric() || byte == b'_';
            for place in 0..20 {
                let mut text = [b'x'; 20];
                text[place] = byte;
                let len = |is_word: bool| if is_word { 20 } else { place };
                assert_eq!(word_len::<b'9'>(&text), len(letter), "{byte} at {place}");
                assert_eq!(word_len::<b':'>(&text), len(letter || byte == b':'));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn it_is_as_looking_at_each_byte(
            text in proptest::collection::vec(proptest::prop_oneof![
                10 => proptest::char::range('!', 'z').prop_map(|c| c as u8),
                1 => proptest::num::u8::ANY,
                1 => proptest::sample::select(vec![b'"', b'\n']),
            ], 0..60),
        ) {
            let found = text.iter().position(|b| matches!(b, b'"' | b'\\'));
            proptest::prop_assert_eq!(end_of_quoted::<true>(&text), found);
            let line = text.iter().position(|b| matches!(b, b'"' | b'\\' | b'\n'));
            proptest::prop_assert_eq!(end_of_quoted::<false>(&text), line);
            let mut other = text.clone();
            if let Some(byte) = other.get_mut(found.unwrap_or(7)) {
                *byte ^= 1;
            }
            let common = text.iter().zip(&other).take_while(|(a, b)| a == b).count();
            proptest::prop_assert_eq!(common_len(&text, &other), common);
            let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            let len = text.iter().position(|b| !is_word(b)).unwrap_or(text.len());
            proptest::prop_assert_eq!(word_len::<b'9'>(&text), len);
        }
    }
}
