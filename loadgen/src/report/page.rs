//! A report as one self-contained page: no script, nothing from elsewhere.

use super::plot::{Line, Plot, draw, escape};
use super::timeline::Moment;
use super::{Report, Times, table};
use crate::units::{bytes, seconds, short};

/// As HTML.
pub fn write(report: &Report) -> String {
    let plots: String = plots(report).iter().map(draw).collect();
    let table = escape(&table::write(report));
    let machine = &report.machine;
    let facts = format!(
        "{}, {} cores, {}, Linux {}; weir-loadgen {}; generator's own CPU {}; bodies in memory {}",
        machine.processor,
        machine.cores,
        bytes(machine.memory as f64),
        machine.kernel,
        report.version,
        report.own_cpu.map_or_else(|| "unknown".to_owned(), seconds),
        bytes(report.load.body_bytes as f64),
    );
    let (facts, command) = (escape(&facts), escape(&report.command));
    let title = format!("Load on {}", escape(&report.load.url));
    let time = utc(report.started_ms);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>{time}</p>\n{verdicts}{tiles}<div class=\"plots\">\n{plots}</div>\n\
         <h2>All figures</h2>\n<pre>{table}</pre>\n<h2>Where and how</h2>\n<p>{facts}</p>\n\
         <pre>{command}</pre>\n</main>\n</body>\n</html>\n",
        verdicts = verdicts(report),
        tiles = tiles(report),
    )
}

fn verdicts(report: &Report) -> String {
    let verdict = |bound: &super::Verdict| {
        let (class, word) = if bound.met { ("met", "met") } else { ("missed", "MISSED") };
        format!(
            "<li class=\"{class}\">{}: <b>{word}</b>, measured {}</li>\n",
            escape(&bound.asked),
            escape(&bound.measured)
        )
    };
    let mut list: String = report.bounds.iter().map(verdict).collect();
    if let Some(checked) = &report.checked {
        let class = if checked.right { "met" } else { "missed" };
        let line = escape(&checked.line());
        list.push_str(&format!("<li class=\"{class}\">outputs: <b>{line}</b></li>\n"));
        for difference in
            checked.first.iter().flat_map(|(kind, all)| all.iter().map(move |d| (kind, d)))
        {
            let (kind, what) = difference;
            list.push_str(&format!("<li class=\"missed\">{kind}: {}</li>\n", escape(what)));
        }
    }
    let remarks: String =
        table::remarks(report).iter().map(|r| format!("<li>{}</li>\n", escape(r))).collect();
    if list.is_empty() && remarks.is_empty() {
        return String::new();
    }
    format!("<ul class=\"verdicts\">\n{list}{remarks}</ul>\n")
}

fn tiles(report: &Report) -> String {
    let target = &report.target;
    let tile = |name: &str, value: Option<String>| {
        value.map_or_else(String::new, |value| {
            format!("<div><span>{name}</span><b>{}</b></div>\n", escape(&value))
        })
    };
    let limit = report.limit.map(|rate| format!("{} samples/s", short(rate)));
    // Of a search the average says nothing.
    let rate = report.trials.is_empty().then(|| short(report.rate.round()) + " samples/s");
    let tiles = [
        tile("limit found", limit),
        tile("acknowledged", rate),
        tile("latency p99", (report.totals.acknowledged > 0).then(|| seconds(report.latency.p99))),
        tile("failed attempts", Some(super::bounds::percent(report.totals.error_ratio()))),
        tile("samples for each CPU second", target.samples_per_cpu_second.map(short)),
        tile("resident memory", target.resident.map(bytes)),
        tile("reduction", target.reduction.map(|r| format!("{r:.1} : 1"))),
    ];
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.concat())
}

