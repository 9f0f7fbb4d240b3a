//! The driver with a queue in memory, a scripted backend and tokio's paused clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use weir_model::Sample;
use weir_wire::records::decode_series;
use weir_wire::{Decompressor, Encoding, Version};

use super::*;
use crate::prepare::tests::{destination, frame};
use crate::request::Post;
use crate::seams::{Backlog, PostError, Reply};

mod packed;

/// A queue whose positions begin at 1.
#[derive(Clone)]
struct Queue {
    frames: Arc<Mutex<Vec<Option<Bytes>>>>,
    grown: watch::Sender<()>,
}

impl Queue {
    fn new() -> Self {
        Self { frames: Arc::default(), grown: watch::Sender::new(()) }
    }

    fn push(&self, payload: Option<Vec<u8>>) {
        self.frames.lock().unwrap().push(payload.map(Bytes::from));
        self.grown.send_replace(());
    }

    /// A frame of one sample for each series.
    fn push_samples(&self, timestamp: i64, names: &[&str]) {
        let samples = [Sample::new(timestamp, timestamp as f64)];
        let all: Vec<_> = names.iter().map(|n| (*n, &[][..], &samples[..])).collect();
        self.push(Some(frame("t", &all)));
    }

    fn reader(&self, from: u64) -> Reader {
        Reader { queue: self.clone(), next: from, grown: self.grown.subscribe() }
    }
}

struct Reader {
    queue: Queue,
    next: u64,
    grown: watch::Receiver<()>,
}

impl Frames for Reader {
    fn next(&mut self) -> Result<Option<Queued>, FramesError> {
        let frames = self.queue.frames.lock().unwrap();
        let Some(payload) = frames.get(self.next as usize - 1).cloned() else {
            return Ok(None);
        };
        let position = self.next;
        self.next += 1;
        Ok(Some(match payload {
            Some(payload) => Queued::Frame { position, payload },
            None => Queued::Missing { from: position, to: position + 1 },
        }))
    }

    fn end(&self) -> u64 {
        self.queue.frames.lock().unwrap().len() as u64 + 1
    }

    fn backlog(&self, from: u64) -> Backlog {
        let frames = self.end() - from;
        Backlog { frames, bytes: frames * 100 }
    }

    async fn wait(&mut self) {
        self.grown.changed().await.ok();
    }
}

#[derive(Default)]
struct StoredCursor(AtomicU64);

impl CursorStore for StoredCursor {
    fn save(&self, position: u64) -> Result<(), FramesError> {
        self.0.store(position, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    Break,
    Hang,
    /// As a 2.0 receiver of these encodings: 415 for others, 400 where the series is in it.
    Take(&'static [Encoding], &'static str),
}

/// Follows a script, then one act for ever; remembers what it was sent.
#[derive(Clone)]
struct Backend {
    script: Arc<Mutex<VecDeque<Act>>>,
    then: Act,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Backend {
    fn new(script: &[Act], then: Act) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
            then,
            posts: Arc::default(),
        }
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// (series, timestamps) of every post from the given one on, in order.
    fn content(&self, from: usize) -> BTreeMap<String, Vec<i64>> {
        let mut content: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for post in &self.posts()[from..] {
            for (name, timestamp) in read(post) {
                content.entry(name).or_default().push(timestamp);
            }
        }
        content
    }
}

impl Transport for Backend {
    async fn post(&self, post: Post) -> Result<Reply, PostError> {
        let last = &post.clone();
        self.posts.lock().unwrap().push(post);
        let act = self.script.lock().unwrap().pop_front().unwrap_or(self.then);
        match act {
            Act::Answer(status, text) => {
                Ok(Reply { status, text: text.into(), ..Reply::default() })
            }
            Act::Break => Err(PostError { text: "connection broke".into(), maybe_sent: true }),
            Act::Hang => std::future::pending().await,
            Act::Take(encodings, poison) => Ok(take(last, encodings, poison)),
        }
    }
}

fn take(post: &Post, encodings: &[Encoding], poison: &str) -> Reply {
    if !encodings.contains(&encoding(post)) {
        return Reply { status: 415, ..Reply::default() };
    }
    let content = read(post);
    if content.iter().any(|(series, _)| series == poison) {
        return Reply { status: 400, text: "label refused".into(), ..Reply::default() };
    }
    let samples = Some(content.len() as u64);
    let written = crate::verdict::Written { samples, ..Default::default() };
    Reply { status: 204, written, ..Reply::default() }
}

fn encoding(post: &Post) -> Encoding {
    match header(post, "Content-Encoding") {
        Some("zstd") => Encoding::Zstd,
        _ => Encoding::Snappy,
    }
}

fn header<'a>(post: &'a Post, name: &str) -> Option<&'a str> {
    let found = post.headers.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str())
}

