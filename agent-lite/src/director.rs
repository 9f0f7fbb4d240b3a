//! Asks a tier for its owners when an answer shows that they have changed, and brings that into force:
//! branches, then what bodies are gathered by.
//!
//! Invariant: one change at a time, and none while a configuration is brought into force. A tier that
//! does not answer changes nothing: what is known stays in force, and what goes to the wrong member is
//! sent on by it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_http::StatusCode;
use weir_journal::Journal;
use weir_remote::config::Destination;
use weir_ring::{Guide, OWNERS_PATH, Owners};

use crate::beside::Beside;
use crate::custody;
use crate::direct::Known;
use crate::force::Force;
use crate::scrape::Placement;

/// Who does it.
pub struct Director {
    force: Arc<Force>,
    journal: Arc<Journal>,
    placement: Arc<Placement>,
    ask_at: Instant,
    /// Since when all that is heard is older than what is known.
    older_since: Option<Instant>,
}

/// A tier that says something else than what is known.
struct Hint {
    /// Who said so.
    by: Destination,
    trunk: Destination,
    word: String,
}

impl Director {
    /// For what is in force, over this buffer.
    pub fn new(force: Arc<Force>, journal: Arc<Journal>) -> Self {
        let (placement, ask_at) = (Arc::default(), Instant::now());
        Self { force, journal, placement, ask_at, older_since: None }
    }

    /// Goes on for ever.
    pub async fn run(mut self) {
        self.place();
        loop {
            self.turn().await;
            tokio::time::sleep(TURN).await;
        }
    }

    async fn turn(&mut self) {
        let mut is_new = false;
        if let Some(hint) = self.hint().filter(|_| Instant::now() >= self.ask_at) {
            let counts = &self.force.direct.counts;
            if let Some(guide) = ask(&hint).await {
                counts.learned.fetch_add(1, Ordering::Relaxed);
                self.ask_at = Instant::now() + ASK_EVERY;
                self.force.direct.learn(&hint.trunk, &hint.word, guide);
                is_new = true;
            } else {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                self.ask_at = Instant::now() + ASK_AGAIN;
            }
        }
        let is_reloaded = self.force.take_reload();
        let wanted = self.placement.wanted();
        let mut others = self.force.direct.go_to(wanted.into_iter());
        others |= self.retire();
        if is_new || others || is_reloaded {
            self.bring().await;
        }
    }

    /// What of that which answers say is news. The newer table counts, unless only older ones are heard
    /// of for long: then the tier has begun anew.
    fn hint(&mut self) -> Option<Hint> {
        let known = self.force.direct.known();
        let mut heard = Vec::new();
        self.force.destinations.each(|destination, sender| {
            let word = sender.endpoint().and_then(|endpoint| endpoint.owners);
            heard.extend(word.map(|word| (destination.clone(), word)));
        });
        let mut hints = Vec::new();
        for (by, word) in heard {
            let Some(trunk) = self.force.direct.trunk_of(&by) else {
                continue;
            };
            if known.as_ref().is_none_or(|known| known.trunk == trunk.name) {
                hints.push(Hint { by, trunk, word });
            }
        }
        let Some(Known { word, generation, .. }) = known else {
            return hints.into_iter().next();
        };
        let is_older = |hint: &Hint| generation_of(&hint.word) < generation;
        if hints.is_empty() || !hints.iter().all(is_older) {
            self.older_since = None;
        } else if self.older_since.get_or_insert_with(Instant::now).elapsed() > OLDER_FOR {
            return hints.into_iter().next();
        }
        hints.into_iter().find(|hint| hint.word != word && !is_older(hint))
    }

    /// Branches for which nothing is written any more, and nothing is to be done or held.
    fn retire(&self) -> bool {
        let mut running = Vec::new();
        self.force.destinations.each(|destination, sender| {
            let held = self.force.custody.released(&custody::key(destination));
            running.push((destination.name.clone(), sender.done_below(), held));
        });
        self.force.direct.retire(|name, ends| {
            running.iter().any(|(of, done, held)| {
                of == name && *done >= ends && held.is_none_or(|from| from >= ends)
            })
        })
    }

    /// Branches first, then what is written for them; the other way round for those that end.
    async fn bring(&mut self) {
        let force = Arc::clone(&self.force);
        let _turn = force.turn.lock().await;
        let placement = force.direct.no_placement();
        force.pools.with_manager(|manager| manager.place(placement));
        if let Err(why) = force.redirect().await {
            // All goes where it is configured to go.
            return tracing::error!(why, "owners cannot be gone to");
        }
        self.place();
    }

    fn place(&mut self) {
        self.placement = self.force.direct.placement();
        let placement = Arc::clone(&self.placement);
        self.force.pools.with_manager(|manager| manager.place(placement));
        self.force.direct.placed_from(self.journal.next_position());
        if let Some(Known { trunk, generation, .. }) = self.force.direct.known() {
            let owners = self.force.direct.destinations().len();
            tracing::info!(destination = trunk, generation, owners, "going to owners directly");
        }
    }
}

/// Asks the one who said so, then all other endpoints.
async fn ask(hint: &Hint) -> Option<Guide> {
    let trunk = &hint.trunk;
    let endpoint = |url: &str| Destination { url: url.to_owned(), ..trunk.clone() };
    let all = std::iter::once(hint.by.clone()).chain(trunk.urls().map(endpoint));
    for destination in all {
        let Some(reply) = Beside::first(&destination, OWNERS_PATH)?.get(ASK_WITHIN).await else {
            continue;
        };
        if reply.status != StatusCode::OK {
            let (destination, status) = (&trunk.name, reply.status.as_u16());
            tracing::warn!(destination, status, "a tier does not say who its owners are");
            continue;
        }
        let owners = serde_json::from_slice::<Owners>(&reply.body);
        if let Some(guide) = owners.ok().and_then(Owners::guide) {
            return Some(guide);
        }
        tracing::warn!(destination = trunk.name, "what a tier says of its owners cannot be read");
    }
    None
}

/// The number in front; 0 where there is none.
fn generation_of(word: &str) -> u64 {
    word.split('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

const TURN: Duration = Duration::from_secs(1);
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Members that do not agree yet do not have it asked for each second.
const ASK_EVERY: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Members learn a table from each other within seconds.
const OLDER_FOR: Duration = Duration::from_secs(60);
