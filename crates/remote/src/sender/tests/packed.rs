//! Frames whose bodies can be sent as they stand: when they are, and what becomes of them when not.

use super::*;
use crate::frame;
use crate::packed::ALONE_SAMPLES_MIN;
use crate::prepare::tests::scraped;

const ZSTD: &str = "{url: 'http://a', compression: zstd,
    protobuf_message: io.prometheus.write.v2.Request, queue_config: {batch_send_deadline: 100ms}}";
const BOTH: &[Encoding] = &[Encoding::Zstd, Encoding::Snappy];

const LARGE: u64 = ALONE_SAMPLES_MIN as u64;

fn content_of(timestamps: &[i64], count: u64) -> BTreeMap<String, Vec<i64>> {
    (0..count).map(|n| (format!("m{{i=\"{n}\"}}"), timestamps.to_vec())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_posted_as_it_stands_and_at_once() {
    let setup = Setup::new(ZSTD, &[], Act::Take(BOTH, ""));
    let sender = setup.spawn();
    let payloads = [scraped(1, LARGE, 10), scraped(1, LARGE, 20), scraped(2, LARGE, 20)];
    for payload in payloads.clone() {
        setup.queue.push(Some(payload));
    }
    let begun = Instant::now();
    until("all is done", || sender.metrics().lag_frames.load(Ordering::Relaxed) == 0).await;
    until("all is sent", || setup.backend.posts().len() == 3).await;
    assert!(begun.elapsed() < Duration::from_millis(100), "nothing to wait for");
    let mut expected = payloads.map(|payload| frame::read(&payload).unwrap().1.to_vec());
    let mut bodies: Vec<Vec<u8>> =
        setup.backend.posts().iter().map(|post| post.body.to_vec()).collect();
    let place = |body: &[u8]| bodies.iter().position(|b| b == body);
    assert!(place(&expected[0]) < place(&expected[1]), "a lane's order");
    bodies.sort();
    expected.sort();
    assert_eq!(bodies, expected);
    assert_eq!(sender.metrics().samples_sent.load(Ordering::Relaxed), 3 * LARGE);
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn small_bodies_share_a_request() {
    let setup = Setup::new(ZSTD, &[], Act::Take(BOTH, ""));
    let sender = setup.spawn();
    for lane in 0..10 {
        setup.queue.push(Some(scraped(lane, 2, 10)));
    }
    until("all is done", || sender.needed_from() == 11).await;
    let posts = setup.backend.posts();
    assert_eq!((posts.len(), read(&posts[0]).len()), (1, 20));
    assert_eq!(header(&posts[0], "Content-Encoding"), Some("zstd"));
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_of_snappy_alone_gets_the_same_in_snappy() {
    let setup = Setup::new(ZSTD, &[], Act::Take(&[Encoding::Snappy], ""));
    let sender = setup.spawn();
    setup.queue.push(Some(scraped(1, LARGE, 10)));
    setup.queue.push(Some(scraped(1, LARGE, 20)));
    until("all is done", || sender.needed_from() == 3).await;
    assert_eq!(setup.backend.content(1), content_of(&[10, 20], LARGE));
    let said: Vec<_> = setup.backend.posts().iter().map(encoding).collect();
    assert_eq!(said, [Encoding::Zstd, Encoding::Snappy, Encoding::Snappy]);
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_of_one_point_oh_gets_it_opened() {
    let setup = Setup::new(ZSTD, &[Act::Answer(415, ""), Act::Answer(415, "")], OK);
    let sender = setup.spawn();
    setup.queue.push(Some(scraped(1, LARGE, 10)));
    until("all is done", || sender.needed_from() == 2).await;
    let posts = setup.backend.posts();
    assert_eq!(header(&posts[2], "X-Prometheus-Remote-Write-Version"), Some("0.1.0"));
    assert_eq!(setup.backend.content(2), content_of(&[10], LARGE));
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_culprit_in_a_packed_body_is_found_and_the_rest_arrives() {
    // The first body proves that zstd is taken, so that a 400 is about the content.
    let poison = "m{i=\"7\"}";
    let setup = Setup::new(ZSTD, &[Act::Take(BOTH, "")], Act::Take(BOTH, poison));
    let sender = setup.spawn();
    setup.queue.push(Some(scraped(1, LARGE, 10)));
    setup.queue.push(Some(scraped(1, LARGE, 20)));
    until("all is done", || sender.needed_from() == 3).await;
    let metrics = sender.metrics();
    assert_eq!(metrics.set_aside[Reason::Labels as usize].load(Ordering::Relaxed), 1);
    assert_eq!(metrics.samples_sent.load(Ordering::Relaxed), 2 * LARGE - 1);
    assert_eq!(sender.status().set_aside[0].series, poison);
    sender.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_opened_is_set_aside_as_a_whole() {
    let setup = Setup::new(ZSTD, &[Act::Answer(415, "")], Act::Take(&[Encoding::Snappy], ""));
    let sender = setup.spawn();
    let mut damaged = scraped(1, LARGE, 10);
    let at = damaged.len() - 20;
    damaged.truncate(at);
    setup.queue.push(Some(damaged));
    setup.queue.push(Some(scraped(1, 3, 20)));
    until("all is done", || sender.needed_from() == 3).await;
    let metrics = sender.metrics();
    assert_eq!(metrics.set_aside[Reason::Unencodable as usize].load(Ordering::Relaxed), LARGE);
    assert_eq!(metrics.samples_sent.load(Ordering::Relaxed), 3);
    sender.stop(Duration::from_secs(1)).await;
}
