//! Arguments → configuration → run → exit code. Nothing else.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_gateway::app::App;
use weir_gateway::cli::{Args, Command, admin};
use weir_gateway::config::{check_report, load};
use weir_gateway::shutdown::shut_down;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Admin(question)) = &args.command {
        return match admin::run(question) {
            Ok(answer) => say(answer.trim_end()),
            Err(why) => fail(&why),
        };
    }
    let env = |name: &str| std::env::var(name).ok();
    let config = match load(args.config_file.as_deref(), &args.overrides(), &env) {
        Ok(config) => config,
        Err(errors) => return fail(&errors.to_string()),
    };
    if args.check {
        return say(&check_report(&config));
    }
    if let Err(why) = weir_telemetry::logs::init(&config.log.level, config.log.format) {
        return fail(&why.to_string());
    }
    if let Err(why) = weir_gateway::crash::mutate() {
        return fail(&why);
    }
    if let Err(why) = weir_gateway::allocator::set_up() {
        tracing::warn!(%why, "free memory is given back late");
    }
    for warning in &config.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&why.to_string()),
    };
    if args.hosted.is_some() {
        weir_gateway::cluster::follow::end_with_host();
    }
    let code = runtime.block_on(async {
        // Heard from the beginning: the default of SIGHUP is the end, and whoever reloads cannot know
        // that the log is still being read back.
        let Ok(hup) = signal(SignalKind::hangup()) else {
            return fail(NO_SIGNALS);
        };
        match App::build(config, args.overrides()).await {
            Ok(app) => run(app, hup).await,
            Err(why) => {
                tracing::error!(%why, "cannot start");
                fail(&why.to_string())
            }
        }
    });
    // What waits for a disk, or for a follower, is not waited for.
    runtime.shutdown_background();
    code
}

const NO_SIGNALS: &str = "cannot listen for signals";

/// A failed sync is never tried again: the next start finds out what is on disk.
const JOURNAL_FAILED: &str =
    "a journal could not be written; on the next start what is on disk is recovered";

/// Serves until SIGTERM or SIGINT; SIGHUP reloads; a second SIGTERM ends at once.
async fn run(app: App, mut hup: Signal) -> ExitCode {
    let signals = (SignalKind::terminate(), SignalKind::interrupt());
    let (Ok(mut term), Ok(mut int)) = (signal(signals.0), signal(signals.1)) else {
        return fail(NO_SIGNALS);
    };
    let mut log = app.node.durable.clone();
    let mut queue = app.node.queue_durable.clone();
    let mut checkpoints = app.node.checkpoints_durable.clone();
    let failed = |position: &u64| *position == u64::MAX;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                let router = app.router.clone();
                let reloading = move || router.reload();
                // The reload says itself what came of it.
                drop(tokio::task::spawn_blocking(reloading).await);
            }
            _ = log.wait_for(failed) => return fail(JOURNAL_FAILED),
            _ = queue.wait_for(failed) => return fail(JOURNAL_FAILED),
            _ = checkpoints.wait_for(failed) => return fail(JOURNAL_FAILED),
            why = app.node.follow.lost() => return fail(&why),
        }
    }
    tokio::select! {
        () = shut_down(app) => ExitCode::SUCCESS,
        _ = term.recv() => fail("ended at once; the log has what was acknowledged"),
        _ = int.recv() => fail("ended at once; the log has what was acknowledged"),
    }
}

/// `--check` and `admin` answer on standard output; whoever has seen enough of it may close it.
fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) if why.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why) => fail(&why.to_string()),
    }
}

#[allow(clippy::print_stderr, reason = "there may be no logger yet")]
fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
