//! The harness keeps its own promises: what is sent is recorded, what is stored is read back.

use std::time::Duration;

use weir_tests::backend::{Backend, Reply};
use weir_tests::samples::{Sample, labels, stale_marker};
use weir_tests::target::Target;
use weir_tests::{http, peers, promql, sender, wait};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_scripted_backend_records_both_versions_and_does_as_it_is_told() {
    let backend = Backend::start();
    let series = labels("m", &[("a", "1")]);
    let samples = [Sample::new(&series, 1, 1.5), Sample::new(&series, 2, stale_marker())];
    for send in [sender::send_v1, sender::send_v2] {
        assert_eq!(send(backend.address(), &samples).expect("an answer").status, 204);
    }
    let got = backend.samples();
    let bits = |s: &Sample| (s.timestamp, s.value.to_bits());
    let sent: Vec<_> = samples.iter().chain(&samples).map(bits).collect();
    assert_eq!(got.iter().map(bits).collect::<Vec<_>>(), sent);
    assert!(got.iter().all(|s| s.labels == series));
    backend.answer_all(503);
    assert_eq!(sender::send_v1(backend.address(), &samples).expect("an answer").status, 503);
    backend.script(|_| Reply::Close);
    assert!(sender::send_v1(backend.address(), &samples).is_err());
    backend.script(|_| Reply::Hang);
    let address = backend.address();
    let hanging = std::thread::spawn(move || sender::send_v1(address, &samples));
    wait::until_true("it hangs", SOON, || backend.requests_seen() == 5);
    backend.accept_all();
    assert_eq!(hanging.join().expect("a sender").expect("an answer").status, 204);
    assert_eq!(backend.accepted().len(), 3);
}

#[test]
fn real_backends_give_back_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let victoria = peers::victoria_metrics("victoria", folder.path());
    let prometheus = peers::prometheus("prometheus", "global: {}\n", folder.path());
    let series = labels("written", &[("a", "1")]);
    let now = wait::now_ms();
    let samples = [Sample::new(&series, now - 2, 1.25), Sample::new(&series, now - 1, -3.5)];
    for backend in [&victoria, &prometheus] {
        let answer = sender::send_v1(backend.address, &samples).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    wait::until("VictoriaMetrics has them", SOON, || {
        let stored = promql::export(victoria.address, "written")?;
        let values: Vec<_> = stored.0.get(&series).into_iter().flatten().collect();
        let expected = [(&(now - 2), &1.25), (&(now - 1), &-3.5)];
        (values == expected).then_some(()).ok_or_else(|| format!("{stored:?}"))
    });
    let stored = promql::raw_samples(prometheus.address, "written", now - 60_000, now);
    let stored = stored.expect("an answer");
    assert_eq!(stored.0[&series].get(&(now - 1)), Some(&-3.5));
    let latest = promql::query(prometheus.address, "written * 2", now).expect("an answer");
    assert_eq!(latest[0].1, -7.0);
}

#[test]
fn both_real_senders_scrape_a_page_and_mark_what_vanishes() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = Target::start();
    page.say(Some("here 1\nthere 2\n".into()));
    let backend = Backend::start();
    let (agent, vmagent) =
        (weir_tests::processes::free_address(), weir_tests::processes::free_address());
    let scrape = |sender: &str| {
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: page\n    \
             static_configs: [{{targets: ['{}'], labels: {{sender: {sender}}}}}]\n",
            page.address()
        )
    };
    let urls = [backend.url()];
    let _agent = peers::prometheus_agent(agent, &scrape("prometheus"), &urls, folder.path());
    let _vmagent = peers::vmagent(vmagent, &scrape("vmagent"), &urls, folder.path());
    let of = |name: &str, sender: &str| -> Vec<Sample> {
        let is = |s: &Sample| {
            s.labels["__name__"] == name && s.labels.get("sender").is_some_and(|x| x == sender)
        };
        backend.samples().into_iter().filter(is).collect()
    };
    for sender in ["prometheus", "vmagent"] {
        wait::until_true(&format!("{sender} sends"), SOON, || of("there", sender).len() > 1);
    }
    page.say(Some("here 1\n".into()));
    for sender in ["prometheus", "vmagent"] {
        wait::until_true(&format!("{sender} marks what vanished"), SOON, || {
            of("there", sender).last().is_some_and(|s| weir_tests::samples::is_stale(s.value))
        });
        assert!(of("here", sender).iter().all(|s| s.value == 1.0));
    }
    assert_eq!(http::get(page.address(), "/").expect("an answer").text(), "here 1\n");
}
