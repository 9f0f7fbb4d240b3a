//! What a tenant may do counts for the tier, not for each of its gateways.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::samples::{Sample, labels};
use weir_tests::sender::send_v1;
use weir_tests::tier::Tier;
use weir_tests::wait;

use super::{GATEWAYS, SOON};

const RULES: &str = "- {match: requests_total, interval: 2s, by: [group], outputs: [total]}\n";
const SAMPLES_A_SECOND: usize = 300;
const IN_ONE_REQUEST: usize = 10;
/// Until members have heard of each other's seconds.
const SETTLING_MS: i64 = 4_000;
const COUNTED_MS: i64 = 5_000;
const SERIES: usize = 300;

/// A sample of a target of its own, so that any gateway may own it.
fn of_target(number: usize) -> Sample {
    let (instance, group) = (format!("host-{number}:9100"), format!("g{}", number % 3));
    let pairs = [("group", group.as_str()), ("instance", &instance), ("job", "limits")];
    Sample::new(&labels("requests_total", &pairs), wait::now_ms(), 1.0)
}

/// Sends without end what the limit is for one second, and gives what was accepted and offered while it counted.
fn press(to: SocketAddr, first: usize, from: i64, to_ms: i64) -> (usize, usize) {
    let (mut accepted, mut offered) = (0, 0);
    while wait::now_ms() < to_ms {
        let samples: Vec<_> = (first..first + IN_ONE_REQUEST).map(of_target).collect();
        let is_accepted = match send_v1(to, &samples).expect("an answer").status {
            204 => true,
            429 => false,
            status => panic!("{status}"),
        };
        if wait::now_ms() >= from {
            offered += IN_ONE_REQUEST;
            accepted += if is_accepted { IN_ONE_REQUEST } else { 0 };
        }
        // Four times the limit from all senders together.
        thread::sleep(Duration::from_millis(25));
    }
    (accepted, offered)
}

#[test]
fn a_tenant_that_takes_all_gateways_gets_its_limit_once() {
    let config = format!("limits: {{defaults: {{samples_per_second: {SAMPLES_A_SECOND}}}}}\n");
    let tier = Tier::start(GATEWAYS, &config, RULES);
    tier.wait_members();
    let from = wait::now_ms() + SETTLING_MS;
    let to_ms = from + COUNTED_MS;
    let all: Vec<(usize, usize)> = thread::scope(|scope| {
        let places = tier.addresses().into_iter().enumerate();
        let pressing: Vec<_> = places
            .map(|(at, to)| scope.spawn(move || press(to, at * IN_ONE_REQUEST, from, to_ms)))
            .collect();
        pressing.into_iter().map(|pressing| pressing.join().expect("it presses")).collect()
    });
    let accepted: usize = all.iter().map(|(accepted, _)| accepted).sum();
    let offered: usize = all.iter().map(|(_, offered)| offered).sum();
    let seconds = COUNTED_MS as usize / 1000;
    // One second more than was counted may begin in it; three gateways apart would accept 900 each.
    let most = SAMPLES_A_SECOND * (seconds + 1) * 5 / 4;
    // On a slow disk less may be offered than is allowed.
    let least = (SAMPLES_A_SECOND * (seconds - 1) / 2).min(offered / 2);
    let said = format!("{accepted} of {offered}, not {least} to {most} in {seconds} s");
    assert!(accepted > 0 && (least..=most).contains(&accepted), "{said}");
}

#[test]
fn series_on_all_gateways_count_against_one_limit() {
    let config = format!("limits: {{defaults: {{max_series: {SERIES}}}}}\n");
    let tier = Tier::start(GATEWAYS, &config, RULES);
    tier.wait_members();
    let places = tier.addresses();
    let samples: Vec<_> = (0..SERIES).map(of_target).collect();
    assert_eq!(send_v1(places[0], &samples).expect("an answer").status, 204);
    // New ones get in until every owner has heard of the others'; a round has targets of all owners.
    let mut next = SERIES;
    let began = Instant::now();
    loop {
        let round = next..next + 20;
        next = round.end;
        let refused = |number: usize| {
            let to = places[number % GATEWAYS];
            send_v1(to, &[of_target(number)]).expect("an answer").status == 400
        };
        if round.filter(|&number| refused(number)).count() == 20 {
            break;
        }
        assert!(began.elapsed() < SOON, "new series are taken still");
        thread::sleep(Duration::from_millis(200));
    }
    // What was known stays.
    let again: Vec<_> = (0..SERIES).map(of_target).collect();
    assert_eq!(send_v1(places[1], &again).expect("an answer").status, 204);
}
