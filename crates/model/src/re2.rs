//! RE2 regular expressions, as Prometheus writes them, run by the Rust engine.
//!
//! Prometheus's users write RE2; the Rust engine reads a dialect of its own, in which some of
//! the same texts are errors (`[[]`, `\Q..\E`, a literal `{`), mean something else (`[a&&b]`,
//! Unicode `\d`) or are extensions (`x*+`, `(?x)`). So a pattern is read here by RE2's grammar
//! (Go's `regexp/syntax` with Perl flags) and written anew as a Rust pattern of the same meaning.
//!
//! Invariant: a [`Re2`] matches exactly the texts that Prometheus's `^(?s:…)$` matches; what
//! cannot be carried over is refused when it is compiled. There is no unanchored search.

mod class;
mod translate;

use std::fmt;

use regex_syntax::hir::literal::{Extractor, Seq};

/// Why a pattern cannot be run. Reasons are worded as Go's `regexp` words them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {reason}")]
pub struct Re2Error {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: Re2Reason,
}

/// What is wrong with a pattern; each carries the offending part of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Re2Reason {
    /// `a**`, `a*+`, `a{2}{3}`.
    #[error("invalid nested repetition operator: `{0}`; put the inner one in (?:…)")]
    NestedRepetition(String),
    /// A repetition with nothing before it.
    #[error("missing argument to repetition operator: `{0}`")]
    NothingToRepeat(String),
    /// `a{1001}`, `a{3,2}`.
    #[error("invalid repeat count: `{0}`; the most is 1000, and the first not above the second")]
    RepeatCount(String),
    /// An escape that RE2 does not know, or a byte-wise one (`\C`).
    #[error("invalid escape sequence: `{0}`")]
    Escape(String),
    /// `(?x)`, `(?=…)` and other things that RE2 has not.
    #[error("invalid or unsupported Perl syntax: `{0}`; flags are i, m, s and U")]
    PerlSyntax(String),
    /// A group name that is malformed.
    #[error("invalid named capture: `{0}`; a name is letters, digits and _")]
    GroupName(String),
    /// A class item that is out of order or unknown.
    #[error("invalid character class range: `{0}`")]
    ClassRange(String),
    /// `[` without `]`.
    #[error("missing closing ]: `{0}`")]
    UnclosedClass(String),
    /// `\Q` without `\E`.
    #[error("missing closing \\E: `{0}`")]
    UnclosedQuote(String),
    /// `(` without `)`.
    #[error("missing closing )")]
    UnclosedGroup,
    /// `)` without `(`.
    #[error("unexpected )")]
    UnopenedGroup,
    /// The Rust engine refuses what RE2 would take: too large, too deep, an unknown script.
    #[error("{0}")]
    Engine(String),
}

/// A compiled RE2 pattern, anchored at both ends.
#[derive(Clone)]
pub struct Re2 {
    pattern: String,
    regex: regex::Regex,
    group_names: Box<[Option<String>]>,
    shortcut: Shortcut,
}

/// What can be decided without the engine.
#[derive(Clone, Debug)]
enum Shortcut {
    /// Exactly these texts match (sorted).
    OneOf(Box<[String]>),
    /// Whatever matches starts so; may be empty.
    Prefix(String),
}

impl Re2 {
    /// Compiles a pattern as Prometheus would: in full, with `.` matching newlines too.
    pub fn new(pattern: &str) -> Result<Self, Re2Error> {
        let refuse = |reason| Re2Error { pattern: pattern.to_owned(), reason };
        let engine = |e: &dyn fmt::Display| refuse(Re2Reason::Engine(last_line(&e.to_string())));
        let translated = translate::translate(pattern).map_err(refuse)?;
        let inner = format!("(?s:{})", translated.rust);
        let hir = regex_syntax::parse(&inner).map_err(|e| engine(&e))?;
        Ok(Self {
            pattern: pattern.to_owned(),
            regex: regex::Regex::new(&format!("^{inner}$")).map_err(|e| engine(&e))?,
            group_names: translated.group_names.into(),
            shortcut: Shortcut::of(&hir),
        })
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        match &self.shortcut {
            Shortcut::OneOf(texts) => texts.binary_search_by(|t| t.as_str().cmp(text)).is_ok(),
            Shortcut::Prefix(prefix) => {
                text.starts_with(prefix.as_str()) && self.regex.is_match(text)
            }
        }
    }

    /// What the groups of the pattern match in the text, if it matches; group 0 is all of it.
    pub fn captures<'t>(&self, text: &'t str) -> Option<regex::Captures<'t>> {
        self.is_match(text).then(|| self.regex.captures(text)).flatten()
    }

    /// The numbers of the groups of this name. Unlike Rust's, RE2's names may start with a digit,
    /// and several groups may bear the same one.
    pub fn group_indices(&self, name: &str) -> impl Iterator<Item = usize> {
        let named = self.group_names.iter().enumerate();
        named.filter_map(move |(at, n)| (n.as_deref() == Some(name)).then_some(at))
    }

    /// The texts that match, sorted, if they are few enough to list (`foo|ba[rz]`).
    pub fn literals(&self) -> Option<&[String]> {
        match &self.shortcut {
            Shortcut::OneOf(texts) => Some(texts),
            Shortcut::Prefix(_) => None,
        }
    }
}

impl PartialEq for Re2 {
    /// Same pattern, same meaning.
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Re2 {}

impl fmt::Debug for Re2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Re2({:?})", self.pattern)
    }
}

impl Shortcut {
    fn of(hir: &regex_syntax::hir::Hir) -> Self {
        let literals = Extractor::new().extract(hir);
        // The extractor looks past assertions, so with one in it the list may be too long.
        let listed = hir.properties().look_set().is_empty() && literals.is_exact();
        match listed.then(|| texts(&literals)).flatten() {
            Some(texts) => Self::OneOf(texts),
            None => Self::Prefix(prefix(&literals)),
        }
    }
}

fn texts(literals: &Seq) -> Option<Box<[String]>> {
    let texts = literals.literals()?.iter();
    let texts = texts.map(|l| String::from_utf8(l.as_bytes().to_vec()).ok());
    let mut texts = texts.collect::<Option<Vec<String>>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts.into())
}

/// The longest common prefix; one that ends within a character helps nobody.
fn prefix(literals: &Seq) -> String {
    let bytes = literals.longest_common_prefix().unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default().to_owned()
}

/// The engine's errors draw the pattern first; the reason is their last line.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or(message);
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
