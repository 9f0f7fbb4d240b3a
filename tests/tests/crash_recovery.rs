//! `kill -9` at any moment changes nothing: no acknowledged sample lost, none counted twice.
//!
//! A gateway under load is killed again and again, at moments aimed at everything it does, while
//! windows of 10 s and of 1 min go by; then what the backend received is compared with what the
//! oracle computes from what was acknowledged. `WEIR_KILLS` says how many kills (100 by default,
//! within some six minutes).

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_tests::backend::{Backend, Reply};
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::load::{Load, Rules, passed_on};
use weir_tests::oracle::Expected;
use weir_tests::samples::{History, Sample, labels, name};
use weir_tests::{sender, wait};

const RULES: Rules = Rules { short_s: 10, long_s: 60 };
/// Longer than a restart, so that nothing that was acknowledged came late.
const GRACE_MS: i64 = 10_000;
/// Comes and goes with reloads; the others keep their state.
const ANOTHER_RULE: &str =
    "- {name: another, match: nothing_at_all, interval: 30s, outputs: [sum_last]}\n";
const SOON: Duration = Duration::from_secs(60);
/// Until the last window is closed: what a gateway was down for adds up while senders may not have come back, and
/// counts for nobody for a minute more.
const AT_LAST: Duration = Duration::from_secs(180);

/// What the gateway is about to do when the blow falls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Moment {
    /// Under load: appending, syncing.
    Load,
    /// While it reads its log after the last kill.
    Replay,
    /// When windows end: FRONTIER and EMIT records are written.
    Frontier,
    /// While a request is on its way to the backend, which has not answered yet.
    Send,
    /// Just after SIGHUP.
    Reload,
}

const MOMENTS: [Moment; 5] =
    [Moment::Load, Moment::Replay, Moment::Frontier, Moment::Send, Moment::Reload];

#[test]
fn kills_at_any_moment_lose_double_and_change_nothing() {
    let kills = std::env::var("WEIR_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let backend = Arc::new(Backend::start());
    let mut gateway = Gateway::start(&config(&backend), &RULES.file());
    let load = Load::start(gateway.address(), 6, 100);
    let mut dice = Dice(0x5eed);
    let mut struck: BTreeMap<Moment, usize> = BTreeMap::new();
    let mut killed_at = Vec::new();
    for kill in 0..kills {
        let moment = MOMENTS[kill % MOMENTS.len()];
        let before = load.acknowledged();
        strike(moment, &mut gateway, &backend, &mut dice);
        killed_at.push(wait::now_ms());
        *struck.entry(moment).or_default() += 1;
        gateway.spawn();
        if moment != Moment::Load || kill % 2 == 0 {
            // Mostly it gets back to work first; else the next blow meets it on its feet or not.
            wait::until_true("samples are acknowledged again", SOON, || {
                load.acknowledged() > before
            });
        }
    }
    let summary = judge(gateway, &backend, load, &killed_at, &format!("killed: {struck:?}"));
    std::io::stdout().write_all(summary.as_bytes()).expect("stdout");
}

/// Two targets go on over a restart, and one has died before it: windows waited for that one until
/// `windows.backlog_wait_max` was over, which is 5 min.
#[test]
fn a_target_that_died_before_a_restart_holds_no_window_up() {
    const OUTPUT: &str = "up_now:2s_by_job_count_series";
    let backend = Backend::start();
    let rules = "- {match: up_now, interval: 2s, by: [job], staleness_interval: 4s, outputs: [count_series]}\n";
    let mut gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), rules);
    let say = |gateway: &Gateway, targets: &[&str]| {
        let now = wait::now_ms();
        let series = |instance: &&str| labels("up_now", &[("instance", instance), ("job", "j")]);
        let sample = |instance| Sample::new(&series(instance), now, 1.0);
        let samples: Vec<Sample> = targets.iter().map(sample).collect();
        sender::send_until_acknowledged(gateway.address(), &samples, SOON);
        wait::for_clock(now + 500);
        now
    };
    for _ in 0..6 {
        say(&gateway, &["a:1", "b:1", "dead:1"]);
    }
    gateway.crash_and_restart();
    let restarted = say(&gateway, &["a:1", "b:1"]);
    wait::until("a window of after the restart is said", SOON, || {
        say(&gateway, &["a:1", "b:1"]);
        let said = backend.samples();
        let said = said.iter().filter(|s| name(&s.labels) == OUTPUT);
        let last = said.max_by_key(|s| s.timestamp).map(|s| (s.timestamp, s.value));
        let is_past = last.is_some_and(|(end, value)| end > restarted + 6_000 && value == 2.0);
        if is_past { Ok(()) } else { Err(format!("{last:?} was the last one")) }
    });
    gateway.assert_audited();
}

/// The places where the gateway ends itself when it is told to, with how many passes it may make
/// before; a replay has few.
const POINTS: [(&str, i64); 8] = [
    ("append", 30),
    ("fsync", 30),
    ("frontier", 3),
    ("emit", 6),
    ("send", 6),
    ("checkpoint", 12),
    ("reload", 1),
    ("replay", 1),
];

