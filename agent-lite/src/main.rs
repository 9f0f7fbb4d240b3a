//! Arguments → configuration → run → exit code. Nothing else.

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use weir_agent_config::check_report;
use weir_agent_lite::app::{App, Origin, web};
use weir_agent_lite::cli::Args;
use weir_agent_lite::{footprint, reduce};

fn main() -> ExitCode {
    footprint::settle();
    let args = Args::parse();
    let advice = args.advice();
    if !advice.errors.is_empty() {
        return fail(&advice.errors.join("\n"));
    }
    if let Err(why) = web(&args) {
        return fail(&why);
    }
    if let Err(why) = weir_telemetry::logs::init(&args.log_level, args.log_format) {
        return fail(&why.to_string());
    }
    let (origin, config) = match Origin::read(&args) {
        Ok(read) => read,
        Err(errors) => return fail(&errors),
    };
    let rules = match reduce::read(&args.rule_files) {
        Ok(rules) => rules,
        Err(errors) => return fail(&errors.to_string()),
    };
    if args.check {
        return say(&format!("{}{rules}", check_report(&config)));
    }
    for warning in advice.warnings {
        tracing::warn!(warning, "flags");
    }
    for warning in config.warnings.iter().chain(&rules.warnings) {
        tracing::warn!(%warning, "configuration");
    }
    // One thread: there is a page to parse now and then, and waking another costs more than a wait.
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(4).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            match App::build(args, config, origin, rules).await {
                Ok(app) => run(app).await,
                Err(why) => {
                    tracing::error!(why, "cannot start");
                    fail(&why)
                }
            }
        }),
        Err(why) => fail(&why.to_string()),
    }
}

/// Serves until SIGTERM, SIGINT or `/-/quit`; SIGHUP reloads; a second signal ends at once.
async fn run(app: App) -> ExitCode {
    let signals = (SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup());
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
        (signal(signals.0), signal(signals.1), signal(signals.2))
    else {
        return fail("cannot listen for signals");
    };
    let (mut quit, mut durable) = (app.quit.clone(), app.durable.clone());
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = quit.wait_for(|asked| *asked) => break,
            _ = hup.recv() => {
                let admin = app.admin.clone();
                // The reload says itself what came of it.
                drop(tokio::task::spawn_blocking(move || admin.reload()).await);
            }
            _ = durable.wait_for(|position| *position == u64::MAX) => return fail(BUFFER_FAILED),
        }
    }
    tracing::info!("stopping");
    tokio::select! {
        () = app.stop() => ExitCode::SUCCESS,
        _ = term.recv() => fail(ENDED_AT_ONCE),
        _ = int.recv() => fail(ENDED_AT_ONCE),
    }
}

const BUFFER_FAILED: &str =
    "the buffer could not be written; on the next start what is on disk is recovered";
const ENDED_AT_ONCE: &str = "ended at once; the buffer has what was not delivered";

#[allow(clippy::print_stdout, reason = "--check answers on standard output")]
fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr, reason = "there may be no logger yet")]
fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
