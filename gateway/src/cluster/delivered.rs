//! What the other members have delivered: each says so with every answer to who asks it for its table, and
//! who asks says what it has heard of whom it asks.
//!
//! So a member that has lost its disk hears through when its windows were delivered before it closes any.
//! Invariant: a time never goes back, for what is delivered stays so, whatever becomes of the disk.

use std::collections::BTreeMap;
use std::sync::Mutex;

use weir_agent_config::custody::{epoch_of, epoch_text};
use weir_http::{HeaderMap, HeaderName, HeaderValue};
use weir_model::Timestamp;

use crate::node::Node;
use crate::pipeline::Expect;
use crate::shard::worker::lock;

/// Through when the member that answers has delivered.
const DELIVERED: HeaderName = HeaderName::from_static("weir-delivered");
/// The same of the member that is asked, as the one that asks has heard it last.
const HEARD: HeaderName = HeaderName::from_static("weir-heard");

/// By member.
#[derive(Debug, Default)]
pub struct Delivered(Mutex<BTreeMap<String, Through>>);

/// Windows of a member's groups that ended by then are delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Through {
    /// Its data directory.
    epoch: u64,
    time: Timestamp,
}

impl Through {
    fn to_header(self, name: HeaderName) -> Option<(HeaderName, HeaderValue)> {
        let text = format!("{} {}", epoch_text(self.epoch), self.time);
        Some((name, HeaderValue::from_str(&text).ok()?))
    }

    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let (epoch, time) = headers.get(name)?.to_str().ok()?.split_once(' ')?;
        Some(Self { epoch: epoch_of(epoch)?, time: time.parse().ok()? })
    }
}

impl Delivered {
    /// What a member that is asked is told of itself.
    pub(super) fn heard(&self, member: &str) -> Option<(HeaderName, HeaderValue)> {
        lock(&self.0).get(member).copied()?.to_header(HEARD)
    }

    /// Takes what a member's answer says.
    pub(super) fn note(&self, member: &str, headers: &HeaderMap) {
        let Some(said) = Through::of(headers, &DELIVERED) else { return };
        let mut all = lock(&self.0);
        let known = all.entry(member.to_owned()).or_insert(said);
        *known = Through { epoch: said.epoch, time: known.time.max(said.time) };
    }

    /// Through when a member has delivered.
    pub(super) fn through(&self, member: &str) -> Option<Timestamp> {
        lock(&self.0).get(member).map(|through| through.time)
    }
}

/// What this node says with its answer.
pub(super) fn said(node: &Node) -> Option<(HeaderName, HeaderValue)> {
    Through { epoch: node.custody.epoch(), time: node.custody.through() }.to_header(DELIVERED)
}

/// Takes what a member that asks has heard of this node: it may know of another disk.
pub(super) fn take(node: &Node, headers: &HeaderMap) {
    let heard = Through::of(headers, &HEARD);
    let Some(heard) = heard.filter(|heard| heard.epoch != node.custody.epoch()) else {
        return;
    };
    let tell = |through| node.pipeline.tell_emitter(Expect::Silence(through));
    if let Err(why) = node.custody.hear_delivered(heard.time, tell) {
        tracing::error!(%why, "it cannot be stored which windows are delivered");
    }
}

/// Through when every other member has delivered, and has on its disk what this one told it of windows.
pub fn everywhere(node: &Node) -> Timestamp {
    let peers = node.cluster.peers().all();
    let through = |name: &str| {
        let delivered = node.cluster.delivered().through(name)?;
        Some(delivered.min(node.streams.told(name)?))
    };
    let each = peers.iter().map(|peer| through(&peer.member().name));
    each.min().map_or(Timestamp::MAX, |least| least.unwrap_or(Timestamp::MIN / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(epoch: u64, time: Timestamp) -> HeaderMap {
        Through { epoch, time }.to_header(DELIVERED).into_iter().collect()
    }

    #[test]
    fn a_time_stays_and_goes_with_the_epoch_that_was_heard_last() {
        let delivered = Delivered::default();
        assert_eq!((delivered.through("a"), delivered.heard("a")), (None, None));
        delivered.note("a", &said(7, 5_000));
        delivered.note("a", &said(7, 4_000));
        assert_eq!(delivered.through("a"), Some(5_000));
        let heard: HeaderMap = delivered.heard("a").into_iter().collect();
        assert_eq!(Through::of(&heard, &HEARD), Some(Through { epoch: 7, time: 5_000 }));
        delivered.note("a", &said(8, 0));
        let heard: HeaderMap = delivered.heard("a").into_iter().collect();
        assert_eq!(Through::of(&heard, &HEARD), Some(Through { epoch: 8, time: 5_000 }));
        delivered.note("a", &HeaderMap::new());
        assert_eq!(delivered.through("a"), Some(5_000));
    }
}
