//! Limits, relabelling, timestamps that do not fit, large pages, churn.

use weir_model::MetricType;
use weir_model::sample::STALE_NAN_BITS;

use super::*;

fn limited(limits: Limits) -> Target {
    Target::new(Settings { limits, ..Settings::default() }, &[])
}

#[test]
fn a_page_over_its_sample_limit_counts_all_and_is_not_taken() {
    let mut target = limited(Limits { samples: 2, ..Limits::default() });
    target.page(1, "a 1\nb 1\n");
    assert_eq!(target.report(), [1.0, 2.0, 2.0, 2.0]);
    target.said();
    let outcome = target.page(2, "a 2\nb 2\nc 2\nd 2\n");
    assert_eq!(outcome.error, Some(ScrapeError::SampleLimit));
    assert_eq!(target.report(), [0.0, 4.0, 4.0, 0.0]);
    assert_eq!(target.samples(), ["a{} stale 2", "b{} stale 2"]);
    // Markers do not count for the limit.
    target.page(3, "a 3\nb 3\n");
    target.said();
    assert_eq!(target.page(4, "c 4\nd 4\n").error, None);
    assert_eq!(target.samples(), ["a{} stale 4", "b{} stale 4", "c{} 4 4", "d{} 4 4"]);
    assert_eq!(target.scraper.series_count(), 2);
}

#[test]
fn what_relabelling_drops_counts_for_no_limit() {
    let drop = relabel("[{source_labels: [__name__], regex: go_.*, action: drop}]");
    let limits = Limits { samples: 1, labels: 2, ..Limits::default() };
    let settings = Settings { metric_relabel: drop, limits, ..Settings::default() };
    let mut target = Target::new(settings, &[]);
    for time in 1..3 {
        let outcome = target.page(time, "go_a{a=\"1\",b=\"2\"} 1\ngo_b 2\nkept 3\n");
        assert_eq!(outcome.error, None);
        assert_eq!(target.report()[..3], [1.0, 3.0, 1.0]);
        assert_eq!(target.samples(), [format!("kept{{}} 3 {time}")]);
    }
}

#[test]
fn a_series_over_a_label_limit_fails_the_scrape() {
    let mut target = limited(Limits { labels: 2, ..Limits::default() });
    let outcome = target.page(1, "a{x=\"1\"} 1\nb{x=\"1\",y=\"2\"} 1\nc 1\n");
    assert!(outcome.error.unwrap().is_label_limit());
    assert_eq!(target.report(), [0.0, 2.0, 1.0, 1.0]);
    assert!(target.samples().is_empty());
    assert_eq!(target.scraper.series_count(), 0);
}

#[test]
fn a_series_without_a_name_fails_the_scrape() {
    let metric_relabel = relabel("[{regex: __name__, action: labeldrop}]");
    let settings = Settings { metric_relabel, ..Settings::default() };
    let outcome = Target::new(settings, &[("job", "j")]).page(1, "a 1\n");
    assert_eq!(outcome.error, Some(ScrapeError::NoName));
}

#[test]
fn samples_that_are_not_newer_or_lie_ahead_are_dropped_and_counted() {
    let mut target = Target::new(Settings::default(), &[]);
    let outcome = target.page(1_000, "a 1 500\na 2 500\nb 1 601001\nc 1 601000\n");
    assert_eq!((outcome.counts.out_of_order, outcome.counts.out_of_bounds), (1, 1));
    assert_eq!(target.report()[..3], [1.0, 4.0, 4.0]);
    assert_eq!(target.samples(), ["a{} 1 500", "c{} 1 601000"]);
    // A target that shows the same old sample again, as cAdvisor does.
    let outcome = target.page(2_000, "a 1 500\n");
    assert_eq!(outcome.counts.out_of_order, 1);
    assert!(target.samples().is_empty());
    // What a page that failed had shown is not known yet.
    target.page(3_000, "a 3 600\nbroken\n");
    target.page(4_000, "a 3 600\n");
    assert_eq!(target.samples(), ["a{} 3 600"]);
}

#[test]
fn report_series_win_over_the_pages() {
    let mut target = Target::new(Settings::default(), &[("job", "j")]);
    let outcome = target.page(1, "up 7\na 1\n");
    assert_eq!(outcome.counts.duplicates, 1);
    let up: Vec<_> = target.said().into_iter().filter(|(s, ..)| s.starts_with("up")).collect();
    assert_eq!(up, [("up{job=\"j\"}".to_owned(), 1, 1f64.to_bits())]);
    target.page(2, "a 1\n");
    assert!(target.said().iter().all(|&(.., bits)| bits != STALE_NAN_BITS));
}

