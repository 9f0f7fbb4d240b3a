//! Who is waited for no more: a member that is a minute behind holds no window up.
//!
//! Pure but for [`keep_waiving`], which looks every second. Invariant: what is waived is a record of
//! the log, so a replay closes the same windows without the same member.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_aggregate::home::Origin;
use weir_model::Timestamp;

use crate::node::Node;
use crate::shard::worker::lock;
use crate::wal::WaiveRecord;

/// How long windows wait for a member that this node is past.
pub(super) const WAIT: Duration = Duration::from_secs(60);

const LOOK: Duration = Duration::from_secs(1);

/// This node's own frontier over the last minute.
#[derive(Default)]
struct Patience(VecDeque<(Instant, Timestamp)>);

impl Patience {
    /// Notes where the own frontier is; gives where it was [`WAIT`] ago.
    fn note(&mut self, now: Instant, local: Timestamp) -> Option<Timestamp> {
        self.0.push_back((now, local));
        let mut old = None;
        while let Some(&(at, then)) = self.0.front()
            && now.duration_since(at) >= WAIT
        {
            old = Some(then);
            self.0.pop_front();
        }
        old
    }
}

/// Windows that end by `through` need not wait for these.
fn overdue(origins: &[Origin], through: Timestamp) -> impl Iterator<Item = &Origin> {
    let is_behind = move |origin: &&Origin| origin.mark.max(origin.waived) < through;
    origins.iter().filter(|origin| origin.is_member).filter(is_behind)
}

/// Looks for members that are too far behind, as long as the node runs.
pub fn keep_waiving(node: &Arc<Node>) {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let mut patience = Patience::default();
        while !node.readiness.stopping.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK).await;
            let local = node.emit_facts.tier.local.load(Ordering::Relaxed);
            let Some(through) = patience.note(Instant::now(), local) else { continue };
            let origins = lock(&node.emit_facts.tier.origins).clone();
            overdue(&origins, through).for_each(|origin| waive(&node, &origin.name, through));
        }
    });
}

fn waive(node: &Node, origin: &str, through: Timestamp) {
    let record = WaiveRecord { origin: origin.to_owned(), through };
    match node.pipeline.waive(record) {
        Ok(_) => tracing::warn!(member = origin, through, "windows go out without a member's part"),
        Err(why) => tracing::warn!(%why, "a member cannot be waived"),
    }
}

#[cfg(test)]
mod tests {
    use weir_aggregate::home::Epochs;

    use super::*;

    fn origin(name: &str, mark: Timestamp, is_member: bool) -> Origin {
        let (epoch, place, waived) = (1, 1, 0);
        let (knows, owes) = (Epochs::default(), Epochs::default());
        Origin { name: name.into(), epoch, place, mark, waived, knows, owes, is_member }
    }

    #[test]
    fn who_is_a_minute_behind_is_not_waited_for() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        for second in 0..60 {
            let at = start + Duration::from_secs(second);
            assert_eq!(patience.note(at, second as i64 * 1000), None);
        }
        assert_eq!(patience.note(start + WAIT, 60_000), Some(0));
        assert_eq!(patience.note(start + WAIT + LOOK, 61_000), Some(1000));
        let origins = [origin("a", 999, true), origin("b", 1000, true), origin("c", 5, false)];
        let names: Vec<_> = overdue(&origins, 1000).map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["a"]);
    }
}
