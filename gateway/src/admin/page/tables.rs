//! The page's tables. Wide ones scroll by themselves, so that a phone need not.

use super::super::status::Destination;
use super::format::{bytes, count, duration, escape, percent, rate, time};
use super::{View, bar, push, ratio};

/// Tenants shown; the JSON and the metrics have more.
const TENANTS_SHOWN: usize = 50;

pub(super) fn rules(page: &mut String, view: &View) {
    let status = &view.status;
    if status.rules.is_empty() {
        return;
    }
    let mut table = Table::begin(
        page,
        "Rules",
        &["Rule", "#In/s", "#Out/s", "#Reduction", "#Groups", "#Late/s", "#Last window"],
    );
    for (at, rule) in status.rules.iter().enumerate() {
        let fast = view.rates.rules.get(at).copied().unwrap_or_default();
        let late = fast.late_carried + fast.late_dropped;
        let late = match late > 0.0 {
            true => format!("<em class=\"warning\">{}</em>", rate(late)),
            false => "0".into(),
        };
        let over = match rule.overflowed {
            0 => String::new(),
            over => format!(" <em class=\"warning\">+{} over</em>", count(over)),
        };
        let last = match rule.last_window_end_ms {
            0 => "none yet".into(),
            end => format!("{} ago", duration(status.now_ms - end)),
        };
        table.row([
            format!("<code>{}</code>", escape(&rule.name)),
            rate(fast.samples_in),
            rate(fast.samples_out),
            rule.reduction().map_or("–".into(), ratio),
            format!("{}{over}", count(rule.groups)),
            late,
            last,
        ]);
    }
    table.end();
}

pub(super) fn destinations(page: &mut String, view: &View) {
    let status = &view.status;
    if status.destinations.is_empty() {
        page.push_str(
            "<section><h2>Destinations</h2><p>No <code>remote_write</code>: the newest outputs \
             are at <a href=\"federate\">/federate</a>, for a Prometheus to scrape.</p></section>\n",
        );
        return;
    }
    let mut table = Table::begin(
        page,
        "Destinations",
        &["Destination", "State", "#Sent/s", "#Waiting", "#Oldest", "#Sent", "#Lost"],
    );
    for (at, destination) in status.destinations.iter().enumerate() {
        let fast = view.rates.destinations.get(at).copied().unwrap_or_default();
        let class = match destination.state {
            "sending" => "fine",
            "retrying" | "stopped" => "warning",
            _ => "critical",
        };
        table.row([
            format!(
                "<b>{}</b><small>{}</small>",
                escape(&destination.name),
                escape(&destination.url)
            ),
            format!(
                "<em class=\"{class}\">{}</em>{}",
                escape(destination.state),
                last_error(destination)
            ),
            rate(fast.sent),
            bytes(destination.lag_bytes),
            match destination.lag_ms(status.now_ms) {
                0 => "–".into(),
                lag => duration(lag),
            },
            count(destination.sent),
            lost(destination),
        ]);
    }
    table.end();
}

fn last_error(destination: &Destination) -> String {
    let Some(error) = &destination.last_error else {
        return String::new();
    };
    let when = time(destination.last_error_ms);
    format!("<small>{when}: {}</small>", escape(error))
}

fn lost(destination: &Destination) -> String {
    let reasons = destination.set_aside.iter().chain(&destination.given_up);
    let reasons = reasons.filter(|(_, samples)| **samples > 0);
    let reasons = reasons.map(|(reason, samples)| format!("{} {reason}", count(*samples)));
    let reasons = escape(&reasons.collect::<Vec<_>>().join(", "));
    match destination.lost() {
        0 if reasons.is_empty() => "0".into(),
        0 => format!("0<small>{reasons}</small>"),
        lost => format!("<em class=\"warning\">{}</em><small>{reasons}</small>", count(lost)),
    }
}

pub(super) fn classes(page: &mut String, view: &View) {
    let rates = &view.rates;
    let mut table =
        Table::begin(page, "What becomes of samples", &["Class", "#Samples/s", "#All", "Share"]);
    let shown = [
        ("folded", "folded into rules", rates.folded, "good"),
        ("passed", "passed on raw", rates.passed, "good"),
        ("marker", "stale markers", rates.markers, "good"),
        ("duplicate", "repeats", rates.duplicate, "plain"),
        ("ha_loser", "from the other HA replica", rates.ha_loser, "plain"),
        ("dropped", "dropped by relabelling or rules", rates.dropped, "plain"),
        ("late", "late, dropped", rates.late, "bad"),
        ("refused", "refused as invalid", rates.refused, "bad"),
    ];
    for (class, words, fast, colour) in shown {
        let part = if rates.received > 0.0 { fast / rates.received } else { 0.0 };
        table.row([words.into(), rate(fast), count(view.status.class(class)), bar(part, colour)]);
    }
    table.end();
}

