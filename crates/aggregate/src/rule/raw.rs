//! A rule as it stands in the file: the keys and their shapes, with their lines. No judgement.

use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::{Births, Late};

/// A value with its place in the file.
pub(super) type At<T> = Option<Spanned<T>>;

/// One rule; `R` is a relabelling rule, whose language the caller knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "R: Deserialize<'de>"))]
pub(super) struct RawRule<R> {
    pub(super) name: At<String>,
    pub(super) tenants: At<Vec<String>>,
    pub(super) r#match: At<Selectors>,
    pub(super) interval: At<String>,
    pub(super) dedup_interval: At<String>,
    pub(super) staleness_interval: At<String>,
    pub(super) by: At<Vec<String>>,
    pub(super) without: At<Vec<String>>,
    pub(super) outputs: Option<Vec<Spanned<String>>>,
    pub(super) keep_metric_names: At<bool>,
    pub(super) keep_input: Option<bool>,
    pub(super) late: Option<Late>,
    pub(super) births: Option<Births>,
    pub(super) max_groups: At<u64>,
    pub(super) drop_input_labels: Option<Vec<String>>,
    pub(super) input_relabel_configs: At<Vec<R>>,
    pub(super) output_relabel_configs: At<Vec<R>>,
    // vmagent's, without effect here.
    pub(super) enable_windows: At<IgnoredAny>,
    pub(super) ignore_old_samples: At<IgnoredAny>,
    pub(super) ignore_first_intervals: At<IgnoredAny>,
    pub(super) ignore_first_sample_interval: At<IgnoredAny>,
    pub(super) flush_on_shutdown: At<IgnoredAny>,
    pub(super) no_align_flush_to_interval: At<IgnoredAny>,
}

/// One selector, or a list of which any may match.
pub(super) struct Selectors(pub(super) Vec<Selected>);

/// A selector's text, and its line if it is one of a list.
pub(super) struct Selected {
    pub(super) text: String,
    pub(super) line: Option<u64>,
}

impl<'de> Deserialize<'de> for Selectors {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SelectorsVisitor)
    }
}

struct SelectorsVisitor;

impl<'de> Visitor<'de> for SelectorsVisitor {
    type Value = Selectors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series selector or a list of them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Selectors, E> {
        let text = text.to_owned();
        Ok(Selectors(vec![Selected { text, line: None }]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Selectors, A::Error> {
        let mut selectors = Vec::new();
        while let Some(text) = list.next_element::<Spanned<String>>()? {
            let line = line(&text);
            selectors.push(Selected { text: text.value, line });
        }
        Ok(Selectors(selectors))
    }
}

/// The line on which a value stands.
pub(super) fn line<T>(value: &Spanned<T>) -> Option<u64> {
    Some(value.referenced.line()).filter(|&line| line > 0)
}
