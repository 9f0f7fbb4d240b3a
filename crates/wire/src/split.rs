//! One request as several: each series in the part that its owner gets, byte for byte as it stood.
//!
//! Nothing is decoded a second time: series are hopped over, and their bytes copied. What is not a
//! series (symbols of 2.0, metadata of 1.0) goes to every part, so that each is a whole request.

use crate::negotiate::Version;
use crate::v2;
use crate::varint::{LEN, Reader};

/// Cuts a decompressed body that [`crate::decode`] took. `part_of` gives each series' part, in the
/// order of the request; series without one stay out. Parts that get no series are empty.
pub fn split(version: Version, body: &[u8], part_of: &[Option<u16>], parts: usize) -> Vec<Vec<u8>> {
    let series_field = match version {
        Version::V1 => 1,
        Version::V2 => v2::TIME_SERIES,
    };
    let mut out = vec![Vec::new(); parts];
    let mut is_used = vec![false; parts];
    let mut series = part_of.iter();
    let mut reader = Reader::new(body);
    let mut start = 0;
    while let Some(field) = next_field(&mut reader) {
        let bytes = &body[start..reader.pos()];
        start = reader.pos();
        if field != series_field {
            out.iter_mut().for_each(|part| part.extend_from_slice(bytes));
        } else if let Some(Some(part)) = series.next()
            && let Some(out) = out.get_mut(usize::from(*part))
        {
            out.extend_from_slice(bytes);
            is_used[usize::from(*part)] = true;
        }
    }
    for (part, is_used) in out.iter_mut().zip(is_used) {
        if !is_used {
            part.clear();
        }
    }
    out
}

/// The number of the next field, which is hopped over; what is no message is numbered 0.
fn next_field(reader: &mut Reader<'_>) -> Option<u32> {
    if reader.is_done() {
        return None;
    }
    let (field, wire) = reader.key().ok()?;
    reader.skip(field, wire).ok()?;
    Some(if wire == LEN { field } else { 0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_model::{Label, Sample};

    use super::*;
    use crate::Encoding;
    use crate::encode::v2::Writer;
    use crate::records::decode_series;
    use crate::tests::fixtures::load;

    /// Series as text with their samples, in order.
    fn series(version: Version, body: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        decode_series(version, body, &mut |view| {
            all.push(format!("{:?} {:?}", view.labels, view.samples));
        })
        .unwrap();
        all
    }

    fn check(version: Version, body: &[u8], parts: &[Option<u16>]) {
        let whole = series(version, body);
        let cut = split(version, body, parts, 3);
        for part in 0..3u16 {
            let of_part = whole.iter().zip(parts).filter(|(_, p)| **p == Some(part));
            let expected: Vec<_> = of_part.map(|(text, _)| text.clone()).collect();
            assert_eq!(cut[usize::from(part)].is_empty(), expected.is_empty());
            assert_eq!(series(version, &cut[usize::from(part)]), expected);
        }
    }

    proptest! {
        #[test]
        fn parts_hold_the_series_that_are_theirs(
            parts in prop::collection::vec(prop::option::of(0u16..3), 0..40),
        ) {
            let mut writer = Writer::default();
            for at in 0..parts.len() {
                let name = format!("m{}", at % 7);
                let labels = [Label::new("__name__", &name), Label::new("pod", "p")];
                let sample = Sample::new(1_700_000_000_000 + at as i64, at as f64);
                writer.series(labels.into_iter(), &[sample], &[], &[], None);
            }
            let mut body = Vec::new();
            writer.finish(&mut body);
            check(Version::V2, &body, &parts);
        }
    }

    #[test]
    fn captured_bodies_are_cut_too() {
        for number in ["001", "002", "024"] {
            let name = format!("prometheus-2.42-{number}.body");
            let (version, body) = (Version::V1, load(&name, Encoding::Snappy));
            let count = series(version, &body).len();
            let parts: Vec<_> = (0..count).map(|at| Some((at % 3) as u16)).collect();
            check(version, &body, &parts);
        }
    }
}
