//! What is wrong with a configuration, and what is worth a word though it works.
//!
//! Invariant: a problem names its place (file and line, or flag), its key, and what is allowed.

use std::fmt;

use thiserror::Error;

/// One thing that is wrong, or (as a warning) odd.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub struct Problem {
    /// The file as it was named, or the flag.
    pub file: String,
    /// The line, counted from 1, if it is known.
    pub line: Option<u64>,
    /// The key as a path from the top, such as `windows.grace`; empty if it is about the file.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// Everything that is wrong; never empty.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub struct ConfigErrors(pub Vec<Problem>);

impl Problem {
    /// A problem with a whole file.
    pub fn of_file(file: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { file: file.into(), line: None, key: String::new(), message: message.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}
