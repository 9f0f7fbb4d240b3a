//! Who gets what, and who is seen how.

use weir_agent_config::control::{Refused, version_of};

use super::*;

fn config(name: &str, selector: &str, text: &str) -> AgentConfig {
    AgentConfig {
        name: name.into(),
        selector: (!selector.is_empty()).then(|| selector.parse().expect("a selector")),
        file: format!("{name}.yml").into(),
        text: text.into(),
        version: version_of(text),
    }
}

fn configs() -> Vec<AgentConfig> {
    vec![
        config("one", r#"{agent="db-1"}"#, "1"),
        config("prod", r#"{env="prod",region=~"eu-.*"}"#, "2"),
        config("rest", r#"{env!=""}"#, "3"),
    ]
}

fn ask(agents: &Agents, query: &str, report: Option<&Report>, now_ms: i64) -> Told {
    let header = report.map(Report::to_header);
    let held = report.and_then(|report| report.config.as_deref());
    let question = Question { query, held, report: header.as_ref().map(String::as_bytes) };
    agents.ask(&configs(), &question, now_ms).expect("a good question")
}

fn take(text: &str) -> Told {
    Told::Take { text: text.into(), version: version_of(text) }
}

fn states(agents: &Agents, now_ms: i64) -> Vec<(String, State)> {
    let list = agents.list(&configs(), now_ms);
    list.into_iter().map(|agent| (agent.name, agent.state)).collect()
}

#[test]
fn the_first_selector_that_takes_an_agent_decides() {
    let agents = Agents::default();
    let told = |query: &str| ask(&agents, query, None, 0);
    assert_eq!(told("agent=a&label=env%3Dprod&label=region%3Deu-1"), take("2"));
    assert_eq!(told("agent=db-1&label=env%3Dprod&label=region%3Deu-1"), take("1"));
    assert_eq!(told("agent=a&label=env%3Dprod&label=region%3Dus-1"), take("3"));
    assert_eq!(told("agent=a"), Told::Nothing);
    assert!(agents.list(&configs(), 0).is_empty(), "whoever reports nothing is no agent");
}

#[test]
fn an_agent_is_seen_by_what_it_runs() {
    let agents = Agents::default();
    let prod = "label=env%3Dprod&label=region%3Deu-1";
    let mut report = Report { poll_ms: 10_000, ..Report::default() };
    assert_eq!(ask(&agents, &format!("agent=b&{prod}"), Some(&report), 0), take("2"));
    ask(&agents, "agent=c", Some(&report), 0);
    report.refused = Some(Refused { config: version_of("2"), error: "line 1".into() });
    ask(&agents, &format!("agent=d&{prod}"), Some(&report), 0);
    report.config = Some(version_of("2"));
    report.refused = None;
    let told = ask(&agents, &format!("agent=a&{prod}"), Some(&report), 0);
    assert_eq!(told, Told::Keep(version_of("2")));
    let seen = [State::Current, State::Behind, State::Unassigned, State::Refused];
    let names = ["a", "b", "c", "d"].map(String::from);
    assert_eq!(states(&agents, 30_000), names.clone().into_iter().zip(seen).collect::<Vec<_>>());
    assert!(states(&agents, 30_001).iter().all(|(_, state)| *state == State::Silent));
    assert!(states(&agents, FORGET_MS).is_empty(), "an hour later it is forgotten");
}

#[test]
fn the_list_is_bounded_and_what_it_leaves_out_is_counted() {
    let agents = Agents::default();
    let report = Report::default();
    for n in 0..AGENTS_MAX + 2 {
        ask(&agents, &format!("agent=a{n}&label=env%3Dx"), Some(&report), 0);
    }
    assert_eq!((agents.list(&configs(), 0).len(), agents.unlisted()), (AGENTS_MAX, 2));
    assert_eq!(ask(&agents, "agent=z&label=env%3Dx", Some(&report), 1), take("3"));
    ask(&agents, "agent=z", Some(&report), FORGET_MS);
    assert_eq!(agents.list(&configs(), FORGET_MS).len(), 1, "there is room for new ones");
    let overview = Overview::new(agents.list(&configs(), FORGET_MS), agents.unlisted());
    assert_eq!((overview.count(State::Unassigned), overview.unlisted), (1, 3));
}
