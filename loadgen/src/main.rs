//! `weir-loadgen`: arguments in, an exit code out.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use weir_loadgen::receiver::cli::ReceiveArgs;
use weir_loadgen::receiver::script;
use weir_loadgen::torture;
use weir_loadgen::torture::cli::TortureArgs;

/// Generates load for a gateway or an agent, and checks what comes out.
#[derive(Parser)]
#[command(name = "weir-loadgen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stand in for the backend: record what arrives, and misbehave as a script says.
    #[command(after_help = script::HELP)]
    Receive(ReceiveArgs),
    /// Run a gateway among faults, and compare what comes out with what must.
    #[command(after_help = torture::cli::AFTER)]
    Torture(TortureArgs),
}

/// Something was lost, doubled, wrong or late.
const DIFFERS: u8 = 1;
/// Wrong usage, or it could not go on.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Receive(args) => receive(&args),
        Command::Torture(args) => torture(&args),
    }
}

fn receive(args: &ReceiveArgs) -> ExitCode {
    let receiver = match args.start() {
        Ok(receiver) => receiver,
        Err(why) => return fail(&why),
    };
    say(&format!("listens at {}", receiver.url()));
    let mut told = 0;
    loop {
        std::thread::sleep(Duration::from_secs(10));
        let seen = receiver.requests_seen();
        if seen != told {
            say(&format!("{seen} requests, {} samples accepted", receiver.sample_count()));
        }
        told = seen;
    }
}

fn torture(args: &TortureArgs) -> ExitCode {
    let plan = args.plan();
    let summary = match torture::run(&plan, &say) {
        Ok(summary) => summary,
        Err(why) => return fail(&format!("seed {}: {why}", plan.seed)),
    };
    say(&summary.to_string());
    if summary.differences.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&format!("seed {}: {}", plan.seed, summary.differences));
    ExitCode::from(DIFFERS)
}

#[allow(clippy::print_stdout, reason = "what it finds is what it is for")]
fn say(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr, reason = "there is no logger")]
fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(UNUSABLE)
}
