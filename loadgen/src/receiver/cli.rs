//! The arguments of `weir-loadgen receive`.

use std::path::PathBuf;

use clap::Args;

use super::{Receiver, Record, Script};
use crate::units;

/// Arguments of `receive`.
#[derive(Clone, Debug, Args)]
pub struct ReceiveArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9009")]
    pub listen: String,

    /// What to do, step by step; without it everything is accepted.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,

    /// Write down each sample that is accepted: a line of JSON each, with when it came, its labels, its
    /// timestamp, and its value or histogram. docs/LOADGEN.md has the format.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// How many lines at most; what comes then is counted.
    #[arg(long, value_name = "N", value_parser = units::count, default_value = "1M", requires = "record")]
    pub record_most: u64,
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
        if let Some(file) = &self.record {
            let record = Record::create(file, self.record_most);
            receiver.record_to(record.map_err(|e| format!("--record {}: {e}", file.display()))?);
        }
        if let Some(script) = script {
            script.play(&receiver);
        }
        Ok(receiver)
    }
}
