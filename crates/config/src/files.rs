//! Files that a configuration names.
//!
//! Invariant: a relative name stands relative to the folder of the file that names it, as in
//! Prometheus. Nothing is read that no person could have written.

use std::io;
use std::path::{Path, PathBuf};

/// The most that [`read_text`] reads: 16 MiB.
const BYTES_MAX: u64 = 16 << 20;

/// The folder against which a configuration file's names are resolved; empty without a file.
pub fn folder_of(file: Option<&Path>) -> &Path {
    file.and_then(Path::parent).unwrap_or(Path::new(""))
}

/// Puts a name into its folder. An absolute name stays, and so does an empty one, which is none.
pub fn join(path: &mut Option<PathBuf>, folder: &Path) {
    if let Some(path) = path.as_mut().filter(|path| !path.as_os_str().is_empty()) {
        *path = folder.join(&*path);
    }
}

/// [`join`] for a name that is still text.
pub fn join_text(path: &mut Option<String>, folder: &Path) {
    if let Some(path) = path.as_mut().filter(|path| !path.is_empty()) {
        *path = folder.join(&*path).display().to_string();
    }
}

/// Reads a text file of at most 16 MiB. The error says why not, without the file's name.
pub fn read_text(file: &Path) -> Result<String, String> {
    let len = std::fs::metadata(file).map_err(cannot_read)?.len();
    if len > BYTES_MAX {
        return Err(format!("is {len} bytes long; at most 16MiB are read"));
    }
    std::fs::read_to_string(file).map_err(cannot_read)
}

/// Whether a pattern can name files; the error says what is wrong with it.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("is empty; name a file or a pattern such as rules/*.yml".into());
    }
    let refused =
        |error: glob::PatternError| format!("{pattern:?} is not a pattern: {}", error.msg);
    glob::Pattern::new(pattern).map(drop).map_err(refused)
}

/// The files that a pattern names, sorted; a pattern without wildcards names one, whether it is
/// there or not. The error says what is wrong with the pattern.
pub fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    check_pattern(pattern)?;
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![folder.join(pattern)]);
    }
    let escaped = glob::Pattern::escape(&folder.display().to_string());
    let whole = Path::new(&escaped).join(pattern);
    let paths = glob::glob(&whole.display().to_string())
        .map_err(|error| format!("{pattern:?} is not a pattern: {}", error.msg))?;
    let mut found = paths.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}

/// Whether a file opens; the error names it.
pub fn check_opens(path: &Path) -> Result<(), String> {
    let opened = std::fs::File::open(path);
    opened.map(drop).map_err(|error| format!("{} {}", path.display(), cannot_read(error)))
}

fn cannot_read(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_relative_to_their_folder() {
        let folder = folder_of(Some(Path::new("/etc/weir/weir.yml")));
        for (name, wanted) in [("a/b", "/etc/weir/a/b"), ("/x", "/x"), ("", "")] {
            let mut path = Some(PathBuf::from(name));
            join(&mut path, folder);
            assert_eq!(path, Some(PathBuf::from(wanted)));
            let mut text = Some(name.to_owned());
            join_text(&mut text, folder);
            assert_eq!(text.as_deref(), Some(wanted));
        }
        assert_eq!(folder_of(None), Path::new(""));
    }

    #[test]
    fn a_pattern_names_what_is_there_and_a_name_itself() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", "c.txt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join("d.yml")).unwrap();
        let found = matching(dir.path(), "*.yml").unwrap();
        assert_eq!(found, [dir.path().join("a.yml"), dir.path().join("b.yml")]);
        assert_eq!(matching(dir.path(), "absent").unwrap(), [dir.path().join("absent")]);
        assert!(matching(dir.path(), "").is_err() && matching(dir.path(), "***").is_err());
        assert_eq!(read_text(&found[0]), Ok("x".into()));
        let error = check_opens(&dir.path().join("absent")).unwrap_err();
        assert!(error.contains("absent cannot be read: "), "{error}");
    }
}
