//! A job's discovery as a whole, with files and static groups.

use std::fs;
use std::time::Duration;

use weir_agent_config::discovery::FileSd;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn group(source: &str, addresses: &[&str]) -> Group {
    let targets = addresses.iter().map(|address| content::address_label(address)).collect();
    Group { source: source.to_owned(), labels: LabelMap::new(), targets }
}

pub(super) fn addresses(groups: &Groups) -> Vec<String> {
    let targets = groups.iter().flat_map(|group| &group.targets);
    targets.map(|target| target["__address__"].clone()).collect()
}

/// An outlet whose updates can be read.
pub(super) fn outlet() -> (Outlet, mpsc::Receiver<(usize, Update)>) {
    let (updates, inbox) = mpsc::channel(64);
    let facts = Arc::new(Facts::default());
    (Outlet { place: 0, job: "test".into(), mechanism: "test", updates, facts }, inbox)
}

#[tokio::test]
async fn static_groups_are_there_at_once_and_files_follow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    fs::write(&path, r#"[{"targets": ["file:1"]}]"#).unwrap();
    let files = vec![path.display().to_string()];
    let file = FileSd { files, refresh_interval: Duration::from_millis(20) };
    let mechanisms = vec![Mechanism::Fixed(vec![group("0", &["fixed:1"])]), Mechanism::File(file)];
    let discovery = Discovery::start("job", mechanisms);
    let mut groups = discovery.groups();
    assert!(addresses(&groups.borrow()).contains(&"fixed:1".to_owned()));
    let both = |groups: &Groups| addresses(groups) == ["fixed:1", "file:1"];
    tokio::time::timeout(LONG, groups.wait_for(both)).await.unwrap().unwrap();

    fs::write(&path, r#"[{"targets": ["file:2", "file:3"]}]"#).unwrap();
    let new = |groups: &Groups| addresses(groups) == ["fixed:1", "file:2", "file:3"];
    tokio::time::timeout(LONG, groups.wait_for(new)).await.unwrap().unwrap();
    assert_eq!(discovery.facts().targets.load(Ordering::Relaxed), 3);

    fs::remove_file(&path).unwrap();
    let gone = |groups: &Groups| addresses(groups) == ["fixed:1"];
    tokio::time::timeout(LONG, groups.wait_for(gone)).await.unwrap().unwrap();
}

#[test]
fn an_update_that_says_nothing_new_changes_nothing() {
    let mut merge = Merge::default();
    assert!(merge.take(0, Update::All(vec![group("a", &["a"]), group("b", &["b"])])));
    assert!(!merge.take(0, Update::All(vec![group("b", &["b"]), group("a", &["a"])])));
    assert!(!merge.take(0, Update::Changed(vec![group("c", &[])])));
    assert!(merge.take(0, Update::All(vec![group("a", &["a"])])), "b is gone");
    assert!(merge.take(0, Update::Changed(vec![group("a", &[])])), "a too");
    assert!(merge.publish(&Facts::default()).is_empty());
}

#[test]
fn mechanisms_do_not_touch_each_others_groups() {
    let mut merge = Merge::default();
    for place in 0..3 {
        merge.take(place, Update::All(vec![group("same", &[&format!("{place}")])]));
    }
    merge.take(1, Update::All(vec![]));
    assert_eq!(addresses(&merge.publish(&Facts::default())), ["0", "2"]);
}

#[test]
fn targets_past_the_bound_are_left_out_and_counted() {
    let many: Vec<String> = (0..TARGETS_MAX).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (mut merge, facts) = (Merge::default(), Facts::default());
    merge.take(0, Update::All(vec![group("a", &many[1..]), group("b", &["1", "2"])]));
    merge.take(1, Update::All(vec![group("c", &["3"])]));
    let groups = merge.publish(&facts);
    let sources: Vec<&str> = groups.iter().map(|group| group.source.as_str()).collect();
    assert_eq!(sources, ["a", "c"]);
    assert_eq!(facts.targets_refused.load(Ordering::Relaxed), 2);
    assert_eq!(facts.targets.load(Ordering::Relaxed), TARGETS_MAX as u64);
}

#[test]
fn names_are_made_legal() {
    assert_eq!(sanitize("app.kubernetes.io/name-x_1é"), "app_kubernetes_io_name_x_1_");
    assert_eq!(join_host_port("::1", 80), "[::1]:80");
}
