//! Bodies made of given frames, and a budget shared by several holders.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Frame;
use proptest::prelude::*;

use super::*;

/// A body of given frames; `stuck` never ends, `broken` ends with an error.
struct Frames {
    left: VecDeque<Bytes>,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Clean,
    Stuck,
    Broken,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match (self.left.pop_front(), self.end) {
            (Some(data), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (None, End::Clean) => Poll::Ready(None),
            (None, End::Stuck) => Poll::Pending,
            (None, End::Broken) => Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into()))),
        }
    }
}

fn frames(parts: &[&'static [u8]], end: End) -> Frames {
    Frames { left: parts.iter().map(|part| Bytes::from_static(part)).collect(), end }
}

const LONG: Duration = Duration::from_secs(30);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn joins_the_frames() {
    let body = frames(&[b"ab", b"", b"cde"], End::Clean);
    assert_eq!(run(read_any_body(body, Some(5), 5, LONG)).unwrap(), "abcde");
    assert_eq!(run(read_any_body(frames(&[], End::Clean), None, 0, LONG)).unwrap(), "");
}

#[test]
fn one_frame_is_not_copied() {
    let whole = Bytes::from(vec![7_u8; 4096]);
    let body = Frames { left: [whole.clone()].into(), end: End::Clean };
    let read = run(read_any_body(body, Some(4096), 4096, LONG)).unwrap();
    assert_eq!(read.as_ptr(), whole.as_ptr());
}

#[test]
fn too_large_by_claim_is_refused_unread_and_by_bytes_as_they_come() {
    let too_large = Err(BodyError::TooLarge { max_bytes: 4 });
    assert_eq!(run(read_any_body(frames(&[], End::Stuck), Some(5), 4, LONG)), too_large);
    assert_eq!(run(read_any_body(frames(&[b"abc", b"de"], End::Stuck), None, 4, LONG)), too_large);
    // A claim below the truth helps nobody.
    assert_eq!(
        run(read_any_body(frames(&[b"abc", b"de"], End::Stuck), Some(1), 4, LONG)),
        too_large
    );
}

#[test]
fn a_huge_claim_allocates_no_more_than_a_chunk_ahead() {
    let body = frames(&[b"ab", b"c"], End::Clean);
    let read = run(read_any_body(body, Some(1 << 40), usize::MAX, LONG)).unwrap();
    assert_eq!(read, "abc");
    assert!(BytesMut::from(read).capacity() <= AHEAD_BYTES_MAX + 3);
}

#[test]
fn stuck_and_broken_bodies_are_told_apart() {
    let stuck = read_any_body(frames(&[b"a"], End::Stuck), None, 9, Duration::from_millis(5));
    assert_eq!(run(stuck), Err(BodyError::Timeout));
    let broken = read_any_body(frames(&[b"a"], End::Broken), None, 9, LONG);
    assert_eq!(run(broken), Err(BodyError::Broken));
}

#[test]
fn reads_the_declared_length() {
    let mut headers = HeaderMap::new();
    assert_eq!(declared_len(&headers), None);
    headers.insert(CONTENT_LENGTH, "17".parse().unwrap());
    assert_eq!(declared_len(&headers), Some(17));
    headers.insert(CONTENT_LENGTH, "-1".parse().unwrap());
    assert_eq!(declared_len(&headers), None);
}

#[test]
fn a_budget_gives_and_takes_back() {
    let budget = MemoryBudget::new(100);
    let mut first = budget.try_reserve(60).unwrap();
    assert!(budget.try_reserve(41).is_none());
    assert!(!first.try_grow(41));
    assert!(first.try_grow(40));
    assert_eq!((budget.used(), first.bytes()), (100, 100));
    first.shrink_to(10);
    assert_eq!((budget.used(), budget.refused()), (10, 2));
    drop(first);
    assert_eq!(budget.used(), 0);
}

#[test]
fn waits_for_room_but_not_for_the_impossible() {
    run(async {
        let budget = MemoryBudget::new(10);
        let held = budget.try_reserve(10).unwrap();
        assert!(budget.reserve(11, LONG).await.is_none());
        assert!(budget.reserve(1, Duration::from_millis(1)).await.is_none());
        let waiter = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(10, LONG).await.map(|got| got.bytes()) }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(waiter.await.unwrap(), Some(10));
        assert_eq!((budget.used(), budget.refused()), (0, 2));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_of_a_body_reads_as_its_bytes(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        claim in prop::option::of(0_u64..400),
    ) {
        let whole: Vec<u8> = parts.concat();
        let max = whole.len().max(usize::try_from(claim.unwrap_or(0)).unwrap());
        let body = Frames { left: parts.into_iter().map(Bytes::from).collect(), end: End::Clean };
        let read = run(read_any_body(body, claim, max, LONG)).unwrap();
        prop_assert_eq!(&read[..], &whole[..]);
    }
}

/// `Infallible` bodies (responses made here) can be read by the same code.
#[test]
fn reads_full_bodies() {
    fn is_body<B: Body<Data = Bytes, Error = Infallible>>(body: B) -> B {
        body
    }
    let body = is_body(http_body_util::Full::new(Bytes::from_static(b"x")));
    assert_eq!(run(read_any_body(body, None, 1, LONG)).unwrap(), "x");
}
