//! What runs and what is placed, as a tier says one thing and then another.

use weir_agent_config::{Host, read};
use weir_model::ShardKey;
use weir_ring::{Member, Owners, Table};

use super::*;

fn configured(direct: bool) -> Vec<Destination> {
    let text = format!(
        "remote_write: [{{url: 'http://lb.example/w', name: tier, direct: {direct}}}, \
         {{url: 'http://b:1/w', name: other}}]\n"
    );
    let host = Host::here(Path::new("."), &|_| None);
    read("weir-agent.yml", &text, &host).expect("it is good").destinations
}

fn guide(members: &[(&str, &str)]) -> Guide {
    let member = |&(name, push): &(&str, &str)| Member {
        name: name.into(),
        address: String::new(),
        push: push.into(),
        capacity: 1,
    };
    let table = Table::fill(members.iter().map(member).collect()).expect("members");
    Owners::of(&table, &ShardKey::default(), "anonymous").guide().expect("whole")
}

fn urls(direct: &Direct) -> Vec<(String, String)> {
    direct.destinations().into_iter().map(|d| (d.name, d.url)).skip(2).collect()
}

fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn a_branch_runs_from_when_it_is_gone_to_until_it_is_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let direct = Direct::open(dir.path(), &configured(true)).expect("it opens");
    assert!(!direct.go_to(0..2), "it is no tier yet");
    let trunk = direct.trunk_of(&configured(true)[0]).expect("it may be one");
    direct.learn(&trunk, "4096-1", guide(&[("a", "a.example:1"), ("b", "")]));
    assert!(direct.go_to(0..2) && !direct.go_to(0..2));
    assert_eq!(urls(&direct), of(&[("tier/a", "http://a.example:1/w")]), "b has no door");
    let branch = &direct.destinations()[2];
    assert_eq!(branch.other_urls, ["http://lb.example/w"], "where it goes while a is away");
    direct.placed_from(7);
    assert!(!direct.retire(|_, _| true), "it is in use");

    direct.learn(&trunk, "4097-1", guide(&[("b", "b.example:1")]));
    assert_eq!(urls(&direct), of(&[("tier/a", "http://lb.example/w")]), "what is left of a's");
    direct.placed_from(9);
    assert!(!direct.retire(|name, ends| name != "tier/a" || ends != 9));
    assert!(direct.retire(|name, ends| name == "tier/a" && ends == 9));
    assert!(urls(&direct).is_empty());
}

#[test]
fn a_restart_goes_on_as_it_was_and_another_destination_begins_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = |direct| Direct::open(dir.path(), &configured(direct)).expect("it opens");
    let direct = open(true);
    let trunk = direct.trunk_of(&configured(true)[0]).expect("it may be one");
    direct.learn(&trunk, "4096-1", guide(&[("a", "a.example:1")]));
    let known = open(true).known().expect("it is kept");
    assert_eq!((known.word.as_str(), known.generation), ("4096-1", 4096));
    assert_eq!(open(false).known(), None);
    assert!(direct.go_to(0..1));
    direct.configure(configured(false));
    assert_eq!(direct.known(), None);
    assert_eq!(urls(&direct), of(&[("tier/a", "http://lb.example/w")]));
    direct.configure(configured(true).split_off(1));
    assert_eq!(direct.destinations().len(), 1, "a branch goes with its trunk");
}
