//! A small file of a made-up program, good and wrong, and what is said about it.

use std::collections::BTreeMap;

use super::*;
use crate::{Check, Foreign, Size, Text, Unread};
use weir_model::Millis;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    listen: Text,
    jobs: Vec<Job>,
    labels: BTreeMap<String, String>,
    later: Option<Unread>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Job {
    interval: Text,
    body_size: Text,
}

const FOREIGN: &Foreign = &[("alerting", "nobody alerts here")];

fn read(text: &str) -> Result<(Source, Raw), Vec<String>> {
    let read = Source::read("a.yml", text, FOREIGN);
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_good_file_is_read_and_its_keys_have_lines() {
    let text = "listen: :80\n\njobs:\n- interval: 5s\n- body_size: 1MiB\nlater: {any: [thing]}\n";
    let (source, raw) = read(text).unwrap();
    assert_eq!(raw.listen.as_deref(), Some(":80"));
    assert_eq!((raw.jobs.len(), raw.labels.len(), raw.later), (2, 0, Some(Unread)));
    assert_eq!(raw.jobs[1].interval, None);
    assert_eq!(source.line("jobs[1].body_size"), Some(5));
    assert_eq!(source.line("jobs[1].interval"), Some(5), "the entry that lacks the key");
    assert_eq!(source.line("absent"), None);
    assert!(read("").is_ok(), "an empty file is all defaults");
}

#[test]
fn all_unknown_keys_and_wrong_shapes_come_at_once() {
    let text = "listn: x\nalerting: {}\njobs:\n- intervall: 5s\n- alerting: 1\nlabels: [a]\n";
    let errors = read(text).unwrap_err();
    assert_eq!(
        errors,
        [
            "a.yml:1: listn: unknown key; did you mean listen?",
            "a.yml:2: alerting: unknown key; nobody alerts here",
            "a.yml:4: jobs[0].intervall: unknown key; did you mean interval?",
            "a.yml:5: jobs[1].alerting: unknown key; allowed are interval, body_size",
            "a.yml:6: labels: must hold names and values, such as {name: value}",
        ]
    );
}

#[test]
fn bad_yaml_is_named_by_line_and_never_quoted() {
    let errors = read("listen: a\njobs:\n- interval: [hunter2\n").unwrap_err();
    assert!(errors[0].starts_with("a.yml:"), "{errors:?}");
    assert!(!errors[0].contains("hunter2"), "{errors:?}");
}

#[test]
fn values_are_checked_within_their_block() {
    let (source, raw) = read("jobs:\n- interval: 5\n- body_size: 2GiB\n").unwrap();
    let mut check = Check::new(&source);
    for (index, job) in raw.jobs.iter().enumerate() {
        check.within(&format!("jobs[{index}]"), |check| {
            let (second, hour) = (Millis::from_secs(1), Millis::from_secs(3600));
            check.duration("interval", &job.interval, second, second..=hour);
            check.size("body_size", &job.body_size, Size(1), Size(1)..=Size(1 << 30));
        });
    }
    check.error("listen", "is missing");
    let errors = check.finish(()).unwrap_err().to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert_eq!(lines[0], "a.yml: listen: is missing");
    assert!(lines[1].starts_with("a.yml:2: jobs[0].interval: "), "{errors}");
    assert_eq!(
        lines[2],
        "a.yml:3: jobs[1].body_size: 2GiB is out of bounds; allowed is 1B to 1GiB"
    );
}
