//! A tier in which members die between the steps of what they tell each other: where a tier's mistakes show.
//!
//! One member dies when it has told parts and not that these are all; virtual shards change hands while the
//! taker, and then the giver, is away for longer than grace; and all that was told is told again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_gateway::cluster::stream::PARTIALS_PATH;
use weir_gateway::cluster::table_text;
use weir_model::mutation::Mutation;
use weir_ring::OwnedSet;
use weir_tests::backend::Backend;
use weir_tests::gateway::sending_to;
use weir_tests::load::{Load, Rules, vshards_of};
use weir_tests::oracle::Differences;
use weir_tests::tier::{Tier, name};
use weir_tests::{http, wait};

use super::scenario::SMALL;

const RULES: Rules = Rules { short_s: 2, long_s: 6 };
const GATEWAYS: usize = 3;
const SENDERS: usize = 4;
const SOON: Duration = Duration::from_secs(120);
/// At a member's first frontiers no window ends of which it has a part.
const PASSES: i64 = 5;
/// A giver whose taker is away goes on to be sent samples.
const TAKER_AWAY_MS: i64 = 3_000;
/// For longer than grace, so that what comes afterwards is late if the taker's frontier goes on.
const GIVER_AWAY_MS: i64 = 22_000;
/// How long is waited for what a mistake may keep from coming.
const PERHAPS: Duration = Duration::from_secs(40);

/// Runs a tier that makes this mistake: what the oracle finds.
pub(crate) fn run(mistake: Option<Mutation>) -> Differences {
    let backend = Backend::start();
    let sending = sending_to(&backend.url(), "10s", "");
    let config = format!("{SMALL}wal: {{segment_size: 2MiB}}\n{sending}");
    let mut tier =
        Tier::start_erring(GATEWAYS, &config, &RULES.file(), mistake.map(Mutation::name));
    let load = Load::spread(&tier.addresses(), SENDERS, 100);
    tier.kill(2);
    tier.gateway(2).spawn_doomed("told", PASSES);
    wait_end(&mut tier, 2, "told");
    tier.restart(2);
    interrupt(&mut tier, (0, 1), (1, "adopt"), TAKER_AWAY_MS);
    interrupt(&mut tier, (1, 2), (1, "handed"), GIVER_AWAY_MS);
    pass(2_000);
    judge(load, &backend, mistake)
}

/// Runs a tier that makes this mistake and is told again what it has been told, long after.
pub(crate) fn run_repeated(mistake: Option<Mutation>) -> Differences {
    let backend = Backend::start();
    let sending = sending_to(&backend.url(), "2s", "");
    let config = format!("{SMALL}wal: {{segment_size: 2MiB}}\n{sending}");
    let tier = Tier::start_erring(2, &config, &RULES.file(), mistake.map(Mutation::name));
    let load = Load::spread(&tier.addresses(), 2, 100);
    pass(10_000);
    let again = [(0, 1), (1, 0)].map(|(from, to)| tier.say_again(from, to, PARTIALS_PATH));
    assert!(again.iter().all(|&count| count > 3), "{again:?} requests");
    // What is carried joins windows from here on; they end before the last that is compared.
    pass(2 * RULES.long_s * 1_000);
    judge(load, &backend, mistake)
}

/// Stops the load and waits for what is to come: what the oracle finds.
fn judge(load: Load, backend: &Backend, mistake: Option<Mutation>) -> Differences {
    let last_tick = wait::now_ms();
    let history = load.stop();
    let through = RULES.window_end(last_tick) - RULES.long_s * 1000;
    let mut found = Differences::default();
    // A mistake may hold up the windows themselves; without one they only are late.
    let patience = if mistake.is_none() { 3 * PERHAPS } else { PERHAPS };
    wait::perhaps(patience, || {
        found = RULES.compare(&history, &backend.samples(), through);
        // A frame may be on its way at a kill.
        found.resent = 0;
        found.is_empty()
    });
    found
}

/// What is a member's by its own table.
pub(super) fn owned(tier: &Tier, number: usize) -> OwnedSet {
    let address = tier.addresses()[number];
    let answer = http::get(address, "/api/v1/cluster/table").expect("an answer");
    table_text::read(&answer.body).expect("a table").owned_by(&name(number))
}

/// A move in which one side is killed at a point and stays away for a while; it ends in one way or the other.
fn interrupt(
    tier: &mut Tier,
    (giver, taker): (usize, usize),
    (doomed, point): (usize, &str),
    away_ms: i64,
) {
    tier.kill(doomed);
    tier.gateway(doomed).spawn_doomed(point, 1);
    tier.gateway(doomed).wait_started();
    tier.wait_members();
    let owned = owned(tier, giver);
    let lot = vshards_of(SENDERS).into_iter().filter(|&vshard| owned.contains(vshard));
    let lot: OwnedSet = lot.collect();
    let other = (0..GATEWAYS).find(|&at| at != giver && at != taker).expect("a third one");
    let (place, path) = (
        tier.addresses()[other],
        format!("/api/v1/cluster/moves?vshards={lot}&to={}", name(taker)),
    );
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    // It may wait for long; the first that begins is all that is needed.
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            drop(http::post(place, &path, &[], b""));
            pass(200);
        }
    });
    wait_end(tier, doomed, point);
    is_over.store(true, Ordering::Relaxed);
    pass(away_ms);
    tier.restart(doomed);
    wait::perhaps(PERHAPS, || {
        let page = tier.gateway(giver).metrics();
        let mut ends = ["given", "undone"].iter();
        ends.any(|end| page.count("weir_moves_total", &[("outcome", end)]) > 0.0)
    });
}

fn wait_end(tier: &mut Tier, doomed: usize, point: &str) {
    wait::until_true(&format!("{} ends at {point}", name(doomed)), SOON, || {
        !tier.gateway(doomed).program().is_running()
    });
}

fn pass(ms: i64) {
    wait::for_clock(wait::now_ms() + ms);
}
