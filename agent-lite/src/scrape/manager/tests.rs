//! Targets come, stay, go and come back, over real HTTP; each test waits for what it expects.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use weir_http::{Client, ClientConfig};
use weir_model::sample::STALE_NAN_BITS;
use weir_model::{Label, Millis, Timestamp};

use super::super::tests::{Said, read};
use super::*;
use crate::scrape::{Body, ScrapeError, Settings, SinkError};

/// Short, so that a test sees several; nothing is asserted about how long anything took.
const INTERVAL: Millis = Millis(40);
const PATIENCE: Duration = Duration::from_secs(30);

struct Bodies(mpsc::Sender<Vec<Body>>);

impl Sink for Bodies {
    fn take(&self, _: u64, _: Timestamp, bodies: Vec<Body>) -> Result<(), SinkError> {
        self.0.try_send(bodies).map_err(|_| SinkError("the test is over".into()))
    }
}

struct Fixture {
    manager: Manager,
    bodies: mpsc::Receiver<Vec<Body>>,
    endpoint: Endpoint,
}

impl Fixture {
    /// A manager, and a target that serves `a 1`.
    async fn new() -> Self {
        let (sender, bodies) = mpsc::channel(10_000);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while let Ok(byte) = socket.read_u8().await {
                        seen.push(byte);
                        if seen.ends_with(b"\r\n\r\n") {
                            let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n";
                            socket.write_all(answer).await.ok();
                        }
                    }
                });
            }
        });
        let labels = Labels::from_pairs([Label::new("job", "j")]).unwrap();
        let endpoint = Endpoint { identity: 5, url, labels, interval: INTERVAL, timeout: INTERVAL };
        Self { manager: Manager::new(Box::new(Bodies(sender)), 1, 2), bodies, endpoint }
    }

    /// Waits for a scrape whose samples satisfy this, and returns them.
    async fn until(&mut self, wanted: impl Fn(&[Said]) -> bool) -> Vec<Said> {
        let found = async {
            loop {
                self.manager.flush();
                while let Ok(bodies) = self.bodies.try_recv() {
                    // Scrapes may share a body, but no time.
                    let said = read(&bodies);
                    let mut scrapes = said.chunk_by(|one, next| one.1 == next.1);
                    if let Some(scrape) = scrapes.find(|scrape| wanted(scrape)) {
                        return scrape.to_vec();
                    }
                }
                tokio::time::sleep(INTERVAL.to_std() / 4).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("what was waited for never came")
    }
}

fn job() -> Arc<Job> {
    Arc::new(Job {
        settings: Arc::new(Settings::default()),
        accept: "*/*".into(),
        compression: true,
        client: Client::new(ClientConfig::default(), Instant::now()).unwrap(),
        fallback: None,
        forced_error: None,
    })
}

fn says(said: &[Said], series: &str, bits: u64) -> bool {
    said.iter().any(|(name, _, value)| name == series && *value == bits)
}

const A: &str = "a{job=\"j\"}";
const UP: &str = "up{job=\"j\"}";
const ADDED: &str = "scrape_series_added{job=\"j\"}";

#[tokio::test]
async fn a_target_is_scraped_and_keeps_its_series_through_updates() {
    let mut fixture = Fixture::new().await;
    fixture.manager.update("j", &job(), vec![fixture.endpoint.clone()]);
    fixture.until(|said| says(said, A, 1f64.to_bits()) && says(said, ADDED, 1f64.to_bits())).await;
    // The same target of a job whose samples are treated alike.
    let same = job();
    fixture.manager.update("j", &same, vec![fixture.endpoint.clone()]);
    fixture.manager.update("j", &same, vec![fixture.endpoint.clone()]);
    let said = fixture.until(|said| says(said, A, 1f64.to_bits())).await;
    assert!(says(&said, UP, 1f64.to_bits()));
    let status = fixture.manager.targets("j");
    let [(endpoint, status)] = &status[..] else { panic!("{status:?}") };
    assert_eq!((endpoint, &status.error, status.series), (&fixture.endpoint, &None, 1));
    fixture.manager.shutdown().await;
}

#[tokio::test]
async fn a_target_that_goes_is_ended_and_then_forgotten() {
    let mut fixture = Fixture::new().await;
    let job = job();
    fixture.manager.update("j", &job, vec![fixture.endpoint.clone()]);
    fixture.until(|said| says(said, A, 1f64.to_bits())).await;
    fixture.manager.update("j", &job, vec![]);
    assert!(fixture.manager.targets("j").is_empty());
    let said = fixture.until(|said| says(said, UP, STALE_NAN_BITS)).await;
    assert!(says(&said, A, STALE_NAN_BITS) && said.iter().all(|s| s.2 == STALE_NAN_BITS));
}

#[tokio::test]
async fn a_target_that_comes_back_in_time_is_not_ended() {
    let mut fixture = Fixture::new().await;
    // Long enough for the target to be back before it could be ended.
    fixture.endpoint.interval = Millis(1_500);
    let job = job();
    fixture.manager.update("j", &job, vec![fixture.endpoint.clone()]);
    fixture.until(|said| says(said, A, 1f64.to_bits())).await;
    fixture.manager.update("j", &job, vec![]);
    tokio::task::yield_now().await;
    fixture.manager.update("j", &job, vec![fixture.endpoint.clone()]);
    let said = fixture.until(|said| says(said, A, 1f64.to_bits())).await;
    assert!(says(&said, ADDED, 0f64.to_bits()), "its series are known: {said:?}");
}

#[tokio::test]
async fn a_target_with_the_labels_of_one_that_went_goes_on_with_its_series() {
    let mut fixture = Fixture::new().await;
    let job = job();
    fixture.manager.update("j", &job, vec![fixture.endpoint.clone()]);
    fixture.until(|said| says(said, A, 1f64.to_bits())).await;
    let old = fixture.manager.jobs["j"][&5].orders.subscribe();
    let moved = Endpoint { identity: 6, ..fixture.endpoint.clone() };
    fixture.manager.update("j", &job, vec![moved]);
    assert!(matches!(*old.borrow(), Order::Hush));
    assert_eq!(fixture.manager.targets("j")[0].0.identity, 6);
}

#[tokio::test]
async fn stopping_ends_everything() {
    let mut fixture = Fixture::new().await;
    fixture.manager.update("j", &job(), vec![fixture.endpoint.clone()]);
    fixture.until(|said| says(said, A, 1f64.to_bits())).await;
    let Fixture { manager, mut bodies, .. } = fixture;
    manager.shutdown().await;
    let mut said = Vec::new();
    while let Ok(scrape) = bodies.try_recv() {
        said.extend(read(&scrape));
    }
    let last = |series: &str| said.iter().rev().find(|s| s.0 == series).unwrap().2;
    assert_eq!((last(A), last(UP)), (STALE_NAN_BITS, STALE_NAN_BITS));
}

#[tokio::test]
async fn a_forced_error_fails_every_scrape() {
    let mut fixture = Fixture::new().await;
    let error = ScrapeError::TargetLimit { targets: 2, limit: 1 };
    let job = Arc::new(Job { forced_error: Some(error), ..(*job()).clone() });
    fixture.manager.update("j", &job, vec![fixture.endpoint.clone()]);
    let said = fixture.until(|said| says(said, UP, 0f64.to_bits())).await;
    assert!(!said.iter().any(|s| s.0 == A));
    let status = fixture.manager.targets("j")[0].1.error.clone();
    assert_eq!(
        status.unwrap_or_default(),
        "target_limit exceeded (number of targets: 2, limit: 1)"
    );
}
