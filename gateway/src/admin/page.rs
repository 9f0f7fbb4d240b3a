//! The status page: a pure function from a moment and its rates to HTML.
//!
//! What is wrong comes first, then what comes in and goes out, then the tables. Everything that
//! comes from outside (names, URLs, what a backend said) is escaped by [`format::escape`]. The page
//! works without its script, which only fetches the page again and swaps its body.

use std::fmt::Write as _;

use super::problems::{Problem, Severity};
use super::rates::Rates;
use super::status::Status;

mod agents;
pub mod format;
mod tables;
mod tier;

use format::{bytes, count, duration, escape, rate, time, unbroken};

const STYLE: &str = include_str!("assets/status.css");

/// The page's script; it is served apart, so that the page needs no inline script.
pub const SCRIPT: &str = include_str!("assets/status.js");

/// What the page shows, and its JSON.
#[derive(Clone, Debug, serde::Serialize)]
pub struct View {
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
    /// How fast things go.
    pub rates: Rates,
    /// The moment.
    pub status: Status,
}

/// The whole page.
pub fn render(view: &View) -> String {
    let name = escape(&view.status.node.name);
    let mut page = String::with_capacity(32 * 1024);
    push(
        &mut page,
        format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} · Weir {name}</title>\n<style>\n{STYLE}</style>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
         <script src=\"status.js\" defer></script>\n</head>\n<body>\n",
            escape(headline(view).1),
        ),
    );
    header(&mut page, view);
    page.push_str("<main>\n");
    problems(&mut page, &view.problems);
    tiles(&mut page, view);
    tier::tier(&mut page, view);
    tables::rules(&mut page, view);
    tables::destinations(&mut page, view);
    page.push_str("<div class=\"pair\">\n");
    tables::classes(&mut page, view);
    tables::durability(&mut page, view);
    tables::memory(&mut page, view);
    tables::requests(&mut page, view);
    page.push_str("</div>\n");
    tables::tenants(&mut page, view);
    agents::agents(&mut page, view);
    page.push_str("</main>\n");
    footer(&mut page, view);
    page.push_str("</body>\n</html>\n");
    page
}

/// A class and words for how it goes altogether.
fn headline(view: &View) -> (&'static str, &'static str) {
    let node = &view.status.node;
    let worst = view.problems.first().map(|problem| problem.severity);
    match worst {
        _ if node.stopping => ("warning", "shutting down"),
        _ if !node.ready => ("warning", "replaying"),
        Some(Severity::Critical) => ("critical", "trouble"),
        Some(Severity::Warning) => ("warning", "attention"),
        Some(Severity::Notice) | None => ("fine", "running"),
    }
}

fn header(page: &mut String, view: &View) {
    let (status, node) = (&view.status, &view.status.node);
    let (class, words) = headline(view);
    let file = node.config_file.as_deref().unwrap_or("defaults, no file");
    push(
        page,
        format_args!(
            "<header>\n<h1>Weir <span>{}</span></h1>\n<b class=\"state {class}\">{words}</b>\n\
         <p>{} · up {} · configuration {} (version {}) · {}</p>\n</header>\n",
            escape(&node.name),
            escape(&node.version),
            duration(status.now_ms - node.started_ms),
            escape(file),
            node.config_version,
            time(status.now_ms),
        ),
    );
}

fn problems(page: &mut String, problems: &[Problem]) {
    page.push_str("<section class=\"problems\" aria-label=\"What is wrong\">\n");
    if problems.iter().all(|p| p.severity == Severity::Notice) {
        page.push_str("<div class=\"problem fine\"><b>Nothing is wrong</b></div>\n");
    }
    for problem in problems {
        let class = match problem.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        };
        let (what, advice) = (unbroken(&problem.what), unbroken(&problem.advice));
        push(
            page,
            format_args!("<div class=\"problem {class}\"><b>{what}</b><p>{advice}</p></div>\n"),
        );
    }
    page.push_str("</section>\n");
}

