//! Reads single values, and collects what is wrong with them.
//!
//! Invariant: a reader always returns something usable (the default where the text is wrong), so
//! that validation goes on and finds everything.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use weir_model::Millis;

use super::error::Problem;
use super::raw::Text;
use super::source::Source;
use super::units::Size;

/// The collector of one file's problems.
pub(crate) struct Check<'a> {
    /// Knows the lines.
    pub(crate) source: &'a Source,
    /// What is wrong.
    pub(crate) errors: Vec<Problem>,
    /// What is odd.
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { source, errors: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn error(&mut self, key: &str, message: impl fmt::Display) {
        self.errors.push(self.source.problem(key, message));
    }

    pub(crate) fn warn(&mut self, key: &str, message: impl fmt::Display) {
        self.warnings.push(self.source.problem(key, message));
    }

    /// A value with bounds; `0` may stand below them where it means none.
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

    pub(crate) fn duration(
        &mut self,
        key: &str,
        text: &Text,
        default: Millis,
        allowed: RangeInclusive<Millis>,
    ) -> Millis {
        self.bounded(key, text, default, &allowed)
    }

    pub(crate) fn size(
        &mut self,
        key: &str,
        text: &Text,
        default: Size,
        allowed: RangeInclusive<Size>,
    ) -> Size {
        self.bounded(key, text, default, &allowed)
    }

    pub(crate) fn number(
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

    pub(crate) fn choice<T: Copy>(
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

    pub(crate) fn flag(&mut self, key: &str, text: &Text, default: bool) -> bool {
        self.choice(key, text, default, &[("true", true), ("false", false)])
    }

    /// A text that may not be empty.
    pub(crate) fn word(&mut self, key: &str, text: &Text, default: &str) -> String {
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