#[test]
fn an_end_between_any_two_steps_changes_nothing_either() {
    let kills = std::env::var("WEIR_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let rounds = (kills / 10).max(1);
    let backend = Arc::new(Backend::start());
    let configured = format!("{}wal: {{checkpoint_interval: 500ms}}\n", config(&backend));
    let mut gateway = Gateway::start(&configured, &RULES.file());
    let load = Load::start(gateway.address(), 6, 100);
    let mut dice = Dice(0xd00d);
    let mut killed_at = Vec::new();
    for round in 0..rounds {
        for (point, passes) in POINTS {
            gateway.kill();
            gateway.spawn_doomed(point, 1 + dice.below(passes));
            if point == "reload" {
                gateway.wait_ready();
                let rules = if round % 2 == 0 { ANOTHER_RULE } else { "" };
                gateway.configure(&configured, &format!("{rules}{}", RULES.file()));
                gateway.hang_up();
            }
            wait::until_true(&format!("it ends at {point}"), SOON, || {
                !gateway.program().is_running()
            });
            killed_at.push(wait::now_ms());
            // Once to its feet: three ends in one replay would set a record aside, as they should.
            let before = load.acknowledged();
            gateway.spawn();
            wait::until_true("samples are acknowledged again", SOON, || {
                load.acknowledged() > before
            });
        }
    }
    let struck = rounds * POINTS.len();
    let what = format!("ended {struck} times");
    let summary = judge(gateway, &backend, load, &killed_at, &what);
    std::io::stdout().write_all(summary.as_bytes()).expect("stdout");
}

/// Compares all that was acknowledged with all that arrived.
fn judge(
    mut gateway: Gateway,
    backend: &Backend,
    load: Load,
    killed_at: &[i64],
    what: &str,
) -> String {
    gateway.wait_ready();
    let last_tick = wait::now_ms();
    let history = load.stop();
    let through = RULES.window_end(last_tick) - RULES.long_s * 1000;
    gateway.wait_frontier(through, AT_LAST);
    let verdict = wait::until("everything arrives as computed", Duration::from_secs(30), || {
        RULES.compare(&history, &backend.samples(), through).into_result()
    });
    let late = gateway.metrics().count("weir_samples_total", &[("class", "late")]);
    assert_eq!(late, 0.0, "samples within grace were late");
    gateway.assert_audited();
    let reach = reach(&history, killed_at, through);
    format!("{} samples acknowledged; {verdict}; {reach}; {what}\n", history.len())
}

/// Panics unless what was compared holds what it is about: raw samples and their markers, and
/// closed windows of both lengths with kills inside, three and more in the long ones.
fn reach(history: &History, killed_at: &[i64], through: i64) -> String {
    let passed = passed_on(history);
    let passed: Vec<&Expected> = passed.values().flat_map(BTreeMap::values).collect();
    let markers = passed.iter().filter(|e| ***e == Expected::Marker).count();
    assert!(markers > 0, "no raw stale marker among {} samples", passed.len());
    let most_kills = |seconds: i64| {
        let mut kills: BTreeMap<i64, usize> = BTreeMap::new();
        for at in killed_at {
            let end = (at + seconds * 1000 - 1).div_euclid(seconds * 1000) * seconds * 1000;
            *kills.entry(end).or_default() += usize::from(end <= through);
        }
        kills.values().copied().max().unwrap_or(0)
    };
    let (short, long) = (most_kills(RULES.short_s), most_kills(RULES.long_s));
    // A few kills alone, for a quick look, need not fill a window.
    if killed_at.len() >= 40 {
        assert!(short >= 1 && long >= 3, "at most {short} and {long} kills in a window");
    }
    format!(
        "{} of them passed on, {markers} of these stale markers; up to {short} kills in a window \
         of {} s, {long} in one of {} s",
        passed.len(),
        RULES.short_s,
        RULES.long_s
    )
}

/// Kills the gateway at such a moment.
fn strike(moment: Moment, gateway: &mut Gateway, backend: &Arc<Backend>, dice: &mut Dice) {
    match moment {
        Moment::Load => wait::for_clock(wait::now_ms() + dice.below(1500)),
        Moment::Replay => {
            gateway.kill();
            gateway.spawn();
            wait::for_clock(wait::now_ms() + dice.below(120));
        }
        Moment::Frontier => {
            // Restarts keep the frontier behind the clock, so it is asked where it stands.
            gateway.wait_ready();
            let stands = || gateway.metrics().count("weir_frontier_seconds", &[]) * 1000.0;
            let short_ms = (RULES.short_s * 1000) as f64;
            let end = (stands() / short_ms).floor() * short_ms + short_ms;
            wait::until_true("a window closes", AT_LAST, || stands() >= end);
            wait::for_clock(wait::now_ms() + dice.below(40));
        }
        Moment::Send => {
            let arrived = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&arrived);
            backend.script(move |_| {
                seen.store(true, Ordering::SeqCst);
                Reply::Hang
            });
            wait::until_true("a request reaches the backend", SOON, || {
                arrived.load(Ordering::SeqCst)
            });
        }
        Moment::Reload => {
            gateway.wait_ready();
            let with_another = dice.below(2) == 0;
            let rules = if with_another { ANOTHER_RULE } else { "" };
            gateway.configure(&config(backend), &format!("{rules}{}", RULES.file()));
            gateway.hang_up();
            wait::for_clock(wait::now_ms() + dice.below(30));
        }
    }
    gateway.kill();
    // Those that hang are taken now, after the kill: the answer never arrives.
    backend.accept_all();
}

fn config(backend: &Backend) -> String {
    sending_to(&backend.url(), &format!("{GRACE_MS}ms"), "")
}

/// Reproducible moments: a linear congruential generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}
