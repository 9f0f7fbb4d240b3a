//! A report for the terminal.

use std::fmt::Write as _;

use super::bounds::percent;
use super::{Report, Times};
use crate::units::{bytes, seconds, short};

/// As text, lines of at most about 100 columns.
pub fn write(report: &Report) -> String {
    let mut lines = Lines(String::new());
    head(&mut lines, report);
    sent(&mut lines, report);
    times(&mut lines, report);
    target(&mut lines, report);
    trials(&mut lines, report);
    for bound in &report.bounds {
        let verdict = if bound.met { "met" } else { "MISSED" };
        lines.row("bound", format!("{}: {} ({})", bound.asked, verdict, bound.measured));
    }
    for remark in remarks(report) {
        lines.row("note", remark);
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn row(&mut self, name: &str, value: impl std::fmt::Display) {
        // A string takes all.
        writeln!(self.0, "{name:<14} {value}").ok();
    }
}

fn head(lines: &mut Lines, report: &Report) {
    let load = &report.load;
    let early = if report.interrupted { ", interrupted" } else { "" };
    lines.row("target", &load.url);
    lines.row(
        "load",
        format!(
            "{}, {} series of {} targets, seed {}",
            load.preset,
            short(load.series as f64),
            load.targets,
            load.seed
        ),
    );
    lines.row(
        "sent as",
        format!(
            "remote write {}, {}, {} samples a request, {} connections",
            load.protocol, load.compression, load.samples_per_request, load.connections
        ),
    );
    lines.row("time", format!("{}{early}", seconds(report.seconds)));
}

fn sent(lines: &mut Lines, report: &Report) {
    let totals = &report.totals;
    let (rate, asked) = (short(report.rate), short(report.rate_asked));
    if report.trials.is_empty() {
        lines.row("rate", format!("{rate} samples/s acknowledged of {asked} asked"));
    }
    let mut parts = vec![format!("{} acknowledged", short(totals.acknowledged as f64))];
    let others = [
        (totals.refused, "refused"),
        (totals.given_up, "given up while retrying"),
        (totals.unsent, "not sent in time"),
        (totals.away, "of replicas that were away"),
        (totals.broken, "broken on purpose"),
        (totals.repeated, "sent twice"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0);
    parts.extend(others.map(|(count, what)| format!("{} {what}", short(*count as f64))));
    lines.row("samples", parts.join(", "));
    let answers: Vec<String> =
        totals.answers.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    let failed = percent(totals.error_ratio());
    let attempts = totals.attempts;
    lines.row("requests", format!("{attempts}: {} ({failed} failed)", answers.join(", ")));
    for (error, count) in &totals.errors {
        lines.row("", format!("{count} × {error}"));
    }
    if let Some(said) = &totals.said {
        lines.row("first refusal", said);
    }
    if totals.malformed_refused + totals.malformed_taken > 0 {
        let taken = totals.malformed_taken;
        let refused = totals.malformed_refused;
        lines.row("broken ones", format!("{refused} refused as they should, {taken} not"));
    }
    let sent = totals.bytes as f64;
    let samples = totals.acknowledged + totals.repeated;
    // Where all was acknowledged at once, that is what a sample takes on the wire.
    let each = if samples > 0 {
        format!(", {:.1} B for each sample acknowledged", sent / samples as f64)
    } else {
        String::new()
    };
    lines.row("bytes", format!("{} sent{each}", bytes(sent)));
}

fn times(lines: &mut Lines, report: &Report) {
    let row = |times: &Times| {
        let Times { p50, p90, p99, p999, max } = *times;
        format!(
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            seconds(p50),
            seconds(p90),
            seconds(p99),
            seconds(p999),
            seconds(max)
        )
    };
    if report.totals.acknowledged > 0 {
        lines.row("latency", format!("{} (from when due)", row(&report.latency)));
        lines.row("service time", format!("{} (from when sent)", row(&report.service)));
    }
}

fn target(lines: &mut Lines, report: &Report) {
    let target = &report.target;
    if let Some(cpu) = target.cpu {
        let cores = cpu / report.seconds.max(1e-3);
        let each = target.samples_per_cpu_second.map_or_else(String::new, |rate| {
            format!(", {} samples for each CPU second", short(rate))
        });
        lines.row("target's CPU", format!("{} ({cores:.2} cores){each}", seconds(cpu)));
    }
    if let Some(resident) = target.resident {
        let series = target.active_series.filter(|series| *series > 0.0);
        let series = series.map_or_else(String::new, |n| format!(", {} active series", short(n)));
        lines.row("its memory", format!("{} resident at most{series}", bytes(resident)));
    }
    if let Some(reduction) = target.reduction {
        lines.row("reduction", format!("{reduction:.1} samples in for each sample out"));
    }
    if let Some(lag) = target.queue_lag {
        lines.row("its queue", format!("{} behind at most", seconds(lag)));
    }
}

fn trials(lines: &mut Lines, report: &Report) {
    for trial in &report.trials {
        let verdict = trial.failed.as_deref().unwrap_or("holds");
        lines.row(
            "trial",
            format!(
                "{:>9} samples/s: {} acknowledged, p99 {}, {} failed: {verdict}",
                short(trial.rate),
                short(trial.acknowledged),
                seconds(trial.p99),
                percent(trial.error_ratio)
            ),
        );
    }
    if !report.trials.is_empty() {
        let none = "none of the rates tried holds the bounds".to_owned();
        let limit = report.limit.map_or(none, |rate| format!("{} samples/s", short(rate)));
        lines.row("limit", limit);
    }
}

/// What a reader should know before believing the figures.
pub(super) fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(cpu) = report.own_cpu.filter(|_| report.seconds > 1.0) {
        let cores = cpu / report.seconds;
        if cores > report.machine.cores as f64 * 0.45 {
            remarks.push(format!(
                "the load generator itself kept {cores:.2} of {} cores busy: on the same machine it \
                 takes them from the target",
                report.machine.cores
            ));
        }
    }
    if report.totals.unsent > 0 && report.trials.is_empty() {
        remarks.push(
            "connections did not keep up: the target is at its limit, or --connections is too small"
                .to_owned(),
        );
    }
    remarks
}

#[cfg(test)]
mod tests {
    use crate::report::tests::example;

    #[test]
    fn it_says_what_matters() {
        let text = super::write(&example());
        for words in [
            "500 k samples/s acknowledged of 600 k asked",
            "30 M acknowledged, 6 M not sent in time",
            "303: 300 × 204, 2 × 503 (0.99% failed)",
            "1 × Connection refused",
            "26.0 B for each sample",
            "p99 40.0 ms",
            "p99 at most 50.0 ms: met (40.0 ms)",
            "failed attempts at most 0.00%: MISSED (0.99%)",
            "25.0 samples in for each sample out",
        ] {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
    }
}
