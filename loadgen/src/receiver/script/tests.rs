//! Each deed as a sender meets it, and when which step's turn it is.

use std::io;

use prost::Message;

use super::*;
use crate::messages::{message_v1, message_v2, snappy};
use crate::receiver::http::{self, Answer};
use crate::samples::labels;

fn deeds(script: &str, at: &[f64]) -> Vec<Deed> {
    let script = Script::read(script).expect("a script");
    let begun = Instant::now();
    let mut place = Place::begin(0, begun);
    let mut deed = |s: &f64| {
        let now = begun + Duration::from_secs_f64(*s);
        script.0[script.go_on(&mut place, now)].r#do
    };
    at.iter().map(&mut deed).collect()
}

#[test]
fn steps_last_as_long_as_they_say_and_begin_again() {
    use Deed::{Accept, Limit, M3, Overload, Slow};
    let counted = "- {do: accept, requests: 2}\n- {do: m3, requests: 1}\n- {do: slow, for: 3600}\n";
    assert_eq!(deeds(counted, &[0.0; 5]), [Accept, Accept, M3, Slow, Slow]);
    let timed = "- {do: accept, for: 20}\n- {do: overload, for: 5}\n- {do: limit, for: 2}\n";
    let at = [0.0, 19.9, 20.0, 24.9, 25.0, 26.9, 27.0];
    let wanted = [Accept, Accept, Overload, Overload, Limit, Limit, Accept];
    assert_eq!(deeds(timed, &at), wanted);
    // A silence takes its time from the steps that pass in it: 27 s a round, 74 s are two and 20 s.
    assert_eq!(deeds(timed, &[0.0, 74.5, 79.5]), [Accept, Overload, Limit]);
    // A step of requests waits for them, and the next one begins with the last of them.
    let mixed = "- {do: accept, requests: 2}\n- {do: overload, for: 5}\n- {do: m3, requests: 1}\n";
    assert_eq!(deeds(mixed, &[0.0, 100.0, 104.9]), [Accept, Accept, Overload]);
    assert_eq!(deeds(mixed, &[0.0, 100.0, 105.1, 105.2]), [Accept, Accept, M3, Accept]);
    let either = "- {do: accept, requests: 2, for: 10}\n- {do: limit}\n";
    assert_eq!(deeds(either, &[0.0, 10.5]), [Accept, Limit]);
    assert_eq!(deeds(either, &[0.0, 1.0, 2.0, 99.0]), [Accept, Accept, Limit, Limit]);
}

#[test]
fn a_script_that_cannot_be_played_is_refused() {
    for text in [
        "[]",
        "- {do: dance}",
        "- {do: accept}\n- {do: m3}\n",
        "- {do: status}",
        "- {do: status, status: 99}",
        "- {do: hang}",
        "- {do: slow, delay: .inf}",
        "- {do: slow, delay: .nan}",
        "- {do: slow, delay: -1}",
        "- {do: accept, for: .inf}",
        "- {do: accept, for: .nan}",
        "- {do: accept, for: 0}",
        "- {do: accept, requests: 0}",
    ] {
        assert!(Script::read(text).is_err(), "{text}");
    }
    assert!(Script::read("- {do: status, status: 502}").is_ok());
    assert!(Script::read("- {do: slow, delay: 0}").is_ok());
}

/// What a step answers to a good sample and, where that is asked for, one that some refuse, and how
/// many it keeps of them.
fn met(step: &str, refused: bool, is_v2: bool) -> (io::Result<Answer>, usize) {
    let receiver = Receiver::start();
    Script::read(&format!("- {step}")).expect("a script").play(&receiver);
    let mut samples = vec![Sample::new(&labels("good", &[]), 1_000, 1.0)];
    samples.extend(refused.then(|| Sample::new(&labels("x_refused", &[]), 1_000, 1.0)));
    let (kind, body) = if is_v2 {
        let kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        (kind, message_v2(&samples).encode_to_vec())
    } else {
        ("application/x-protobuf", message_v1(&samples).encode_to_vec())
    };
    let headers = [("Content-Type", kind), ("Content-Encoding", "snappy")];
    let answer = http::post(receiver.address(), "/", &headers, &snappy(&body));
    (answer, receiver.sample_count())
}

#[test]
fn each_deed_is_answered_as_its_backend_does() {
    // The step, whether a sample is there that some refuse; status, Retry-After, text, samples kept.
    let rows = [
        ("{do: accept}", true, 204, None, "", 2),
        ("{do: slow, delay: 0.05}", false, 204, None, "", 1),
        ("{do: hang, for: 0.05}", false, 204, None, "", 1),
        ("{do: cortex}", false, 204, None, "", 1),
        ("{do: cortex}", true, 400, None, "err: out of bounds", 1),
        ("{do: prometheus}", false, 204, None, "", 1),
        ("{do: prometheus}", true, 400, None, "out of bounds", 0),
        ("{do: m3}", false, 500, None, "no configured cluster namespace", 0),
        ("{do: overload}", false, 503, Some("1"), "too busy", 0),
        ("{do: limit}", false, 429, None, "ingestion rate limit exceeded", 0),
        ("{do: status, status: 502, body: bad gateway}", false, 502, None, "bad gateway", 0),
        ("{do: status, status: 503, retry_after: 7}", false, 503, Some("7"), "", 0),
        ("{do: status, status: 204, body: unheard}", false, 204, None, "", 0),
    ];
    for (step, refused, status, retry_after, text, kept) in rows {
        let (answer, count) = met(step, refused, false);
        let answer = answer.unwrap_or_else(|e| panic!("{step}: {e}"));
        assert_eq!((answer.status, count), (status, kept), "{step}");
        assert_eq!(answer.header("retry-after"), retry_after, "{step}");
        assert!(answer.text().contains(text), "{step}: {}", answer.text());
        assert!(answer.header("x-prometheus-remote-write-samples-written").is_none(), "of 1.0");
    }
}

#[test]
fn a_sender_of_2_0_is_told_what_was_written() {
    for (step, status, written) in [
        ("{do: accept}", 204, Some("2")),
        ("{do: cortex}", 400, Some("1")),
        ("{do: prometheus}", 400, None),
        ("{do: overload}", 503, None),
    ] {
        let answer = met(step, true, true).0.expect("an answer");
        assert_eq!(answer.status, status, "{step}");
        let header = answer.header("x-prometheus-remote-write-samples-written");
        assert_eq!(header, written, "{step}");
    }
}

#[test]
fn some_deeds_are_no_answer_at_all() {
    for (step, kept, kinds) in [
        ("{do: close}", 0, [io::ErrorKind::UnexpectedEof; 2]),
        ("{do: lose}", 1, [io::ErrorKind::UnexpectedEof; 2]),
        // What is closed meanwhile may be told as either.
        ("{do: reset}", 0, [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe]),
    ] {
        let (answer, count) = met(step, false, false);
        let error = answer.expect_err("no answer");
        assert!(kinds.contains(&error.kind()), "{step}: {error:?}");
        assert_eq!(count, kept, "{step}");
    }
}

#[test]
fn what_is_slow_takes_its_time() {
    for step in ["{do: slow, delay: 0.2}", "{do: hang, for: 0.2}"] {
        let began = Instant::now();
        met(step, false, false).0.expect("an answer");
        assert!(began.elapsed() > Duration::from_millis(150), "{step}");
    }
}
