//! Destinations over real sockets, on a real journal in a temporary directory.

use std::path::PathBuf;

use bytes::Bytes;
use weir_config::{Check, Source};
use weir_http::auth::BasicAuthConfig;
use weir_http::{
    ClientTlsConfig, Drain, Full, Handler, Incoming, Peer, Request, Response, Server, ServerConfig,
    read_body,
};
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Poisoned};
use weir_model::{Label, Labels, Sample};
use weir_wire::encode::v2::Writer;
use weir_wire::records::decode_series;
use weir_wire::{Decompressor, Encoding, Version};

use super::*;
use crate::config::{OnFull, PROMETHEUS, raw, validate};
use crate::frame::{FrameHeader, FrameKind};

const SOON: Duration = Duration::from_secs(30);

/// `Authorization` of a request, and its series with their timestamps.
type Seen = (Option<String>, Vec<(String, i64)>);

/// A backend that takes everything, or refuses everything with one status.
#[derive(Default)]
struct Backend {
    status: std::sync::atomic::AtomicU16,
    /// `Authorization` and series with their timestamps of every request, refused ones included.
    requests: Mutex<Vec<Seen>>,
    /// What was taken.
    taken: Mutex<Vec<(String, i64)>>,
}

impl Handler for Backend {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Full<Bytes>> {
        let header = request.headers().get("authorization");
        let authorization = header.map(|v| v.to_str().unwrap().to_owned());
        let body = read_body(request.into_body(), None, 1 << 20, SOON).await.unwrap();
        let mut plain = Vec::new();
        Decompressor::default().decompress(Encoding::Snappy, &body, 1 << 20, &mut plain).unwrap();
        let mut content = Vec::new();
        decode_series(Version::V1, &plain, &mut |view| {
            let labels = Labels::from_pairs(view.labels.iter().copied()).unwrap();
            content.extend(view.samples.iter().map(|s| (labels.to_string(), s.timestamp)));
        })
        .unwrap();
        self.requests.lock().unwrap().push((authorization, content.clone()));
        let status = self.status.load(Ordering::SeqCst);
        if status == 204 {
            self.taken.lock().unwrap().extend(content);
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = weir_http::StatusCode::from_u16(status).unwrap();
        response
    }
}

impl Backend {
    async fn start() -> (Arc<Self>, String) {
        let backend = Arc::new(Self::default());
        backend.answer(204);
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(address, ServerConfig::default()).await.unwrap();
        let url = format!("http://{}/api/v1/write", server.local_addr().unwrap());
        tokio::spawn(server.serve(Arc::clone(&backend), Drain::new()));
        (backend, url)
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn taken(&self) -> Vec<(String, i64)> {
        self.taken.lock().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn block(name: &str, url: &str) -> raw::RemoteWrite {
    raw::RemoteWrite {
        url: url.to_owned(),
        name: Some(name.to_owned()),
        on_full: Some("block".to_owned()),
        queue_config: raw::QueueConfig {
            batch_send_deadline: Some("10ms".to_owned()),
            max_backoff: Some("100ms".to_owned()),
            ..raw::QueueConfig::default()
        },
        ..raw::RemoteWrite::default()
    }
}

fn destinations(blocks: &[raw::RemoteWrite]) -> Vec<Destination> {
    let source = Source::none();
    let mut check = Check::new(&source);
    let destinations = validate(blocks, &PROMETHEUS, &mut check);
    check.finish(destinations).unwrap()
}

/// A queue in a directory that outlives it.
struct Queue {
    journal: Arc<Journal>,
    durable: watch::Receiver<u64>,
    dir: PathBuf,
    blocked: Arc<AtomicBool>,
}

impl Queue {
    fn open(dir: &Path) -> Self {
        let (sender, durable) = watch::channel(0);
        let mut config = Config::new(dir.join("queue"));
        config.segment_bytes = 64 << 10;
        config.on_durable = Some(Arc::new(move |position: Result<u64, Poisoned>| {
            if let Ok(position) = position {
                sender.send_replace(position);
            }
        }));
        let (journal, _) = Journal::open(Arc::new(DiskFs), config).unwrap();
        let (journal, dir) = (Arc::new(journal), dir.to_owned());
        Self { journal, durable, dir, blocked: Arc::default() }
    }

    fn start(&self, destinations: &[Destination], labels: &[(&str, &str)]) -> Destinations {
        let (journal, durable) = (Arc::clone(&self.journal), self.durable.clone());
        let blocked = Arc::clone(&self.blocked);
        let labels = external(labels);
        let queue = JournalQueue { journal, durable, fs: &DiskFs, dir: &self.dir, blocked };
        Destinations::start(destinations, &labels, queue, HttpTransport::new).unwrap()
    }

    /// Appends a frame of one sample of `m`, and waits until it is durable.
    fn push(&self, timestamp: i64) -> u64 {
        let mut payload = Vec::new();
        FrameHeader {
            kind: FrameKind::Pass,
            source_position: 1,
            written_ms: now_ms(),
            tenant: "t",
            last_of_position: true,
            recovered: false,
            atomic: false,
            encoding: None,
            lane: None,
            summary: None,
        }
        .write(&mut payload);
        let mut writer = Writer::default();
        let labels = [Label::new("__name__", "m"), Label::new("job", "j")];
        writer.series(labels.into_iter(), &[Sample::new(timestamp, 1.0)], &[], &[], None);
        writer.finish(&mut payload);
        let room = loop {
            match self.journal.reserve(payload.len() as u64, Importance::Ordinary) {
                Ok(room) => break room,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let position = self.journal.append(room, 1, vec![payload.into()]).unwrap();
        self.journal.wait_durable(position).unwrap();
        position
    }
}

fn external(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `m{job="j"}` at these times.
fn m(times: impl IntoIterator<Item = i64>) -> Vec<(String, i64)> {
    times.into_iter().map(|t| ("m{job=\"j\"}".to_owned(), t)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_with_external_labels_and_credentials_and_the_queue_may_be_cut() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (backend, url) = Backend::start().await;
    let password = dir.path().join("password");
    std::fs::write(&password, "p\n").unwrap();
    let basic_auth = Some(BasicAuthConfig {
        username: "u".to_owned(),
        password_file: Some(password),
        ..BasicAuthConfig::default()
    });
    let blocks = [raw::RemoteWrite { basic_auth, ..block("a", &url) }];
    queue.push(1);
    let egress = queue.start(&destinations(&blocks), &[("region", "eu"), ("job", "other")]);
    let last = queue.push(2);
    until("both arrive", || backend.taken().len() == 2).await;
    let expected = [1, 2].map(|t| ("m{job=\"j\",region=\"eu\"}".to_owned(), t));
    assert_eq!(backend.taken(), expected);
    // RFC 7617: base64 of "u:p".
    let first = backend.requests.lock().unwrap()[0].0.clone();
    assert_eq!(first.as_deref(), Some("Basic dTpw"));
    until("the cursor is stored", || egress.needed_from() == last + 1).await;
    assert_eq!(egress.blocked(), None);
    egress.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_delays_and_loses_nothing_and_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (backend, url) = Backend::start().await;
    backend.answer(503);
    let egress = Arc::new(queue.start(&destinations(&[block("a", &url)]), &[]));
    for timestamp in 1..=5 {
        queue.push(timestamp);
    }
    until("it is tried again", || backend.requests() > 2).await;
    egress.each(|destination, sender| {
        let (status, metrics) = (sender.status(), sender.metrics());
        assert_eq!((destination.name.as_str(), status.state), ("a", State::Retrying));
        assert!(status.last_error.is_some() && status.last_error_ms > 0);
        assert_eq!(metrics.samples_sent.load(Ordering::Relaxed), 0);
        assert_eq!(metrics.lag_frames.load(Ordering::Relaxed), 5);
    });
    assert_eq!(egress.needed_from(), 1);
    backend.answer(204);
    until("all arrive", || backend.taken().len() == 5).await;
    assert_eq!(backend.taken(), m(1..=5));
    until("all is done", || egress.needed_from() == 6).await;
    egress.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_at_the_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, url) = Backend::start().await;
    let to = destinations(&[block("a", &url)]);
    let queue = Queue::open(dir.path());
    let egress = queue.start(&to, &[]);
    queue.push(1);
    until("the first arrives", || backend.taken().len() == 1).await;
    backend.answer(503);
    queue.push(2);
    until("the second is refused", || backend.requests() == 2).await;
    egress.stop(Duration::from_secs(2)).await;
    drop((egress, queue));

    backend.answer(204);
    let queue = Queue::open(dir.path());
    let egress = queue.start(&to, &[]);
    queue.push(3);
    until("the rest arrives", || backend.taken().len() == 3).await;
    assert_eq!(backend.taken(), m([1, 2, 3]), "nothing twice, nothing left out");
    egress.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_restarts_what_changed_and_forgets_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (first, first_url) = Backend::start().await;
    let (second, second_url) = Backend::start().await;
    let a = block("a", &first_url);
    let egress = queue.start(&destinations(std::slice::from_ref(&a)), &[]);
    queue.push(1);
    until("it arrives", || first.taken().len() == 1).await;
    until("it is done", || egress.needed_from() == 2).await;

    // A second one begins at the queue's end; the first goes on with its counters.
    let both = [a.clone(), block("b", &second_url)];
    egress.reload(&destinations(&both), &external(&[])).await.unwrap();
    egress.each(|destination, sender| {
        let sent = sender.metrics().samples_sent.load(Ordering::Relaxed);
        assert_eq!(sent, u64::from(destination.name == "a"), "untouched");
    });
    second.answer(503);
    queue.push(2);
    until("the first has it", || first.taken().len() == 2).await;
    until("the second refuses it", || second.requests() > 0).await;
    assert_eq!(egress.needed_from(), 2, "the second does not have it");

    // Changed, the second goes on at its cursor.
    second.answer(204);
    let header = ("X-Cluster".to_owned(), "eu".to_owned());
    let changed = raw::RemoteWrite { headers: [header].into(), ..both[1].clone() };
    egress.reload(&destinations(&[a.clone(), changed]), &external(&[])).await.unwrap();
    until("the second has it", || !second.taken().is_empty()).await;
    assert_eq!(second.taken(), m([2]));
    assert_eq!(first.taken(), m([1, 2]), "the first is not sent anything again");

    // Removed, it keeps nothing any more; known again, it begins at the end.
    second.answer(503);
    let tried = second.requests();
    queue.push(3);
    until("the second is behind", || second.requests() > tried).await;
    egress.reload(&destinations(&[a]), &external(&[])).await.unwrap();
    until("nobody needs it", || egress.needed_from() == 4).await;
    second.answer(204);
    egress.reload(&destinations(&both), &external(&[])).await.unwrap();
    queue.push(4);
    until("the second has the newest", || second.taken().len() == 2).await;
    assert_eq!(second.taken(), m([2, 4]));
    egress.stop(SOON).await;
    assert!(egress.reload(&destinations(&both), &external(&[])).await.is_err());
}

/// A changed URL without a name is a new name. Acknowledged samples must not be lost by that.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_stays_the_new_ones_take_over_what_is_undelivered() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (old, old_url) = Backend::start().await;
    let (new, new_url) = Backend::start().await;
    old.answer(503);
    let egress = queue.start(&destinations(&[block("old", &old_url)]), &[]);
    queue.push(1);
    until("it is refused", || old.requests() > 0).await;
    egress.reload(&destinations(&[block("new", &new_url)]), &external(&[])).await.unwrap();
    until("the new one has it", || new.taken() == m([1])).await;
    egress.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_a_blocking_destination_is_told_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (backend, url) = Backend::start().await;
    backend.answer(503);
    let mut to = destinations(&[block("a", &url)]);
    to[0].queue.max_bytes = 500;
    assert_eq!(to[0].queue.on_full, OnFull::Block);
    let egress = queue.start(&to, &[]);
    for timestamp in 1..=20 {
        queue.push(timestamp);
    }
    until("it is full", || queue.blocked.load(Ordering::Relaxed)).await;
    let why = egress.blocked().unwrap();
    assert!(why.starts_with("the send queue is full: "), "{why}");
    assert!(why.ends_with(" bytes wait for \"a\", max_bytes is 500"), "{why}");
    backend.answer(204);
    until("it has room", || !queue.blocked.load(Ordering::Relaxed)).await;
    until("all arrive", || backend.taken().len() == 20).await;
    assert_eq!(egress.blocked(), None);
    egress.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_what_is_queued_and_a_dead_backend_does_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (backend, url) = Backend::start().await;
    let mut slow = block("a", &url);
    slow.queue_config.batch_send_deadline = Some("1h".to_owned());
    // Nobody listens on port 9 of a test machine; if somebody does, it is no remote write.
    let dead = block("b", "http://127.0.0.1:9/");
    let egress = queue.start(&destinations(&[slow, dead]), &[]);
    for timestamp in 1..=50 {
        queue.push(timestamp);
    }
    let before = Instant::now();
    egress.stop(SOON).await;
    assert!(before.elapsed() < SOON / 2);
    assert_eq!(backend.taken(), m(1..=50));
    assert_eq!(egress.needed_from(), 1, "the dead one's frames stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_by_name_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let (backend, url) = Backend::start().await;
    let good = destinations(&[block("a", &url)]);
    let egress = queue.start(&good, &[]);
    let mut no_file = good.clone();
    let ca_file = Some(dir.path().join("absent.pem"));
    no_file[0].client.tls_config = Some(ClientTlsConfig { ca_file, ..ClientTlsConfig::default() });
    let error = egress.reload(&no_file, &external(&[])).await.unwrap_err();
    assert!(error.contains("\"a\"") && error.contains("absent.pem"), "{error}");
    let mut no_name = good.clone();
    let server_name = Some("a b".to_owned());
    let tls_config = ClientTlsConfig { server_name, ..ClientTlsConfig::default() };
    no_name[0].client.tls_config = Some(tls_config);
    let error = egress.reload(&no_name, &external(&[])).await.unwrap_err();
    assert!(error.contains("server_name"), "{error}");
    queue.push(1);
    until("the old one sends on", || backend.taken().len() == 1).await;
    egress.stop(SOON).await;
}

/// A queue's directory that was deleted begins anew below the stored cursors.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_begins_anew_is_sent_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, url) = Backend::start().await;
    let to = destinations(&[block("a", &url)]);
    let queue = Queue::open(dir.path());
    let egress = queue.start(&to, &[]);
    for timestamp in 1..=3 {
        queue.push(timestamp);
    }
    until("all arrive", || egress.needed_from() == 4).await;
    egress.stop(SOON).await;
    drop((egress, queue));
    std::fs::remove_dir_all(dir.path().join("queue")).unwrap();
    let queue = Queue::open(dir.path());
    queue.push(4);
    let egress = queue.start(&to, &[]);
    until("the new one arrives", || backend.taken().len() == 4).await;
    assert_eq!(backend.taken(), m(1..=4));
    egress.stop(SOON).await;
}

/// What a gateway had taken was lost with its disk, and only the sender still had it.
#[tokio::test(flavor = "multi_thread")]
async fn one_destination_begins_again_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let ((backend, url), (other, other_url)) = (Backend::start().await, Backend::start().await);
    let to = destinations(&[block("a", &url), block("b", &other_url)]);
    let egress = queue.start(&to, &[]);
    for timestamp in 1..=3 {
        queue.push(timestamp);
    }
    until("all arrive", || backend.taken().len() == 3 && other.taken().len() == 3).await;
    let mut again = to[0].clone();
    again.headers.insert("x-again".to_owned(), "1".to_owned());
    egress.begin_again(&again, 2).await.unwrap();
    until("the last two arrive again", || backend.taken().len() == 5).await;
    queue.push(4);
    until("what is new too", || backend.taken().len() == 6 && other.taken().len() == 4).await;
    assert_eq!(backend.taken(), [m(1..=3), m(2..=4)].concat());
    assert_eq!(other.taken(), m(1..=4));
    egress.each(|running, _| assert_eq!(running.headers.len(), usize::from(running.name == "a")));
    let unknown = destinations(&[block("c", &url)]);
    assert!(egress.begin_again(&unknown[0], 1).await.is_err());
    egress.stop(SOON).await;
}
