//! `weir-loadgen`: arguments in, an exit code out.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use weir_loadgen::check::Ledger;
use weir_loadgen::cli::run::RunArgs;
use weir_loadgen::cli::targets::TargetsArgs;
use weir_loadgen::cli::{Arguments, Command};
use weir_loadgen::receiver::Recorded;
use weir_loadgen::receiver::cli::ReceiveArgs;
use weir_loadgen::report::checked::Checked;
use weir_loadgen::report::progress::Progress;
use weir_loadgen::report::{json, page, table};
use weir_loadgen::run;
use weir_loadgen::sender::Observer;
use weir_loadgen::sender::endpoint::without_password;
use weir_loadgen::targets::Targets;
use weir_loadgen::torture;
use weir_loadgen::torture::cli::TortureArgs;
use weir_loadgen::workload::Workload;

/// A bound was missed, or the oracle found a difference.
const MISSED: u8 = 1;
/// Wrong usage, or the run could not begin or not be written down.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(args) => run_load(&args),
        Command::Targets(args) => be_targets(&args),
        Command::Receive(args) => receive(&args),
        Command::Torture(args) => torture(&args),
    }
}

fn run_load(args: &RunArgs) -> ExitCode {
    let plan = match args.plan() {
        Ok(plan) => plan,
        Err(wrong) => return fail(&wrong.join("\n")),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    on_interrupt(move || flag.store(true, Ordering::Relaxed));
    let mut progress = Progress::stderr();
    let check = match args.check.begin(&plan, args.tenant.as_deref()) {
        Ok(check) => check,
        Err(why) => return fail(&why),
    };
    let ledger = Arc::new(Ledger::default());
    let observer: Arc<dyn Observer> = match &check {
        Some(check) => {
            progress.say(&format!("outputs are looked for at {}", check.url()));
            Arc::clone(&ledger) as Arc<dyn Observer>
        }
        None => Arc::new(()),
    };
    let outcome = run::run(&plan, observer, &stop, &mut progress);
    progress.end();
    let mut report = match outcome {
        Ok(report) => report,
        Err(why) => return fail(&why),
    };
    report.command = command_line();
    say(&table::write(&report));
    let mut unread = None;
    if let Some(check) = check {
        let workload = Workload::new(plan.shape.clone(), plan.seed);
        say("waiting for the last windows\n");
        match check.end(&ledger, &workload, &stop) {
            Ok(differences) => {
                let doubtful_requests = ledger.doubtful();
                let checked = Checked { doubtful_requests, ..Checked::from(&differences) };
                say(&format!("outputs: {differences}\n"));
                if doubtful_requests > 0 {
                    say(&format!("requests that may have been taken: {doubtful_requests}\n"));
                }
                report.checked = Some(checked);
            }
            Err(why) => unread = Some(why),
        }
    }
    for (file, text) in
        [(&args.report_html, page::write(&report)), (&args.report_json, json::write(&report))]
    {
        if let Some(file) = file
            && let Err(why) = write(file, &text)
        {
            return fail(&why);
        }
    }
    if let Some(why) = unread {
        return fail(&format!("--read-from: {why}"));
    }
    let differs = report.checked.is_some_and(|checked| !checked.right);
    let met = report.bounds.iter().all(|bound| bound.met);
    if met && !differs { ExitCode::SUCCESS } else { ExitCode::from(MISSED) }
}

fn be_targets(args: &TargetsArgs) -> ExitCode {
    let targets = match Targets::start(args) {
        Ok(targets) => targets,
        Err(why) => return fail(&why),
    };
    let mut text = String::new();
    for address in &targets.addresses {
        text.push_str(&format!("http://{address}/metrics\n"));
    }
    text.push_str(&format!("list for http_sd_configs: http://{}/targets\n", targets.discovery));
    say(&text);
    wait_for_interrupt();
    let served = targets.scrapes.load(Ordering::Relaxed);
    say(&format!("{served} pages served\n"));
    ExitCode::SUCCESS
}

fn receive(args: &ReceiveArgs) -> ExitCode {
    let receiver = match args.start() {
        Ok(receiver) => receiver,
        Err(why) => return fail(&why),
    };
    say(&format!("listens at {}\n", receiver.url()));
    wait_for_interrupt();
    let (requests, samples) = (receiver.requests_seen(), receiver.sample_count());
    say(&format!("{requests} requests, {samples} samples accepted\n"));
    if let Some(Recorded { written, left_out, failed }) = receiver.recorded() {
        say(&format!("{written} samples recorded, {left_out} not\n"));
        if let Some(why) = failed {
            return fail(&format!("--record: {why}"));
        }
    }
    ExitCode::SUCCESS
}

fn torture(args: &TortureArgs) -> ExitCode {
    let plan = args.plan();
    let summary = match torture::run(&plan, &|line| say(&format!("{line}\n"))) {
        Ok(summary) => summary,
        Err(why) => return fail(&format!("seed {}: {why}", plan.seed)),
    };
    say(&format!("{summary}\n"));
    if summary.is_right() {
        return ExitCode::SUCCESS;
    }
    say(&format!("seed {}: {}\n", plan.seed, summary.found()));
    ExitCode::from(MISSED)
}

/// Until the first Ctrl-C or SIGTERM.
fn wait_for_interrupt() {
    let (tell, hear) = std::sync::mpsc::sync_channel(1);
    on_interrupt(move || {
        // It is full if nobody listens any more.
        tell.try_send(()).ok();
    });
    // The other end lives as long as the process.
    hear.recv().ok();
}

/// Calls at the first Ctrl-C or SIGTERM; the second one ends the process.
fn on_interrupt(call: impl Fn() + Send + 'static) {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
            let (Ok(mut interrupt), Ok(mut terminate)) = (signal(interrupt), signal(terminate))
            else {
                return;
            };
            for times in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if times > 0 {
                    std::process::exit(130);
                }
                call();
            }
        });
    });
}

/// As it was typed, but for what may be secret.
fn command_line() -> String {
    let mut line = "weir-loadgen".to_owned();
    let mut secret = false;
    for argument in std::env::args().skip(1) {
        let hidden = secret || argument.starts_with("--header=");
        secret = argument == "--header";
        line.push(' ');
        line.push_str(&if hidden { "(hidden)".to_owned() } else { without_password(&argument) });
    }
    line
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}

#[allow(clippy::print_stdout, reason = "the report is what it is for")]
fn say(text: &str) {
    print!("{text}");
}

#[allow(clippy::print_stderr, reason = "there is no logger")]
fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(UNUSABLE)
}
