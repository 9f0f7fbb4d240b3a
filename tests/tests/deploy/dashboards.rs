//! Dashboards as Grafana reads them: one data source that can be chosen, panels that do not lie on one
//! another, queries that can be told apart.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::files::{assert_none, below, deploy, entries, read, shown};

/// All dashboards: the file's name without its ending, and what is in it.
pub(crate) fn all() -> Vec<(String, Value)> {
    let read = |file: PathBuf| {
        let value = serde_json::from_str(&read(&file));
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, value.unwrap_or_else(|e| panic!("{}: {e}", shown(&file))))
    };
    let all: Vec<_> = below(&deploy("dashboards"), ".json").into_iter().map(read).collect();
    assert_eq!(all.len(), 3);
    all
}

/// The panels that ask something.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    entries(&dashboard["panels"]).filter(|panel| panel["type"] != "row")
}

#[test]
fn every_panel_asks_the_chosen_data_source() {
    let chosen = json!({"type": "prometheus", "uid": "${datasource}"});
    let mut wrong = Vec::new();
    for (name, dashboard) in all() {
        assert_eq!(dashboard["uid"].as_str(), Some(name.as_str()));
        let variables: Vec<&Value> = entries(&dashboard["templating"]["list"]).collect();
        assert_eq!(variables[0]["name"], "datasource", "{name}");
        assert_eq!(variables[0]["type"], "datasource", "{name}");
        let asked = variables[1..].iter().copied().chain(panels(&dashboard));
        let asked = asked.chain(panels(&dashboard).flat_map(|panel| entries(&panel["targets"])));
        for one in asked {
            if one["datasource"] != chosen {
                wrong.push(format!("{name}: {}", one["datasource"]));
            }
        }
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap_or_default();
            let ids: Vec<&str> =
                entries(&panel["targets"]).filter_map(|t| t["refId"].as_str()).collect();
            if title.is_empty()
                || ids.is_empty()
                || ids.iter().collect::<BTreeSet<_>>().len() != ids.len()
            {
                wrong.push(format!("{name}: panel {} ({title}): queries {ids:?}", panel["id"]));
            }
            if panel["fieldConfig"]["defaults"]["unit"].as_str().is_none() {
                wrong.push(format!("{name}: {title} has no unit"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn panels_have_ids_and_places_of_their_own() {
    let mut wrong = Vec::new();
    for (name, dashboard) in all() {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in entries(&dashboard["panels"]) {
            let title = panel["title"].as_str().unwrap_or_default();
            if !ids.insert(panel["id"].as_u64().expect("an id")) {
                wrong.push(format!("{name}: {title}: id {} twice", panel["id"]));
            }
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
            if x + w > 24 {
                wrong.push(format!("{name}: {title} is wider than the page"));
            }
            let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
            let free = cells.map(|cell| taken.insert(cell)).filter(|is_new| !is_new).count() == 0;
            if !free {
                wrong.push(format!("{name}: {title} lies on another"));
            }
        }
    }
    assert_none(&wrong);
}
