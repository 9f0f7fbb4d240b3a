//! A gateway that is frozen does not hold up what does not need it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use weir_tests::backend::Backend;
use weir_tests::gateway::sending_to;
use weir_tests::samples::{Sample, labels};
use weir_tests::sender::{TYPE_V1, headers, message_v1, post_within, snappy};
use weir_tests::tier::{Tier, name};
use weir_tests::wait;

use super::{GATEWAYS, GRACE, say};

/// An answer that waits for the frozen one takes 15 s; one that does not waits for two syncs.
const IN_TIME: Duration = Duration::from_secs(5);
const FROZEN: usize = 2;
/// Senders whose requests need the frozen one.
const STUCK: usize = 12;

fn body(target: usize) -> Vec<u8> {
    let instance = format!("host-{target}:9100");
    let series = labels("up", &[("instance", &instance), ("job", "blocked")]);
    snappy(&message_v1(&[Sample::new(&series, wait::now_ms(), 1.0)]).encode_to_vec())
}

fn post(to: SocketAddr, target: usize, within: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    match post_within(to, &headers(TYPE_V1, "snappy"), &body(target), within) {
        Ok(answer) if answer.status == 204 => Ok(began.elapsed()),
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.text())),
        Err(error) => Err(error.to_string()),
    }
}

/// Targets by owner, found out by who takes what the first gateway sends on.
fn owned(tier: &Tier, each: usize) -> Vec<Vec<usize>> {
    let taken =
        |owner: usize| tier.metrics()[owner].count("weir_forwarded_requests_taken_total", &[]);
    let mut owned = vec![Vec::new(); GATEWAYS];
    for target in 0..400 {
        let before: Vec<f64> = (0..GATEWAYS).map(taken).collect();
        post(tier.addresses()[0], target, Duration::from_secs(10)).expect("all are well");
        let owner = (0..GATEWAYS).find(|&owner| taken(owner) > before[owner]).unwrap_or(0);
        owned[owner].push(target);
        if owned.iter().all(|targets| targets.len() >= each) {
            return owned;
        }
    }
    panic!("the owners of 400 targets: {owned:?}");
}

#[test]
fn what_live_gateways_own_is_answered_in_time_while_another_is_frozen() {
    let backend = Backend::start();
    let mut tier = Tier::start(GATEWAYS, &sending_to(&backend.url(), GRACE, ""), "");
    let owned = owned(&tier, 4);
    let addresses = tier.addresses();
    let normal = all_in_time(&addresses, &owned, 3);
    tier.freeze(FROZEN);
    let stopping = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        for number in 0..STUCK {
            let (stopping, addresses, theirs) = (&stopping, &addresses, &owned[FROZEN]);
            scope.spawn(move || {
                while !stopping.load(Ordering::SeqCst) {
                    let target = theirs[number % theirs.len()];
                    // Whether it is told to come again or not told at all is all the same here.
                    post(addresses[number % FROZEN], target, Duration::from_secs(2)).ok();
                }
            });
        }
        wait::for_clock(wait::now_ms() + 500);
        let slowest = std::panic::catch_unwind(|| all_in_time(&addresses, &owned, 12));
        stopping.store(true, Ordering::SeqCst);
        slowest
    });
    tier.thaw(FROZEN);
    let slowest = slowest.unwrap_or_else(|why| std::panic::resume_unwind(why));
    say(&format!(
        "slowest answer: {normal:?} when all are well, {slowest:?} beside a frozen one\n"
    ));
    all_in_time(&addresses, &owned, 1);
}

/// Posts what the live ones own to each of them; gives the longest time that an answer took.
fn all_in_time(addresses: &[SocketAddr], owned: &[Vec<usize>], rounds: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        for (to, &address) in addresses.iter().enumerate().take(FROZEN) {
            for owner in 0..FROZEN {
                let target = owned[owner][round % owned[owner].len()];
                let took = post(address, target, Duration::from_secs(20));
                let took =
                    took.unwrap_or_else(|why| panic!("{} of {}: {why}", name(to), name(owner)));
                assert!(took < IN_TIME, "{} of {}: {took:?}", name(to), name(owner));
                slowest = slowest.max(took);
            }
        }
    }
    slowest
}
