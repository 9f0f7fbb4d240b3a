//! The arguments of `weir-loadgen receive`.

use std::path::PathBuf;

use clap::Args;

use super::{Receiver, Script};

/// Arguments of `receive`.
#[derive(Clone, Debug, Args)]
pub struct ReceiveArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9009")]
    pub listen: String,

    /// What to do, step by step; without it everything is accepted.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
}

impl ReceiveArgs {
    /// Starts the receiver, which counts what it accepts.
    pub fn start(&self) -> Result<Receiver, String> {
        let script = match &self.script {
            Some(file) => {
                let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
                let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
                Some(Script::read(&text).map_err(|e| wrong(&e))?)
            }
            None => None,
        };
        let receiver =
            Receiver::listen(&self.listen).map_err(|e| format!("{}: {e}", self.listen))?;
        receiver.forget();
        if let Some(script) = script {
            script.play(&receiver);
        }
        Ok(receiver)
    }
}