fn plots(report: &Report) -> Vec<Plot<'static>> {
    let line = |name, dashed, of: &dyn Fn(&Moment) -> Option<f64>| Line {
        name,
        dashed,
        points: report.timeline.iter().map(|moment| (moment.at, of(moment))).collect(),
    };
    let latency = |name, of: fn(&Times) -> f64| {
        line(name, false, &|moment: &Moment| moment.latency.as_ref().map(of))
    };
    let mut plots = vec![
        Plot {
            title: "Rate, samples/s",
            about: "Samples a second asked for and acknowledged, over time",
            lines: vec![
                line("acknowledged", false, &|m| Some(m.acknowledged)),
                line("asked", true, &|m| Some(m.asked)),
            ],
            format: short,
            unit: 1.0,
            logarithmic: false,
        },
        Plot {
            title: "Latency from when due",
            about: "Quantiles of the latency, over time",
            lines: vec![
                latency("p50", |t| t.p50),
                latency("p90", |t| t.p90),
                latency("p99", |t| t.p99),
                latency("max", |t| t.max),
            ],
            format: seconds,
            unit: 1.0,
            logarithmic: true,
        },
    ];
    let simple = |title, about, format, of: fn(&Moment) -> Option<f64>| Plot {
        title,
        about,
        lines: vec![line("", false, &of)],
        format,
        unit: 1.0,
        logarithmic: false,
    };
    plots.extend([
        simple("Behind schedule, seconds", "Age of the oldest request in hand", seconds, |m| {
            Some(m.lag)
        }),
        simple("Failed attempts/s", "Attempts a second that failed, over time", short, |m| {
            Some(m.failed)
        }),
        simple("Target's CPU, cores", "Cores that the target kept busy", short, |m| m.cores),
        Plot {
            unit: 1024.0 * 1024.0,
            ..simple("Target's resident memory", "Resident memory of the target", bytes, |m| {
                m.resident
            })
        },
        simple("Target's queue, seconds behind", "Lag of the slowest destination", seconds, |m| {
            m.queue_lag
        }),
        simple("Reduction so far, samples in for one out", "Samples in for one out", short, |m| {
            m.reduction
        }),
    ]);
    // What was never seen has no plot.
    let seen = |plot: &Plot<'_>| plot.lines.iter().any(|l| l.points.iter().any(|p| p.1.is_some()));
    plots.into_iter().filter(seen).collect()
}

/// `2025-11-24 16:00:00 UTC`.
fn utc(ms: i64) -> String {
    let (days, second) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 1000);
    // Days from civil, the other way round (Howard Hinnant's algorithm).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

const STYLE: &str = "\
:root { color-scheme: light dark; --back: #fff; --text: #1c2430; --soft: #5b6675; --grid: #e3e7ec;
  --card: #f5f7f9; --good: #1a7f37; --bad: #c62828;
  --c0: #1f6feb; --c1: #d9730d; --c2: #c2255c; --c3: #7a8594; --c4: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --back: #12161c; --text: #e6eaf0; --soft: #9aa6b5;
  --grid: #2a313b; --card: #1b2129; --good: #57c974; --bad: #ff7b72;
  --c0: #6aa9ff; --c1: #ffa657; --c2: #ff7eb0; --c3: #8b97a6; --c4: #57c974; } }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1560px; margin: 0 auto; padding: 24px; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 16px; margin: 28px 0 8px; }
p { color: var(--soft); margin: 4px 0 16px; }
pre { background: var(--card); padding: 12px 16px; border-radius: 8px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, monospace; }
.verdicts { padding-left: 20px; } .met b { color: var(--good); } .missed b { color: var(--bad); }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }
.tiles div { background: var(--card); border-radius: 8px; padding: 10px 16px; }
.tiles span { display: block; color: var(--soft); font-size: 13px; }
.tiles b { font-size: 20px; font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr));
  gap: 16px; }
svg { background: var(--card); border-radius: 8px; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; font-family: system-ui, sans-serif; }
svg .title { fill: var(--text); font-size: 14px; font-weight: 600; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn it_stands_alone_and_shows_all_plots() {
        let page = write(&example());
        assert_eq!(page.matches("<svg").count(), 8);
        for words in ["samples/s", "time, seconds", "MISSED", "25.0 : 1", "&lt;a&amp;b&gt;"] {
            assert!(page.contains(words), "{words}");
        }
        for elsewhere in ["<script", "src=", "@import", "href="] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn what_was_not_seen_has_no_plot() {
        let mut report = example();
        for moment in &mut report.timeline {
            (moment.cores, moment.resident, moment.reduction) = (None, None, None);
        }
        assert_eq!(write(&report).matches("<svg").count(), 5);
    }

    #[test]
    fn times_are_utc() {
        // date -u -d @1764000000, @951782400, @0
        assert_eq!(utc(1_764_000_000_000), "2025-11-24 16:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
    }
}
