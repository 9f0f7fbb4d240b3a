//! What a tier counts, as metrics: forwarding, the streams between members, windows that wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use weir_telemetry::Scrape;

use super::overview;
use crate::node::Node;
use crate::shard::worker::lock;

/// Adds them to a scrape; nothing, for a node that stands alone.
pub fn collect(node: &Node, scrape: &mut Scrape) {
    if node.cluster.is_alone() {
        return;
    }
    forwarding(node, scrape);
    partials(node, scrape);
    windows(node, scrape);
    moves(node, scrape);
    super::follow::metrics::collect(node, scrape);
    let help = "How long a member has not had all that this one has told.";
    for (member, lag) in node.streams.lags(Instant::now()) {
        let labels = [("peer", member.as_str())];
        scrape.gauge("weir_partials_lag_seconds", help, &labels, lag.as_secs_f64());
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn forwarding(node: &Node, scrape: &mut Scrape) {
    let facts = &node.forward;
    for (peer, sent) in lock(&facts.sent).iter() {
        let name = "weir_forwarded_requests_total";
        let help = "Requests, or parts of them, that were sent on to their owner, by outcome.";
        scrape.counter(name, help, &[("peer", peer), ("outcome", "ok")], sent.answered);
        scrape.counter(name, help, &[("peer", peer), ("outcome", "failed")], sent.failed);
        let help = "Samples that were sent on to their owner, and that it has answered for.";
        scrape.counter("weir_forwarded_samples_total", help, &[("peer", peer)], sent.samples);
    }
    let help = "Requests that were cut because several members own their series.";
    scrape.counter("weir_forward_cut_requests_total", help, &[], read(&facts.cut));
    let help = "Compressed bytes that were sent on to owners.";
    scrape.counter("weir_forwarded_bytes_total", help, &[], read(&facts.bytes));
    let help = "Requests that other members have sent on to this one.";
    scrape.counter("weir_forwarded_requests_taken_total", help, &[], read(&facts.taken));
}

fn partials(node: &Node, scrape: &mut Scrape) {
    let facts = &node.emit_facts.tier;
    let name = "weir_partials_rows_total";
    let help = "Parts of output groups that members told each other, by direction.";
    scrape.counter(name, help, &[("direction", "out")], read(&facts.parts_out));
    scrape.counter(name, help, &[("direction", "in")], read(&facts.parts_in));
    let name = "weir_partials_late_total";
    let help = "Parts that came after their window had closed, by what became of them.";
    scrape.counter(name, help, &[("outcome", "carried")], read(&facts.parts_carried));
    scrape.counter(name, help, &[("outcome", "dropped")], read(&facts.parts_late));
    let help = "Parts of rules that are not in force here.";
    scrape.counter("weir_partials_unknown_total", help, &[], read(&facts.parts_unknown));
    let help = "How often what members had taken and not delivered was kept no longer.";
    let given_up = read(&node.streams.given_up);
    scrape.counter("weir_partials_given_up_total", help, &[], given_up);
    let help = "Bytes that were told to a member, repeats included.";
    for (member, bytes) in node.streams.sent_bytes() {
        scrape.counter("weir_partials_sent_bytes_total", help, &[("peer", &member)], bytes);
    }
}

fn moves(node: &Node, scrape: &mut Scrape) {
    let facts = &node.moves;
    let help = "Virtual shards that changed hands, by what this member had to do with it.";
    for (outcome, count) in
        [("given", &facts.given), ("taken", &facts.taken), ("undone", &facts.undone)]
    {
        scrape.counter("weir_moves_total", help, &[("outcome", outcome)], read(count));
    }
    let help = "For how long the last virtual shards that were given away took nothing, seconds.";
    let pause = read(&facts.pause_ms) as f64 / 1000.0;
    scrape.gauge("weir_move_pause_seconds", help, &[], pause);
}

fn windows(node: &Node, scrape: &mut Scrape) {
    let facts = &node.emit_facts.tier;
    let help = "Members whose parts were in when the last window closed, of all.";
    let complete = read(&facts.completeness_permille) as f64 / 1000.0;
    scrape.gauge("weir_window_completeness", help, &[], complete);
    let help = "Windows that closed without some member's part.";
    scrape.counter("weir_windows_incomplete_total", help, &[], read(&facts.windows_incomplete));
    let help = "How far a member's windows are behind this node's, seconds.";
    for (origin, behind_ms) in overview::behind(node) {
        let labels = [("origin", origin.as_str())];
        let behind = behind_ms as f64 / 1000.0;
        scrape.gauge("weir_origin_frontier_lag_seconds", help, &labels, behind);
    }
}
