//! A container's file system, as far as a command line names it: files below a temporary folder, and
//! texts in which the container's paths lead there.
//!
//! Invariant: what is run is what is written, but for where its files lie.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use weir_tests::{agent, binaries, gateway};

/// Folders of containers that command lines and configurations name.
const FOLDERS: [&str; 6] =
    ["/etc/weir", "/run/weir", "/var/lib/weir", "/etc/prometheus", "/prometheus", "/usr/local/bin"];

/// A file system of its own.
pub(crate) struct Stage(TempDir);

impl Stage {
    /// With Weir's programs in `/usr/local/bin`, and nothing else.
    pub(crate) fn new() -> Self {
        let stage = Self(tempfile::tempdir().expect("a folder"));
        for folder in FOLDERS {
            fs::create_dir_all(stage.path(folder)).expect("a folder");
        }
        let loadgen = binaries::find("weir-loadgen", "WEIR_LOADGEN_BIN");
        for program in [gateway::binary(), agent::binary(), &loadgen] {
            let name = program.file_name().expect("a name").to_string_lossy();
            symlink(program, stage.path(&format!("/usr/local/bin/{name}"))).expect("a link");
        }
        stage
    }

    /// Where a path of the container is.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside.trim_start_matches('/'))
    }

    /// A text in which the container's folders are the stage's.
    pub(crate) fn staged(&self, text: &str) -> String {
        let mut out = String::new();
        let mut done = 0;
        for (at, _) in text.match_indices('/') {
            let begins = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            if begins && FOLDERS.iter().any(|folder| text[at..].starts_with(folder)) {
                out.push_str(&text[done..at]);
                out.push_str(&self.0.path().display().to_string());
                done = at;
            }
        }
        out + &text[done..]
    }

    /// Puts a text at a path of the container.
    pub(crate) fn write(&self, inside: &str, text: &str) -> PathBuf {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, self.staged(text)).expect("a file");
        path
    }

    /// Puts a file, or all files of a folder, at a path of the container.
    pub(crate) fn mount(&self, outside: &Path, inside: &str) {
        if outside.is_file() {
            self.write(inside, &crate::files::read(outside));
            return;
        }
        for file in crate::files::below(outside, "") {
            let name = file.strip_prefix(outside).expect("it is below").display();
            self.write(&format!("{inside}/{name}"), &crate::files::read(&file));
        }
    }

    /// A command of the container, with the stage's programs first.
    pub(crate) fn command(&self, words: &[String]) -> Command {
        let (program, arguments) = words.split_first().expect("a command");
        let own = self.path(&format!("/usr/local/bin/{program}"));
        let mut command = if own.exists() { Command::new(own) } else { Command::new(program) };
        command.args(arguments.iter().map(|word| self.staged(word)));
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.path("/usr/local/bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command
    }
}

#[test]
fn paths_of_the_container_lead_to_the_stage() {
    let stage = Stage::new();
    let root = stage.path("/").display().to_string();
    let root = root.trim_end_matches('/');
    let text = "w /run/weir/a.yml /etc/weir/b x/etc/weir/c [/var/lib/weir-agent]";
    let staged = format!(
        "w {root}/run/weir/a.yml {root}/etc/weir/b x/etc/weir/c [{root}/var/lib/weir-agent]"
    );
    assert_eq!(stage.staged(text), staged);
}
