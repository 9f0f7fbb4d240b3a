//! `file_sd_configs`: target groups in JSON and YAML files.
//!
//! Invariant: a file that cannot be read or understood keeps its last good groups; one that is gone
//! takes its groups with it. Changes are found by looking: a few `stat`s every [`POLL`] cost less
//! than a watcher that loses events on overlay file systems and on swapped symlinks.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_agent_config::discovery::FileSd;

use super::content::{from_json, from_yaml};
use super::refresh::Source;
use super::{DiscoveryError, Group, Outlet};

/// The files and what they held.
#[derive(Debug)]
pub(super) struct Files {
    config: FileSd,
    known: BTreeMap<PathBuf, Known>,
    read_all: Option<Instant>,
    globs_broken: bool,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    groups: Vec<Group>,
}

/// What changes when a file does: a rename brings another inode, a write another time.
type Stamp = (u64, i64, i64, u64);

impl Files {
    pub(super) fn new(config: &FileSd) -> Self {
        Self { config: config.clone(), known: BTreeMap::new(), read_all: None, globs_broken: false }
    }

    /// Looks at every file; true if there is something new, and what could not be read.
    fn scan(&mut self, now: Instant) -> (bool, Vec<DiscoveryError>) {
        let due = self.read_all.is_none_or(|at| now - at >= self.config.refresh_interval);
        let mut errors = Vec::new();
        let paths = self.paths(&mut errors);
        let before = self.known.len();
        self.known.retain(|path, _| paths.contains(path));
        let mut changed = self.known.len() != before || self.read_all.is_none();
        for path in paths {
            let stamp = fs::metadata(&path).ok().map(|meta| stamp(&meta));
            let known = self.known.entry(path.clone()).or_default();
            if !due && known.stamp == stamp {
                continue;
            }
            known.stamp = stamp;
            match read(&path) {
                Ok(groups) => {
                    changed |= known.groups != groups;
                    known.groups = groups;
                }
                Err(error) => errors.push(DiscoveryError::new(path.display(), error)),
            }
        }
        if due {
            self.read_all = Some(now);
        }
        (changed, errors)
    }

    fn paths(&mut self, errors: &mut Vec<DiscoveryError>) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut broken = false;
        for pattern in &self.config.files {
            // A pattern without a star is looked for as it is, brackets and all.
            if !pattern.contains('*') {
                paths.extend(Path::new(pattern).exists().then(|| PathBuf::from(pattern)));
                continue;
            }
            match glob::glob(pattern) {
                Ok(found) => paths.extend(found.filter_map(Result::ok)),
                Err(error) => {
                    broken = true;
                    if !self.globs_broken {
                        errors.push(DiscoveryError::new(pattern, error));
                    }
                }
            }
        }
        self.globs_broken = broken;
        paths.sort();
        paths.dedup();
        if paths.len() > FILES_MAX {
            errors.push(DiscoveryError(format!("{} files; {FILES_MAX} are read", paths.len())));
            paths.truncate(FILES_MAX);
        }
        paths
    }
}

impl Source for Files {
    fn interval(&self) -> Duration {
        POLL.min(self.config.refresh_interval)
    }

    async fn look(&mut self, outlet: &Outlet) -> Result<Option<Vec<Group>>, DiscoveryError> {
        let empty = Self::new(&self.config);
        let mut files = std::mem::replace(self, empty);
        let scanned = tokio::task::spawn_blocking(move || {
            let outcome = files.scan(Instant::now());
            (files, outcome)
        });
        let (files, (changed, errors)) =
            scanned.await.map_err(|error| DiscoveryError::new("reading files", error))?;
        *self = files;
        errors.iter().for_each(|error| outlet.failed(error));
        let groups = || self.known.values().flat_map(|known| known.groups.clone()).collect();
        Ok(changed.then(groups))
    }
}

fn stamp(meta: &fs::Metadata) -> Stamp {
    (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino())
}

fn read(path: &Path) -> Result<Vec<Group>, DiscoveryError> {
    let failed = |error: std::io::Error| DiscoveryError(error.to_string());
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(DiscoveryError(format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    let name = path.display().to_string();
    let source = |place| format!("{name}:{place}");
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let mut groups = if json {
        from_json(&text, source)?
    } else {
        let text = String::from_utf8(text).map_err(|_| DiscoveryError("is not UTF-8".into()))?;
        from_yaml(&text, source)?
    };
    for group in &mut groups {
        group.labels.insert("__meta_filepath".to_owned(), name.clone());
    }
    Ok(groups)
}

/// How often files are looked at.
const POLL: Duration = Duration::from_secs(3);
const FILE_BYTES_MAX: u64 = 16 << 20;
const FILES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn files(patterns: &[&str], folder: &Path) -> Files {
        let files = patterns.iter().map(|p| folder.join(p).display().to_string()).collect();
        Files::new(&FileSd { files, refresh_interval: Duration::from_secs(300) })
    }

    fn addresses(files: &Files) -> Vec<&str> {
        let groups = files.known.values().flat_map(|known| &known.groups);
        let targets = groups.flat_map(|group| &group.targets);
        targets.map(|target| target["__address__"].as_str()).collect()
    }

    fn put(path: &Path, text: &str) {
        // Written aside and renamed, so that neither time nor length has to differ.
        let aside = path.with_extension("new");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, path).unwrap();
    }

    #[test]
    fn files_come_change_break_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("tg_a.json"), folder.path().join("b.yml"));
        put(&a, r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#);
        put(&b, "- targets: ['b:1']");
        let mut files = files(&["tg_*.json", "b.yml", "absent.yaml"], folder.path());
        let now = Instant::now();
        assert_eq!(files.scan(now), (true, vec![]));
        assert_eq!(addresses(&files), ["b:1", "a:1"]);
        let group = &files.known[&a].groups[0];
        assert_eq!(group.labels["__meta_filepath"], a.display().to_string());
        assert_eq!(group.labels["x"], "y");
        assert_eq!(files.scan(now), (false, vec![]));

        put(&a, r#"[{"targets": ["a:2"], "labels": {"x": "y"}}]"#);
        assert_eq!(files.scan(now), (true, vec![]));
        assert_eq!(addresses(&files), ["b:1", "a:2"]);

        put(&a, r#"[{"targets": ["a:3""#);
        let (changed, errors) = files.scan(now);
        assert!(!changed && errors[0].0.contains("tg_a.json"), "{errors:?}");
        assert_eq!(addresses(&files), ["b:1", "a:2"], "the last good groups stay");
        assert_eq!(files.scan(now), (false, vec![]), "said once, not every few seconds");
        let (_, errors) = files.scan(now + Duration::from_secs(300));
        assert_eq!(errors.len(), 1, "and again with every refresh");

        fs::remove_file(&b).unwrap();
        assert_eq!(files.scan(now), (true, vec![]));
        assert_eq!(addresses(&files), ["a:2"]);
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("x.json")).unwrap();
        let mut files = files(&["x.json"], folder.path());
        assert_eq!(files.scan(Instant::now()).1.len(), 1);
    }
}
