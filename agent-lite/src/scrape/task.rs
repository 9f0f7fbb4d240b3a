//! One target's life: a scrape at each tick, until it is told otherwise.
//!
//! Invariant: a target that goes is ended with stale markers, unless it comes back before they are
//! due or is told to be silent; so nobody is left with series that never end, and none is ended
//! that another task goes on with. Reloads and removals wait for a scrape that is running.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_http::{Client, ClientError};
use weir_model::{Labels, Millis, Timestamp};
use weir_wire::exposition::{Format, ScrapeProtocol, protocol};

use super::fetch::{FetchError, FetchSettings, Way, fetch};
use super::limits::ScrapeError;
use super::scraper::{Attempt, Outcome, Scraper};
use super::settings::Settings;
use super::shared::{Shared, now_ms};
use crate::schedule::Schedule;
use crate::target::Target;

/// What is scraped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Hash over labels and URL: the same target has the same one after a reload.
    pub identity: u64,
    /// What is requested.
    pub url: String,
    /// The labels that its series get.
    pub labels: Labels,
    /// `scrape_interval`
    pub interval: Millis,
    /// `scrape_timeout`
    pub timeout: Millis,
}

impl From<&Target> for Endpoint {
    fn from(target: &Target) -> Self {
        Self {
            identity: target.identity,
            url: target.url.clone(),
            labels: target.labels.clone(),
            interval: target.interval,
            timeout: target.timeout,
        }
    }
}

/// How the targets of a job are scraped.
#[derive(Clone, Debug)]
pub struct Job {
    /// What decides about samples.
    pub settings: Arc<Settings>,
    /// `Accept` of the requests.
    pub accept: String,
    /// `enable_compression`
    pub compression: bool,
    /// Credentials, TLS, proxy.
    pub client: Client,
    /// `fallback_scrape_protocol`
    pub fallback: Option<ScrapeProtocol>,
    /// Fails every scrape (`target_limit`).
    pub forced_error: Option<ScrapeError>,
}

/// What a task is told.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Scrape like this.
    Scrape(Arc<Job>),
    /// The target has gone: end its series once it can be sure.
    Leave,
    /// Others go on with its series.
    Hush,
    /// The agent stops: end all series now.
    Stop,
}

/// How a target does, for the page of targets.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    /// When the last scrape began; `None` before the first.
    pub last_scrape: Option<Timestamp>,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Series held.
    pub series: usize,
}

pub(super) struct Task {
    pub(super) endpoint: Endpoint,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) status: Arc<Mutex<TargetStatus>>,
    pub(super) shared: Arc<Shared>,
}

impl Task {
    /// Runs until the target has ended.
    pub(super) async fn run(mut self, mut job: Arc<Job>) {
        let Endpoint { interval, identity, .. } = self.endpoint;
        let schedule = Schedule::new(interval, identity, self.shared.host_seed);
        let mut scraper = Scraper::new(job.settings.clone(), self.endpoint.labels.clone());
        let mut due = schedule.first(now_ms());
        let horizon = self.shared.horizons.enter(due);
        let mut last: Option<Instant> = None;
        let mut way = Way::default();
        loop {
            let order = self.wait(due).await;
            match order {
                None => {
                    let begun = Instant::now();
                    if let Some(last) = last.replace(begun) {
                        self.shared.counters.interval(interval, begun - last);
                    }
                    let time = schedule.stamp(due, now_ms());
                    let scrape = self.scrape(&mut scraper, &job, &mut way, time, begun);
                    Box::pin(scrape).await;
                    let tick = schedule.next(due, now_ms());
                    due = tick.due;
                    horizon.reach(due);
                    let missed = &self.shared.counters.missed_ticks;
                    missed.fetch_add(tick.missed, Ordering::Relaxed);
                }
                Some(Order::Scrape(new)) => {
                    if !Arc::ptr_eq(&new.settings, &job.settings) {
                        let labels = self.endpoint.labels.clone();
                        scraper = Scraper::new(new.settings.clone(), labels);
                    }
                    (job, way) = (new, Way::default());
                }
                Some(Order::Leave) => match self.leave(due, interval).await {
                    // It is back, and nothing has been ended.
                    Ok(back) => (job, way) = (back, Way::default()),
                    Err(end) => return self.end(&mut scraper, end),
                },
                Some(Order::Stop) => return self.end(&mut scraper, Some(now_ms())),
                Some(Order::Hush) => return,
            }
        }
    }

