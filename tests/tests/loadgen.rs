//! The load generator as people run it: against a real gateway, against one that fails, and against
//! nobody; its figures are those of the other side, its exit status says whether bounds were met.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir_tests::backend::{Backend, Reply};
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::{binaries, processes, wait};

fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| binaries::find("weir-loadgen", "WEIR_LOADGEN_BIN"))
}

fn run(to: SocketAddr, more: &[&str]) -> Output {
    let target = format!("http://{to}/api/v1/push");
    let mut command = Command::new(binary());
    command.args(["run", "--target", &target]).args(more);
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_gateway_has_what_the_report_says() {
    let backend = Backend::start();
    let url = format!("http://{}/api/v1/write", backend.address());
    let gateway = Gateway::start(&sending_to(&url, "1s", ""), "");
    let folder = tempfile::tempdir().expect("a folder");
    let (html, json) = (folder.path().join("r.html"), folder.path().join("r.json"));
    for (protocol, compression) in [("1.0", "snappy"), ("2.0", "zstd"), ("2.0", "snappy")] {
        let before = gateway.metrics().count("weir_received_samples_total", &[]);
        let output = run(
            gateway.address(),
            &[
                "--preset",
                "http-histograms",
                "--series",
                "6k",
                "--series-per-target",
                "200",
                "--samples-per-request",
                "300",
                "--interval",
                "1s",
                "--duration",
                "3s",
                "--connections",
                "4",
                "--ha",
                "--duplicates",
                "10%",
                "--malformed",
                "10%",
                "--protocol",
                protocol,
                "--compression",
                compression,
                "--max-error-ratio",
                "0",
                "--report-html",
                html.to_str().expect("a path"),
                "--report-json",
                json.to_str().expect("a path"),
            ],
        );
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{shown}");
        let report = std::fs::read_to_string(&json).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let figure = |name: &str| report["totals"][name].as_u64().expect("a number");
        // Two replicas of 6,000 series, three times; what is broken is not sent whole.
        assert!((28_000..36_000).contains(&figure("acknowledged")), "{shown}");
        assert!(figure("repeated") > 0 && figure("malformed_refused") > 0, "{shown}");
        assert_eq!((figure("malformed_taken"), figure("refused")), (0, 0), "{shown}");
        let due = ["acknowledged", "broken", "unsent"].map(figure).iter().sum::<u64>();
        assert_eq!(due, 36_000, "{shown}");
        assert_eq!(report["totals"]["answers"].as_object().map(serde_json::Map::len), Some(1));
        let got = gateway.metrics().count("weir_received_samples_total", &[]) - before;
        assert_eq!(got as u64, figure("acknowledged") + figure("repeated"), "{shown}");
        assert!(report["target"]["cpu"].as_f64().is_some_and(|cpu| cpu > 0.0), "{shown}");
    }
    let page = std::fs::read_to_string(&html).expect("a page");
    assert!(page.matches("<svg").count() >= 6 && page.contains("samples/s"));
    gateway.assert_audited();
}

#[test]
fn what_fails_is_tried_again_and_missed_bounds_are_status_1() {
    let backend = Backend::start();
    let seen = AtomicUsize::new(0);
    backend.script(move |_| match seen.fetch_add(1, Ordering::SeqCst) % 4 {
        0 => Reply::Status(503, vec![("Retry-After".into(), "0".into())], "busy".into()),
        1 => Reply::Close,
        _ => Reply::Accept,
    });
    let load = ["--series", "2k", "--samples-per-request", "200", "--interval", "1s"];
    let load = [&load[..], &["--duration", "2s", "--connections", "2"]].concat();
    let output = run(backend.address(), &load);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "no bound was given: {shown}");
    assert!(shown.contains("× 503") && shown.contains("first refusal  503: busy"), "{shown}");
    // All arrives in the end, each sample once.
    assert_eq!(backend.samples().len(), 4000, "{shown}");
    for bound in [["--max-error-ratio", "1%"], ["--max-p99", "100ms"], ["--min-rate", "1M"]] {
        backend.script(|_| Reply::Status(503, Vec::new(), "busy".into()));
        let output = run(backend.address(), &[&load[..], &bound].concat());
        assert_eq!(output.status.code(), Some(1), "{bound:?}: {}", text(&output.stdout));
        assert!(text(&output.stdout).contains("MISSED"), "{bound:?}");
    }
}

#[test]
fn several_targets_share_the_load_and_stand_in_for_one_that_fails() {
    let backends = [Backend::start(), Backend::start(), Backend::start()];
    backends[1].script(|_| Reply::Close);
    let others: Vec<String> = backends[1..].iter().map(Backend::url).collect();
    let targets: Vec<&str> = others.iter().flat_map(|url| ["--target", url.as_str()]).collect();
    let load = ["--series", "2k", "--samples-per-request", "100", "--interval", "1s"];
    let load = [&load[..], &["--duration", "3s", "--connections", "4"], &targets].concat();
    for spread in ["requests", "connections"] {
        let before = backends.each_ref().map(Backend::sample_count);
        let output = run(backends[0].address(), &[&load[..], &["--spread", spread]].concat());
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{shown}");
        let got: Vec<usize> =
            backends.iter().zip(before).map(|(b, before)| b.sample_count() - before).collect();
        // Three rounds of all series, each sample at one place.
        assert_eq!(got.iter().sum::<usize>(), 6_000, "{spread}: {got:?}: {shown}");
        assert!(got[0] > 1_000 && got[1] == 0 && got[2] > 1_000, "{spread}: {got:?}: {shown}");
    }
}

