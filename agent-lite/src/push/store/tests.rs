//! Pushes by the Pushgateway's rules: what replaces what, what is refused, what a page then says.

use super::*;

const LIMITS: Limits =
    Limits { groups_max: 3, series_max: 20, expire_after: Millis::from_secs(60) };

fn key(path: &str) -> GroupingKey {
    GroupingKey::parse(path).unwrap()
}

fn push(store: &mut Store, path: &str, replace: Replace, body: &str) -> Result<(), PushError> {
    store.handle_push(&key(path), replace, body.as_bytes(), Format::Text, 1_500)
}

/// The page's series, without their timestamps and comments.
fn series(store: &Store, path: &str) -> Vec<String> {
    let page = store.page(&key(path)).expect("a group");
    let page = std::str::from_utf8(&page).unwrap().to_owned();
    let lines = page.lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.strip_suffix(" 0").expect("a timestamp").to_owned()).collect()
}

#[test]
fn a_page_has_the_groups_labels_and_tells_of_the_push() {
    let mut store = Store::new(LIMITS);
    let body = "# HELP n A count.\n# TYPE n counter\nn{job=\"other\",x=\"1\"} 3\n";
    push(&mut store, "job/j/instance/i", Replace::Group, body).unwrap();
    assert_eq!(
        series(&store, "job/j/instance/i"),
        [
            r#"n{instance="i",job="j",x="1"} 3"#,
            r#"push_time_seconds{instance="i",job="j"} 1.5"#,
            r#"push_failure_time_seconds{instance="i",job="j"} 0"#,
        ]
    );
    let page = store.page(&key("job/j/instance/i")).unwrap();
    assert!(page.starts_with(b"# HELP n A count.\n# TYPE n counter\n"));
}

#[test]
fn put_replaces_the_group_and_post_the_families_of_the_same_name() {
    let mut store = Store::new(LIMITS);
    let pushed = |store: &Store| series(store, "job/j").len() - 2;
    push(&mut store, "job/j", Replace::Group, "a 1\nb{x=\"1\"} 1\nb{x=\"2\"} 1\n").unwrap();
    push(&mut store, "job/j", Replace::Families, "b{x=\"3\"} 5\nc 1\n").unwrap();
    assert_eq!(
        series(&store, "job/j")[..3],
        [r#"a{job="j"} 1"#, r#"b{job="j",x="3"} 5"#, r#"c{job="j"} 1"#]
    );
    assert_eq!((pushed(&store), store.series_count()), (3, 3));
    push(&mut store, "job/j", Replace::Group, "c 2\n").unwrap();
    assert_eq!((pushed(&store), store.series_count()), (1, 1));
    push(&mut store, "job/j", Replace::Group, "").unwrap();
    assert_eq!((pushed(&store), store.series_count()), (0, 0));
    assert!(store.handle_delete(&key("job/j")));
    assert!(!store.handle_delete(&key("job/j")));
}

#[test]
fn a_histogram_is_one_family() {
    let mut store = Store::new(LIMITS);
    let old =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    let new = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    push(&mut store, "job/j", Replace::Families, old).unwrap();
    push(&mut store, "job/j", Replace::Families, new).unwrap();
    assert_eq!(store.series_count(), 3);
}

#[test]
fn a_refused_push_changes_nothing_but_the_time_of_failure() {
    let mut store = Store::new(LIMITS);
    push(&mut store, "job/j", Replace::Group, "a 1\n").unwrap();
    for (body, words) in [
        ("a 2\nb !\n", "line 2"),
        ("a 2 1000\n", "timestamps"),
        ("a 2\na 3\n", "twice"),
        // The group's labels make one series of two.
        ("a{job=\"x\"} 2\na{job=\"y\"} 3\n", "twice"),
    ] {
        let error = push(&mut store, "job/j", Replace::Group, body).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(
            series(&store, "job/j"),
            [
                r#"a{job="j"} 1"#,
                r#"push_time_seconds{job="j"} 1.5"#,
                r#"push_failure_time_seconds{job="j"} 1.5"#,
            ]
        );
    }
}

#[test]
fn groups_and_series_are_bounded() {
    let mut store = Store::new(LIMITS);
    for path in ["job/a", "job/b", "job/c"] {
        push(&mut store, path, Replace::Group, "m 1\n").unwrap();
    }
    assert_eq!(
        push(&mut store, "job/d", Replace::Group, "m 1\n"),
        Err(PushError::TooManyGroups(3))
    );
    assert_eq!(store.keys().count(), 3);
    let many: String = (0..19).map(|at| format!("m{{n=\"{at}\"}} 1\n")).collect();
    assert_eq!(push(&mut store, "job/a", Replace::Group, &many), Err(PushError::TooManySeries(20)));
    // What it replaces makes room.
    let fits: String = (0..18).map(|at| format!("m{{n=\"{at}\"}} 1\n")).collect();
    push(&mut store, "job/a", Replace::Group, &fits).unwrap();
    push(&mut store, "job/a", Replace::Families, &fits).unwrap();
    assert_eq!(store.series_count(), 20);
}

#[test]
fn a_group_that_nobody_pushes_to_expires() {
    let mut store = Store::new(LIMITS);
    push(&mut store, "job/a", Replace::Group, "m 1\n").unwrap();
    assert_eq!(store.next_deadline(), Some(61_501));
    assert_eq!(store.poll_expired(61_500), []);
    store.handle_push(&key("job/b"), Replace::Group, b"m 1\n", Format::Text, 61_500).unwrap();
    assert_eq!(store.poll_expired(61_501), [key("job/a")]);
    assert_eq!((store.keys().count(), store.series_count()), (1, 1));
}
