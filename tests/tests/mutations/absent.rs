//! A member that stays away: windows go out without it after a minute, and say so.

use std::time::Duration;

use weir_model::mutation::Mutation;
use weir_model::{Label, ShardKey, vshard_of_group};
use weir_tests::backend::Backend;
use weir_tests::gateway::sending_to;
use weir_tests::oracle::Differences;
use weir_tests::samples::{Sample, labels};
use weir_tests::tier::Tier;
use weir_tests::{sender, wait};

use super::scenario::SMALL;

const RULES: &str =
    "- {match: stays, interval: 2s, by: [job], staleness_interval: 1h, outputs: [sum_last]}\n";
const SOON: Duration = Duration::from_secs(120);
/// Windows wait for a member for a minute.
const WITHOUT_IT: Duration = Duration::from_secs(180);

/// Runs a tier of two that makes this mistake, of which one dies: whether the other says of its windows that
/// they are incomplete.
pub(crate) fn run(mistake: Option<Mutation>) -> Differences {
    let backend = Backend::start();
    let config = format!("{SMALL}{}", sending_to(&backend.url(), "2s", ""));
    let mut tier = Tier::start_erring(2, &config, RULES, mistake.map(Mutation::name));
    let sample = sample_of_first(&tier);
    sender::send_until_acknowledged(tier.addresses()[0], &[sample], SOON);
    tier.kill(1);
    let killed = wait::now_ms();
    let is_past = |s: &Sample| s.timestamp > killed + 4_000;
    wait::until_true("windows go out without it", WITHOUT_IT, || {
        backend.samples().iter().any(is_past)
    });
    let page = tier.gateway(0).metrics();
    let mut found = Differences { compared: backend.samples().len(), ..Differences::default() };
    if page.count("weir_windows_incomplete_total", &[]) == 0.0 {
        found.wrong.push("windows went out without a member, and none is incomplete".to_owned());
    }
    found
}

/// A sample whose series and group are the first member's, so that the other is not needed for it.
fn sample_of_first(tier: &Tier) -> Sample {
    let owned = super::tier::owned(tier, 0);
    let (tenant, key) = ("anonymous", ShardKey::default());
    let pairs = |job: &str| {
        let series = key.vshard(tenant, &[Label::new("instance", "a:1"), Label::new("job", job)]);
        let group = [Label::new("__name__", "stays"), Label::new("job", job)];
        [series, vshard_of_group(tenant, group.into_iter())]
    };
    let mut jobs = (0..).map(|number| format!("job-{number}"));
    let job = jobs.find(|job| pairs(job).iter().all(|&vshard| owned.contains(vshard)));
    let job = job.expect("half of all are the first member's");
    Sample::new(&labels("stays", &[("instance", "a:1"), ("job", &job)]), wait::now_ms(), 1.0)
}
