//! What this agent promises its destinations, so that a gateway can close windows early: every sample
//! stamped here up to a time is delivered, and none will come.
//!
//! Invariant: a promise is kept. Samples that others have stamped (timestamps of their own on a page,
//! remote write that comes in) are nobody's to promise: an agent that has some promises nothing. A
//! destination that knows no watermarks is asked again from time to time, and gets its samples as
//! before. A promise that cannot be delivered is replaced by the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_agent_config::watermark::{WATERMARK_PATH, Watermark};
use weir_http::StatusCode;
use weir_model::{Millis, Timestamp};
use weir_remote::config::Destination;
use weir_remote::destinations::now_ms;

use crate::beat::Reached;
use crate::beside::Beside;
use crate::force::Force;
use crate::sender_name::SenderName;

mod marks;
mod parts;

use marks::Marks;
use parts::Part;

/// The watermarks of all destinations.
pub struct Watermarks {
    force: Arc<Force>,
    reached: watch::Receiver<Reached>,
    routes: BTreeMap<String, Route>,
    foreign: Foreign,
}

/// One destination.
struct Route {
    destination: Destination,
    /// `None` where it cannot be asked at all.
    beside: Option<Beside>,
    marks: Marks,
    /// The last promise, and when.
    said: Option<(Timestamp, Instant)>,
    /// It knows no watermarks; not asked before this.
    deaf_until: Option<Instant>,
}

/// Samples that others have stamped.
#[derive(Default)]
struct Foreign {
    seen: u64,
    last: Option<Instant>,
}

impl Watermarks {
    /// Of what is in force, and what has reached the buffer.
    pub fn new(force: Arc<Force>, reached: watch::Receiver<Reached>) -> Self {
        Self { force, reached, routes: BTreeMap::new(), foreign: Foreign::default() }
    }

    /// Promises as long as there is a beat.
    pub async fn run(mut self) {
        let mut beats = self.reached.changed().await.is_ok();
        while beats {
            self.note();
            beats = self.tell().await;
        }
    }

    /// Says what a beat has brought, and waits for the next one; whether there is one. A destination whose
    /// disk is slow has it some time later.
    async fn tell(&mut self) -> bool {
        let mut pause = DELIVERED_WITHIN;
        for _ in 0..TURNS {
            if let Ok(beat) = tokio::time::timeout(pause, self.reached.changed()).await {
                return beat.is_ok();
            }
            if self.turn().await {
                break;
            }
            pause *= 2;
        }
        self.reached.changed().await.is_ok()
    }

    /// Says to all who listen that this agent goes; what it has not delivered is on its disk.
    pub async fn end(name: SenderName, destinations: Vec<Destination>) {
        let watermark = Watermark { end: true, ..watermark(&name, 0, 0) };
        for destination in destinations {
            if let Some(beside) = Beside::new(&destination, WATERMARK_PATH) {
                // Whoever does not hear it waits for grace, as for any sender that has gone.
                beside.post(&watermark.to_query(), END_WITHIN).await;
            }
        }
    }

    /// Remembers from which position on all is delivered that a promise speaks of.
    fn note(&mut self) {
        let Reached { through, position } = *self.reached.borrow_and_update();
        let mut destinations = Vec::new();
        self.force.destinations.each(|destination, _| destinations.push(destination.clone()));
        let routes = &mut self.routes;
        routes.retain(|_, route| destinations.contains(&route.destination));
        for destination in destinations {
            let name = destination.name.clone();
            let route = routes.entry(name).or_insert_with(|| Route::new(destination));
            route.marks.note(position, through);
        }
    }

    /// Says what has become true; whether all that is noted is delivered.
    async fn turn(&mut self) -> bool {
        let is_foreign = self.foreign.look(&self.force);
        let fence = self.force.direct.fence();
        let parts = self.parts();
        let through = self.reached.borrow().through;
        for (name, route) in &mut self.routes {
            let reached = parts::promised(name, &parts, fence);
            if let Some(reached) = reached.filter(|to| !is_foreign && route.is_due(*to)) {
                route.say(watermark(&self.force.name, reached, series(&self.force))).await;
            }
        }
        parts.values().all(|part| part.reached.is_some_and(|reached| reached >= through))
    }

