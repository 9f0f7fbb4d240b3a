//! Reads single values, and collects what is wrong with them.
//!
//! Invariant: a reader always returns something usable (the default where the text is wrong), so
//! that validation goes on and finds everything.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use weir_model::Millis;

use crate::{ConfigErrors, Problem, Size, Source};

/// A single value as it is written; `None` where its key is not there.
pub type Text = Option<String>;

/// The collector of one file's problems.
#[derive(Debug)]
pub struct Check<'a> {
    source: &'a Source,
    /// What stands before every key: empty, or a path that ends in a dot.
    within: String,
    /// What is wrong.
    pub errors: Vec<Problem>,
    /// What is odd.
    pub warnings: Vec<Problem>,
}

impl<'a> Check<'a> {
    /// A collector without problems. Keys are paths from the top, such as `windows.grace`.
    pub fn new(source: &'a Source) -> Self {
        Self { source, within: String::new(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Checks one block: inside of `check`, keys are paths from `key` on.
    pub fn within<T>(&mut self, key: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.within.len();
        self.within.push_str(key);
        self.within.push('.');
        let checked = check(self);
        self.within.truncate(len);
        checked
    }

    /// Something is wrong with this key.
    pub fn error(&mut self, key: &str, message: impl fmt::Display) {
        let problem = self.problem(key, message);
        self.errors.push(problem);
    }

    /// Something is odd about this key.
    pub fn warn(&mut self, key: &str, message: impl fmt::Display) {
        let problem = self.problem(key, message);
        self.warnings.push(problem);
    }

    /// With an empty key it is about the block itself.
    fn problem(&self, key: &str, message: impl fmt::Display) -> Problem {
        let path = format!("{}{key}", self.within);
        self.source.problem(path.trim_end_matches('.'), message)
    }

    /// The errors in the order of their lines; none of them, and the value is good.
    pub fn finish<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(value);
        }
        self.errors.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(ConfigErrors(self.errors))
    }

    /// A value with bounds.
    fn bounded<T>(&mut self, key: &str, text: &Text, default: T, allowed: &RangeInclusive<T>) -> T
    where
        T: FromStr<Err: fmt::Display> + PartialOrd + fmt::Display,
    {
        let Some(text) = text else {
            return default;
        };
        match text.parse::<T>() {
            Ok(value) if allowed.contains(&value) => value,
            Ok(value) => {
                let (low, high) = (allowed.start(), allowed.end());
                self.error(key, format!("{value} is out of bounds; allowed is {low} to {high}"));
                default
            }
            Err(error) => {
                self.error(key, error);
                default
            }
        }
    }

    /// A duration within bounds, both ends included.
    pub fn duration(
        &mut self,
        key: &str,
        text: &Text,
        default: Millis,
        allowed: RangeInclusive<Millis>,
    ) -> Millis {
        self.bounded(key, text, default, &allowed)
    }

    /// A number of bytes within bounds.
    pub fn size(
        &mut self,
        key: &str,
        text: &Text,
        default: Size,
        allowed: RangeInclusive<Size>,
    ) -> Size {
        self.bounded(key, text, default, &allowed)
    }

    /// A whole number within bounds.
    pub fn number(
        &mut self,
        key: &str,
        text: &Text,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> u64 {
        let Some(written) = text else {
            return default;
        };
        if written.parse::<u64>().is_err() {
            let (low, high) = (allowed.start(), allowed.end());
            self.error(
                key,
                format!("{written:?} is not a whole number; allowed is {low} to {high}"),
            );
            return default;
        }
        self.bounded(key, text, default, &allowed)
    }

    /// One of these words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &str,
        text: &Text,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let Some(text) = text else {
            return default;
        };
        let found = choices.iter().find(|(name, _)| name == text);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
            self.error(key, format!("{text:?} is not one of {}", names.join(", ")));
        }
        found.map_or(default, |&(_, value)| value)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &str, text: &Text, default: bool) -> bool {
        self.choice(key, text, default, &[("true", true), ("false", false)])
    }

    /// A text that may not be empty.
    pub fn word(&mut self, key: &str, text: &Text, default: &str) -> String {
        match text {
            None => default.to_owned(),
            Some(text) => {
                if text.is_empty() {
                    self.error(key, format!("is empty; leave the key out for {default:?}"));
                }
                text.clone()
            }
        }
    }
}
