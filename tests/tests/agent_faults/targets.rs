//! Targets that hang, lie, flood, garble or send in circles, beside one that is well.

use weir_tests::counting_target::Manner;

use super::*;

/// A target that is ill for a while, one that is well, and who scrapes them.
struct Ward {
    ill: CountingTarget,
    well: CountingTarget,
    backend: Backend,
    agent: Agent,
    // Last, so that it is there until the agent has ended.
    _folder: tempfile::TempDir,
}

impl Ward {
    fn open(keys: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (ill, well) = (CountingTarget::start(5), CountingTarget::start(5));
        let backend = Backend::start();
        let config = config(&[&ill, &well], &backend.url());
        let config = config.replace("job_name: job0", &format!("job_name: job0{keys}"));
        let agent = Agent::start(&config, folder.path());
        wait_up(&backend, "job0", 1.0);
        wait_up(&backend, "job1", 1.0);
        Self { ill, well, backend, agent, _folder: folder }
    }

    /// The one target is like this for a few scrapes; returns the most memory that the agent held.
    fn suffer(&self, manner: Manner) -> u64 {
        let before = self.ill.asked();
        self.ill.behave(manner);
        wait_up(&self.backend, "job0", 0.0);
        let mut most = 0;
        wait::until_true("it is asked on", SOON, || {
            most = most.max(self.agent.resident_bytes());
            self.ill.asked() >= before + 4
        });
        self.ill.behave(Manner::Serve);
        wait_up(&self.backend, "job0", 1.0);
        most
    }

    /// Nothing of the failed pages is there, all of the others is, and the neighbour saw nothing.
    fn discharge(self) {
        let Self { ill, well, backend, agent, _folder } = self;
        let all = backend.samples();
        let markers = |job| of_job(&all, job, "ticks_total").filter(|s| is_stale(s.value)).count();
        assert!(markers("job0") > 0, "a scrape that fails ends the series of the one before");
        assert_eq!(markers("job1"), 0);
        agent.stop();
        let all = backend.samples();
        for metric in ["cut_off", "garbled", "after", "flood"] {
            assert_eq!(of_job(&all, "job0", metric).count(), 0, "{metric}: its page failed");
        }
        assert_eq!(compare(&well.served(), &all, "job1"), 0);
        assert_eq!(compare(&ill.served(), &all, "job0"), 0);
    }
}

fn fails_and_recovers(manner: Manner) {
    let ward = Ward::open("");
    ward.suffer(manner);
    ward.discharge();
}

#[test]
fn one_that_hangs() {
    fails_and_recovers(Manner::Hang);
}

#[test]
fn one_that_promises_more_than_it_sends() {
    fails_and_recovers(Manner::PromiseMore);
}

#[test]
fn one_whose_promise_cuts_a_line() {
    fails_and_recovers(Manner::PromiseLess);
}

#[test]
fn one_that_garbles_the_middle_of_a_page() {
    fails_and_recovers(Manner::Garble);
}

#[test]
fn one_that_redirects_in_circles() {
    fails_and_recovers(Manner::Circle);
}

const GIB: u64 = 1 << 30;

#[test]
fn one_that_sends_a_gibibyte_is_cut_off_at_its_limit() {
    let ward = Ward::open(", body_size_limit: 1MB");
    let before = ward.agent.resident_bytes();
    let most = ward.suffer(Manner::Flood(GIB));
    let grown = most.saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more for a limit of 1 MB");
    ward.discharge();
}

/// The agent's own limit for a page is 256 MiB; the buffer doubles while it grows.
#[test]
fn without_a_limit_memory_is_bounded_all_the_same() {
    let ward = Ward::open("");
    let before = ward.agent.resident_bytes();
    let most = ward.suffer(Manner::Flood(GIB));
    let grown = most.saturating_sub(before);
    assert!(grown < 640 << 20, "{grown} bytes more");
    ward.discharge();
}
