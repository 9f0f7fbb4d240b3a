//! The last series of a text page: how much of it the next one has in common with it.
//!
//! The lines of a family differ in their last labels, mostly. Up to the label in which a line
//! differs from the one before it, reading it would come to what reading that one came to, so it
//! is passed over. Invariant: what is passed over ends right behind a comma between labels, up to
//! which nothing that was decided depends on what follows.

use crate::swar::common_len;

/// Labels whose beginnings are kept; what is behind them is read again.
const LABELS_MAX: usize = 12;

/// The last series of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct LastSeries {
    /// Where it begins on the page.
    start: usize,
    pub(super) name_len: usize,
    /// Where its labels but the first begin, from its own beginning: the first `count` of them.
    labels: [usize; LABELS_MAX],
    count: usize,
}

impl LastSeries {
    /// For a series that begins at `start` with labels of the last one: the length of its name,
    /// and where the first label begins that is not known to be the last one's. It is the last
    /// one from now on.
    #[inline]
    pub(super) fn known(&mut self, page: &[u8], start: usize) -> Option<(usize, usize)> {
        let [first, furthest] = match self.labels[..self.count] {
            [] => return None,
            [one] => [one, one],
            [first, .., furthest] => [first, furthest],
        };
        let common = common_len(page.get(self.start..self.start + furthest)?, page.get(start..)?);
        if common < first {
            return None;
        }
        while self.labels[self.count - 1] > common {
            self.count -= 1;
        }
        self.start = start;
        Some((self.name_len, self.labels[self.count - 1]))
    }

    /// A series begins that has nothing in common with the last one.
    #[inline]
    pub(super) fn begin(&mut self, start: usize) {
        (self.start, self.count) = (start, 0);
    }

    /// A label of it begins at this place on the page.
    #[inline]
    pub(super) fn note(&mut self, at: usize) {
        if let Some(label) = self.labels.get_mut(self.count) {
            *label = at - self.start;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lexer::{Lexer, Part};
    use super::*;

    /// A series' bytes, its name, and where it ends; `None` for an error.
    type Read = Option<(Vec<u8>, Vec<u8>, usize)>;

    /// Reads lines with and without what is known of the line before, up to the first error.
    fn both<const STRICT: bool>(page: &[u8]) -> Vec<[Read; 2]> {
        let (mut all, mut last, mut start) = (Vec::new(), LastSeries::default(), 0);
        while start < page.len() {
            let mut lexers = [Lexer::new(page), Lexer::new(page)];
            let mut names = [Vec::new(), Vec::new()];
            lexers.iter_mut().for_each(|lexer| lexer.advance(start));
            let sink = |name: &mut Vec<u8>, part: Part<'_>| {
                if let Part::Name(text) = part {
                    *name = text.to_vec();
                }
            };
            let [a, b] = &mut lexers;
            let raw = [
                a.next_series::<STRICT>(&mut last, |part| sink(&mut names[0], part)),
                b.series::<STRICT>(|part| sink(&mut names[1], part)),
            ];
            let ends = [a.pos(), b.pos()];
            let failed = raw[1].is_err();
            let [name_a, name_b] = names;
            let [raw_a, raw_b] = raw.map(|raw| raw.ok().map(<[u8]>::to_vec));
            all.push([
                raw_a.map(|raw| (raw, name_a, ends[0])),
                raw_b.map(|raw| (raw, name_b, ends[1])),
            ]);
            if failed {
                break;
            }
            start = ends[1] + 1;
        }
        all
    }

    proptest! {
        #[test]
        fn it_changes_nothing(
            page in proptest::collection::vec(
                r#"(up|a)[ ]?\{[ ]?(a="[bc,]{0,2}"[,]?[ ]?){0,4}(("q"|"q"=|b=)["]?x\\?"[ ]?)?,?\}"#, 1..8,
            ),
            strict_page in proptest::collection::vec(
                r#"(up|a)\{(a="[bc]{0,2}",|le="1",|"q",|"q"="1",){0,4}(b="x?")?\}"#, 1..8,
            ),
        ) {
            for [a, b] in both::<false>(page.join("\n").as_bytes()) {
                prop_assert_eq!(a, b);
            }
            for [a, b] in both::<true>(strict_page.join("\n").as_bytes()) {
                prop_assert_eq!(a, b);
            }
        }
    }

    #[test]
    fn no_more_than_whole_labels_is_passed_over() {
        let page =
            b"up{a=\"1\",b=\"2\",le=\"10\"}\nup{a=\"1\",b=\"2\",le=\"15\"}\nup{a=\"1\",b=\"3\"}";
        let mut last = LastSeries::default();
        let mut lexer = Lexer::new(page);
        assert!(lexer.next_series::<true>(&mut last, |_| {}).is_ok());
        lexer.advance(1);
        assert_eq!(last.clone().known(page, lexer.pos()), Some((2, 15)));
        assert!(lexer.next_series::<true>(&mut last, |_| {}).is_ok());
        lexer.advance(1);
        assert_eq!(last.clone().known(page, lexer.pos()), Some((2, 9)));
    }
}
