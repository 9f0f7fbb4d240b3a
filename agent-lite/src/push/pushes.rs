//! Pushes over HTTP, and the scraping of their pages into the buffer.
//!
//! Every interval the page of each group is read by a [`Scraper`] of its own, as a target's page
//! would be; a group that is deleted or has expired is ended with stale markers at once. Answers are
//! the Pushgateway's: 200 for a push, 202 for a deletion, 400 with the reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_http::limits::{declared_len, read_body};
use weir_http::{Incoming, Method, Request, StatusCode, header};
use weir_model::{BlockHasher, LabelsBuilder, Millis, Timestamp};
use weir_remote::destinations::now_ms;
use weir_wire::exposition::Format;

use super::{GroupingKey, Limits, PushError, Replace, Store};
use crate::admin::{Page, plain};
use crate::buffer::Buffer;
use crate::scrape::{Attempt, Body, Scraper, Scratch, Settings, Sink as _};

/// All groups, and who scrapes them.
#[derive(Debug)]
pub struct Pushes {
    state: Mutex<State>,
    interval: Millis,
}

#[derive(Debug)]
struct State {
    store: Store,
    scrapers: BTreeMap<GroupingKey, Scraper>,
    settings: Arc<Settings>,
    scratch: Scratch,
    buffer: Buffer,
}

impl Pushes {
    /// Groups are scraped every `interval`. External labels are in `settings`.
    pub fn new(
        buffer: Buffer,
        settings: Settings,
        interval: Millis,
        expire_after: Millis,
        hash_seed: u128,
    ) -> Self {
        let limits = Limits { groups_max: GROUPS_MAX, series_max: SERIES_MAX, expire_after };
        // What a page says of its time is not the scrape's.
        let settings = Settings { honor_labels: true, honor_timestamps: false, ..settings };
        let state = State {
            store: Store::new(limits),
            scrapers: BTreeMap::new(),
            settings: Arc::new(settings),
            scratch: Scratch::new(BlockHasher::new(hash_seed)),
            buffer,
        };
        Self { state: Mutex::new(state), interval }
    }

    /// Groups that are pushed from now on get these labels.
    pub fn set_external_labels(&self, labels: Vec<(String, String)>) {
        let mut state = self.lock();
        let settings = Settings { external_labels: labels, ..(*state.settings).clone() };
        state.settings = Arc::new(settings);
    }

    /// Answers a request for `/metrics/<path>`.
    pub async fn handle(&self, path: &str, request: Request<Incoming>) -> Page {
        let key = match GroupingKey::parse(path) {
            Ok(key) => key,
            Err(why) => return plain(StatusCode::BAD_REQUEST, &format!("{why}\n")),
        };
        let replace = match *request.method() {
            Method::PUT => Replace::Group,
            Method::POST => Replace::Families,
            Method::DELETE => {
                self.lock().delete(&key);
                return plain(StatusCode::ACCEPTED, "");
            }
            _ => return plain(StatusCode::METHOD_NOT_ALLOWED, "use PUT, POST or DELETE\n"),
        };
        let (parts, body) = request.into_parts();
        let body = read_body(body, declared_len(&parts.headers), BODY_BYTES_MAX, TIMEOUT).await;
        let body = match body {
            Ok(body) => body,
            Err(why) => return plain(StatusCode::BAD_REQUEST, &format!("{why}\n")),
        };
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        match self.lock().push(&key, replace, &body, format_of(kind)) {
            Ok(()) => plain(StatusCode::OK, ""),
            Err(why @ (PushError::TooManyGroups(_) | PushError::TooManySeries(_))) => {
                plain(StatusCode::TOO_MANY_REQUESTS, &format!("{why}\n"))
            }
            Err(why) => plain(StatusCode::BAD_REQUEST, &format!("{why}\n")),
        }
    }

