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
    /// Whether one that is overdue is waited for all the same.
    fn spares(&mut self, origin: &Origin, now: Instant, wait: Duration) -> bool {
        if origin.begins_anew() {
            self.0.entry(origin.name.clone()).or_insert(now);
        }
        self.0.get(&origin.name).is_some_and(|&since| now.duration_since(since) < wait)
    }

    /// Forgets who has caught up; others are overdue.
    fn retain(&mut self, overdue: &[&Origin]) {
        self.0.retain(|name, _| overdue.iter().any(|origin| origin.name == *name));
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
        while !node.readiness.stopping.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK).await;
            let local = node.emit_facts.tier.local.load(Ordering::Relaxed);
            let Some(through) = patience.note(Instant::now(), local) else { continue };
            let origins = lock(&node.emit_facts.tier.origins).clone();
            let overdue: Vec<&Origin> = overdue(&origins, through).collect();
            let wait = node.current.load().config.windows.backlog_wait_max.0;
            let wait = Duration::from_millis(wait.unsigned_abs());
            for origin in &overdue {
                if !returning.spares(origin, Instant::now(), wait) {
                    waive(&node, &origin.name, through);
                }
            }
            returning.retain(&overdue);
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
        assert!(!returning.spares(&unheard, start, Duration::MAX));
        let wait = Duration::from_secs(300);
        let new = |mark| Origin { told: 1000, ..origin("a", mark, true) };
        assert!(!returning.spares(&origin("b", 500, true), start, wait), "its disk is the same");
        assert!(returning.spares(&new(1000), start, wait));
        assert!(returning.spares(&new(1001), start + wait / 2, wait), "it is not there yet");
        assert!(!returning.spares(&new(1001), start + wait, wait), "it will not be");
        returning.retain(&[]);
        assert!(!returning.spares(&new(2000), start, wait), "it has caught up since");
    }
}