fn read(post: &Post) -> Vec<(String, i64)> {
    let version = match header(post, "Content-Type") {
        Some(text) if text.contains("v2") => Version::V2,
        _ => Version::V1,
    };
    let mut plain = Vec::new();
    let mut decompressor = Decompressor::default();
    decompressor.decompress(encoding(post), &post.body, 1 << 20, &mut plain).unwrap();
    let mut all = Vec::new();
    decode_series(version, &plain, &mut |view| {
        let labels = weir_model::Labels::from_pairs(view.labels.iter().copied()).unwrap();
        all.extend(view.samples.iter().map(|s| (labels.to_string(), s.timestamp)));
    })
    .unwrap();
    all
}

struct Setup {
    queue: Queue,
    backend: Backend,
    cursor: Arc<StoredCursor>,
    yaml: &'static str,
}

const PLAIN: &str = "{url: 'http://a', queue_config: {batch_send_deadline: 100ms}}";

impl Setup {
    fn new(yaml: &'static str, script: &[Act], then: Act) -> Self {
        Self {
            queue: Queue::new(),
            backend: Backend::new(script, then),
            cursor: Arc::new(StoredCursor(AtomicU64::new(1))),
            yaml,
        }
    }

    fn spawn(&self) -> Sender {
        let position = self.cursor.0.load(Ordering::SeqCst);
        let started = Instant::now();
        Sender::spawn(Parts {
            destination: destination(self.yaml),
            external_labels: Vec::new(),
            frames: self.queue.reader(position),
            position,
            cursor: self.cursor.clone(),
            transport: self.backend.clone(),
            clock: Arc::new(move || started.elapsed().as_millis() as i64),
            seed: 1,
        })
    }
}

/// Time is paused, so waiting costs nothing; a condition that never holds fails.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

const OK: Act = Act::Answer(204, "");

