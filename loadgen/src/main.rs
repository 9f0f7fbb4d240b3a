//! `weir-loadgen`: arguments in, an exit code out.

use std::process::ExitCode;

use clap::Parser;

/// Generates load for a gateway or an agent, and checks what comes out.
#[derive(Parser)]
#[command(name = "weir-loadgen", version)]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    ExitCode::SUCCESS
}
