//! A reload applies a changed file without losing a window; a bad file changes nothing.

use std::time::Duration;

use rustix::process::Signal;
use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::load::{Load, Rules};
use weir_tests::samples::{Sample, is_stale, labels, name};
use weir_tests::{http, sender, wait};

const RULES: Rules = Rules { short_s: 2, long_s: 6 };
const SOON: Duration = Duration::from_secs(30);

const OTHER_RULE: &str = "- name: other\n  match: passed_on_too\n  interval: 2s\n  \
                          by: [job]\n  outputs: [sum_last]\n";

#[test]
fn unchanged_rules_keep_their_windows_through_reloads_under_load() {
    let backend = Backend::start();
    let config = sending_to(&backend.url(), "3s", "");
    let mut gateway = Gateway::start(&config, &RULES.file());
    let load = Load::start(gateway.address(), 2, 200);
    for round in 0..8 {
        let enough = load.acknowledged() + 200;
        wait::until_true("some load", SOON, || load.acknowledged() > enough);
        // The rule that comes and goes stands first, so that every other one changes its place.
        let other = if round % 2 == 0 { OTHER_RULE } else { "" };
        gateway.configure(&config, &format!("{other}{}", RULES.file()));
        if round % 4 < 2 {
            let answer = http::post(gateway.address(), "/-/reload", &[], b"").expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        } else {
            gateway.program().signal(Signal::HUP);
        }
    }
    let history = load.stop();
    let through = RULES.window_end(wait::now_ms()) - RULES.long_s * 1000;
    gateway.wait_frontier(through, SOON);
    wait::until("everything arrives as computed", SOON, || {
        RULES.compare(&history, &backend.samples(), through).into_result()
    });
    gateway.assert_audited();
}

/// A SIGHUP that came while the log was read back ended the process: nobody had asked for it yet.
#[test]
fn a_hang_up_while_the_log_is_read_back_does_not_end_the_gateway() {
    let mut gateway = Gateway::start("", &RULES.file());
    for _ in 0..5 {
        gateway.kill();
        gateway.spawn();
        // It tells its address, and reads its log back from then on.
        let told = gateway.data_dir().join("listen.addr");
        while !told.exists() {
            wait::for_clock(wait::now_ms() + 1);
        }
        for _ in 0..40 {
            gateway.hang_up();
            wait::for_clock(wait::now_ms() + 1);
        }
        gateway.wait_ready();
    }
    wait::until_true("it reloads once it is up", SOON, || gateway.log().contains("reload"));
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let backend = Backend::start();
    let config = sending_to(&backend.url(), "2s", "");
    let gateway = Gateway::start(&config, &RULES.file());
    gateway.configure(&config, "- interval: 2s\n  outputs: [totally]\n");
    let answer = http::post(gateway.address(), "/-/reload", &[], b"").expect("an answer");
    assert!(answer.status >= 400, "{}", answer.text());
    let text = answer.text();
    for word in ["rules.yml", "totally", "total_prometheus"] {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
    gateway.configure("no_such_key: 1\n", &RULES.file());
    let answer = http::post(gateway.address(), "/-/reload", &[], b"").expect("an answer");
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(answer.text().contains("no_such_key"), "{}", answer.text());
    // The old rules are at work.
    let load = Load::start(gateway.address(), 1, 200);
    wait::until_true("old rules speak", SOON, || {
        let received = backend.samples();
        received.iter().any(|s| name(&s.labels) == "requests_total:2s_without_instance_total")
    });
    load.stop();
    gateway.assert_audited();
}

#[test]
fn the_log_level_changes_with_a_reload() {
    let gateway = Gateway::start("log: {level: info}\n", "");
    let said = || gateway.log().matches("configuration reloaded").count();
    for (level, times) in [("error", 0), ("info", 1), ("warn", 1), ("debug", 2)] {
        gateway.configure(&format!("log: {{level: {level}}}\n"), "");
        let answer = http::post(gateway.address(), "/-/reload", &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(said(), times, "at {level}: {}", gateway.log());
    }
}

#[test]
fn a_removed_rule_ends_its_outputs_with_markers_and_its_inputs_pass_through() {
    let backend = Backend::start();
    let config = sending_to(&backend.url(), "1s", "");
    let gateway = Gateway::start(&config, OTHER_RULE);
    let series = labels("passed_on_too", &[("instance", "a:1"), ("job", "j")]);
    let say = |value: f64| {
        let sample = Sample::new(&series, wait::now_ms(), value);
        sender::send_until_acknowledged(gateway.address(), &[sample], SOON);
    };
    let outputs = || -> Vec<Sample> {
        let of_rule = |s: &Sample| name(&s.labels) == "passed_on_too:2s_by_job_sum_last";
        backend.samples().into_iter().filter(of_rule).collect()
    };
    say(5.0);
    wait::until_true("the rule speaks", SOON, || !outputs().is_empty());
    assert_eq!(outputs()[0].value, 5.0);
    gateway.configure(&config, "");
    let answer = http::post(gateway.address(), "/-/reload", &[], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait::until_true("a marker ends it", SOON, || {
        outputs().last().is_some_and(|s| is_stale(s.value))
    });
    say(6.0);
    wait::until_true("the input passes", SOON, || {
        backend.samples().iter().any(|s| s.labels == series && s.value == 6.0)
    });
    let markers = outputs().iter().filter(|s| is_stale(s.value)).count();
    assert_eq!(markers, 1);
    gateway.assert_audited();
}
