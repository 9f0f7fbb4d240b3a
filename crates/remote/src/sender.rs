//! The driver of a destination: one task that reads frames, makes requests and keeps the cursor.
//!
//! Decisions are the outbox's; this file only waits. Invariant: the cursor that is stored is never
//! ahead of what is done, and at most about a second behind it while the disk is well.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use weir_model::Timestamp;

use crate::config::{Destination, OnFull};
use crate::cursor::OpenFrame;
use crate::frame;
use crate::metrics::{GivenUp, Metrics, State, Status, StatusCell};
use crate::outbox::{Now, Outbox, Outcome, Request, SentAs, Settings};
use crate::pace::Pace;
use crate::prepare::Preparer;
use crate::request;
use crate::seams::{CursorStore, EndpointView, Frames, FramesError, Queued, Transport};
use crate::verdict::Reason;

mod keeper;

use keeper::Keeper;

/// How often the cursor is stored, gauges are renewed and ages are looked at.
const TICK: Duration = Duration::from_secs(1);
/// The pause between two lines about a disk that does not work.
const BROKEN_LOG_PAUSE: Duration = Duration::from_secs(10);
/// Frames read before requests get their turn.
const FRAMES_A_TURN: usize = 64;

/// Tells the time since the epoch in milliseconds.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a sender is made of.
pub struct Parts<F, T> {
    /// Where to send.
    pub destination: Destination,
    /// `external_labels`, added to every series that has none of that name.
    pub external_labels: Vec<(String, String)>,
    /// The queue, at `position`.
    pub frames: F,
    /// The first position that is not done.
    pub position: u64,
    /// Where the cursor is kept.
    pub cursor: Arc<dyn CursorStore>,
    /// The way to the backend.
    pub transport: T,
    /// The time since the epoch.
    pub clock: WallClock,
    /// Makes the jitter its own.
    pub seed: u64,
}

/// What others see of a sender.
#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    status: Arc<StatusCell>,
    stored: AtomicU64,
    done: AtomicU64,
    is_full: AtomicBool,
    /// Frames before this position are in a hurry.
    due_below: AtomicU64,
    hurried: Notify,
}

/// Asks a sender's transport for its endpoint.
struct EndpointOf(Box<dyn Fn() -> Option<EndpointView> + Send + Sync>);

impl fmt::Debug for EndpointOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)().fmt(f)
    }
}

/// A running sender.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    endpoint: EndpointOf,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Sender {
    /// Starts one on the current runtime.
    pub fn spawn<F: Frames, T: Transport>(parts: Parts<F, T>) -> Self {
        let shared = Arc::new(Shared {
            metrics: Arc::default(),
            status: Arc::default(),
            stored: AtomicU64::new(parts.position),
            done: AtomicU64::new(parts.position),
            is_full: AtomicBool::new(false),
            due_below: AtomicU64::new(0),
            hurried: Notify::new(),
        });
        let (stop, stopped) = watch::channel(None);
        let driver = Driver::new(parts, shared.clone(), stopped);
        let transport = Arc::clone(&driver.transport);
        let endpoint = EndpointOf(Box::new(move || transport.endpoint()));
        Self { shared, endpoint, stop, task: tokio::spawn(driver.run()) }
    }

    /// Its counters and gauges.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Where its requests go now.
    pub fn endpoint(&self) -> Option<EndpointView> {
        (self.endpoint.0)()
    }

    /// How it fares.
    pub fn status(&self) -> Status {
        self.shared.status.snapshot()
    }

    /// The queue is not to be cut at this position or after it: the cursor as it is stored.
    pub fn needed_from(&self) -> u64 {
        self.shared.stored.load(Ordering::Acquire)
    }

    /// Every frame before this position is done with: delivered, set aside or given up.
    pub fn done_below(&self) -> u64 {
        self.shared.done.load(Ordering::Acquire)
    }

    /// What frames before this position bring is sent without waiting for its request to fill.
    pub fn hurry(&self, below: u64) {
        self.shared.due_below.fetch_max(below, Ordering::AcqRel);
        self.shared.hurried.notify_one();
    }

    /// Whether the queue is full for a destination that blocks: senders get 503.
    pub fn is_full(&self) -> bool {
        self.shared.is_full.load(Ordering::Relaxed)
    }

    /// Sends what was read, waits for answers until the time is over, and stores the cursor.
    /// What fails meanwhile stays in the queue.
    pub async fn stop(self, within: Duration) {
        self.stop.send_replace(Some(Instant::now() + within));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a sender ended badly");
        }
    }
}

/// The end of a request's task.
type Ended = Result<(tokio::task::Id, Outcome), JoinError>;

struct Driver<F, T> {
    destination: Arc<Destination>,
    preparer: Preparer,
    frames: F,
    /// Read already, and to be taken when it is due.
    paced: Option<Paced>,
    pace: Pace,
    queued_before: u64,
    outbox: Outbox,
    transport: Arc<T>,
    requests: JoinSet<Outcome>,
    sent: HashMap<tokio::task::Id, (u64, SentAs)>,
    keeper: Keeper,
    shared: Arc<Shared>,
    stop: watch::Receiver<Option<Instant>>,
    clock: WallClock,
    started: Instant,
    broken_logged: Option<Instant>,
}

