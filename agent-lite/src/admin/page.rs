//! The page of targets: one look shows what is scraped, what is not, and why.
//!
//! Plain HTML without a script; a browser's reload is its refresh. Everything that comes from
//! outside is escaped.

use std::fmt::Write as _;

use super::targets::{health, rfc3339};
use crate::pools::PoolView;
use crate::scrape::TargetStatus;
use crate::target::Target;

/// Targets shown of one job; the API has all.
const TARGETS_SHOWN: usize = 500;

/// Renders the page.
pub(super) fn render(pools: &[PoolView]) -> String {
    let mut page = String::from(HEAD);
    let all = || pools.iter().flat_map(|pool| &pool.active);
    let down = all().filter(|(_, status)| health(status) == "down").count();
    let series: usize = all().map(|(_, status)| status.series).sum();
    push(
        &mut page,
        format_args!(
            "<p class=sum><b>{}</b> targets in <b>{}</b> jobs, <b class={}>{down}</b> down, \
             <b>{series}</b> series. <a href=/metrics>metrics</a> · \
             <a href=/api/v1/targets>as JSON</a></p>",
            all().count(),
            pools.len(),
            if down > 0 { "down" } else { "up" },
        ),
    );
    pools.iter().for_each(|pool| render_pool(pool, &mut page));
    page.push_str("</main></body></html>\n");
    page
}

fn render_pool(pool: &PoolView, page: &mut String) {
    let up = pool.active.iter().filter(|(_, s)| health(s) == "up").count();
    push(page, format_args!("<h2>{} <small>{up} of {} up", Escaped(&pool.name), pool.active.len()));
    if pool.targets.dropped_count > 0 {
        push(page, format_args!(", {} dropped by relabelling", pool.targets.dropped_count));
    }
    page.push_str("</small></h2>");
    for failure in &pool.targets.failures {
        push(page, format_args!("<p class=error>{}</p>", Escaped(failure)));
    }
    if pool.active.is_empty() {
        page.push_str("<p>No targets.</p>");
        return;
    }
    page.push_str(
        "<table><tr><th>Endpoint<th>State<th>Labels<th>Last scrape<th class=n>Took<th class=n>Series",
    );
    for (target, status) in pool.active.iter().take(TARGETS_SHOWN) {
        render_target(target, status, page);
    }
    page.push_str("</table>");
    if pool.active.len() > TARGETS_SHOWN {
        push(page, format_args!("<p>and {} more</p>", pool.active.len() - TARGETS_SHOWN));
    }
}

fn render_target(target: &Target, status: &TargetStatus, page: &mut String) {
    let state = health(status);
    let url = Escaped(&target.url);
    push(page, format_args!("<tr><td><a href=\"{url}\">{url}</a><td class={state}>{state}<td>"));
    for label in target.labels.iter() {
        push(
            page,
            format_args!("<code>{}=\"{}\"</code> ", Escaped(label.name), Escaped(label.value)),
        );
    }
    let last = status.last_scrape.map_or("never".to_owned(), rfc3339);
    let took_ms = status.duration.as_secs_f64() * 1000.0;
    push(page, format_args!("<td>{last}<td class=n>{took_ms:.1} ms<td class=n>{}", status.series));
    if let Some(error) = &status.error {
        push(page, format_args!("<tr><td colspan=6 class=error>{}", Escaped(error)));
    }
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok());
}

/// Text in HTML, attribute values in double quotes included.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Targets - weir-agent-lite\
</title><meta name=viewport content=\"width=device-width\"><style>\
:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:0}\
main{max-width:1200px;margin:0 auto;padding:16px}h1{font-size:20px}h2{font-size:16px;margin:24px 0 8px}\
small{font-weight:400;opacity:.7}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:4px 8px;border-top:1px solid #8884;vertical-align:top}\
td:first-child{overflow-wrap:anywhere}.n{text-align:right;white-space:nowrap}\
code{font-size:12px;background:#8882;padding:1px 4px;border-radius:3px}\
.up{color:#1a7f37}.down,.error{color:#cf222e}.unknown{opacity:.6}\
</style><body><main><h1>weir-agent-lite: targets</h1>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let text = Escaped("<a href=\"x\">&").to_string();
        assert_eq!(text, "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
