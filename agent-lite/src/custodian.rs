//! Asks destinations what they have released, sends again what a lost disk had, and cuts the buffer.
//!
//! Invariant: one task does all three, so that nothing is cut which is about to be sent again. A
//! destination that does not know the question is left alone for a while, and holds nothing back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_agent_config::custody::{CUSTODY_PATH, Standing};
use weir_http::StatusCode;
use weir_journal::Journal;
use weir_remote::State;
use weir_remote::config::Destination;
use weir_remote::destinations::now_ms;

use crate::beside::Beside;
use crate::custody::{Bound, Key, Step, key, mark, member};
use crate::force::Force;
use crate::storage;

/// Who does it.
pub struct Custodian {
    force: Arc<Force>,
    journal: Arc<Journal>,
    routes: BTreeMap<Key, Route>,
    store_at: Instant,
}

/// One destination.
struct Route {
    destination: Destination,
    /// `None` where it cannot be asked at all.
    beside: Option<Beside>,
    ask_at: Instant,
    /// It knows no custody.
    is_deaf: bool,
}

/// A destination at the moment.
struct Running {
    destination: Destination,
    done: u64,
    is_well: bool,
}

/// What became of a question.
enum Answer {
    Standing(Standing),
    /// It knows no custody.
    Deaf,
    /// It is away, or busy.
    Away,
}

impl Custodian {
    /// For what is in force, over this buffer.
    pub fn new(force: Arc<Force>, journal: Arc<Journal>) -> Self {
        Self { force, journal, routes: BTreeMap::new(), store_at: Instant::now() }
    }

    /// Goes on for ever.
    pub async fn run(mut self) {
        loop {
            for one in self.look().await {
                self.ask(one).await;
            }
            self.cut();
            tokio::time::sleep(TURN).await;
        }
    }

    /// All destinations, and forgets those that are no more. While one is changed it is not there, so
    /// this waits for a reload.
    async fn look(&mut self) -> Vec<Running> {
        let _turn = self.force.turn.lock().await;
        let running = self.running();
        let at = |key: &Key| running.iter().find(|one| self::key(&one.destination) == *key);
        self.routes
            .retain(|key, route| at(key).is_some_and(|r| r.destination == route.destination));
        self.force.custody.retain(|key| at(key).is_some());
        running
    }

    fn running(&self) -> Vec<Running> {
        let mut running = Vec::new();
        self.force.destinations.each(|destination, sender| {
            let is_well = sender.status().state == State::Sending;
            let done = sender.done_below();
            running.push(Running { destination: destination.clone(), done, is_well });
        });
        running
    }

    async fn ask(&mut self, one: Running) {
        let Running { destination, done, is_well } = one;
        let key = key(&destination);
        let custody = Arc::clone(&self.force.custody);
        let route = self.routes.entry(key.clone()).or_insert_with(|| Route::new(destination));
        let is_due = Instant::now() >= route.ask_at || !(is_well || route.is_deaf);
        let Some(beside) = &route.beside else {
            return self.let_go(&key, false).await;
        };
        if !is_due {
            return;
        }
        let query = custody.inquiry(&key).to_query(member(&route.destination));
        let answer = ask(beside, &query).await;
        route.ask_at = Instant::now()
            + match answer {
                Answer::Standing(_) => ASK_EVERY,
                Answer::Deaf => DEAF_FOR,
                Answer::Away => Duration::ZERO,
            };
        route.is_deaf = matches!(answer, Answer::Deaf);
        let standing = match answer {
            Answer::Standing(standing) => standing,
            Answer::Deaf => return self.let_go(&key, false).await,
            Answer::Away => return,
        };
        match custody.handle(&key, &standing, done, now_ms()) {
            Step::None => {}
            Step::Begin(epoch) => self.begin(&key, epoch, None).await,
            Step::Resend(epoch) => self.begin(&key, epoch, custody.released(&key)).await,
            Step::LetGo => self.let_go(&key, true).await,
        }
    }

