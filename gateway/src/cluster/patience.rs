//! Who is waited for no more: a member that is a minute behind holds no window up. One that has lost its
//! disk is waited for as long as its agents may take to send again what it had.
//!
//! Pure but for [`keep_waiving`], which looks every second. Invariant: what is waived is a record of
//! the log, so a replay closes the same windows without the same member.

use std::collections::{BTreeMap, VecDeque};
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

/// Members that begin anew on another disk, and since when they are known to.
#[derive(Default)]
struct Returning(BTreeMap<String, Instant>);

impl Returning {
    /// Notes who begins anew, and forgets who has come to `before`, where this node was a moment ago.
    fn look(&mut self, origins: &[Origin], before: Timestamp, now: Instant) {
        let is_behind = |name: &str| {
            let origin = origins.iter().find(|origin| origin.name == name);
            origin.is_some_and(|origin| origin.mark < before)
        };
        self.0.retain(|name, _| is_behind(name));
        for origin in origins.iter().filter(|origin| origin.begins_anew()) {
            self.0.entry(origin.name.clone()).or_insert(now);
        }
    }

    /// Whether one that is overdue is waited for all the same.
    fn spares(&self, name: &str, now: Instant, wait: Duration) -> bool {
        self.0.get(name).is_some_and(|&since| now.duration_since(since) < wait)
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
        let (mut patience, mut returning) = (Patience::default(), Returning::default());
        let mut before = Timestamp::MIN;
        while !node.readiness.stopping.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK).await;
            let local = node.emit_facts.tier.local.load(Ordering::Relaxed);
            let origins = lock(&node.emit_facts.tier.origins).clone();
            returning.look(&origins, before, Instant::now());
            before = local;
            let Some(through) = patience.note(Instant::now(), local) else { continue };
            let overdue: Vec<&Origin> = overdue(&origins, through).collect();
            let wait = node.current.load().config.windows.backlog_wait_max.0;
            let wait = Duration::from_millis(wait.unsigned_abs());
            for origin in &overdue {
                if !returning.spares(&origin.name, Instant::now(), wait) {
                    waive(&node, &origin.name, through);
                }
            }
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
        let (epoch, place, waived, told) = (1, 1, 0, 0);
        let (knows, owes) = (Epochs::default(), Epochs::default());
        Origin { name: name.into(), epoch, place, mark, waived, told, knows, owes, is_member }
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

    #[test]
    fn who_has_lost_its_disk_is_waited_for_until_it_has_caught_up() {
        let (mut returning, start) = (Returning::default(), Instant::now());
        let never = Timestamp::MIN / 2;
        let unheard = Origin { told: never, ..origin("c", never, true) };
        let wait = Duration::from_secs(300);
        let new = |mark| Origin { told: 1000, ..origin("a", mark, true) };
        returning.look(&[unheard, origin("b", 500, true), new(1000)], 1500, start);
        assert!(!returning.spares("c", start, Duration::MAX));
        assert!(!returning.spares("b", start, wait), "its disk is the same");
        assert!(returning.spares("a", start, wait));
        // It tells anew, long before it is overdue.
        returning.look(&[new(1001)], 2000, start + LOOK);
        assert!(returning.spares("a", start + wait / 2, wait), "it is not there yet");
        assert!(!returning.spares("a", start + wait, wait), "it will not be");
        returning.look(&[new(3000)], 3000, start + wait / 2);
        assert!(!returning.spares("a", start + wait / 2, wait), "it has caught up since");
    }
}
