//! Debian's programs. `install.sh` beside this crate installs what is missing; `make test` calls
//! it, and so does the first test that needs one of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where a program is; installs Debian's packages if it is not there.
pub fn find(program: &str) -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
        let status = Command::new(&script).status();
        let done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
        assert!(done, "{} failed: {status:?}", script.display());
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/bin"), PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed"))
}