    /// Scrapes all groups every interval, for ever.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.interval.to_std());
        loop {
            ticks.tick().await;
            self.lock().scrape(now_ms());
        }
    }

    /// Ends the series of all groups: the agent stops, and jobs push anew after the next start.
    pub fn end(&self) {
        let mut state = self.lock();
        let keys: Vec<GroupingKey> = state.scrapers.keys().cloned().collect();
        keys.iter().for_each(|key| state.delete(key));
    }

    /// Groups and series, for `/metrics`.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.store.keys().count(), state.store.series_count())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A push is scraped at once, so that a job that ends right after it is not missed.
    fn push(
        &mut self,
        key: &GroupingKey,
        replace: Replace,
        body: &[u8],
        format: Format,
    ) -> Result<(), PushError> {
        let now = now_ms();
        let result = self.store.handle_push(key, replace, body, format, now);
        self.scrape_one(key, now);
        result
    }

    fn scrape(&mut self, now: Timestamp) {
        for key in self.store.poll_expired(now) {
            self.end(&key, now);
        }
        let keys: Vec<GroupingKey> = self.store.keys().cloned().collect();
        keys.iter().for_each(|key| self.scrape_one(key, now));
    }

    fn scrape_one(&mut self, key: &GroupingKey, now: Timestamp) {
        let Some(page) = self.store.page(key) else {
            return;
        };
        let settings = &self.settings;
        let scraper = self.scrapers.entry(key.clone()).or_insert_with(|| {
            let mut labels = LabelsBuilder::default();
            key.iter().for_each(|(name, value)| labels.set(name, value));
            Scraper::new(Arc::clone(settings), labels.build())
        });
        let attempt = Attempt { time: now, elapsed: &|| Duration::ZERO, timeout: TIMEOUT };
        let mut bodies = Vec::new();
        let scraped = scraper.page(&attempt, Format::Text, &page, &mut self.scratch, &mut bodies);
        match scraped.map(|outcome| outcome.error) {
            Ok(None) => {}
            Ok(Some(error)) => tracing::warn!(?key, %error, "a pushed group cannot be forwarded"),
            Err(error) => tracing::error!(?key, %error, "a pushed group cannot be written"),
        }
        self.send(bodies, now);
    }

    fn delete(&mut self, key: &GroupingKey) {
        self.store.handle_delete(key);
        self.end(key, now_ms());
    }

    fn end(&mut self, key: &GroupingKey, now: Timestamp) {
        let Some(mut scraper) = self.scrapers.remove(key) else {
            return;
        };
        let mut bodies = Vec::new();
        if let Err(error) = scraper.end(now, &mut self.scratch, &mut bodies) {
            tracing::error!(?key, %error, "stale markers cannot be written");
        }
        self.send(bodies, now);
    }

    /// At once: a job that was answered may be gone when the next one comes.
    fn send(&mut self, mut bodies: Vec<Body>, now: Timestamp) {
        if let Err(error) = self.scratch.flush(&mut bodies) {
            tracing::error!(%error, "pushed samples cannot be written");
        }
        let samples: u64 = bodies.iter().map(|body| body.summary.samples).sum();
        if samples > 0
            && let Err(error) = self.buffer.take(LANE, now, bodies)
        {
            tracing::warn!(samples, %error, "pushed samples are lost");
        }
    }
}

/// Protobuf where it says so, else text, as the Pushgateway.
fn format_of(content_type: Option<&str>) -> Format {
    let is_protobuf = |kind: &str| kind.starts_with("application/vnd.google.protobuf");
    if content_type.is_some_and(is_protobuf) { Format::Protobuf } else { Format::Text }
}

/// A page that one job pushes.
const BODY_BYTES_MAX: usize = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Many for one host; a job that makes up groups finds its end.
const GROUPS_MAX: usize = 1000;
const SERIES_MAX: usize = 100_000;
/// The lane of all pushes: any number, for targets' lanes are hashes.
const LANE: u64 = 0x7075_7368_6573_0000;
