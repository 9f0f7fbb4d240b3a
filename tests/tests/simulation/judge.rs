//! The verdict: what must have come out, by the logs of all gateways, and whether it did.
//!
//! Where windows went out without somebody's part, nobody knows what those say, nor by how much an
//! increase was late: then what ends later is compared, without what goes on from them but running totals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use weir_loadgen::messages::samples_v1;
use weir_loadgen::oracle::{Arrival, Differences, Expected, Oracle, compare};
use weir_loadgen::samples::{Labels, Sample, name};
use weir_model::VShard;
use weir_wire::oracle::v1;

use crate::disk::Record;
use crate::node::Node;
use crate::placement::vshard_of_series;

/// Outputs that what is late does not join.
const NOT_CARRIED: [&str; 2] = ["sum_samples_total", "histogram_bucket"];

/// The samples of a request.
pub(crate) fn samples(body: &[u8]) -> Vec<Sample> {
    samples_v1(&v1::WriteRequest::decode(body).expect("prost wrote it"))
}

/// What all logs say.
#[derive(Default)]
struct Logged {
    /// In the order in which they were logged.
    arrivals: BTreeMap<(u64, usize), Arrival>,
    /// Series by request.
    requests: BTreeSet<(u64, Arc<Labels>)>,
    moves: usize,
}

/// Through where windows had been closed for a virtual shard when this node had come to a position of its log,
/// wherever it lived before.
fn closed_for(nodes: &[Node], number: usize, position: usize, vshard: VShard) -> i64 {
    let mut through = i64::MIN;
    for record in nodes[number].disk.log.iter().take(position) {
        match record {
            Record::Frontier { to, .. } => through = through.max(*to),
            Record::Adopt(adopt) if adopt.vshards.contains(vshard) => {
                let before = closed_for(nodes, adopt.from, adopt.id, vshard);
                through = through.max(before).max(adopt.state.frontier);
            }
            _ => {}
        }
    }
    through
}

impl Logged {
    fn read(&mut self, nodes: &[Node], node: &Node) {
        let mut frontier = i64::MIN;
        let mut brought: BTreeMap<VShard, i64> = BTreeMap::new();
        for record in &node.disk.log {
            match record {
                Record::Batch { request, order, body } => {
                    for (at, sample) in samples(body).iter().enumerate() {
                        let came_with = brought.get(&vshard_of_series(&sample.labels));
                        let stood = frontier.max(came_with.copied().unwrap_or(i64::MIN));
                        self.arrivals.insert((*order, at), Arrival::at(sample, stood));
                        self.requests.insert((*request, Arc::clone(&sample.labels)));
                    }
                }
                Record::Frontier { to, .. } => frontier = frontier.max(*to),
                Record::Adopt(adopt) => {
                    self.moves += 1;
                    // One without series brings nothing, no frontier either.
                    brought.extend(adopt.state.vshards.iter().map(|&(v, _)| {
                        let before = closed_for(nodes, adopt.from, adopt.id, v);
                        (v, before.max(adopt.state.frontier))
                    }));
                }
                _ => {}
            }
        }
    }
}

/// How many moves ended, and what is wrong if anything is.
pub(crate) fn judge(
    oracle: &Oracle,
    nodes: &[Node],
    received: &[Sample],
    acknowledged: &BTreeMap<u64, Vec<u8>>,
) -> Result<usize, String> {
    let mut logged = Logged::default();
    nodes.iter().for_each(|node| logged.read(nodes, node));
    for (request, body) in acknowledged {
        let mut all = samples(body).into_iter();
        let missing = all.find(|s| !logged.requests.contains(&(*request, Arc::clone(&s.labels))));
        if let Some(sample) = missing {
            return Err(format!("{request} is acknowledged, and no log has {:?}", sample.labels));
        }
    }
    let arrivals: Vec<Arrival> = logged.arrivals.into_values().collect();
    let through = nodes.iter().map(Node::closed).min().unwrap_or(i64::MIN);
    let unsettled = nodes.iter().map(|node| node.unsettled().0).max().unwrap_or(i64::MIN);
    let missed = nodes.iter().map(|node| node.unsettled().1).max().unwrap_or(i64::MIN);
    // Where everybody was waited for nothing may be missed.
    let mut found = if unsettled == i64::MIN {
        oracle.judge(&arrivals, received, through)
    } else {
        judge_past(oracle, &arrivals, received, (unsettled.max(missed), through))
    };
    if logged.moves > 0 {
        // What an owner has queued may arrive behind the first of its next owner.
        found.disordered.clear();
    }
    if found.is_empty() { Ok(logged.moves) } else { Err(found.to_string()) }
}

fn judge_past(
    oracle: &Oracle,
    arrivals: &[Arrival],
    received: &[Sample],
    (unsettled, through): (i64, i64),
) -> Differences {
    let raw = oracle.passed(arrivals);
    let drops: Vec<String> = oracle
        .rules()
        .iter()
        .filter(|r| r.drops_late)
        .map(|r| format!(":{}_", r.interval))
        .collect();
    let is_short_for_ever = |labels: &Labels| {
        let (name, is_total) = (name(labels), name(labels).ends_with("_total"));
        let is_dropped = is_total && drops.iter().any(|interval| name.contains(interval));
        is_dropped || NOT_CARRIED.iter().any(|output| name.ends_with(output))
    };
    let is_meant = |labels: &Labels, at: i64| {
        raw.contains_key(labels) || (at > unsettled && at <= through && !is_short_for_ever(labels))
    };
    let mut expected = oracle.expected(arrivals, through);
    for (labels, samples) in &mut expected {
        samples.retain(|&at, _| is_meant(labels, at));
        // What ends may have been taken for ended when it was not there.
        if let Some(mut first) =
            samples.first_entry().filter(|first| *first.get() == Expected::Marker)
        {
            first.insert(Expected::Perhaps(f64::INFINITY, f64::NEG_INFINITY));
        }
    }
    compare(&expected, received, is_meant)
}
