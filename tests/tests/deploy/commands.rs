//! Running a program to its end, and what it said.

use std::process::Command;

/// Its output, both streams, as `Ok` where it ended well.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if done.status.success() { Ok(text) } else { Err(text) }
}

/// Panics with what it said unless it ended well.
pub(crate) fn succeed(command: &mut Command) -> String {
    output(command).unwrap_or_else(|text| panic!("{command:?} failed:\n{text}"))
}
