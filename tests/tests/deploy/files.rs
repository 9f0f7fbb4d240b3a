//! The repository's files as a test reads them.
//!
//! Invariant: whatever is missing or unreadable fails the test by its path.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A file or folder of `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// How messages and lists call a file.
pub(crate) fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// A text.
pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", shown(file)))
}

/// All documents of a YAML file.
pub(crate) fn documents(file: &Path) -> Vec<Value> {
    let read = serde_saphyr::from_multiple(&read(file));
    read.unwrap_or_else(|e| panic!("{}: {e}", shown(file)))
}

/// The only document of a YAML file.
pub(crate) fn document(file: &Path) -> Value {
    let mut all = documents(file);
    assert_eq!(all.len(), 1, "{}", shown(file));
    all.remove(0)
}

/// The files of a folder and those below it whose names end so, in order.
pub(crate) fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", shown(folder)));
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(below(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The strings of a list; none where there is no list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|entry| entry.as_str().expect("a string").to_owned()).collect()
}

/// The entries of a list; none where there is no list.
pub(crate) fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Panics with everything that is wrong.
pub(crate) fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} places:\n  {}", wrong.len(), wrong.join("\n  "));
}
