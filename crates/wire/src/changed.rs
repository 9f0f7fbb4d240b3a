//! What sets a label block apart from the one before it, where that is a few values.
//!
//! A target's series come one after the other and have most labels in common, so comparing a new
//! block with the last one tells nearly all of it without reading it. Invariant: what is said here
//! is what reading both blocks would say. Labels in any but the usual form are not judged.

use crate::swar::common_len;

/// Two blocks of 1.0, label message by label message.
pub(crate) fn changed_v1<'a>(
    mut before: &[u8],
    mut block: &'a [u8],
    out: &mut Vec<(usize, &'a str)>,
) -> Option<()> {
    let mut place = 0;
    loop {
        let common = common_len(before, block);
        let mut same = 0;
        while let Some(len) = message_len(&block[same..]).filter(|len| same + len <= common) {
            same += len;
            place += 1;
        }
        (before, block) = (&before[same..], &block[same..]);
        if before.is_empty() || block.is_empty() {
            return before.is_empty().eq(&block.is_empty()).then_some(());
        }
        let (old, new);
        (old, before) = before.split_at_checked(message_len(before)?)?;
        (new, block) = block.split_at_checked(message_len(block)?)?;
        let ((old_name, _), (name, value)) = (name_and_value(old)?, name_and_value(new)?);
        if old_name != name {
            return None;
        }
        out.push((place, std::str::from_utf8(value).ok()?));
        place += 1;
    }
}

/// Two blocks of 2.0, reference by reference.
pub(crate) fn changed_v2<'a>(
    before: &[u32],
    block: &[u32],
    symbol: impl Fn(u32) -> Option<&'a [u8]>,
    out: &mut Vec<(usize, &'a str)>,
) -> Option<()> {
    if before.len() != block.len() {
        return None;
    }
    let (before, block) = (before.as_chunks::<2>().0, block.as_chunks::<2>().0);
    for (place, (old, new)) in before.iter().zip(block).enumerate() {
        if old[0] != new[0] {
            return None;
        }
        if old[1] != new[1] {
            out.push((place, std::str::from_utf8(symbol(new[1])?).ok()?));
        }
    }
    Some(())
}

/// Length of the label message that a block begins with, its key included, if that takes one byte.
#[inline]
fn message_len(block: &[u8]) -> Option<usize> {
    match *block {
        [0x0a, len @ 0..0x80, ..] => Some(2 + usize::from(len)),
        _ => None,
    }
}

/// Name and value of a label message, if both are there in their order and nothing else.
#[inline]
fn name_and_value(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[0x0a, _, 0x0a, name_len @ 0..0x80, ref texts @ ..] = message else {
        return None;
    };
    let (name, texts) = texts.split_at_checked(usize::from(name_len))?;
    match texts {
        &[0x12, value_len @ 0..0x80, ref value @ ..] if value.len() == usize::from(value_len) => {
            Some((name, value))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_model::{Block, Label, LabelSource};

    use super::*;
    use crate::body::{Body, Tables};
    use crate::negotiate::Version;
    use crate::pool::Pool;

    fn body(version: Version, bytes: Vec<u8>, tables: Tables) -> Body {
        Body::new(version, bytes, tables, Pool::default())
    }

    /// Label messages of a block, most of the usual form, some of another one or no label at all.
    fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = prop_oneof![4 => "[ab]{0,2}", 1 => "é"].prop_map(String::into_bytes);
        let text = prop_oneof![20 => text, 1 => Just(vec![0xff])];
        let field = |key: u8, text: Vec<u8>| [vec![key, text.len() as u8], text].concat();
        let label = (0u8..30, text.clone(), text).prop_map(move |(form, name, value)| {
            let inner = match form {
                0 => [field(0x12, value), field(0x0a, name)].concat(),
                1 => field(0x0a, name),
                2 => [field(0x0a, name), field(0x12, value), field(0x1a, vec![1])].concat(),
                _ => [field(0x0a, name), field(0x12, value)].concat(),
            };
            field(if form == 3 { 0x1a } else { 0x0a }, inner)
        });
        proptest::collection::vec(label, 0..5)
    }

    proptest! {
        #[test]
        fn it_is_what_reading_both_says(
            before in messages(),
            changes in proptest::collection::vec((0usize..5, messages()), 0..3),
        ) {
            let mut after = before.clone();
            for (at, with) in changes {
                let end = after.len().min(at + 1);
                after.splice(at.min(end)..end, with.into_iter().take(1));
            }
            let (before, after) = (before.concat(), after.concat());
            let block = |start: usize, len: usize| Block { start: start as u32, len: len as u32 };
            let blocks = [block(0, before.len()), block(before.len(), after.len())];
            let bytes = [before, after].concat();
            let body = body(Version::V1, bytes, Tables::default());
            compare(&body, blocks)?;
        }

        #[test]
        fn references_too(
            before in proptest::collection::vec(0u32..6, 0..6),
            changes in proptest::collection::vec((0usize..6, 0u32..6), 0..3),
        ) {
            let mut after = before.clone();
            for (at, with) in changes {
                let end = after.len().min(at + 1);
                after.splice(at.min(end)..end, [with]);
            }
            let block = |start: usize, len: usize| Block { start: start as u32, len: len as u32 };
            let blocks = [block(0, before.len()), block(before.len(), after.len())];
            let refs = [before, after].concat();
            // Five symbols, one of them no UTF-8.
            let symbols = vec![(0, 0), (0, 1), (1, 1), (0, 2), (2, 1)];
            let tables = Tables { symbols, refs };
            let bytes = b"ab\xff".to_vec();
            let body = body(Version::V2, bytes, tables);
            compare(&body, blocks)?;
        }
    }

    fn compare(body: &Body, [before, block]: [Block; 2]) -> Result<(), TestCaseError> {
        let mut known: Vec<Label<'_>> = Vec::new();
        let mut changed = Vec::new();
        if body.labels(before, &mut known).is_err() {
            return Ok(());
        }
        if body.changed_values(before, block, &mut changed).is_none() {
            return Ok(());
        }
        prop_assert!(changed.is_sorted_by(|a, b| a.0 < b.0));
        for (place, value) in changed {
            known[place].value = value;
        }
        let mut read = Vec::new();
        prop_assert_eq!(body.labels(block, &mut read), Ok(()));
        prop_assert_eq!(read, known);
        Ok(())
    }

    #[test]
    fn values_that_change_are_told_with_their_places() {
        let label = |name: &str, value: &str| {
            let fields = [0x0a, name.len() as u8].into_iter().chain(name.bytes());
            let fields: Vec<u8> =
                fields.chain([0x12, value.len() as u8]).chain(value.bytes()).collect();
            [vec![0x0a, fields.len() as u8], fields].concat()
        };
        let before = [label("__name__", "up"), label("a", "1"), label("b", "2")].concat();
        let block = [label("__name__", "up"), label("a", "10"), label("b", "3")].concat();
        let mut out = Vec::new();
        assert_eq!(changed_v1(&before, &block, &mut out), Some(()));
        assert_eq!(out, [(1, "10"), (2, "3")]);
        let other = [label("__name__", "up"), label("c", "1"), label("b", "2")].concat();
        assert_eq!(changed_v1(&before, &other, &mut out), None, "another name");
        assert_eq!(changed_v1(&before, &block[..4 + 8 + 4], &mut out), None, "a label less");
    }
}
