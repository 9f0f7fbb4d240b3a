//! What can be wrong with a rule file, and what is worth a word though it is right.

use std::fmt;

use weir_model::Millis;
use weir_model::time::DurationError;

use super::OutputError;
use crate::matcher::SelectorError;

/// Something wrong in a rule file, and where. The file's name is for the caller to add.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleProblem {
    /// The line, counted from 1, if it is known.
    pub line: Option<u64>,
    /// The rule's place in the file, counted from 1, if it is about one.
    pub rule: Option<usize>,
    /// What is wrong.
    pub error: RuleError,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, self.rule)?;
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for RuleProblem {}

/// A key that is accepted for vmagent's sake and has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The line, counted from 1.
    pub line: Option<u64>,
    /// The rule's place in the file, counted from 1.
    pub rule: usize,
    /// The key.
    pub key: &'static str,
    /// Why it means nothing here.
    pub reason: &'static str,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, Some(self.rule))?;
        write!(f, "{} has no effect: {}", self.key, self.reason)
    }
}

fn place(f: &mut fmt::Formatter<'_>, line: Option<u64>, rule: Option<usize>) -> fmt::Result {
    if let Some(line) = line {
        write!(f, "line {line}: ")?;
    }
    if let Some(rule) = rule {
        write!(f, "rule {rule}: ")?;
    }
    Ok(())
}

/// What is wrong with a rule, and what is allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuleError {
    /// No YAML, or not of a rule file's shape.
    #[error("{0}")]
    Shape(String),
    /// More rules than can be numbered.
    #[error("{0} rules; at most 65535 fit")]
    TooManyRules(usize),
    /// Two rules of one name.
    #[error("the name {0:?} is another rule's already; names tell the rules' metrics apart")]
    DuplicateName(String),
    /// An empty list or text where something must stand.
    #[error("{0} is empty; leave it out or list something")]
    Empty(&'static str),
    /// A selector that cannot be read.
    #[error("match: {0}")]
    Selector(#[from] SelectorError),
    /// No interval.
    #[error("interval is missing; write the length of a window, such as interval: 1m")]
    NoInterval,
    /// A duration that cannot be read.
    #[error("{0}: {1}")]
    Duration(&'static str, DurationError),
    /// A window too short.
    #[error("interval must be at least 1s; it is {0}")]
    IntervalTooShort(Millis),
    /// A deduplication interval that does not fit into the window.
    #[error("dedup_interval ({dedup}) must divide interval ({interval})")]
    DedupInterval {
        /// As given.
        dedup: Millis,
        /// The rule's window.
        interval: Millis,
    },
    /// A staleness shorter than the window.
    #[error("staleness_interval ({staleness}) must be at least interval ({interval})")]
    Staleness {
        /// As given.
        staleness: Millis,
        /// The rule's window.
        interval: Millis,
    },
    /// Both `by` and `without`.
    #[error("by and without cannot be set together; keep one of them")]
    ByAndWithout,
    /// Nothing to compute.
    #[error("outputs is missing; list one at least, such as outputs: [total]")]
    NoOutputs,
    /// An output that does not exist.
    #[error("outputs: {0}")]
    Output(#[from] OutputError),
    /// The same output twice.
    #[error("outputs lists {0} twice; once is enough")]
    DuplicateOutput(&'static str),
    /// Several series that would bear one name.
    #[error(
        "keep_metric_names needs outputs with a single entry that gives a single series (not \
         histogram_bucket, nor several quantiles); there are {0}"
    )]
    KeepNamesOutputs(String),
    /// Input and output under one name.
    #[error("keep_metric_names and keep_input cannot be set together: their series would collide")]
    KeepNamesAndInput,
    /// A name that is to be kept and is taken away.
    #[error("keep_metric_names needs the name that without: [__name__] takes away")]
    KeepNamesWithoutName,
    /// Room for no group at all.
    #[error("max_groups must be from 1 to 4294967295; it is {0}")]
    MaxGroups(u64),
    /// A relabelling that does not compile.
    #[error("{0}: {1}")]
    Relabel(&'static str, String),
}