#[test]
fn extra_metrics_say_what_was_configured_and_read() {
    let limits = Limits { samples: 9, body_bytes: 100, ..Limits::default() };
    let settings = Settings { extra_metrics: true, limits, ..Settings::default() };
    let mut target = Target::new(settings, &[]);
    let value = |target: &mut Target, name: &str| {
        let said = target.said();
        f64::from_bits(said.iter().find(|(series, ..)| series == name).unwrap().2)
    };
    target.page(1, "a 1\n");
    assert_eq!(value(&mut target, "scrape_timeout_seconds{}"), 10.0);
    target.page(2, "a 1\n");
    assert_eq!(value(&mut target, "scrape_sample_limit{}"), 9.0);
    target.page(3, "a 1\n");
    assert_eq!(value(&mut target, "scrape_body_size_bytes{}"), 4.0);
    target.failure(4, FetchError::BodyLimit.into());
    assert_eq!(value(&mut target, "scrape_body_size_bytes{}"), -1.0);
    target.failure(5, FetchError::Gzip("no".into()).into());
    assert_eq!(value(&mut target, "scrape_body_size_bytes{}"), 0.0);
}

#[test]
fn metadata_comes_with_the_first_scrape_and_when_it_has_changed() {
    let mut target = Target::new(Settings::default(), &[]);
    let mut helps = |time, page: &str| {
        target.page(time, page);
        let (mut plain, mut found) = (Vec::new(), Vec::new());
        let [body] = &target.bodies[..] else { panic!("{:?}", target.bodies) };
        let zstd = Encoding::Zstd;
        Decompressor::default().decompress(zstd, &body.bytes, 1 << 20, &mut plain).unwrap();
        decode_series(Version::V2, &plain, &mut |view| {
            let name = view.labels.iter().find(|l| l.name == "__name__").unwrap().value;
            if let Some(metadata) = view.metadata {
                found.push((name.to_owned(), metadata.kind, metadata.help.clone()));
            }
        })
        .unwrap();
        target.bodies.clear();
        found
    };
    let page = "# HELP a_total Help a.\n# TYPE a_total counter\na_total 1\nother 2\n# TYPE h histogram\nh_sum 1\nh_count 1\n";
    let expected = [
        ("a_total".to_owned(), MetricType::Counter, "Help a.".to_owned()),
        ("h_sum".to_owned(), MetricType::Histogram, String::new()),
        ("h_count".to_owned(), MetricType::Histogram, String::new()),
    ];
    assert_eq!(helps(1_000, page), expected);
    assert_eq!(helps(16_000, page), []);
    let changed = page.replace("Help a.", "Other help.");
    assert_eq!(helps(31_000, &changed), []);
    assert_eq!(helps(61_000, &changed)[0].2, "Other help.");
}

#[test]
fn a_large_page_becomes_several_bodies() {
    let mut target = Target::new(Settings::default(), &[("job", "j")]);
    let page: String = (0..55_000).map(|i| format!("a{{i=\"{i}\"}} {i}\n")).collect();
    for time in 1..3 {
        target.page(time, &page);
        let sizes: Vec<u64> = target.bodies.iter().map(|body| body.summary.samples).collect();
        assert_eq!(sizes, [25_000, 25_000, 5_005]);
        let said = target.said();
        for i in [0, 24_999, 25_000, 54_999] {
            let wanted = (format!("a{{i=\"{i}\",job=\"j\"}}"), time, f64::from(i).to_bits());
            assert!(said.contains(&wanted), "{wanted:?}");
        }
    }
}

/// Targets with labels of their own say in one body what each says in one of its own. A page of more
/// than a body shares none.
#[test]
fn scrapes_share_a_body_as_wholes() {
    let pages = ["a{x=\"1\"} 1\nb 2\n", "b 2\na{x=\"2\",zone=\"a\"} 3\nc NaN\n"];
    let long: String = (0..25_001).map(|i| format!("a{{i=\"{i}\"}} {i}\n")).collect();
    let pages = [pages[0], pages[1], &long, pages[0]];
    let target = |at: usize| Target::new(Settings::default(), &[("instance", &format!("i{at}"))]);
    let mut alone = Vec::new();
    let mut scratch = Scratch::new(BlockHasher::new(7));
    let mut bodies = Vec::new();
    for (at, page) in pages.iter().enumerate() {
        let (mut one, mut sharing) = (target(at), target(at));
        one.page(5, page);
        alone.extend(one.said());
        let format = Format::Text;
        sharing
            .scraper
            .page(&attempt(5), format, page.as_bytes(), &mut scratch, &mut bodies)
            .unwrap();
    }
    assert_eq!(scratch.waiting(), 2 + 5);
    scratch.flush(&mut bodies).unwrap();
    let sizes: Vec<u64> = bodies.iter().map(|body| body.summary.samples).collect();
    assert_eq!(sizes, [2 + 3 + 2 * 5, 25_000, 1 + 5, 2 + 5]);
    let mut together = read(&bodies);
    together.sort();
    alone.sort();
    assert_eq!(together, alone);
}

#[test]
fn churn_does_not_leak() {
    let mut target = Target::new(Settings::default(), &[("job", "j")]);
    let mut held = Vec::new();
    for time in 1..200 {
        let series = |i| format!("requests{{path=\"/{time}/{i}\",method=\"get\"}} {i}\n");
        let mut page: String = (0..500).map(series).collect();
        if time % 7 == 0 {
            page.push_str("broken\n");
        }
        target.page(time, &page);
        target.bodies.clear();
        held.push(target.scraper.held_bytes());
    }
    let early = held[2..20].iter().max().unwrap();
    let late = held[20..].iter().max().unwrap();
    assert!(*late <= early * 3 / 2, "{early} bytes early, {late} late");
}