pub(super) fn durability(page: &mut String, view: &View) {
    let status = &view.status;
    let mut table = Table::begin(page, "Log and queue", &["", "#Log", "#Send queue"]);
    let both = [&status.log, &status.queue];
    let mut line = |what: &str, cells: [String; 2]| {
        let [log, queue] = cells;
        table.row([what.into(), log, queue]);
    };
    line("Position", both.map(|j| count(j.durable_position)));
    line("Not yet on disk", both.map(|j| bytes(j.pending_bytes)));
    line("Last sync", both.map(|j| format!("{:.1} ms", j.last_commit_ns as f64 / 1e6)));
    line("Holds", both.map(|j| bytes(j.bytes)));
    line(
        "Takes on disk",
        both.map(|j| match j.max_bytes {
            Some(max) => format!("{} of {}", bytes(j.disk_bytes), bytes(max)),
            None => bytes(j.disk_bytes),
        }),
    );
    line("Free on disk", both.map(|j| j.disk_free_bytes.map_or("–".into(), bytes)));
    let behind = status.log.last_position.saturating_sub(status.emit.position);
    line(
        "Not yet decided",
        [
            format!("{} requests", count(behind)),
            format!("{} frames", count(status.emit.waiting_frames)),
        ],
    );
    let checkpoints = &status.checkpoints;
    let replay = status.log.last_position.saturating_sub(checkpoints.replay_from);
    line("A restart reads", [format!("{} records", count(replay)), String::new()]);
    let last = match checkpoints.completed {
        0 => "none yet".into(),
        _ => format!(
            "{} in {}",
            bytes(checkpoints.last_bytes),
            duration(checkpoints.last_duration_ms as i64)
        ),
    };
    line("Last checkpoint", [last, String::new()]);
    table.end();
}

pub(super) fn memory(page: &mut String, view: &View) {
    let (memory, status) = (&view.status.memory, &view.status);
    let mut table = Table::begin(page, "Memory", &["Part", "#Bytes", "Share"]);
    let parts = [
        ("series, aliases, windows", memory.series),
        ("labels", memory.labels),
        ("requests in flight", memory.requests),
        ("on the way to the log", status.log.pending_bytes),
        ("on the way to the queue", status.queue.pending_bytes),
    ];
    let known: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let whole = memory.resident.unwrap_or(known).max(known).max(1);
    for (part, value) in parts {
        table.row([part.into(), bytes(value), bar(value as f64 / whole as f64, "plain")]);
    }
    if let Some(resident) = memory.resident {
        table.row(["the whole process".into(), bytes(resident), bar(1.0, "plain")]);
    }
    table.end();
}

pub(super) fn requests(page: &mut String, view: &View) {
    let ingest = &view.status.ingest;
    let mut table = Table::begin(page, "Requests", &["Answer", "#All", "#Share"]);
    let all: u64 = ingest.requests.values().sum();
    for (code, requests) in &ingest.requests {
        let share = percent(*requests as f64 / all.max(1) as f64);
        table.row([code.to_string(), count(*requests), share]);
    }
    for (reason, samples) in &ingest.refused {
        table.row([format!("samples refused: {}", escape(reason)), count(*samples), String::new()]);
    }
    if ingest.requests.is_empty() {
        table.row(["none yet".into(), String::new(), String::new()]);
    }
    table.end();
}

pub(super) fn tenants(page: &mut String, view: &View) {
    let tenants = &view.status.tenants;
    if tenants.is_empty() {
        return;
    }
    let mut table = Table::begin(
        page,
        "Tenants",
        &["Tenant", "#Samples/s", "#Series", "#All", "#Refused/s", "#Audit"],
    );
    let mut order: Vec<usize> = (0..tenants.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(tenants[*at].received));
    for at in order.into_iter().take(TENANTS_SHOWN) {
        let (tenant, fast) =
            (&tenants[at], view.rates.tenants.get(at).copied().unwrap_or_default());
        let audit = match tenant.imbalance {
            0 => "0".into(),
            other => format!("<em class=\"critical\">{other}</em>"),
        };
        table.row([
            format!("<code>{}</code>", escape(&tenant.name)),
            rate(fast.received),
            count(tenant.series),
            count(tenant.received),
            rate(fast.refused),
            audit,
        ]);
    }
    table.end();
    if tenants.len() > TENANTS_SHOWN {
        let more = tenants.len() - TENANTS_SHOWN;
        push(page, format_args!("<p class=\"hint\">and {more} more</p>\n"));
    }
}

/// A table in the making.
pub(super) struct Table<'a> {
    page: &'a mut String,
    numbers: Vec<bool>,
}

impl<'a> Table<'a> {
    /// Columns whose title begins with `#` hold numbers.
    pub(super) fn begin(page: &'a mut String, title: &str, columns: &[&str]) -> Self {
        push(page, format_args!("<section><h2>{title}</h2><div class=\"wide\"><table>"));
        let numbers = columns.iter().map(|column| column.starts_with('#')).collect();
        let mut table = Self { page, numbers };
        let titles: Vec<&str> = columns.iter().map(|c| c.trim_start_matches('#')).collect();
        table.cells("th", &titles);
        table
    }

    /// Cells are HTML.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells("td", &cells);
    }

    fn cells(&mut self, tag: &str, cells: &[impl AsRef<str>]) {
        self.page.push_str("<tr>");
        for (cell, is_number) in cells.iter().zip(&self.numbers) {
            let class = if *is_number { " class=\"r\"" } else { "" };
            push(self.page, format_args!("<{tag}{class}>{}</{tag}>", cell.as_ref()));
        }
        self.page.push_str("</tr>\n");
    }

    pub(super) fn end(self) {
        self.page.push_str("</table></div></section>\n");
    }
}