/// A frame of a backlog.
struct Paced {
    position: u64,
    payload: Bytes,
    due_ms: u64,
}

/// How a turn of the driver ends.
enum Wake {
    Ended(Ended),
    Stop,
    Again,
}

impl<F: Frames, T: Transport> Driver<F, T> {
    fn new(
        parts: Parts<F, T>,
        shared: Arc<Shared>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let settings = Settings {
            name: parts.destination.name.clone(),
            kind: parts.destination.kind,
            protocol: parts.destination.protocol,
            compression: parts.destination.compression,
            queue: parts.destination.queue,
        };
        let (metrics, status) = (shared.metrics.clone(), shared.status.clone());
        let pace = Pace::new(parts.destination.queue.backlog_speed_max);
        Self {
            preparer: Preparer::new(&parts.destination, parts.external_labels),
            destination: Arc::new(parts.destination),
            queued_before: parts.frames.end(),
            frames: parts.frames,
            paced: None,
            pace,
            outbox: Outbox::new(settings, parts.position, parts.seed, metrics, status),
            transport: Arc::new(parts.transport),
            requests: JoinSet::new(),
            sent: HashMap::new(),
            keeper: Keeper::new(parts.cursor, parts.position),
            shared,
            stop,
            clock: parts.clock,
            started: Instant::now(),
            broken_logged: None,
        }
    }

    async fn run(mut self) {
        let mut deadline = None;
        loop {
            let has_more = self.read_frames();
            let frames = &self.frames;
            self.outbox.give_up(self.now(), &|from| frames.backlog(from).bytes);
            self.outbox.hurry(self.shared.due_below.load(Ordering::Acquire));
            self.send_requests();
            self.publish();
            self.keep_cursor().await;
            if deadline.is_some_and(|d| self.requests.is_empty() || Instant::now() >= d) {
                break;
            }
            match self.wait(has_more, deadline).await {
                Wake::Ended(ended) => self.end(ended),
                Wake::Stop => {
                    deadline = Some((*self.stop.borrow()).unwrap_or_else(Instant::now));
                    self.outbox.stop();
                }
                Wake::Again => {}
            }
        }
        self.requests.abort_all();
        self.publish();
        if let Err(error) = self.keeper.finish(self.outbox.position()).await {
            self.report_broken("the cursor cannot be stored", &error);
        } else {
            self.shared.stored.store(self.outbox.position(), Ordering::Release);
        }
        self.shared.status.set_state(State::Stopped);
    }

    /// Waits for the first of: a request's end, new frames, a deadline, the wish to stop.
    async fn wait(&mut self, has_more: bool, deadline: Option<Instant>) -> Wake {
        let tick = Instant::now() + TICK;
        let paced = self.paced.as_ref().filter(|_| self.outbox.has_room()).map(|p| p.due_ms);
        let wake = self.outbox.next_deadline_ms().into_iter().chain(paced).min();
        let wake = wake.map_or(tick, |ms| (self.started + Duration::from_millis(ms)).min(tick));
        let wake = deadline.map_or(wake, |d| d.min(wake));
        let is_running = deadline.is_none();
        if has_more {
            tokio::task::yield_now().await;
            let ended = self.requests.try_join_next_with_id();
            return ended.map_or(Wake::Again, Wake::Ended);
        }
        tokio::select! {
            Some(ended) = self.requests.join_next_with_id() => Wake::Ended(ended),
            _ = self.stop.changed(), if is_running => Wake::Stop,
            () = self.frames.wait(), if is_running => Wake::Again,
            () = self.shared.hurried.notified() => Wake::Again,
            () = tokio::time::sleep_until(wake) => Wake::Again,
        }
    }

    fn now(&self) -> Now {
        let mono = self.started.elapsed().as_millis();
        Now { mono_ms: u64::try_from(mono).unwrap_or(u64::MAX), wall_ms: (self.clock)() }
    }

    /// Reads frames while there is room, a bounded number; says whether there may be more.
    fn read_frames(&mut self) -> bool {
        for _ in 0..FRAMES_A_TURN {
            if !self.outbox.has_room() {
                return false;
            }
            if let Some(Paced { position, payload, due_ms }) = self.paced.take() {
                if due_ms > self.now().mono_ms {
                    self.paced = Some(Paced { position, payload, due_ms });
                    return false;
                }
                self.take_frame(position, &payload);
                continue;
            }
            match self.frames.next() {
                Ok(Some(Queued::Frame { position, payload })) => {
                    match self.pace.due_ms(written_ms(&payload), self.now()) {
                        Some(due_ms) => self.paced = Some(Paced { position, payload, due_ms }),
                        None => self.take_frame(position, &payload),
                    }
                }
                Ok(Some(Queued::Elsewhere(position))) => {
                    self.open(position, position + 1, 0, 0, Vec::new());
                }
                Ok(Some(Queued::Missing { from, to })) => {
                    let missing = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
                    Metrics::count(&self.shared.metrics.frames_missing, missing);
                    let destination = &self.destination.name;
                    tracing::error!(destination, from, to, "frames are missing in the queue");
                    self.open(from, to, 0, 0, Vec::new());
                }
                Ok(None) => return false,
                Err(error) => {
                    self.report_broken("the queue cannot be read", &error);
                    return false;
                }
            }
        }
        true
    }