    /// How far all have come.
    fn parts(&mut self) -> BTreeMap<String, Part> {
        let mut done = Vec::new();
        self.force.destinations.each(|destination, sender| {
            let oldest = sender.metrics().oldest_unsent_ms.load(Ordering::Relaxed);
            done.push((destination.clone(), sender.done_below(), oldest));
        });
        let mut parts = BTreeMap::new();
        for (destination, done, oldest_ms) in done {
            // One that begins again at another epoch is another one.
            let route = self.routes.get_mut(&destination.name);
            let reached =
                route.filter(|route| route.destination == destination).and_then(|route| {
                    route.marks.reach(done).or_else(|| {
                        // A backlog from before the start: none of it is older than its oldest frame,
                        // less what a scrape and its stale markers may lie behind their writing.
                        (oldest_ms > 0).then(|| oldest_ms - BEFORE_WRITING.0)
                    })
                });
            parts.insert(destination.name, Part { share: destination.share, done, reached });
        }
        parts
    }
}

/// Series of all targets.
fn series(force: &Force) -> u64 {
    let pools = force.pools.view();
    let targets = pools.iter().flat_map(|pool| &pool.active);
    targets.map(|(_, status)| status.series as u64).sum()
}

fn watermark(name: &SenderName, through: Timestamp, series: u64) -> Watermark {
    let SenderName { agent, buffer } = name.clone();
    Watermark { agent, buffer, through, series, end: false }
}

impl Route {
    fn new(destination: Destination) -> Self {
        let beside = Beside::new(&destination, WATERMARK_PATH);
        Self { destination, beside, marks: Marks::default(), said: None, deaf_until: None }
    }

    /// Whether it is time: one that windows may end at is passed, or it was said long ago; sooner while
    /// there is a backlog, for then windows are to wait.
    fn is_due(&self, through: Timestamp) -> bool {
        let due = self.said.is_none_or(|(said, at)| {
            let passes = through.div_euclid(GRID.0) > said.div_euclid(GRID.0);
            let every = if now_ms() - through > SLOW.0 { SAY_OFTEN } else { SAY_EVERY };
            passes || at.elapsed() >= every
        });
        due && self.deaf_until.is_none_or(|until| Instant::now() >= until)
    }

    async fn say(&mut self, watermark: Watermark) {
        let Some(beside) = &self.beside else {
            return;
        };
        let answer = beside.post(&watermark.to_query(), SAY_WITHIN).await;
        match answer.map(|reply| reply.status) {
            Some(status) if status.is_success() => {
                self.said = Some((watermark.through, Instant::now()));
                self.deaf_until = None;
            }
            Some(status) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                self.deaf_until = Some(Instant::now() + DEAF_FOR);
            }
            // It is away, or busy; the next promise says more.
            Some(_) | None => self.deaf_until = Some(Instant::now() + AWAY_FOR),
        }
    }
}

impl Foreign {
    /// Whether there were some lately.
    fn look(&mut self, force: &Force) -> bool {
        let scraped = force
            .pools
            .with_manager(|manager| manager.counters().own_timestamps.load(Ordering::Relaxed));
        let received = force.receiver.as_ref().map_or(0, |receiver| receiver.samples());
        let seen = scraped + received;
        if seen != self.seen {
            (self.seen, self.last) = (seen, Some(Instant::now()));
        }
        self.last.is_some_and(|last| last.elapsed() < FOREIGN_FOR)
    }
}

/// What is on disk is with a destination that is well.
const DELIVERED_WITHIN: Duration = Duration::from_millis(200);
/// Looks after a beat, each after twice the pause of the one before: three seconds in all.
const TURNS: u32 = 4;
/// Windows end at multiples of this, mostly.
const GRID: Millis = Millis::from_secs(5);
const SAY_EVERY: Duration = Duration::from_secs(5);
const SAY_OFTEN: Duration = Duration::from_secs(1);
/// Whoever is so far behind has a backlog, or a target that is slow to answer.
const SLOW: Millis = Millis::from_secs(2);
const SAY_WITHIN: Duration = Duration::from_secs(1);
const END_WITHIN: Duration = Duration::from_secs(1);
/// How long a destination that knows no watermarks is left alone; it may become a gateway that does.
const DEAF_FOR: Duration = Duration::from_secs(300);
const AWAY_FOR: Duration = Duration::from_secs(2);
/// PromQL's lookback: series that others stamped are alive for so long.
const FOREIGN_FOR: Duration = Duration::from_secs(300);
/// Stale markers are written up to 1.1 intervals after their time, and an interval is a minute mostly.
const BEFORE_WRITING: Millis = Millis::from_secs(66);
