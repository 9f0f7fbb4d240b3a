//! Every query of dashboards and alerts, as it is asked of a Prometheus, and the metrics it names.

use std::collections::BTreeSet;

use crate::files::{assert_none, entries, read, root};
use crate::{alerts, dashboards};

/// One query.
pub(crate) struct Query {
    /// Whose it is: `dashboard/panel/refId`, `dashboard/variable`, or an alert's name.
    pub(crate) name: String,
    /// What is asked.
    pub(crate) expression: String,
}

impl Query {
    /// The metrics that it names.
    pub(crate) fn metrics(&self) -> BTreeSet<&str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let words = self.expression.split(|c| !is_part(c));
        words.filter(|word| is_metric(word)).collect()
    }
}

fn is_metric(word: &str) -> bool {
    ["weir_", "prometheus_", "process_"].iter().any(|prefix| word.starts_with(prefix))
}

/// Those of dashboards: every job and instance is chosen, and rates look back this far.
pub(crate) fn of_dashboards(rate_interval: &str) -> Vec<Query> {
    let filled = |text: &str| {
        let text = text.replace("$__rate_interval", rate_interval);
        text.replace("$job", ".*").replace("$instance", ".*")
    };
    let mut queries = Vec::new();
    for (dashboard, value) in dashboards::all() {
        for variable in entries(&value["templating"]["list"]) {
            let asks = variable["query"]["query"].as_str().unwrap_or_default();
            if let Some(inside) =
                asks.strip_prefix("label_values(").and_then(|a| a.strip_suffix(')'))
            {
                let (selector, label) = inside.rsplit_once(", ").expect("a selector and a label");
                let expression = format!("count by ({label}) ({})", filled(selector));
                let name = variable["name"].as_str().expect("a name");
                queries.push(Query { name: format!("{dashboard}/{name}"), expression });
            }
        }
        for panel in dashboards::panels(&value) {
            for target in entries(&panel["targets"]) {
                let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
                let name =
                    format!("{dashboard}/{}/{}", text(&panel["title"]), text(&target["refId"]));
                queries.push(Query { name, expression: filled(&text(&target["expr"])) });
            }
        }
    }
    queries
}

/// Those of alerts.
pub(crate) fn of_alerts() -> Vec<Query> {
    let query = |rule: &serde_json::Value| Query {
        name: alerts::name(rule).to_owned(),
        expression: rule["expr"].as_str().expect("an expression").to_owned(),
    };
    alerts::all().iter().map(|(_, rule)| query(rule)).collect()
}

#[test]
fn variables_are_replaced_and_metrics_found() {
    let all = of_dashboards("10s");
    assert!(all.len() > 80, "{}", all.len());
    for query in &all {
        assert!(!query.expression.contains('$'), "{}: {}", query.name, query.expression);
        assert!(!query.metrics().is_empty(), "{}: {}", query.name, query.expression);
    }
    let names: BTreeSet<&str> = all.iter().map(|query| query.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "two queries share a name");
}

#[test]
fn whoever_asks_finds_what_each_metric_means() {
    let reference = read(&root().join("docs/METRICS.md"));
    let is_described = |metric: &str| {
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
        [Some(metric), name].into_iter().flatten().any(|m| reference.contains(&format!("`{m}`")))
    };
    let mut missing = BTreeSet::new();
    for query in of_dashboards("10s").into_iter().chain(of_alerts()) {
        let own = query.metrics().into_iter().filter(|metric| metric.starts_with("weir_"));
        let unknown = own.filter(|m| !is_described(m));
        missing.extend(unknown.map(str::to_owned));
    }
    assert_none(&missing.into_iter().collect::<Vec<_>>());
}