    /// Goes over to an epoch: from where all was acknowledged, or from what is held for another.
    async fn begin(&mut self, key: &Key, epoch: u64, held_from: Option<u64>) {
        let _turn = self.force.turn.lock().await;
        let Some(mut one) = self.running().into_iter().find(|r| self::key(&r.destination) == *key)
        else {
            return;
        };
        mark(&mut one.destination, Some(epoch));
        let from = held_from.map_or(one.done, |held| held.min(one.done));
        if let Err(why) = self.force.destinations.begin_again(&one.destination, from).await {
            return tracing::error!(%why, "what is held cannot be sent again");
        }
        let destination = &one.destination.name;
        match held_from {
            Some(from) => {
                let frames = one.done - from.min(one.done);
                tracing::warn!(destination, frames, "the gateway has lost its disk: sending again");
                self.force.custody.begin(key, epoch, from, Some(frames));
            }
            None => self.force.custody.begin(key, epoch, from, None),
        }
        self.force.custody.store();
    }

    /// Holds nothing any more, and has requests go to whoever answers.
    async fn let_go(&mut self, key: &Key, for_good: bool) {
        let _turn = self.force.turn.lock().await;
        if !self.force.custody.let_go(key, for_good) {
            return;
        }
        let Some(mut one) = self.running().into_iter().find(|r| self::key(&r.destination) == *key)
        else {
            return;
        };
        let destination = one.destination.name.clone();
        tracing::warn!(
            destination,
            "it does not keep custody: nothing is kept that it acknowledges"
        );
        mark(&mut one.destination, None);
        if let Err(why) = self.force.destinations.begin_again(&one.destination, one.done).await {
            tracing::error!(%why, "a destination cannot be changed");
        }
        self.force.custody.store();
    }

    /// Cuts what is done and not held, and gives up what may not be held any longer.
    fn cut(&mut self) {
        let custody = &self.force.custody;
        let (max_bytes, max_age) = self.force.bounds;
        custody.give_up(Bound::Age(now_ms() - max_age.0));
        let needed = self.force.destinations.needed_from();
        let (bytes, first) = (self.journal.bytes(), self.journal.first());
        let excess = bytes.saturating_sub(storage::most(max_bytes));
        if excess > 0 && custody.held_from().is_some_and(|held| held < needed) {
            let frames = self.journal.next_position().saturating_sub(first).max(1);
            let share = u128::from(excess) * u128::from(frames) / u128::from(bytes.max(1)) + 1;
            let to = first.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
            custody.give_up(Bound::Size(to.min(needed)));
        }
        let keep_from = custody.held_from().map_or(needed, |held| held.min(needed));
        if let Err(why) = self.journal.cut_below(keep_from) {
            tracing::error!(%why, "the buffer cannot be cut");
        }
        if Instant::now() >= self.store_at {
            self.store_at = Instant::now() + STORE_EVERY;
            custody.store();
        }
    }
}

impl Route {
    fn new(destination: Destination) -> Self {
        let beside = Beside::new(&destination, CUSTODY_PATH);
        Self { destination, beside, ask_at: Instant::now(), is_deaf: false }
    }
}

async fn ask(beside: &Beside, query: &str) -> Answer {
    let Some(reply) = beside.post(query, ASK_WITHIN).await else {
        return Answer::Away;
    };
    let standing = std::str::from_utf8(&reply.body).ok();
    let standing = standing.and_then(|body| Standing::from_body(body).ok());
    match (reply.status, standing) {
        (StatusCode::OK, Some(standing)) => Answer::Standing(standing),
        // Whoever has other credentials to ask for, or other things to do, may know it.
        (
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::REQUEST_TIMEOUT
            // Where a member of a tier was, another one is by now.
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::TOO_MANY_REQUESTS,
            _,
        ) => Answer::Away,
        (status, _) if status.is_server_error() => Answer::Away,
        _ => Answer::Deaf,
    }
}

/// How often the buffer is cut, and whoever does not do well is asked.
const TURN: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// How long a destination that knows no custody is left alone; it may become a gateway that does.
const DEAF_FOR: Duration = Duration::from_secs(300);
const STORE_EVERY: Duration = Duration::from_secs(10);