    fn take_frame(&mut self, position: u64, payload: &Bytes) {
        let was_queued = position < self.queued_before;
        let bytes = payload.len() as u64;
        match self.preparer.prepare(position, payload, was_queued) {
            Ok(prepared) => {
                let metrics = &self.shared.metrics;
                metrics.count_given_up(GivenUp::Relabelled, prepared.relabelled);
                metrics.count_given_up(GivenUp::NativeHistogram, prepared.native_histograms);
                metrics.count_set_aside(Reason::Labels, prepared.mislabelled);
                let (written_ms, units) = (prepared.written_ms, prepared.units);
                self.open(position, position + 1, bytes, written_ms, units);
            }
            Err(error) => {
                Metrics::count(&self.shared.metrics.frames_undecodable, 1);
                let destination = &self.destination.name;
                tracing::error!(destination, position, %error, "a frame cannot be read");
                self.open(position, position + 1, bytes, 0, Vec::new());
            }
        }
    }

    fn open(
        &mut self,
        position: u64,
        next: u64,
        bytes: u64,
        written_ms: Timestamp,
        units: Vec<(usize, crate::unit::Unit)>,
    ) {
        let frame = OpenFrame { position, next, bytes, written_ms, parts: 0 };
        let now = self.now();
        self.outbox.handle_frame(frame, units, now);
    }

    fn send_requests(&mut self) {
        while let Some(request) = self.outbox.poll_request(self.now()) {
            let sent_as = SentAs { protocol: request.protocol, compression: request.compression };
            let id = request.id;
            let destination = self.destination.clone();
            let metrics = self.shared.metrics.clone();
            let sending = send(request, destination, self.transport.clone(), metrics);
            let task = self.requests.spawn(sending);
            self.sent.insert(task.id(), (id, sent_as));
        }
    }

    fn end(&mut self, ended: Ended) {
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let text = format!("the request's task failed: {error}");
                let maybe_sent = true;
                (error.id(), Outcome::Failed { text, maybe_sent })
            }
        };
        if let Some((id, sent_as)) = self.sent.remove(&task) {
            let now = self.now();
            self.outbox.handle_outcome(id, sent_as, outcome, now);
        }
    }

    fn publish(&self) {
        self.shared.done.store(self.outbox.position(), Ordering::Release);
        let backlog = self.frames.backlog(self.outbox.position());
        let metrics = &self.shared.metrics;
        Metrics::set(&metrics.lag_frames, backlog.frames);
        Metrics::set(&metrics.lag_bytes, backlog.bytes);
        let oldest = self.outbox.oldest().map_or(0, |f| f.written_ms);
        metrics.oldest_unsent_ms.store(oldest, Ordering::Relaxed);
        let queue = &self.destination.queue;
        let is_full = queue.on_full == OnFull::Block && backlog.bytes > queue.max_bytes;
        self.shared.is_full.store(is_full, Ordering::Relaxed);
    }

    async fn keep_cursor(&mut self) {
        match self.keeper.keep(self.outbox.position()).await {
            Ok(Some(stored)) => self.shared.stored.store(stored, Ordering::Release),
            Ok(None) => {}
            Err(error) => self.report_broken("the cursor cannot be stored", &error),
        }
    }

    fn report_broken(&mut self, what: &str, error: &FramesError) {
        let (destination, text) = (&self.destination.name, format!("{what}: {error}"));
        if self.broken_logged.is_none_or(|at| at.elapsed() >= BROKEN_LOG_PAUSE) {
            self.broken_logged = Some(Instant::now());
            tracing::error!(destination, "{text}");
        }
        let now = (self.clock)();
        self.shared.status.set_error(State::Broken, &text, now);
    }
}

/// When a frame was written; one that cannot be read has no time to wait for.
fn written_ms(payload: &[u8]) -> Timestamp {
    frame::read(payload).map_or(Timestamp::MAX, |(header, _)| header.written_ms)
}

/// One request, from encoding to answer.
async fn send<T: Transport>(
    request: Request,
    destination: Arc<Destination>,
    transport: Arc<T>,
    metrics: Arc<Metrics>,
) -> Outcome {
    let post = match request::encode(&request, &destination) {
        Ok(post) => post,
        Err(error) => {
            let text = error.to_string();
            return Outcome::Unencodable { text };
        }
    };
    // The units belong to the outbox again when the outcome is known.
    drop(request);
    Metrics::count(&metrics.bytes_sent, post.body.len());
    match transport.post(post).await {
        Ok(reply) => reply.into_outcome(SystemTime::now()),
        Err(error) => Outcome::Failed { text: error.text, maybe_sent: error.maybe_sent },
    }
}

#[cfg(test)]
mod tests;
