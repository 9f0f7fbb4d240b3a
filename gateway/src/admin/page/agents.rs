//! The page's table of agents.

use super::format::{bytes, count, duration, escape, rate};
use super::tables::Table;
use super::{View, push};
use crate::agents::{Agent, State};

/// Those that need a look come first.
pub(super) fn agents(page: &mut String, view: &View) {
    let agents = &view.status.agents;
    if agents.shown.is_empty() {
        return;
    }
    let mut table = Table::begin(
        page,
        "Agents",
        &["Agent", "State", "Configuration", "#Targets", "#Samples/s", "#Buffer", "#Seen"],
    );
    for agent in &agents.shown {
        table.row(row(agent, view.status.now_ms));
    }
    table.end();
    let all: u64 = agents.counts.values().sum();
    let more = all.saturating_sub(agents.shown.len() as u64);
    if more > 0 {
        let more = count(more);
        push(page, format_args!("<p class=\"hint\">and {more} more at api/v1/agents</p>\n"));
    }
}

fn row(agent: &Agent, now_ms: i64) -> [String; 7] {
    let report = &agent.report;
    let labels: Vec<String> = agent.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let class = match agent.state {
        State::Current => "fine",
        State::Behind | State::Unassigned => "warning",
        State::Refused | State::Silent => "critical",
    };
    let error = agent.error().map(|why| format!("<small>{}</small>", escape(why)));
    let assigned = agent.assigned.as_ref().map_or("–", |assigned| assigned.name.as_str());
    let runs = report.config.as_deref().unwrap_or("nothing");
    let targets = match report.targets_down {
        0 => count(report.targets_up),
        down => {
            format!("{} <em class=\"warning\">{} down</em>", count(report.targets_up), count(down))
        }
    };
    let waiting = match report.buffer_age_ms {
        0 => bytes(report.buffer_bytes),
        age => format!(
            "{}<small>{}</small>",
            bytes(report.buffer_bytes),
            duration(i64::try_from(age).unwrap_or(i64::MAX))
        ),
    };
    [
        format!("<b>{}</b><small>{}</small>", escape(&agent.name), escape(&labels.join(" "))),
        format!("<em class=\"{class}\">{}</em>{}", agent.state.as_str(), error.unwrap_or_default()),
        format!("{}<small>runs {}</small>", escape(assigned), escape(runs)),
        targets,
        rate(report.samples_per_second),
        waiting,
        format!("{} ago", duration(now_ms - agent.seen_ms)),
    ]
}
