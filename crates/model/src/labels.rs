//! Label sets: an owned, sorted one whose bytes are its identity, a borrowed view, and a builder.
//!
//! Invariant: a [`Labels`] is sorted by name, without duplicate names and without empty values.
//! Names and values are UTF-8. Nothing here judges whether a name is legal: that is a limit's task.

use std::fmt;
use std::sync::Arc;

use crate::varint;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// One borrowed label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label<'a> {
    /// Label name.
    pub name: &'a str,
    /// Label value.
    pub value: &'a str,
}

impl<'a> Label<'a> {
    /// A label of this name and value.
    pub const fn new(name: &'a str, value: &'a str) -> Self {
        Self { name, value }
    }
}

/// Why label pairs are no label set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LabelsError {
    /// The same name twice.
    #[error("label {0:?} occurs twice")]
    Duplicate(String),
    /// An empty label name.
    #[error("a label with an empty name")]
    EmptyName,
    /// Bytes that are no UTF-8.
    #[error("a label name or value that is not UTF-8")]
    NotUtf8,
    /// The labels' bytes cannot be read.
    #[error("a label block that cannot be decoded")]
    Malformed,
}

/// An owned label set, kept as its canonical bytes: for each label in the order of names,
/// LEB128 length and bytes of the name, then of the value. The encoding is frozen
/// (`docs/WIRE.md`): series identity and virtual shards are hashes over it. A clone shares them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels {
    canonical: Arc<[u8]>,
}

impl Labels {
    /// Sorts the pairs, leaves out empty values (Prometheus: an empty label is no label), and
    /// refuses duplicate or empty names.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = Label<'a>>) -> Result<Self, LabelsError> {
        let mut sorted: Vec<Label<'a>> = pairs.into_iter().collect();
        normalize(&mut sorted)?;
        Ok(Self::from_sorted(&sorted))
    }

    /// Takes labels that are already sorted, unique and non-empty.
    pub fn from_sorted(sorted: &[Label<'_>]) -> Self {
        debug_assert!(sorted.windows(2).all(|w| w[0].name < w[1].name), "labels out of order");
        let mut canonical = Vec::with_capacity(sorted.len() * 24);
        write_canonical(sorted.iter().copied(), &mut canonical);
        Self { canonical: canonical.into() }
    }

    /// Reads back what [`Labels::canonical`] gave, checking that it is a label set.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelsError> {
        let mut rest = bytes;
        let mut last: Option<&str> = None;
        while !rest.is_empty() {
            let name = read_str(&mut rest).ok_or(LabelsError::Malformed)?;
            let _value = read_str(&mut rest).ok_or(LabelsError::Malformed)?;
            if last.is_some_and(|l| l >= name) {
                return Err(LabelsError::Duplicate(name.to_owned()));
            }
            last = Some(name);
        }
        Ok(Self { canonical: bytes.into() })
    }

    /// The bytes that are this set's identity.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The labels in the order of their names.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.canonical }
    }

    /// The value of a label, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|l| l.name == name).map(|l| l.value)
    }

    /// The metric's name, empty if there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or_default()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.canonical.is_empty()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Labels {
    /// `name{a="b"}`, as Prometheus writes a series.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric_name())?;
        f.write_str("{")?;
        let mut comma = "";
        for label in self.iter().filter(|l| l.name != METRIC_NAME) {
            write!(f, "{comma}{}={:?}", label.name, label.value)?;
            comma = ",";
        }
        f.write_str("}")
    }
}

/// Walks a [`Labels`] in the order of names.
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        let name = read_str(&mut self.rest)?;
        let value = read_str(&mut self.rest)?;
        Some(Label { name, value })
    }
}

