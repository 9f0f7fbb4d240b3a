//! Where the programs under test are: built by cargo beside the tests, in their profile.

use std::path::PathBuf;
use std::process::Command;

/// The binary that `variable` names, or the one of the package of the same name.
pub fn find(package: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let this = std::env::current_exe().expect("the test's own path");
    let profile = this.ancestors().nth(2).expect("<target>/<profile>/deps/<test>");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // A test target among them gives the features of `cargo test --workspace`, so that what it has
    // built is used again.
    build.args(["build", "--quiet", "--workspace", "--bin", package, "--test", "tidy"]);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.arg("--target-dir").arg(profile.parent().expect("target folder"));
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "{package} does not build");
    profile.join(package)
}