    /// Waits for a time of the wall clock; returns earlier with an order that came.
    async fn wait(&mut self, until: Timestamp) -> Option<Order> {
        let left = u64::try_from(until - now_ms()).unwrap_or(0);
        tokio::select! {
            biased;
            changed = self.orders.changed() => Some(match changed {
                Ok(()) => self.orders.borrow_and_update().clone(),
                Err(_) => Order::Hush,
            }),
            () = tokio::time::sleep(Duration::from_millis(left)) => None,
        }
    }

    /// Waits as Prometheus does before it ends a target: until two more scrapes would have been,
    /// and a tenth of the interval. The markers' time is that of the first of the two. An error is
    /// the end, with the markers' time if there are to be any.
    async fn leave(
        &mut self,
        due: Timestamp,
        interval: Millis,
    ) -> Result<Arc<Job>, Option<Timestamp>> {
        let until = due + interval.0 + interval.0 / 10;
        loop {
            match self.wait(until).await {
                None => return Err(Some(due)),
                Some(Order::Scrape(job)) => return Ok(job),
                Some(Order::Leave) => {}
                Some(Order::Stop) => return Err(Some(now_ms())),
                Some(Order::Hush) => return Err(None),
            }
        }
    }

    fn end(&self, scraper: &mut Scraper, time: Option<Timestamp>) {
        let Some(time) = time else {
            return;
        };
        let ended = self.shared.with_scratch(|scratch, bodies| scraper.end(time, scratch, bodies));
        if let Err(error) = ended {
            tracing::error!(target = self.endpoint.url, %error, "stale markers cannot be written");
        }
    }

    async fn scrape(
        &self,
        scraper: &mut Scraper,
        job: &Job,
        way: &mut Way,
        time: Timestamp,
        begun: Instant,
    ) {
        let mut page = self.shared.page();
        let fetched = match &job.forced_error {
            Some(error) => Err(error.clone()),
            None => self.fetch(job, way, &mut page).await,
        };
        let timeout = self.endpoint.timeout.to_std();
        let attempt = Attempt { time, elapsed: &|| begun.elapsed(), timeout };
        let outcome = self.shared.with_scratch(|scratch, bodies| match fetched {
            Ok((format, at)) => {
                let page = page.get(at..).unwrap_or_default();
                self.shared.counters.page_bytes.fetch_add(page.len() as u64, Ordering::Relaxed);
                scraper.page(&attempt, format, page, scratch, bodies)
            }
            Err(error) => scraper.failure(&attempt, error, scratch, bodies),
        });
        self.shared.return_page(page);
        match outcome {
            Ok(outcome) => self.note(&outcome, scraper, time),
            Err(error) => {
                tracing::error!(target = self.endpoint.url, %error, "a scrape cannot be written");
            }
        }
    }

    /// The format of the page, and where in the buffer it begins.
    async fn fetch(
        &self,
        job: &Job,
        way: &mut Way,
        page: &mut Vec<u8>,
    ) -> Result<(Format, usize), ScrapeError> {
        let url = self.endpoint.url.parse();
        let url = url.map_err(|e: hyper::http::uri::InvalidUri| {
            FetchError::Client(ClientError::Url(e.to_string()))
        })?;
        let settings = FetchSettings {
            accept: job.accept.clone(),
            compression: job.compression,
            timeout: self.endpoint.timeout.to_std(),
            body_bytes_max: job.settings.limits.body_bytes,
        };
        // The semaphore is never closed.
        let _place = self.shared.places.acquire().await;
        let fetched = fetch(&job.client, &url, &settings, way, page).await?;
        let content_type = Some(fetched.content_type.as_str()).filter(|text| !text.is_empty());
        Ok((protocol::format(content_type, job.fallback)?, fetched.at))
    }

    fn note(&self, outcome: &Outcome, scraper: &Scraper, time: Timestamp) {
        self.shared.counters.count(outcome);
        let counts = &outcome.counts;
        if let Some(error) = &outcome.error {
            tracing::debug!(target = self.endpoint.url, %error, "a scrape failed");
        }
        for (dropped, what) in [
            (counts.duplicates, "series twice on a page"),
            (counts.out_of_order, "samples that are not newer"),
            (counts.out_of_bounds, "samples too far in the future"),
        ] {
            if dropped > 0 {
                tracing::warn!(target = self.endpoint.url, dropped, "{what}");
            }
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        *status = TargetStatus {
            last_scrape: Some(time),
            duration: outcome.duration,
            error: outcome.error.as_ref().map(ToString::to_string),
            series: scraper.series_count(),
        };
    }
}
