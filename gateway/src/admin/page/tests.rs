//! What the page says, and that it escapes what it shows.

use super::*;
use crate::admin::sample::{ill, view, well};

/// The page's tags; panics where one is left open or closed twice.
fn assert_well_formed(page: &str) {
    let empty = ["meta", "rect", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.split(' ').next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "near {tag}");
        } else if !empty.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn it_shows_what_comes_in_what_goes_out_and_what_is_lost() {
    let page = render(&view(well()));
    assert_well_formed(&page);
    // 5 M samples in ten seconds; 15 k outputs and 450 k passed.
    for part in [
        "<title>running · Weir gw-eu-1</title>",
        "Nothing is wrong",
        "500 k<i> samples/s",
        "46.5 k<i> samples/s",
        "10.8 : 1",
        "Rates are over the last 10 s.",
        "649 : 1",
        "30 s",
        "anonymous",
        "gw-eu-2.example.net:9202",
        "Placement table version 3 · 3 members, 0 away",
        "Windows wait for nobody · 0 went out incomplete",
        "https://archive.example.net/api/v1/write",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page");
    }
}

#[test]
fn trouble_comes_before_everything_else() {
    let page = render(&view(ill()));
    assert_well_formed(&page);
    let trouble = page.find("The audit does not balance").unwrap();
    assert!(trouble < page.find("class=\"tiles\"").unwrap());
    assert!(page.contains("<b class=\"state critical\">trouble</b>"));
    assert!(!page.contains("Nothing is wrong"));
    for part in [
        "Windows wait for <b>gw-eu-3</b>, a minute at most · 2 went out incomplete",
        "20 on their way to gw-&lt;eu&gt;-2",
        "<em class=\"warning\">14 s</em>",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page");
    }
}

#[test]
fn names_and_answers_from_outside_are_never_markup() {
    let page = render(&view(ill()));
    for raw in [
        "<script>alert",
        "<b>rule</b>",
        "a&b\"",
        "<refused>",
        "<prod>",
        "<1>",
        "<agent.yml>",
        "job=\"<x>\"",
    ] {
        assert!(!page.contains(raw), "{raw}");
    }
    for safe in
        ["&lt;script&gt;alert(&#39;node&#39;)", "&lt;b&gt;rule", "a&amp;b&quot;", "&lt;refused&gt;"]
    {
        assert!(page.contains(safe), "{safe}");
    }
}

#[test]
fn a_gateway_without_anything_has_a_page_too() {
    let status = Status::default();
    let rates = Rates::between(None, &status);
    let page = render(&View { problems: Vec::new(), rates, status });
    assert_well_formed(&page);
    assert!(page.contains("/federate"));
    assert!(!page.contains("<h2>Tier"), "it stands alone");
    assert!(!page.contains("NaN") && !page.contains("inf "));
}

#[test]
fn the_json_has_what_the_page_shows() {
    let json = serde_json::to_value(view(ill())).unwrap();
    assert_eq!(json["rates"]["received"], 500_000.0);
    assert_eq!(json["status"]["ingest"]["requests"]["204"], 1_830_000);
    assert_eq!(json["problems"][0]["severity"], "critical");
    assert_eq!(json["status"]["rules"][1]["late_dropped"], 90_000);
}