/// A label set under change, for relabelling: few labels, so a sorted vector.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Starts from these labels (in any order; a later duplicate wins).
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = Label<'a>>) -> Self {
        let mut builder = Self::default();
        for label in labels {
            builder.set(label.name, label.value);
        }
        builder
    }

    /// The value of a label, empty if it is absent: that is how relabelling sees it.
    pub fn get(&self, name: &str) -> &str {
        self.position(name).map_or("", |at| &self.pairs[at].1)
    }

    /// Sets a label; an empty value deletes it.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.delete(name);
        }
        match self.position(name) {
            Ok(at) => value.clone_into(&mut self.pairs[at].1),
            Err(at) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
    }

    /// Deletes a label if it is there.
    pub fn delete(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            self.pairs.remove(at);
        }
    }

    /// Deletes all labels.
    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Keeps the labels for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.pairs.retain(|(name, value)| keep(name, value));
    }

    /// The labels in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = Label<'_>> {
        self.pairs.iter().map(|(name, value)| Label { name, value })
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        let mut canonical = Vec::with_capacity(self.pairs.len() * 24);
        write_canonical(self.iter(), &mut canonical);
        Labels { canonical: canonical.into() }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }
}

/// The value of a label; empty if it is absent, which is how selectors and relabelling see it.
pub fn value_of<'a>(labels: &[Label<'a>], name: &str) -> &'a str {
    labels.iter().find(|l| l.name == name).map_or("", |l| l.value)
}

/// Sorts labels by name, drops those with an empty value, refuses empty and duplicate names.
pub fn normalize(labels: &mut Vec<Label<'_>>) -> Result<(), LabelsError> {
    if labels.iter().any(|l| l.name.is_empty()) {
        return Err(LabelsError::EmptyName);
    }
    if !labels.is_sorted_by(|a, b| a.name < b.name) {
        labels.sort_by(|a, b| a.name.cmp(b.name));
        if let Some(pair) = labels.windows(2).find(|w| w[0].name == w[1].name) {
            return Err(LabelsError::Duplicate(pair[0].name.to_owned()));
        }
    }
    labels.retain(|l| !l.value.is_empty());
    Ok(())
}

/// Appends the canonical bytes of labels that are already sorted and unique.
pub fn write_canonical<'a>(sorted: impl Iterator<Item = Label<'a>>, out: &mut Vec<u8>) {
    for label in sorted {
        for text in [label.name, label.value] {
            varint::write(text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn read_str<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(varint::read(rest)?).ok()?;
    let (text, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_left_out() {
        let pairs = [Label::new("b", "2"), Label::new("a", "1"), Label::new("c", "")];
        let labels = Labels::from_pairs(pairs).unwrap();
        assert_eq!(labels.canonical(), b"\x01a\x011\x01b\x012");
        assert_eq!(labels.to_string(), r#"{a="1",b="2"}"#);
    }

    #[test]
    fn duplicate_and_empty_names_are_refused() {
        let twice = [Label::new("a", "1"), Label::new("a", "2")];
        assert_eq!(Labels::from_pairs(twice), Err(LabelsError::Duplicate("a".into())));
        assert_eq!(Labels::from_pairs([Label::new("", "x")]), Err(LabelsError::EmptyName));
    }

    #[test]
    fn canonical_bytes_are_checked_on_the_way_back() {
        let labels = Labels::from_pairs([Label::new("__name__", "up"), Label::new("job", "é")]);
        let labels = labels.unwrap();
        assert_eq!(Labels::from_canonical(labels.canonical()), Ok(labels.clone()));
        assert_eq!(labels.metric_name(), "up");
        assert!(Labels::from_canonical(b"\x01b\x011\x01a\x011").is_err());
        assert!(Labels::from_canonical(b"\x05ab").is_err());
    }

    #[test]
    fn the_builder_sets_replaces_and_deletes() {
        let mut builder = LabelsBuilder::from_labels([Label::new("b", "2"), Label::new("a", "1")]);
        builder.set("b", "3");
        builder.set("a", "");
        builder.set("c", "4");
        assert_eq!(builder.get("a"), "");
        assert_eq!(builder.build().to_string(), r#"{b="3",c="4"}"#);
    }
}