#[test]
fn nobody_there_is_an_error_in_the_report() {
    let nobody = processes::free_address();
    let load = ["--series", "1k", "--duration", "1s", "--max-error-ratio", "0"];
    let output = run(nobody, &load);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("Connection refused") && shown.contains("MISSED"), "{shown}");
}

#[test]
fn wrong_usage_is_status_2_and_all_is_said() {
    let output = run(processes::free_address(), &["--ramp", "5", "--replica-lag", "1s"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--ramp") && said.contains("--replica-lag"), "{said}");
    let output = Command::new(binary()).args(["run", "--series", "x"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn the_limit_of_a_slow_backend_is_found() {
    let backend = Backend::start();
    // One connection, 40 ms a request of 100 samples: at most 2,500 samples a second.
    backend.script(|_| {
        wait::for_clock(wait::now_ms() + 40);
        Reply::Accept
    });
    let output = run(
        backend.address(),
        &[
            "--series",
            "1k",
            "--samples-per-request",
            "100",
            "--connections",
            "1",
            "--rate",
            "500",
            "--find-limit",
            "--trial",
            "2s",
            "--max-p99",
            "300ms",
            "--min-rate",
            "600",
        ],
    );
    let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let limit = shown.lines().find_map(|line| line.strip_prefix("limit")).expect("a limit");
    let rate: f64 = limit.trim().split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((600.0..=2500.0).contains(&rate), "{shown}");
}

/// Long enough for a slow machine; a run that hangs is a failure.
#[test]
fn a_run_ends_although_nobody_answers() {
    let backend = Backend::start();
    backend.script(|_| Reply::Hang);
    let began = std::time::Instant::now();
    let load = ["--series", "1k", "--duration", "1s", "--timeout", "1s"];
    let output = run(backend.address(), &load);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("no answer in time"), "{}", text(&output.stdout));
    assert!(began.elapsed() < Duration::from_secs(60));
    backend.accept_all();
}

/// What `receive --record` has in its file is what was acknowledged.
#[test]
fn a_receiver_writes_down_what_it_accepts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, address) = (folder.path().join("record.jsonl"), processes::free_address());
    let mut command = Command::new(binary());
    command.args(["receive", "--listen", &address.to_string(), "--record-most", "1500"]);
    command.arg("--record").arg(&file).stdout(std::process::Stdio::piped());
    let receiver = command.spawn().expect("it starts");
    wait::until("it listens", Duration::from_secs(30), || {
        std::net::TcpStream::connect(address).map(|_| ()).map_err(|e| e.to_string())
    });
    let load = ["--series", "1k", "--interval", "1s", "--duration", "2s"];
    let output = run(address, &load);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let pid = i32::try_from(receiver.id()).ok().and_then(rustix::process::Pid::from_raw);
    let signal = rustix::process::Signal::TERM;
    rustix::process::kill_process(pid.expect("a process"), signal).expect("it is told");
    let said = text(&receiver.wait_with_output().expect("it ends").stdout);
    assert!(said.contains("2000 samples accepted"), "{said}");
    assert!(said.contains("1500 samples recorded, 500 not"), "{said}");
    let lines = std::fs::read_to_string(&file).expect("a record");
    let line: serde_json::Value =
        lines.lines().next_back().and_then(|line| serde_json::from_str(line).ok()).expect("JSON");
    assert_eq!(lines.lines().count(), 1500);
    assert!(line["labels"]["__name__"].is_string() && line["value"].is_string(), "{line}");
}

#[test]
fn a_password_is_said_to_the_target_and_to_no_report() {
    let backend = Backend::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (html, json) = (folder.path().join("r.html"), folder.path().join("r.json"));
    let target = format!("http://ann:secret@{}/api/v1/push", backend.address());
    let mut command = Command::new(binary());
    command.args(["run", "--target", &target, "--series", "1k", "--duration", "1"]);
    command.arg("--report-html").arg(&html).arg("--report-json").arg(&json);
    let output = command.output().expect("it starts");
    let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{shown}");
    // printf ann:secret | base64
    let said = ("authorization".to_owned(), "Basic YW5uOnNlY3JldA==".to_owned());
    assert!(backend.accepted().iter().all(|request| request.headers.contains(&said)));
    assert!(backend.requests_seen() > 0);
    for text in [shown, std::fs::read_to_string(html).expect("a page")] {
        assert!(!text.contains("secret"), "{text}");
    }
    let report = std::fs::read_to_string(json).expect("a report");
    assert!(!report.contains("secret") && report.contains("(hidden)@"), "{report}");
}
