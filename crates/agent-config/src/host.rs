//! The host that a configuration is for: its environment, its files, its way out.
//!
//! Invariant: of another host nothing is looked at here. Its variables stand for themselves, and no
//! file that the configuration names is opened.

use std::path::Path;

use weir_remote::config::raw::RemoteWrite;

/// An environment: a variable's value, if it is set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a configuration means beyond its text.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The folder in which relative names of files begin.
    pub folder: &'a Path,
    /// The environment.
    pub env: Env<'a>,
    /// Whether this is that host, so that files can be looked at.
    pub is_here: bool,
    /// What `remote_write` is where the configuration has none; nothing: it has to have some.
    pub remote_write: &'a [RemoteWrite],
}

impl<'a> Host<'a> {
    /// This host, for a file in this folder that has its own `remote_write`.
    pub fn here(folder: &'a Path, env: Env<'a>) -> Self {
        Self { folder, env, is_here: true, remote_write: &[] }
    }

    /// Any other host, which sends to a gateway unless the configuration says otherwise.
    pub fn elsewhere(gateway: &'a [RemoteWrite]) -> Self {
        Self {
            folder: Path::new(""),
            env: &|name| Some(format!("${{{name}}}")),
            is_here: false,
            remote_write: gateway,
        }
    }
}
