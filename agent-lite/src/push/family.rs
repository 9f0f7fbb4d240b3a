//! A pushed page, read into families with the group's labels.
//!
//! A push is refused as a whole: with a bad line, with timestamps of its own (a pushed value is
//! current until the next push), with the same series twice, or with a native histogram, which the
//! text page that is scraped cannot say.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::labels::METRIC_NAME;
use weir_model::{Labels, LabelsBuilder, MetricType};
use weir_wire::exposition::{Entry, Format, Options, ParseError, Parser};
use weir_wire::text::Writer;

use super::grouping::GroupingKey;
use super::store::sample;

/// Why a push is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PushError {
    /// Its page cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A sample with a timestamp.
    #[error("pushed metrics must not have timestamps: {0}")]
    Timestamp(Labels),
    /// A series twice.
    #[error("{0} is pushed twice")]
    Duplicate(Labels),
    /// Native histograms cannot be pushed.
    #[error("native histograms cannot be pushed, classic ones can: {0}")]
    NativeHistogram(String),
    /// The bound on groups.
    #[error("there are {0} groups already, the most that are kept")]
    TooManyGroups(usize),
    /// The bound on series.
    #[error("there would be more than {0} series, the most that are kept")]
    TooManySeries(usize),
}

/// One metric family of a group.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Family {
    kind: MetricType,
    help: String,
    series: Vec<(Labels, f64)>,
}

impl Family {
    /// A gauge with nothing but the group's labels.
    pub(super) fn gauge(name: &str, help: &str, value: f64, key: &GroupingKey) -> Self {
        let mut labels = LabelsBuilder::default();
        labels.set(METRIC_NAME, name);
        key.iter().for_each(|(name, value)| labels.set(name, value));
        Self {
            kind: MetricType::Gauge,
            help: help.to_owned(),
            series: vec![(labels.build(), value)],
        }
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    pub(super) fn write(&self, name: &str, page: &mut Writer) {
        page.family(name, self.kind, &self.help);
        for (labels, value) in &self.series {
            page.series(labels.iter(), &sample(*value), &[]);
        }
    }
}

/// Reads a page into families by name; the group's labels replace those of the same names.
pub(super) fn read_families(
    page: &[u8],
    format: Format,
    key: &GroupingKey,
) -> Result<BTreeMap<String, Family>, PushError> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    let mut labels = LabelsBuilder::default();
    let options = Options { ignore_native: true, ..Options::default() };
    let mut parser = Parser::new(page, format, options);
    while let Some(entry) = parser.next()? {
        match entry {
            Entry::Type { family, kind } => {
                family.as_ref().clone_into(&mut current);
                families.entry(family.into_owned()).or_default().kind = kind;
            }
            Entry::Help { family, text } => {
                let help = text.into_owned();
                families.entry(family.into_owned()).or_default().help = help;
            }
            Entry::Series(series) => {
                series.labels(&mut labels)?;
                key.iter().for_each(|(name, value)| labels.set(name, value));
                let built = labels.build();
                if series.timestamp.is_some() {
                    return Err(PushError::Timestamp(built));
                }
                if !seen.insert(built.clone()) {
                    return Err(PushError::Duplicate(built));
                }
                let name = family_of(built.metric_name(), &current);
                families.entry(name.to_owned()).or_default().series.push((built, series.value));
            }
            _ => {}
        }
    }
    families.retain(|_, family| !family.series.is_empty());
    Ok(families)
}

/// The family of a series: the one whose type was said last, if it is one of its names.
fn family_of<'a>(name: &'a str, current: &'a str) -> &'a str {
    let suffix = name.strip_prefix(current).filter(|_| !current.is_empty());
    match suffix {
        Some("" | "_bucket" | "_sum" | "_count" | "_total" | "_created") => current,
        _ => name,
    }
}
