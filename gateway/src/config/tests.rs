//! The configuration from the outside: files on disk in, a configuration or its errors out.

mod agents;
mod cluster;
mod examples;
mod good;
mod reference;
mod reloads;
mod replay;
mod wrong;

use std::path::{Path, PathBuf};

use super::*;

/// A folder with a configuration and what it names.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        load(Some(&self.path("weir.yml")), &Overrides::default(), &env)
    }

    /// Messages without the folder's own name.
    fn errors(&self) -> Vec<String> {
        let errors = self.load().expect_err("the configuration is wrong");
        errors.0.iter().map(|error| self.short(&error.to_string())).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let config = self.load().expect("the configuration is good");
        config.warnings.iter().map(|warning| self.short(&warning.to_string())).collect()
    }

    fn short(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// An environment of one variable.
fn env(name: &str) -> Option<String> {
    (name == "REGION").then(|| "eu-1".to_owned())
}

fn good(text: &str) -> Config {
    let folder = Folder::new(&[("weir.yml", text)]);
    folder.load().unwrap_or_else(|errors| panic!("{text}: {errors}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
