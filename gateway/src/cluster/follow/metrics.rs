//! What followers come to, as metrics.

use std::sync::atomic::Ordering;

use weir_telemetry::Scrape;

use crate::node::Node;

/// Adds them to a scrape: a member's own follower at replication factor 2, and what it does as one.
pub fn collect(node: &Node, scrape: &mut Scrape) {
    let follow = &node.follow;
    let help = "Members that this one has taken over since its start.";
    let promotions = follow.promotions.load(Ordering::Relaxed);
    scrape.counter("weir_failovers_total", help, &[], promotions);
    let help = "Members that were taken over and run on this one's machine.";
    scrape.gauge("weir_hosted_members", help, &[], follow.hosts.running() as f64);
    let (Some(standing), Some(outgoing)) = (follow.standing(), follow.outgoing.get()) else {
        return;
    };
    let help =
        "Whether this member's follower has everything: 1 or 0; at 0 nothing is acknowledged.";
    scrape.gauge("weir_follower_in_step", help, &[], f64::from(u8::from(standing.in_step)));
    let help = "Bytes that the follower lacks, those of a copy not counted.";
    scrape.gauge("weir_follower_lag_bytes", help, &[], standing.waiting_bytes as f64);
    let help = "Bytes that followers have taken, copies included.";
    scrape.counter("weir_follower_shipped_bytes_total", help, &[], outgoing.told_bytes());
    let help = "Syncs that waited for the follower, too.";
    scrape.counter("weir_follower_syncs_total", help, &[], outgoing.waits());
    let help = "Copies of the data directory that were begun for a follower.";
    scrape.counter("weir_follower_copies_total", help, &[], follow.copies.load(Ordering::Relaxed));
}
