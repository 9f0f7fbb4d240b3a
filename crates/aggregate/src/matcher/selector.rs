//! A series selector: any of several groups of conditions on labels.
//!
//! Read by [`Selector::from_str`](std::str::FromStr); written in one canonical form, in which
//! two selectors that list the same conditions in another order are the same text.

use std::fmt;

use weir_model::Label;
use weir_model::labels::{METRIC_NAME, value_of};
use weir_model::re2::{Re2, Re2Error};

/// How a condition compares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        })
    }
}

/// A condition on one label: `name op "value"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    label: String,
    operator: Operator,
    value: String,
    regex: Option<Re2>,
}

impl Condition {
    /// A condition; regular expressions are RE2's and match in full.
    pub fn new(label: &str, operator: Operator, value: &str) -> Result<Self, Re2Error> {
        let regex = matches!(operator, Operator::Matches | Operator::NotMatches);
        Ok(Self {
            label: label.to_owned(),
            operator,
            value: value.to_owned(),
            regex: regex.then(|| Re2::new(value)).transpose()?,
        })
    }

    /// Whether it holds for these labels.
    pub fn holds(&self, labels: &[Label<'_>]) -> bool {
        let value = value_of(labels, &self.label);
        let positive = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        positive == matches!(self.operator, Operator::Equal | Operator::Matches)
    }

    pub(super) fn has_regex(&self) -> bool {
        self.regex.is_some()
    }

    /// The only metric names for which it can hold, if they can be listed.
    pub(super) fn only_names(&self) -> Option<Vec<String>> {
        if self.label != METRIC_NAME {
            return None;
        }
        match self.operator {
            Operator::Equal => Some(vec![self.value.clone()]),
            Operator::Matches => Some(self.regex.as_ref()?.literals()?.to_vec()),
            Operator::NotEqual | Operator::NotMatches => None,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape =
            |text: &str| text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let plain = self.label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain {
            f.write_str(&self.label)?;
        } else {
            write!(f, "\"{}\"", escape(&self.label))?;
        }
        write!(f, "{}\"{}\"", self.operator, escape(&self.value))
    }
}

/// A series selector, as PromQL writes it, with vmagent's `or`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    alternatives: Vec<Vec<Condition>>,
}

impl Selector {
    /// A selector that any of these groups satisfies; in a group every condition must hold.
    pub(super) fn new(mut alternatives: Vec<Vec<Condition>>) -> Self {
        for conditions in &mut alternatives {
            conditions.sort_by(|a, b| {
                let key = |c: &Condition| (c.label.clone(), c.operator, c.value.clone());
                key(a).cmp(&key(b))
            });
            conditions.dedup();
        }
        Self { alternatives }
    }

    /// The groups, of which one must hold in full; each in canonical order.
    pub fn alternatives(&self) -> impl Iterator<Item = &[Condition]> {
        self.alternatives.iter().map(Vec::as_slice)
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: &[Label<'_>]) -> bool {
        self.alternatives().any(|group| group.iter().all(|c| c.holds(labels)))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |conditions: &[Condition]| {
            let conditions: Vec<String> = conditions.iter().map(ToString::to_string).collect();
            conditions.join(",")
        };
        let groups: Vec<String> = self.alternatives().map(group).collect();
        write!(f, "{{{}}}", groups.join(" or "))
    }
}
