//! Secrets that cannot be printed, and secrets and files that are read again when they change.
//!
//! Invariant: neither `Debug` nor `Display` ever shows a secret, and content decides whether a
//! file changed: Kubernetes swaps symlinks, so modification times say nothing. A file that cannot
//! be read any more keeps its last content. It deliberately wipes no memory.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// A password, token or key as given in a configuration.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// A secret given in the configuration, or the file that holds it.
#[derive(Debug)]
pub struct SecretSource(Source);

#[derive(Debug)]
enum Source {
    Inline(Secret),
    File(Mutex<WatchedFiles>),
}

/// Several small files whose joint content is checked at most every [`CHECK_INTERVAL`].
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    contents: Vec<Vec<u8>>,
    checked: Instant,
}

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretSource {
    /// A secret that stands in the configuration.
    pub fn inline(secret: Secret) -> Self {
        Self(Source::Inline(secret))
    }

    /// A secret in a file, which must be readable now.
    pub fn file(path: &Path, now: Instant) -> io::Result<Self> {
        let files = WatchedFiles::open(vec![path.to_owned()], now)?;
        Ok(Self(Source::File(Mutex::new(files))))
    }

    /// The secret as of `now`; a file's content loses the white space around it, as in Prometheus.
    pub fn current(&self, now: Instant) -> Secret {
        match &self.0 {
            Source::Inline(secret) => secret.clone(),
            Source::File(files) => {
                let mut files = lock(files);
                files.changed(now);
                let content = files.contents().first().map_or(&[][..], Vec::as_slice);
                Secret(String::from_utf8_lossy(content).trim().to_owned())
            }
        }
    }
}

impl WatchedFiles {
    /// Reads all files. The error names the file.
    pub(crate) fn open(paths: Vec<PathBuf>, now: Instant) -> io::Result<Self> {
        let contents = read_all(&paths)?;
        Ok(Self { paths, contents, checked: now })
    }

    /// What the files held when last read, in the order of their paths.
    pub(crate) fn contents(&self) -> &[Vec<u8>] {
        &self.contents
    }

    /// Reads the files again if it is time to; says whether any content differs from before.
    pub(crate) fn changed(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.checked) < CHECK_INTERVAL {
            return false;
        }
        self.checked = now;
        match read_all(&self.paths) {
            Ok(contents) if contents == self.contents => false,
            Ok(contents) => {
                self.contents = contents;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read again; the last content stays in use");
                false
            }
        }
    }
}

fn read_all(paths: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    let named = |path: &PathBuf, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    paths.iter().map(|path| std::fs::read(path).map_err(|error| named(path, error))).collect()
}

/// What is guarded here is valid at every step, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Debug for WatchedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFiles").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// Rotated secrets take effect within this time. Reading a few small files this often costs
/// nothing beside the handshakes and requests that ask for it.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "<secret> <secret>");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hunter2").unwrap();
        let source = SecretSource::file(&path, Instant::now()).unwrap();
        assert!(!format!("{source:?}").contains("hunter2"));
        assert!(!format!("{:?}", SecretSource::inline(secret)).contains("hunter2"));
    }

    #[test]
    fn a_changed_file_is_read_again_after_the_interval() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, " first\n").unwrap();
        let start = Instant::now();
        let source = SecretSource::file(&path, start).unwrap();
        std::fs::write(&path, "second\n").unwrap();
        assert_eq!(source.current(start).expose(), "first");
        assert_eq!(source.current(start + CHECK_INTERVAL).expose(), "second");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(source.current(start + 2 * CHECK_INTERVAL).expose(), "second");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = SecretSource::file(Path::new("/nonexistent/token"), Instant::now());
        assert!(error.unwrap_err().to_string().contains("/nonexistent/token"));
    }
}