fn tiles(page: &mut String, view: &View) {
    let (status, rates) = (&view.status, &view.rates);
    page.push_str("<section class=\"tiles\">\n");
    tile(
        page,
        "In",
        &format!("{}<i> samples/s</i>", rate(rates.received)),
        &format!(
            "{} series · {} requests/s · {}/s",
            count(status.series()),
            rate(rates.requests),
            bytes(rates.bytes as u64),
        ),
    );
    let passed = rate(rates.passed);
    tile(
        page,
        "Out",
        &format!("{}<i> samples/s</i>", rate(rates.sent_on())),
        &format!("{} from rules · {passed} passed raw", rate(rates.emitted),),
    );
    let all =
        if rates.sent_on() > 0.0 { ratio(rates.received / rates.sent_on()) } else { "–".into() };
    let best = status.rules.iter().filter_map(|r| r.reduction()).fold(0.0, f64::max);
    let best = if best > 0.0 {
        format!("best rule {}", ratio(best))
    } else {
        "no rule has closed a window yet".into()
    };
    tile(page, "Reduction", &all, &best);
    let lag = status.frontier_lag_ms().map_or("–".into(), duration);
    let unsent = status.destinations.iter().map(|d| d.lag_ms(status.now_ms)).max().unwrap_or(0);
    let sync = status.log.last_commit_ns as f64 / 1e6;
    tile(
        page,
        "Lag",
        &lag,
        &format!(
            "event time; grace is {} · log sync {sync:.1} ms · oldest unsent {}",
            duration(status.frontier.grace_ms),
            duration(unsent),
        ),
    );
    let resident = status.memory.resident.map_or("–".into(), bytes);
    let series = status.series();
    let each = (status.memory.series + status.memory.labels).checked_div(series);
    let each = each.map_or(String::new(), |each| format!(" · {} a series", bytes(each)));
    tile(page, "Memory", &resident, &format!("{} series{each}", count(series)));
    let balanced = status.imbalance() == 0 && status.unbalanced_positions == 0;
    let (word, class, note) = match balanced {
        true => ("balanced", "fine", "every one is accounted for"),
        false => ("broken", "critical", "not all are accounted for once"),
    };
    let samples = count(status.ingest.samples);
    let value = format!("<em class=\"{class}\">{word}</em>");
    tile(page, "Audit", &value, &format!("{samples} samples in, {note}"));
    page.push_str("</section>\n");
    let span = duration(rates.span_ms);
    let since = if rates.since_start { "since the start," } else { "over the last" };
    push(page, format_args!("<p class=\"hint\">Rates are {since} {span}.</p>\n"));
}

/// `value` is HTML, `note` is text.
fn tile(page: &mut String, title: &str, value: &str, note: &str) {
    let note = unbroken(note);
    push(
        page,
        format_args!(
            "<div class=\"tile\"><h2>{title}</h2><strong>{value}</strong><p>{note}</p></div>\n"
        ),
    );
}

fn ratio(value: f64) -> String {
    if value >= 100.0 {
        format!("{} : 1", count(value.round() as u64))
    } else {
        format!("{value:.1} : 1")
    }
}

fn footer(page: &mut String, view: &View) {
    let node = &view.status.node;
    push(
        page,
        format_args!(
            "<footer><p>Data in {} · {} workers · listening on {} · \
         <a href=\"metrics\">metrics</a> · \
         <a href=\"api/v1/status\">this page as JSON</a></p></footer>\n",
            escape(&node.data_dir),
            node.workers,
            escape(&node.listen),
        ),
    );
}

/// A bar whose length is a part of its cell.
fn bar(part: f64, class: &str) -> String {
    let width = part.clamp(0.0, 1.0) * 100.0;
    format!(
        "<svg class=\"bar {class}\" aria-hidden=\"true\"><rect width=\"{width:.1}%\" height=\"100%\"/></svg>"
    )
}

/// Writing to a `String` cannot fail.
fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    if page.write_fmt(text).is_err() {
        page.push_str("(not shown)");
    }
}

#[cfg(test)]
mod tests;
