//! Every row of the table, on texts as the backends write them.

use super::*;

fn asked(kind: Kind, protocol: Version) -> Asked {
    Asked {
        kind,
        protocol,
        compression: Encoding::Snappy,
        compression_proven: false,
        samples: 10,
        retry_on_429: true,
    }
}

fn answer(status: u16, text: &str) -> Answer<'_> {
    Answer { status, retry_after: None, written: Written::default(), text }
}

fn written(status: u16, samples: u64) -> Answer<'static> {
    let mut answer = answer(status, "");
    answer.written.samples = Some(samples);
    answer
}

const DELIVERED: Verdict = Verdict::Delivered { unwritten: 0 };
const RETRY: Verdict = Verdict::Retry { after: None };

fn split(reason: Reason) -> Verdict {
    Verdict::Split { reason }
}

fn aside(reason: Reason) -> Verdict {
    Verdict::SetAside { reason }
}

#[test]
fn what_each_backend_answers_to_1_0() {
    use Kind::{Auto, Cortex, M3, Mimir, Prometheus, Thanos, VictoriaMetrics};
    let policy = r#"{"status":"error","error":"no configured cluster namespace for: retention=336h0m0s, resolution=1m0s"}"#;
    let unknown_policy = Verdict::RetryBounded { reason: Reason::UnknownStoragePolicy };
    let ha = "replicas did not mach, rejecting sample: replica=r2, elected=r1";
    let rows = [
        (Prometheus, 204, "", DELIVERED),
        (Cortex, 200, "", DELIVERED),
        (M3, 200, "", DELIVERED),
        (Cortex, 202, ha, DELIVERED),
        (Prometheus, 500, "tsdb: block is being closed", RETRY),
        (Cortex, 503, "at least 2 live replicas required, could only find 1", RETRY),
        (M3, 504, "context deadline exceeded", RETRY),
        (M3, 500, r#"{"status":"error","error":"failed to meet consistency level"}"#, RETRY),
        (M3, 500, policy, unknown_policy),
        (Auto, 500, policy, unknown_policy),
        (Prometheus, 500, policy, RETRY),
        (Cortex, 408, "", RETRY),
        (
            Cortex,
            429,
            "ingestion rate limit (25000) exceeded while adding 2000 samples and 0 metadata",
            RETRY,
        ),
        (Cortex, 401, "no org id", Verdict::Blocked),
        (VictoriaMetrics, 403, "", Verdict::Blocked),
        (
            Prometheus,
            404,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
            Verdict::Blocked,
        ),
        (Auto, 302, "", Verdict::Blocked),
        (Auto, 405, "Method Not Allowed", Verdict::Blocked),
        (Auto, 501, "", Verdict::Blocked),
        (Cortex, 415, "unsupported media type", Verdict::Blocked),
        (Thanos, 409, "store locally for endpoint 127.0.0.1:10901: conflict", Verdict::Conflict),
        (Auto, 409, "conflict", Verdict::Conflict),
        (VictoriaMetrics, 409, "", aside(Reason::Other)),
        (Thanos, 413, "write request too large", split(Reason::TooLarge)),
        (Auto, 410, "", aside(Reason::Other)),
        (Mimir, 422, "label name", split(Reason::Labels)),
    ];
    for (kind, status, text, verdict) in rows {
        let found = judge(&answer(status, text), &asked(kind, Version::V1));
        assert_eq!(found, verdict, "{kind:?} {status} {text}");
    }
}

const TEXTS: &[(&str, Reason)] = &[
    ("out of order sample", Reason::OutOfOrder),
    ("duplicate sample for timestamp", Reason::Duplicate),
    (
        "duplicate sample for timestamp 1700000000000; overrides not allowed: existing 1, new value 2",
        Reason::Duplicate,
    ),
    ("out of bounds: timestamp is too far in the future", Reason::TooNew),
    ("out of bounds", Reason::TooOld),
    ("too old sample", Reason::TooOld),
    ("invalid label name \"1a\"", Reason::Labels),
    (
        r#"user=fake: err: out of order sample. timestamp=2026-01-01T00:00:00Z, series={__name__="up"}"#,
        Reason::OutOfOrder,
    ),
    (
        r#"user=fake: err: duplicate sample for timestamp. timestamp=2026-01-01T00:00:00Z, series={__name__="a_label"}"#,
        Reason::Duplicate,
    ),
    (
        "user=fake: per-user series limit of 5000000 exceeded, please contact administrator to raise it (local limit: 0 global limit: 5000000 actual local limit: 1)",
        Reason::Limit,
    ),
    ("series has too many labels (actual: 31, limit: 30) series: 'up'", Reason::Limit),
    (
        "label value too long for metric (actual: 3000, limit: 2048) metric: 'up' label value: 'x'",
        Reason::Limit,
    ),
    ("timestamp too new: 1800000000000 metric: \"up\"", Reason::TooNew),
    ("timestamp too old: 1500000000000 metric: \"up\"", Reason::TooOld),
    ("too many HA clusters (limit: 100)", Reason::Limit),
    ("sample missing metric name", Reason::Labels),
    (
        "the sample has been rejected because another sample with a more recent timestamp has already been ingested and out-of-order samples are not allowed (err-mimir-sample-out-of-order). The affected sample has timestamp 2026-01-01T00:00:00Z and is from series up",
        Reason::OutOfOrder,
    ),
    (
        "the sample has been rejected because another sample with the same timestamp, but a different value, has already been ingested (err-mimir-sample-duplicate-timestamp)",
        Reason::Duplicate,
    ),
    (
        "received a sample whose timestamp is too far in the future, timestamp: 1 series: 'up' (err-mimir-too-far-in-future)",
        Reason::TooNew,
    ),
    ("per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)", Reason::Limit),
    (
        r#"{"status":"error","error":"bad_request_errors: count=1, last=datapoint too far in past: id=x, off_by=5m0s"}"#,
        Reason::TooOld,
    ),
    ("cannot process insert request: unexpected EOF", Reason::Other),
];

#[test]
fn the_texts_of_a_400_name_the_reason() {
    for &(text, reason) in TEXTS {
        let found = judge(&answer(400, text), &asked(Kind::Auto, Version::V1));
        assert_eq!(found, split(reason), "{text}");
    }
}

#[test]
fn a_429_is_dropped_only_on_request() {
    let mut asked = asked(Kind::Cortex, Version::V1);
    asked.retry_on_429 = false;
    assert_eq!(judge(&answer(429, ""), &asked), aside(Reason::RateLimited));
}

#[test]
fn retry_after_goes_along() {
    let mut busy = answer(503, "");
    busy.retry_after = Some(Duration::from_secs(7));
    let verdict = judge(&busy, &asked(Kind::Auto, Version::V1));
    assert_eq!(verdict, Verdict::Retry { after: Some(Duration::from_secs(7)) });
}

#[test]
fn answers_to_2_0_are_believed_by_their_written_headers() {
    let v2 = asked(Kind::Auto, Version::V2);
    let fallback = Verdict::FallBack(Fallback::V1);
    assert_eq!(judge(&written(204, 10), &v2), DELIVERED);
    assert_eq!(judge(&answer(204, ""), &v2), fallback);
    assert_eq!(judge(&answer(200, ""), &v2), fallback);
    assert_eq!(judge(&answer(415, ""), &v2), fallback);
    assert_eq!(judge(&written(204, 7), &v2), Verdict::Delivered { unwritten: 3 });
    assert_eq!(judge(&written(400, 9), &v2), split(Reason::Other));
    assert_eq!(judge(&written(400, 10), &v2), DELIVERED);
    let mut both = written(204, 6);
    both.written.histograms = Some(4);
    assert_eq!(judge(&both, &v2), DELIVERED);
    assert_eq!(judge(&answer(202, "replicas did not mach"), &v2), DELIVERED);
}

#[test]
fn zstd_gives_way_to_snappy_before_anything_else() {
    for (kind, status) in [(Kind::VictoriaMetrics, 400), (Kind::M3, 400), (Kind::Cortex, 415)] {
        for protocol in [Version::V1, Version::V2] {
            let mut asked = asked(kind, protocol);
            asked.compression = Encoding::Zstd;
            let verdict = judge(&answer(status, ""), &asked);
            assert_eq!(verdict, Verdict::FallBack(Fallback::Snappy), "{kind:?}");
        }
    }
}

#[test]
fn a_400_is_about_the_data_once_zstd_was_understood() {
    let mut asked = asked(Kind::VictoriaMetrics, Version::V1);
    (asked.compression, asked.compression_proven) = (Encoding::Zstd, true);
    assert_eq!(judge(&answer(400, ""), &asked), split(Reason::Other));
}

#[test]
fn those_who_would_lose_2_0_in_silence_never_get_it() {
    assert!(!Kind::M3.may_speak_v2());
    assert!(!Kind::VictoriaMetrics.may_speak_v2());
    assert!(Kind::Mimir.may_speak_v2() && Kind::Auto.may_speak_v2());
}

#[test]
fn reasons_stand_at_their_numbers() {
    for (index, reason) in REASONS.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
}