#[tokio::test(start_paused = true)]
async fn who_is_in_a_hurry_does_not_wait_for_the_deadline() {
    let setup = Setup::new("{url: 'http://a', queue_config: {batch_send_deadline: 1h}}", &[], OK);
    let sender = setup.spawn();
    setup.queue.push_samples(1, &["a"]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(sender.done_below(), 1, "it waits for a full request");
    sender.hurry(2);
    until("what was there is out", || sender.done_below() >= 2).await;
    sender.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_and_the_cursor_follows() {
    let yaml = "{url: 'http://a', tenant_header: X-Scope-OrgID, headers: {X-Cluster: eu},
        queue_config: {batch_send_deadline: 100ms}}";
    let setup = Setup::new(yaml, &[Act::Answer(503, "away")], OK);
    let sender = setup.spawn();
    for timestamp in 1..=5 {
        setup.queue.push_samples(timestamp, &["a", "b"]);
    }
    until("the cursor is stored", || sender.needed_from() == 6).await;
    let expected = [("a{}", [1, 2, 3, 4, 5]), ("b{}", [1, 2, 3, 4, 5])];
    let expected = expected.map(|(name, times)| (name.to_owned(), times.to_vec()));
    assert_eq!(setup.backend.content(1), BTreeMap::from(expected));
    let posts = setup.backend.posts();
    assert_eq!(posts[0].body, posts[1].body, "a retry has the same bits");
    assert_eq!(header(&posts[0], "Retry-Attempt"), None);
    let expected = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ("User-Agent", concat!("weir/", env!("CARGO_PKG_VERSION"))),
        ("Retry-Attempt", "1"),
        ("X-Scope-OrgID", "t"),
        ("X-Cluster", "eu"),
    ];
    let headers: Vec<(&str, &str)> =
        posts[1].headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(headers, expected);
    assert_eq!(sender.metrics().samples_sent.load(Ordering::Relaxed), 10);
    assert_eq!(sender.status().state, State::Sending);
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_only_what_is_not_done_is_sent_again() {
    let setup = Setup::new(PLAIN, &[OK], Act::Break);
    let sender = setup.spawn();
    setup.queue.push_samples(1, &["a"]);
    until("the first is done", || setup.backend.posts().len() == 1).await;
    setup.queue.push_samples(2, &["a"]);
    until("the second is tried", || setup.backend.posts().len() == 2).await;
    sender.stop(Duration::from_secs(1)).await;
    assert_eq!(setup.cursor.0.load(Ordering::SeqCst), 2);

    let tried = setup.backend.posts().len();
    let setup = Setup { backend: Backend { then: OK, ..setup.backend.clone() }, ..setup };
    let sender = setup.spawn();
    setup.queue.push_samples(3, &["a"]);
    until("the rest is done", || sender.needed_from() == 4).await;
    sender.stop(Duration::from_secs(1)).await;
    let posts = setup.backend.posts();
    assert_eq!(posts[1].body, posts[tried].body, "the same bits");
    let again: Vec<_> = posts[tried..].iter().map(read).collect();
    let one = |t| vec![("a{}".to_owned(), t)];
    assert_eq!(again, [one(2), one(3)], "recovered and fresh never share a request");
}

#[tokio::test(start_paused = true)]
async fn a_dead_destination_stops_no_other() {
    let dead = Setup::new(
        "{url: 'http://a', on_full: drop_oldest, max_bytes: 1000B,
          queue_config: {batch_send_deadline: 100ms}}",
        &[],
        Act::Answer(503, ""),
    );
    let well = Setup {
        backend: Backend::new(&[], OK),
        cursor: Arc::default(),
        yaml: PLAIN,
        queue: dead.queue.clone(),
    };
    well.cursor.0.store(1, Ordering::SeqCst);
    let (dead_sender, well_sender) = (dead.spawn(), well.spawn());
    for timestamp in 1..=50 {
        dead.queue.push_samples(timestamp, &["a", "b"]);
    }
    until("the other has all", || well_sender.needed_from() == 51).await;
    // 100 bytes a frame: ten of fifty may stay.
    until("forty are given up", || dead_sender.needed_from() == 41).await;
    assert_eq!(dead_sender.metrics().given_up(GivenUp::QueueFull), 80);
    assert!(!dead_sender.is_full(), "it drops, so it blocks nobody");
    assert_eq!(dead_sender.status().state, State::Retrying);
    assert_eq!(dead_sender.metrics().lag_frames.load(Ordering::Relaxed), 10);
    dead_sender.stop(Duration::from_secs(1)).await;
    well_sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_blocking_queue_says_that_it_is_full_and_recovers() {
    let yaml = "{url: 'http://a', max_bytes: 1000B, queue_config: {batch_send_deadline: 100ms}}";
    let setup = Setup::new(yaml, &[Act::Answer(503, ""); 20], OK);
    let sender = setup.spawn();
    for timestamp in 1..=11 {
        setup.queue.push_samples(timestamp, &["a"]);
    }
    until("it is full", || sender.is_full()).await;
    until("it has room", || !sender.is_full()).await;
    until("all is sent", || sender.needed_from() == 12).await;
    assert_eq!(sender.metrics().samples_sent.load(Ordering::Relaxed), 11);
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_cannot_hold_up_a_stop() {
    let setup = Setup::new(PLAIN, &[], Act::Hang);
    let sender = setup.spawn();
    setup.queue.push_samples(1, &["a"]);
    until("a request hangs", || !setup.backend.posts().is_empty()).await;
    let before = Instant::now();
    sender.stop(Duration::from_secs(3)).await;
    assert!(before.elapsed() <= Duration::from_secs(4));
    assert_eq!(setup.cursor.0.load(Ordering::SeqCst), 1, "it stays in the queue");
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_what_waits_for_a_fuller_request() {
    let yaml = "{url: 'http://a', queue_config: {batch_send_deadline: 1h}}";
    let setup = Setup::new(yaml, &[], OK);
    let sender = setup.spawn();
    setup.queue.push_samples(1, &["a"]);
    until("it is read", || sender.metrics().lag_frames.load(Ordering::Relaxed) == 1).await;
    assert!(setup.backend.posts().is_empty());
    sender.stop(Duration::from_secs(3)).await;
    assert_eq!(setup.backend.posts().len(), 1);
    assert_eq!(setup.cursor.0.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn missing_and_damaged_frames_are_counted_and_passed() {
    let setup = Setup::new(PLAIN, &[], OK);
    setup.queue.push(None);
    setup.queue.push(Some(b"no frame".to_vec()));
    setup.queue.push_samples(1, &["a"]);
    let sender = setup.spawn();
    until("all is done", || sender.needed_from() == 4).await;
    assert_eq!(sender.metrics().frames_missing.load(Ordering::Relaxed), 1);
    assert_eq!(sender.metrics().frames_undecodable.load(Ordering::Relaxed), 1);
    assert_eq!(sender.metrics().samples_sent.load(Ordering::Relaxed), 1);
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn two_point_oh_is_spoken_until_a_backend_does_not_know_it() {
    let yaml = "{url: 'http://a', protobuf_message: io.prometheus.write.v2.Request,
        queue_config: {batch_send_deadline: 100ms}}";
    let setup = Setup::new(yaml, &[Act::Answer(415, "")], OK);
    let sender = setup.spawn();
    setup.queue.push_samples(1, &["a"]);
    until("it is done", || sender.needed_from() == 2).await;
    let posts = setup.backend.posts();
    assert_eq!(header(&posts[0], "X-Prometheus-Remote-Write-Version"), Some("2.0.0"));
    assert_eq!(header(&posts[1], "X-Prometheus-Remote-Write-Version"), Some("0.1.0"));
    assert_eq!((read(&posts[0]), posts.len()), (read(&posts[1]), 2));
    assert_eq!(sender.metrics().protocol.load(Ordering::Relaxed), 1);
    sender.stop(Duration::from_secs(1)).await;
}
